#!/bin/sh
# Cut a suspicious container off at once, but keep it running for whoever investigates.
#   sudo examples/quarantine.sh <container>
# Run it on the container's host. `calicoctl container <container> profile set <profiles>` ends it.
set -eu
container=${1:?which container?}

found=$(calicoctl container "$container" endpoint show --output=json)
before=$(echo "$found" | python3 -c 'import json, sys; print(*json.load(sys.stdin)["items"][0]["profiles"])')

# Neither in nor out, for whoever is in it. (This host itself always reaches its containers.)
calicoctl apply -f - <<'END'
kind: profile
schema: 1
name: quarantine
tags: []
rules:
  inbound: [deny]
  outbound: [deny]
END

# Connections that it has are cut too.
calicoctl container "$container" profile set quarantine
echo "it had these profiles: ${before:-none}"
