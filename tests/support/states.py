"""Named states of a cluster, and the table that each must give on host1."""

from netaddr import IPAddress

from calico_ctl.model import codec, keys
from calico_ctl.model.endpoint import Endpoint, EndpointKey, State
from calico_ctl.policy.desired import Desired
from calico_ctl.policy.ruleset import Ruleset, Step

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
    "tunnels": dict([endpoint("a")])
    | WEB
    | {
        "/calico/ipam/v4/pool/10.65.0.0-16": '{"cidr": "10.65.0.0/16", "vxlan": "vxlan.calico"}',
        "/calico/host/host1/bird_ip": "10.99.0.1",
        "/calico/host/host2/bird_ip": "10.99.0.2",
        "/calico/host/host2/bird6_ip": "fd99::2",
    },
    "tunnels with a host more": dict([endpoint("a")])
    | WEB
    | {
        "/calico/ipam/v4/pool/10.65.0.0-16": '{"cidr": "10.65.0.0/16", "ipip": "tunl0"}',
        "/calico/host/host2/bird_ip": "10.99.0.2",
        "/calico/bgp/v1/host/host3/ip_addr_v4": "10.99.0.3",
    },
    "one list of profiles for two": dict(
        [endpoint("a", profiles=("web", "db")), endpoint("b", profiles=("web", "db"))]
    )
    | WEB,
    "the list the other way round": dict([endpoint("a", profiles=("db", "web"))]) | WEB,
    "without MAC": {
        key: value.replace('"mac": "02', '"mac": null, "was": "02')
        for key, value in [endpoint("a")]
    }
    | WEB,
    "broken rules": dict([endpoint("a")]) | profile("web", '{"inbound": [{}', "web"),
    "closed to the host": dict([endpoint("a")])
    | WEB
    | {"/calico/config/DefaultEndpointToHostAction": "DROP"},
}


def desired(contents: dict[str, str]) -> Desired:
    """Return what host1 makes of what etcd holds, read at once."""
    host = Desired(HOST)
    for key, value in contents.items():
        host.apply(key, value, 1)
    return host


def ruleset(contents: dict[str, str]) -> Ruleset:
    """Return the table for what etcd holds."""
    host = desired(contents)
    host.take()
    return host.table()


def walk(host: Desired, before: dict[str, str], after: dict[str, str]) -> Step:
    """Change what etcd holds key by key; return the step that follows."""
    for key in before.keys() - after.keys():
        host.apply(key, None, 1)
    for key, value in after.items():
        if before.get(key) != value:
            host.apply(key, value, 1)
    return host.take().step
