#!/bin/sh
# What an orchestrator does, with curl alone: a profile in etcd, a container with an address by the
# Docker API, and then the container gets the profile.
# Run it as root on a host that has calico-node, and etcd on 127.0.0.1:4001. It takes away what it made.
set -eu
etcd=http://127.0.0.1:4001/v2/keys/calico
docker=http://localhost:2377
ask() { curl -sS -f "$@"; }
json() { python3 -c "import json, sys; it = json.load(sys.stdin); print($1)"; }

container=
clean_up() {
    [ -z "$container" ] || ask -X DELETE "$docker/containers/$container?force=true"
    ask -X DELETE "$etcd/policy/profile/by-curl?recursive=true" >/dev/null || true
}
trap clean_up EXIT

ask -X PUT "$etcd/policy/profile/by-curl/rules" --data-urlencode 'value={
  "inbound": [{"protocol": "tcp", "dst_ports": [80], "action": "allow"}],
  "outbound": [{"action": "allow"}]
}' >/dev/null
ask -X PUT "$etcd/policy/profile/by-curl/tags" --data-urlencode 'value=["by-curl"]' >/dev/null

container=$(ask -X POST "$docker/containers/create" -H 'Content-Type: application/json' \
    -d '{"Image": "busybox", "Cmd": ["httpd", "-f"], "Env": ["CALICO_IP=auto"]}' | json 'it["Id"]')
ask -X POST "$docker/containers/$container/start"

# The endpoint, and what it says: everything stays but the profile, if nobody wrote meanwhile.
found=$(ask "$etcd/host/$(hostname)/workload/docker/$container/endpoint")
key=$(echo "$found" | json 'it["node"]["nodes"][0]["key"]')
index=$(echo "$found" | json 'it["node"]["nodes"][0]["modifiedIndex"]')
value=$(echo "$found" | json 'it["node"]["nodes"][0]["value"]' |
    json 'json.dumps(it | {"profile_id": "by-curl"})')
ask -X PUT "${etcd%/calico}$key?prevIndex=$index" --data-urlencode "value=$value" >/dev/null

echo "$value" | json '"%s has profile %s" % (it["ipv4_nets"][0], it["profile_id"])'
