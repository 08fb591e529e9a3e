"""The cluster that is measured: its keys and values, made anew and the same in every run.

1,000 profiles of 10 rules each, as people write them: from the own tag, from a group's tag, from a
net, to ports, to ranges of ports, ICMP; a few deny. Every profile carries its own tag and its
group's. 10,000 endpoints on 500 other hosts are the fleet: each lists the profile `fleet`, whose
tag so has 10,000 members, and one of the 1,000. Everything has an IPv4 and an IPv6 address.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address

from calico_ctl.model import keys
from calico_ctl.model.endpoint import EndpointKey

PROFILES = 1_000
GROUPS = 20
REMOTE_HOSTS = 500
REMOTE_ENDPOINTS = 10_000
FLEET, OUTSIDER = "fleet", "outsider"
FLEET_EXTRA = "fleet-extra"
"""A tag that rules of a profile in use name, and that nobody has yet."""

_FIRST_REMOTE = IPv4Address("10.128.0.0")
_FIRST_LOCAL = IPv4Address("10.65.0.2")
_FIRST_REMOTE6 = IPv6Address("fd80:2::")
_FIRST_LOCAL6 = IPv6Address("fd80:1::2")
_FREE_PORT = 10_000

Contents = dict[str, str]


@dataclass(frozen=True)
class Endpoint:
    """An endpoint as an orchestrator writes it."""

    host: str
    name: str
    ipv4: IPv4Address
    ipv6: IPv6Address
    mac: str
    profiles: tuple[str, ...]

    @property
    def id(self) -> EndpointKey:
        """What it is called in etcd."""
        return EndpointKey(self.host, "docker", f"w-{self.name}", f"e-{self.name}")

    @property
    def key(self) -> str:
        """Where it is in etcd."""
        return keys.endpoint(self.id)

    @property
    def status_key(self) -> str:
        """Where the agent acknowledges it."""
        return keys.endpoint_status(self.id)

    def value(self) -> str:
        """Write it as JSON."""
        fields = {
            "state": "active",
            "name": self.name,
            "mac": self.mac,
            "profile_id": self.profiles[0],
            "ipv4_nets": [f"{self.ipv4}/32"],
            "ipv6_nets": [f"{self.ipv6}/128"],
            "ipv4_gateway": "169.254.1.1",
            "ipv6_gateway": "fe80::ecee:eeff:feee:eeee",
        }
        if len(self.profiles) > 1:
            fields["profile_ids"] = list(self.profiles)
        return json.dumps(fields)


def profile_name(number: int) -> str:
    """Name one of the 1,000."""
    return f"app-{number:04d}"


def some_profiles(numbers: Iterable[int]) -> list[str]:
    """Name some of the 1,000."""
    return [profile_name(number % PROFILES) for number in numbers]


def local(host: str, number: int, profiles: Iterable[str]) -> Endpoint:
    """Describe an endpoint of the measured host."""
    return Endpoint(
        host=host,
        name=f"cali{number:011d}",
        ipv4=_FIRST_LOCAL + number,
        ipv6=_FIRST_LOCAL6 + number,
        mac=f"02:01:00:00:{number >> 8:02x}:{number & 255:02x}",
        profiles=tuple(profiles),
    )


def locals_(host: str, count: int, profiles_each: int) -> list[Endpoint]:
    """Describe the measured host's endpoints; with five each, all 1,000 profiles are in use."""
    return [
        local(host, number, some_profiles((number + 200 * more) for more in range(profiles_each)))
        for number in range(count)
    ]


def remote(number: int, *profiles: str) -> Endpoint:
    """Describe an endpoint of another host."""
    return Endpoint(
        host=f"remote-{number % REMOTE_HOSTS:03d}",
        name=f"cali{number:011x}",
        ipv4=_FIRST_REMOTE + number,
        ipv6=_FIRST_REMOTE6 + number,
        mac=f"02:02:00:{number >> 16:02x}:{(number >> 8) & 255:02x}:{number & 255:02x}",
        profiles=profiles,
    )


def fleet_member(number: int) -> Endpoint:
    """Describe one of the 10,000."""
    return remote(number, FLEET, profile_name(number % PROFILES))


def outsider(number: int) -> Endpoint:
    """Describe an endpoint beside the 10,000, which is not in the fleet."""
    return remote(REMOTE_ENDPOINTS + number, OUTSIDER)


