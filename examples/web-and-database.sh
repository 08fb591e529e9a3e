#!/bin/sh
# A web server that everybody reaches, and a database that only the web server reaches.
# Run it as root on a host where `calicoctl node` was called. It takes away what it made.
set -eu

client() { docker -H localhost:2377 "$@"; }
page() { client exec "$1" timeout 2 wget -q -O - "http://$2/"; }
server='echo "I am $(hostname)" >/tmp/index.html; exec httpd -f -h /tmp'
address() { client inspect -f '{{.NetworkSettings.Networks.calico.IPAddress}}' "$1"; }

clean_up() {
    client rm -f example-web example-db example-visitor >/dev/null 2>&1 || true
    for profile in example-web example-db example-visitor; do
        calicoctl profile remove "$profile" >/dev/null 2>&1 || true
    done
}
trap clean_up EXIT

# A profile for each role. A new one lets its members reach each other; these two say it themselves.
for profile in example-web example-db; do
    calicoctl profile add "$profile"
    calicoctl profile "$profile" rule remove inbound --at=1
done
calicoctl profile example-web rule add inbound allow tcp to ports 80
calicoctl profile example-db rule add inbound allow tcp from tag example-web to ports 80

# Docker does the rest: `auto` is any free address.
for name in web db visitor; do
    client run -d --name "example-$name" --hostname "$name" \
        -e CALICO_IP=auto -e "CALICO_PROFILE=example-$name" busybox sh -c "$server" >/dev/null
done
web=$(address example-web) db=$(address example-db)

echo "a visitor asks web: $(page example-visitor "$web")"
echo "web asks db: $(page example-web "$db")"
if page example-visitor "$db"; then
    echo "a visitor reaches db, and should not" >&2
    exit 1
fi
echo "a visitor asks db: no answer"
