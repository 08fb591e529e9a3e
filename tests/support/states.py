"""Named states of a cluster, and the table that each must give on host1."""

from netaddr import IPAddress

from calico_ctl.model import codec, keys
from calico_ctl.model.endpoint import Endpoint, EndpointKey, State
from calico_ctl.model.snapshot import Snapshot
from calico_ctl.policy import active
from calico_ctl.policy.ruleset import Ruleset
from calico_ctl.policy.tags import TagIndex

HOST = "host1"


def endpoint(
    name: str,
    *,
    host: str = HOST,
    profiles: tuple[str, ...] = ("web",),
    state: State = State.ACTIVE,
    interface: str = "",
) -> tuple[str, str]:
    """Return the key and value of an endpoint with one address of each family."""
    number = sum(name.encode())
    value = Endpoint(
        key=EndpointKey(host, "docker", name, name),
        state=state,
        name=interface or f"cali{name}",
        mac=f"02:00:00:00:00:{number % 100:02d}",
        profiles=profiles,
        addresses=(IPAddress(f"10.65.0.{number % 250}"), IPAddress(f"fd80::{number:x}")),
    )
    return keys.endpoint(value.key), codec.encode_endpoint(value)


def profile(name: str, rules: str, *tags: str) -> dict[str, str]:
    """Return the keys and values of a profile."""
    return {keys.profile_rules(name): rules, keys.profile_tags(name): codec.encode_tags(tags)}


WEB = profile("web", '{"inbound": [{"src_tag": "web"}], "outbound": [{}]}', "web")
OPEN = profile(
    "web",
    '{"inbound": [{"src_tag": "web"}, {"protocol": "tcp", "dst_ports": [80, "8000:8080"]}],'
    ' "outbound": [{"action": "deny", "dst_net": "10.0.0.0/8"}, {}]}',
    "web",
)
STATES: dict[str, dict[str, str]] = {
    "empty": {},
    "one endpoint without its profile": dict([endpoint("a")]),
    "one endpoint": dict([endpoint("a")]) | WEB,
    "a rule more": dict([endpoint("a")]) | OPEN,
    "a member elsewhere": dict([endpoint("a"), endpoint("b", host="host2")]) | WEB,
    "an inactive member": dict([endpoint("a"), endpoint("b", state=State.INACTIVE)]) | WEB,
    "two profiles": dict([endpoint("a", profiles=("db", "web"))])
    | WEB
    | profile("db", '{"inbound": [{"src_tag": "app", "protocol": "icmp", "icmp_type": 8}]}', "db"),
    "pools": dict([endpoint("a")])
    | WEB
    | {
        "/calico/ipam/v4/pool/10.65.0.0-17": '{"cidr": "10.65.0.0/17", "masquerade": true}',
        "/calico/ipam/v4/pool/10.65.128.0-17": '{"cidr": "10.65.128.0/17", "masquerade": true}',
        "/calico/ipam/v6/pool/fd80::-64": '{"cidr": "fd80::/64"}',
    },
    "closed to the host": dict([endpoint("a")])
    | WEB
    | {"/calico/config/DefaultEndpointToHostAction": "DROP"},
}


def ruleset(contents: dict[str, str]) -> Ruleset:
    """Return the table for what etcd holds."""
    snapshot, tags = Snapshot(), TagIndex()
    for key, value in contents.items():
        parsed = snapshot.apply(key, value, 1)
        if parsed is not None and parsed.endpoint is not None:
            tags.set_endpoint(parsed.endpoint, snapshot.endpoints.get(parsed.endpoint))
        elif parsed is not None and key.endswith("/tags"):
            tags.set_profile(parsed.name, snapshot.tags.get(parsed.name, ()))
    return active.ruleset(snapshot, tags, HOST)