def rules(number: int, port: int = _FREE_PORT) -> str:
    """Write the rules of one of the 1,000; `port` is what changes when they are rewritten."""
    own, group = profile_name(number), f"group-{number % GROUPS:02d}"
    everyone = {0: FLEET, 1: FLEET_EXTRA}.get(number % 50, group)
    inbound: list[dict[str, object]] = [
        {"src_tag": own},
        {"src_tag": everyone, "protocol": "tcp", "dst_ports": [80, 443]},
        {
            "src_net": f"10.{number % 250}.0.0/16",
            "protocol": "tcp",
            "dst_ports": ["8000:8100", 9000],
        },
        {"protocol": "icmp", "icmp_type": 8},
        {"src_net": "192.168.0.0/16", "action": "deny"},
        {"protocol": "tcp", "dst_ports": [port]},
    ]
    outbound: list[dict[str, object]] = [
        {"dst_tag": group, "protocol": "tcp", "dst_ports": [5432, "6000:6063"]},
        {"protocol": "udp", "dst_ports": [53, 123]},
        {"dst_net": "169.254.169.254/32", "action": "deny"},
        {"dst_net": "10.0.0.0/8"},
    ]
    return json.dumps({"inbound": inbound, "outbound": outbound})


def write_rules(number: int, port: int) -> tuple[str, str]:
    """Return the write that puts a port into the rules of one of the 1,000."""
    return keys.profile_rules(profile_name(number)), rules(number, port)


def write_fleet_tags(*tags: str) -> tuple[str, str]:
    """Return the write that gives the profile of the fleet these tags."""
    return keys.profile_tags(FLEET), json.dumps(tags)


def profiles() -> Contents:
    """Return the keys of all profiles."""
    contents = {
        keys.profile_tags(FLEET): json.dumps([FLEET]),
        keys.profile_rules(FLEET): '{"inbound": [{"src_tag": "fleet"}], "outbound": [{}]}',
        keys.profile_tags(OUTSIDER): json.dumps([OUTSIDER]),
        keys.profile_rules(OUTSIDER): '{"inbound": [], "outbound": [{}]}',
    }
    for number in range(PROFILES):
        name, group = profile_name(number), f"group-{number % GROUPS:02d}"
        contents[keys.profile_tags(name)] = json.dumps([name, group])
        contents[keys.profile_rules(name)] = rules(number)
    return contents


def without_local() -> Contents:
    """Return everything but the measured host's own endpoints, and not yet ready."""
    contents = profiles()
    pool = {"cidr": "10.64.0.0/10", "masquerade": True}
    contents["/calico/ipam/v4/pool/10.64.0.0-10"] = json.dumps(pool)
    contents["/calico/ipam/v6/pool/fd80::-16"] = json.dumps({"cidr": "fd80::/16"})
    for number in range(REMOTE_HOSTS):
        address = IPv4Address("172.16.0.1") + number
        contents[f"/calico/host/remote-{number:03d}/bird_ip"] = str(address)
    return contents | written(map(fleet_member, range(REMOTE_ENDPOINTS)))


def hosts() -> Contents:
    """Return the keys that make the 500 hosts known to BIRD."""
    first = IPv4Address("172.16.0.1")
    names = [f"remote-{number:03d}" for number in range(REMOTE_HOSTS)]
    return {keys.bgp_host_address(name, 4): str(first + at) for at, name in enumerate(names)}


def written(endpoints: Iterable[Endpoint]) -> Contents:
    """Return the keys of endpoints."""
    return {endpoint.key: endpoint.value() for endpoint in endpoints}


def members(contents: Mapping[str, str]) -> dict[tuple[str, int], frozenset[bytes]]:
    """Work out from what etcd holds who carries which tag: (tag, 4 or 6) → addresses as bytes."""
    tags = {
        key.split("/")[4]: json.loads(value)
        for key, value in contents.items()
        if key.startswith(keys.PROFILES) and key.endswith("/tags")
    }
    found: dict[tuple[str, int], set[bytes]] = {}
    for key, value in contents.items():
        if not (key.startswith(keys.HOSTS) and "/endpoint/" in key):
            continue
        fields = json.loads(value)
        names = fields.get("profile_ids") or [fields["profile_id"]]
        for tag in {tag for name in names for tag in tags.get(name, ())}:
            for net in fields["ipv4_nets"]:
                found.setdefault((tag, 4), set()).add(IPv4Address(net.removesuffix("/32")).packed)
            for net in fields["ipv6_nets"]:
                found.setdefault((tag, 6), set()).add(IPv6Address(net.removesuffix("/128")).packed)
    return {key: frozenset(addresses) for key, addresses in found.items()}


def tags_named(contents: Mapping[str, str], profile_names: Iterable[str]) -> frozenset[str]:
    """Return the tags that the rules of these profiles name."""
    found = set()
    for name in profile_names:
        both = json.loads(contents[keys.profile_rules(name)])
        for rule in both["inbound"] + both["outbound"]:
            found |= {rule[side] for side in ("src_tag", "dst_tag") if side in rule}
    return frozenset(found)
