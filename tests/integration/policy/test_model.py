"""The kernel decides about a packet as the user guide's words do, whatever etcd holds.

Clusters are drawn with their meaning and, apart from it, one of the ways to write it into etcd: so
the whole way from the text of a key to the kernel is held against `policy.verdict`. The packets are
real.

Not drawn is what conntrack calls `invalid` as a first packet, since no rule is asked about it: ICMP
that is no request, ICMP in the other family's packets, TCP without SYN, SCTP without INIT.
"""

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from netaddr import IPAddress, IPNetwork

from calico_ctl.model import keys
from calico_ctl.model.address import FAMILIES, Family
from calico_ctl.model.endpoint import Endpoint, EndpointKey, State
from calico_ctl.model.rule import Action, Direction, Ports, Rule, Rules
from calico_ctl.policy import verdict
from calico_ctl.policy.explain import Views
from calico_ctl.policy.verdict import ICMP, ICMPV6, SCTP, TCP, UDP, UDPLITE, Decision, Packet
from tests.support import explained, packets
from tests.support.packets import ADDRESSES, CONTAINERS, HOST, HOST_ADDRESS, OUTSIDE, Wire

T = TypeVar("T")
Written = dict[str, object]

CLUSTERS = 300
PAIRS = 1000
"""Of a cluster and a packet: in each family at least so many are asked about."""

PROFILES = ("web", "db", "app", "ops")
MISSING_PROFILE = "gone"
TAGS = ("web", "db", "logger")
UNUSED_TAG = "nobody"
NETS: dict[Family, list[str]] = {
    4: ["0.0.0.0/0", "0.0.0.0/0", "10.65.0.0/16", "10.65.0.0/30", "10.65.0.9/24", "10.65.0.2/32"],
    6: ["::/0", "::/0", "fd80::/48", "fd80::/126", "fd80::9/112", "fd80::2/128", "fd80::5"],
}

# Of the pairs, the first says what is meant and the second how somebody writes it.
PORTED: list[tuple[str, object]] = [
    ("tcp", "tcp"),
    ("tcp", "TCP"),
    ("tcp", 6),
    ("udp", "udp"),
    ("udp", "17"),
    ("sctp", "sctp"),
    ("sctp", 132),
    ("udplite", "udplite"),
    ("udplite", "136"),
]
ICMP_OF: dict[Family, list[tuple[str, object]]] = {
    4: [("icmp", "icmp"), ("icmp", 1)],
    6: [("icmpv6", "icmpv6"), ("icmpv6", "58")],
}
PORTLESS: list[tuple[str, object]] = [("47", 47), ("253", "253")]
PORTS: list[tuple[Ports, object]] = [
    (Ports(80, 80), 80),
    (Ports(443, 443), "443"),
    (Ports(0, 0), 0),
    (Ports(53, 80), "53:80"),
    (Ports(1000, 2000), "1000:2000"),
    (Ports(1500, 3300), "1500:3300"),
    (Ports(0, 1023), "0:1023"),
    (Ports(1024, 65535), "1024:65535"),
    (Ports(0, 65535), "0:65535"),
]
ACTIONS: list[tuple[Action, Written]] = [
    (Action.ALLOW, {}),
    (Action.ALLOW, {"action": None}),
    (Action.ALLOW, {"action": "allow"}),
    (Action.DENY, {"action": "deny"}),
    (Action.DENY, {"action": "deny"}),
]
UNREADABLE_RULES: list[object] = [
    {"color": "red"},
    {"action": "drop"},
    {"protocol": 0},
    {"protocol": "icmp", "dst_ports": [80]},
    {"protocol": "icmp", "icmp_code": 0},
    {"icmp_type": 8},
    {"src_ports": [65536]},
    {"dst_ports": ["90:80"]},
    {"src_tag": "no tag"},
    {"src_net": "10.65.0.0/33"},
    {"src_net": "10.65.0.0/24", "dst_net": "fd80::/64"},
    "allow",
]
UNREADABLE_TEXTS = [
    '{"inbound": [{"action": "deny}], "outbound": [{}]}',
    "{'inbound': [{}]}",
    "[]",
    "",
]

REMOTE: dict[Family, list[IPAddress]] = {
    4: [IPAddress(f"10.65.1.{at}") for at in (1, 2, 3)],
    6: [IPAddress(f"fd80:0:0:1::{at}") for at in (1, 2, 3)],
}
"""Addresses of endpoints on other hosts."""

ELSEWHERE: dict[Family, list[IPAddress]] = {
    4: [IPAddress("192.0.2.7"), IPAddress("198.51.100.7")],
    6: [IPAddress("2001:db8::7"), IPAddress("2001:db9::7")],
}
LINK_LOCAL = IPAddress("fe80::9")
REQUESTS: dict[Family, list[int]] = {
    4: [8, 8, 8, 13, 15, 17],
    6: [128, 128, 128, 139, *packets.NEIGHBOUR_DISCOVERY],
}
PROTOCOL_NUMBERS = {
    "tcp": TCP,
    "udp": UDP,
    "sctp": SCTP,
    "udplite": UDPLITE,
    "icmp": ICMP,
    "icmpv6": ICMPV6,
    "47": packets.GRE,
    "253": packets.UNASSIGNED,
}
PACKET_PROTOCOLS = [TCP, TCP, TCP, UDP, UDP, UDP, SCTP, UDPLITE, packets.GRE, packets.UNASSIGNED]
PACKET_PORTS = [80, 443, 1500, 0, 53, 1023, 1024, 65535]

TO_CONTAINER = "container to container"
TO_WORLD = "container to the world"
FROM_WORLD = "the world to a container"
TO_HOST = "container to its host"
FROM_HOST = "host to its container"
FALSE_ADDRESS = "container with a false address"
FALSE_MAC = "container with a false MAC"
NO_ADDRESS = "container without an address yet"
KINDS = [
    *[TO_CONTAINER] * 4,
    *[TO_WORLD] * 2,
    *[FROM_WORLD] * 3,
    *[TO_HOST] * 3,
    FROM_HOST,
    FALSE_ADDRESS,
    FALSE_MAC,
    NO_ADDRESS,
]


@dataclass(frozen=True)
class Profile:
    """What a profile's two keys mean: `rules` is None where they are not there or unreadable."""

    rules: Rules | None
    tags: Sequence[str]


@dataclass(frozen=True)
class Cluster:
    """What etcd holds, and what that means on this host."""

    contents: dict[str, str]
    profiles: dict[str, Profile] = field(repr=False)
    endpoints: Sequence[Endpoint] = field(repr=False)
    to_host: str = field(repr=False)

    def owner(self, container: str) -> Endpoint | None:
        wanted = (HOST, container, State.ACTIVE)
        for each in self.endpoints:
            if (each.key.host, each.name, each.state) == wanted:
                return each
        return None

    def rules(self, profile: str) -> Rules | None:
        return self.profiles[profile].rules if profile in self.profiles else None

    def carries(self, tag: str, ip: IPAddress) -> bool:
        return any(
            name in self.profiles and tag in self.profiles[name].tags
            for each in self.endpoints
            if ip in each.addresses
            for name in each.profiles
        )


@dataclass(frozen=True)
class Journey:
    """A packet, where it starts, and where it shall arrive."""

    kind: str
    packet: Packet
    source: str
    target: str
    mac: str | None = None


# -- what the words say ---------------------------------------------------------------------------


def expected(cluster: Cluster, journey: Journey) -> Decision:
    if journey.source == HOST:
        return always("the host may reach its containers")
    if journey.source == OUTSIDE:
        return asked(cluster, journey.target, Direction.INBOUND, journey.packet)
    distrust = reason_to_distrust(cluster.owner(journey.source), journey)
    if distrust:
        return never(distrust)
    if journey.target == HOST:
        return expected_by_host(cluster, journey)
    outbound = asked(cluster, journey.source, Direction.OUTBOUND, journey.packet)
    if not outbound.allowed or journey.target == OUTSIDE:
        return outbound
    return asked(cluster, journey.target, Direction.INBOUND, journey.packet)


def expected_by_host(cluster: Cluster, journey: Journey) -> Decision:
    if is_dns(journey.packet) or is_dhcp(journey.packet) or is_discovery(journey.packet):
        return always("the host always answers DNS, DHCP and neighbour discovery")
    if cluster.to_host == "DROP":
        return never("DefaultEndpointToHostAction is DROP")
    return asked(cluster, journey.source, Direction.OUTBOUND, journey.packet)


def reason_to_distrust(sender: Endpoint | None, journey: Journey) -> str:
    if sender is None:
        return f"{journey.source} is no endpoint's"
    if journey.mac is not None and sender.mac is not None:
        return "the MAC is not the endpoint's"
    without_address = journey.packet.src in (LINK_LOCAL, IPAddress("0.0.0.0"))
    if without_address and (is_dhcp(journey.packet) or is_discovery(journey.packet)):
        return ""
    return "" if journey.packet.src in sender.addresses else "the address is not the endpoint's"


def is_dns(packet: Packet) -> bool:
    return packet.protocol in (TCP, UDP) and packet.dst_port == 53


def is_dhcp(packet: Packet) -> bool:
    ports = (68, 67) if packet.src.version == 4 else (546, 547)
    return packet.protocol == UDP and (packet.src_port, packet.dst_port) == ports


def is_discovery(packet: Packet) -> bool:
    return packet.protocol == ICMPV6 and packet.icmp_type in packets.NEIGHBOUR_DISCOVERY


def asked(cluster: Cluster, container: str, direction: Direction, packet: Packet) -> Decision:
    owner = cluster.owner(container)
    if owner is None:
        return never(f"{container} is no endpoint's")
    return verdict.ask(owner.profiles, cluster.rules, direction, packet, cluster.carries)


def always(reason: str) -> Decision:
    return Decision(True, "", 0, reason)


def never(reason: str) -> Decision:
    return Decision(False, "", 0, reason)


# -- clusters -------------------------------------------------------------------------------------


def once_in(draw: st.DrawFn, times: int) -> bool:
    # not an end of the range: hypothesis is fond of those, and shrinks towards the first
    return draw(st.integers(1, times)) == 1 + times // 2


CRITERIA = [
    "protocol",
    "src_net",
    "dst_net",
    "src_tag",
    "dst_tag",
    "src_ports",
    "dst_ports",
    "icmp_type",
    "icmp_code",
    "icmp_code",
]
ICMP_TYPES: dict[Family, list[int]] = {4: [8, 8, 8, 13, 255], 6: [128, 128, 128, 135, 255]}
PORT_LISTS = st.lists(st.sampled_from(PORTS), min_size=1, max_size=4)


@st.composite
def rules(draw: st.DrawFn) -> tuple[Rule, Written]:
    action, written_action = draw(st.sampled_from(ACTIONS))
    family = draw(st.sampled_from(FAMILIES))
    chosen = set(draw(st.lists(st.sampled_from(CRITERIA), min_size=1, max_size=3)))
    is_icmp = bool(chosen & {"icmp_type", "icmp_code"})

    def perhaps(name: str, choices: Sequence[T]) -> T | None:
        return draw(st.sampled_from(choices)) if name in chosen else None

    if is_icmp:
        protocol, written_protocol = draw(st.sampled_from(ICMP_OF[family]))
        chosen -= {"src_ports", "dst_ports"}
    elif "protocol" in chosen:
        others = [] if chosen & {"src_ports", "dst_ports"} else PORTLESS + ICMP_OF[family]
        protocol, written_protocol = draw(st.sampled_from(PORTED + others))
    else:
        protocol, written_protocol = None, None
    ports = [draw(PORT_LISTS) if name in chosen else [] for name in ("src_ports", "dst_ports")]
    nets = [perhaps(name, NETS[family]) for name in ("src_net", "dst_net")]
    tags = [perhaps(name, [*TAGS, UNUSED_TAG]) for name in ("src_tag", "dst_tag")]
    icmp_type = draw(st.sampled_from(ICMP_TYPES[family])) if is_icmp else None
    icmp_code = perhaps("icmp_code", [0, 1])
    written: Written = {
        "protocol": written_protocol,
        "src_tag": tags[0],
        "src_net": nets[0],
        "src_ports": [each for _, each in ports[0]] or None,
        "dst_tag": tags[1],
        "dst_net": nets[1],
        "dst_ports": [each for _, each in ports[1]] or None,
        "icmp_type": icmp_type,
        "icmp_code": icmp_code,
    }
    if draw(st.booleans()):
        written = {name: value for name, value in written.items() if value is not None}
    cidrs = [None if net is None else IPNetwork(net).cidr for net in nets]
    meant = Rule(
        action=action,
        protocol=protocol,
        src_tag=tags[0],
        src_net=cidrs[0],
        src_ports=tuple(each for each, _ in ports[0]),
        dst_tag=tags[1],
        dst_net=cidrs[1],
        dst_ports=tuple(each for each, _ in ports[1]),
        icmp_type=icmp_type,
        icmp_code=icmp_code,
    )
    return meant, written | written_action


DENY_ALL: tuple[Rule, Written] = (Rule(Action.DENY), {"action": "deny"})
ALL = st.sampled_from([(Rule(), Written()), (Rule(), Written()), (Rule(), Written()), DENY_ALL])
RULE_LISTS = st.lists(ALL | rules() | rules() | rules(), max_size=5)


@st.composite
def rules_keys(draw: st.DrawFn) -> tuple[Rules | None, str | None]:
    """What a profile's rules mean, and the text in etcd (None: there is no such key)."""
    if once_in(draw, 32):
        return None, draw(st.sampled_from([None, *UNREADABLE_TEXTS]))
    inbound, outbound = draw(RULE_LISTS), draw(RULE_LISTS)
    meant = Rules(tuple(rule for rule, _ in inbound), tuple(rule for rule, _ in outbound))
    lists: dict[str, list[object]] = {
        "inbound": [each for _, each in inbound],
        "outbound": [each for _, each in outbound],
    }
    if once_in(draw, 24):
        lists[draw(st.sampled_from(sorted(lists)))].append(draw(st.sampled_from(UNREADABLE_RULES)))
        return None, json.dumps(lists)
    match draw(st.integers(0, 5)):
        case 3:
            return meant, json.dumps({name: each or None for name, each in lists.items()})
        case 4:
            return meant, json.dumps({name: each for name, each in lists.items() if each})
        case 5:
            old = {f"{name}_rules": each for name, each in lists.items()}
            return meant, json.dumps({"id": "web", **old})
        case _:
            return meant, json.dumps(lists)


@st.composite
def tags_keys(draw: st.DrawFn) -> tuple[Sequence[str], str | None]:
    """What a profile's tags mean, and the text in etcd."""
    tags = draw(st.lists(st.sampled_from(TAGS), max_size=2))
    match draw(st.integers(0, 9)):
        case 8:
            return (), draw(st.sampled_from(['["web"', '["web", 7]', '["no tag"]', '"web"', ""]))
        case 9:
            return (), None
        case at if at % 2:
            # as `curl -d value=["web"]` leaves it
            return tags, f"[{','.join(tags)}]"
        case _:
            return tags, json.dumps(tags)


def written_profiles(draw: st.DrawFn, names: Sequence[str]) -> Written:
    """One of the ways to say that an endpoint has these profiles, in this order."""
    first = names[0] if names else None
    if len(names) < 2 and draw(st.booleans()):
        # somebody rewrote just `profile_id`, as the guide shows: the list is an old one
        stale = {} if first == "ops" or draw(st.booleans()) else {"profile_ids": ["ops", "db"]}
        return {"profile_id": first, **stale}
    alone = {} if draw(st.booleans()) else {"profile_id": first}
    return {**alone, "profile_ids": list(names)}


@st.composite
def endpoints(draw: st.DrawFn, host: str, name: str, profiles: list[str]) -> tuple[Endpoint, str]:
    """An endpoint with some of these profiles, and the text in etcd."""
    state = State.INACTIVE if once_in(draw, 12) else State.ACTIVE
    some = st.sampled_from([*profiles, MISSING_PROFILE, *profiles * 6])
    chosen = draw(st.lists(some, min_size=0 if once_in(draw, 12) else 1, max_size=3, unique=True))
    mac = None if once_in(draw, 4) else packets.MAC.get(name)
    nets = {family: draw(addresses(host, name, family)) for family in FAMILIES}
    written: Written = {
        "state": state.value,
        "name": name,
        "mac": mac,
        "ipv4_nets": [f"{ip}/32" for ip in nets[4]],
        "ipv6_nets": [f"{ip}/128" for ip in nets[6]],
        "ipv4_gateway": None,
        "ipv6_gateway": None,
        **written_profiles(draw, chosen),
    }
    key = EndpointKey(host, "docker", name, name)
    ips = (*nets[4], *nets[6])
    return Endpoint(key, state, name, mac, tuple(chosen), ips), json.dumps(written)


def addresses(host: str, name: str, family: Family) -> st.SearchStrategy[list[IPAddress]]:
    if host == HOST:
        first, second = ADDRESSES[name][family]
        both = [first, second]
        return st.sampled_from([[first], both, both, both, [], both, both, both, [second]])
    # now and then the record of an endpoint that has moved here is still there
    return st.sampled_from([[ip] for ip in [*REMOTE[family], ADDRESSES[CONTAINERS[0]][family][0]]])


@st.composite
def clusters(draw: st.DrawFn) -> Cluster:
    contents: dict[str, str] = {}
    profiles: dict[str, Profile] = {}
    known: list[Endpoint] = []
    for name in PROFILES[: draw(st.sampled_from([2, 3, 4, 4, 0, 3, 4, 1, 3, 4, 4, 2, 3, 4]))]:
        meant, text = draw(rules_keys())
        tags, tags_text = draw(tags_keys())
        profiles[name] = Profile(meant, tags)
        texts = {keys.profile_rules(name): text, keys.profile_tags(name): tags_text}
        contents |= {key: value for key, value in texts.items() if value is not None}
    local = [(HOST, name) for name in CONTAINERS if not once_in(draw, 12)]
    remote = [("host2", f"cali{at}") for at in range(draw(st.integers(0, 3)))]
    for host, name in local + remote:
        endpoint, text = draw(endpoints(host, name, list(profiles)))
        if once_in(draw, 16):
            text = text.replace('"name"', '"nickname"')
        else:
            known.append(endpoint)
        contents[keys.endpoint(endpoint.key)] = text
    to_host, settings_written = draw(st.sampled_from(HOST_ACTIONS))
    return Cluster(contents | settings_written, profiles, known, to_host)


GENERAL = keys.global_config("DefaultEndpointToHostAction")
OWN = keys.host_config(HOST, "DefaultEndpointToHostAction")
OTHER = keys.host_config("host2", "DefaultEndpointToHostAction")
HOST_ACTIONS: list[tuple[str, dict[str, str]]] = [
    ("RETURN", {}),
    ("RETURN", {GENERAL: "DROP", OWN: "RETURN"}),
    ("ACCEPT", {GENERAL: "ACCEPT", OTHER: "DROP"}),
    ("DROP", {GENERAL: "DROP"}),
    ("DROP", {GENERAL: "ACCEPT", OWN: "DROP"}),
]


# -- packets --------------------------------------------------------------------------------------


@st.composite
def journeys(draw: st.DrawFn, cluster: Cluster) -> Journey:
    family = draw(st.sampled_from(FAMILIES))
    kind = draw(st.sampled_from(KINDS))
    container = draw(st.sampled_from(mostly_owned(cluster)))
    if kind == NO_ADDRESS and cluster.owner(container) is None:
        # whether what is nobody's may ask the host for an address is written nowhere
        kind = TO_HOST
    if kind == NO_ADDRESS:
        return Journey(kind, draw(first_words(container, family)), container, HOST)
    own = draw(st.sampled_from(addresses_of(cluster, container, family)))
    if kind == FROM_HOST:
        source, src, target, dst = HOST, HOST_ADDRESS[family], container, own
    elif kind == FROM_WORLD:
        peer = draw(st.sampled_from(REMOTE[family] + ELSEWHERE[family]))
        source, src, target, dst = OUTSIDE, peer, container, own
    else:
        false = others_addresses(container, family)
        source, src = container, draw(st.sampled_from(false)) if kind == FALSE_ADDRESS else own
        target, dst = draw(targets(cluster, kind, family))
    asked_rules = rules_on_the_way(cluster, source, target)
    packet = draw(packets_between(src, dst, asked_rules, to_host=target == HOST))
    mac = packets.STRANGE_MAC if kind == FALSE_MAC else None
    return Journey(kind, packet, source, target, mac)


def rules_on_the_way(cluster: Cluster, source: str, target: str) -> list[Rule]:
    ends = ((source, Direction.OUTBOUND), (target, Direction.INBOUND))
    owners = [(cluster.owner(name), direction) for name, direction in ends]
    lists = [
        (cluster.rules(profile) or Rules()).of(direction)
        for owner, direction in owners
        if owner is not None
        for profile in owner.profiles
    ]
    # those behind are seldom asked
    return [rule for each in lists for rule in each[:2]]


def mostly_owned(cluster: Cluster) -> list[str]:
    owned = [name for name in CONTAINERS if cluster.owner(name) is not None]
    return [*owned * 4, *CONTAINERS]


def addresses_of(cluster: Cluster, container: str, family: Family) -> Sequence[IPAddress]:
    owner = cluster.owner(container)
    own = owner.of_family(family) if owner else ()
    return own or ADDRESSES[container][family]


def others_addresses(container: str, family: Family) -> list[IPAddress]:
    false = [ip for name in CONTAINERS if name != container for ip in ADDRESSES[name][family]]
    false += [HOST_ADDRESS[family], *REMOTE[family], *ELSEWHERE[family]]
    return false + [LINK_LOCAL] * (family == 6)


@st.composite
def targets(draw: st.DrawFn, cluster: Cluster, kind: str, family: Family) -> tuple[str, IPAddress]:
    """Where a container's packet goes to, and an address there."""
    containers = mostly_owned(cluster)
    ways = {TO_CONTAINER: [containers], TO_WORLD: [[OUTSIDE]], TO_HOST: [[HOST]]}
    either = [containers, [OUTSIDE], [HOST]]
    target = draw(st.sampled_from(draw(st.sampled_from(ways.get(kind, either)))))
    if target == HOST:
        return target, HOST_ADDRESS[family]
    if target == OUTSIDE:
        return target, draw(st.sampled_from(REMOTE[family] + ELSEWHERE[family]))
    return target, draw(st.sampled_from(addresses_of(cluster, target, family)))


@st.composite
def packets_between(
    draw: st.DrawFn, src: IPAddress, dst: IPAddress, asked_rules: Sequence[Rule], to_host: bool
) -> Packet:
    """A packet that one of the rules just matches or just does not, or any other."""
    family: Family = 4 if src.version == 4 else 6
    rule = draw(st.sampled_from([Rule(), *asked_rules]))
    protocol = draw(st.sampled_from(protocols_near(rule, family)))
    if protocol in (ICMP, ICMPV6):
        icmp_type = draw(st.sampled_from(types_near(rule, family)))
        return Packet(src, dst, protocol, icmp_type=icmp_type, icmp_code=draw(st.integers(0, 1)))
    if protocol not in (TCP, UDP, SCTP, UDPLITE):
        return Packet(src, dst, protocol)
    if to_host and once_in(draw, 4):
        known = [(999, 53), (68, 67) if family == 4 else (546, 547)]
        return Packet(src, dst, protocol, *draw(st.sampled_from(known)))
    src_port = draw(st.sampled_from(ports_near(rule.src_ports)))
    return Packet(src, dst, protocol, src_port, draw(st.sampled_from(ports_near(rule.dst_ports))))


def protocols_near(rule: Rule, family: Family) -> list[int]:
    usual = [*PACKET_PROTOCOLS, *[ICMP if family == 4 else ICMPV6] * 3]
    if rule.protocol is None:
        return [TCP, UDP, SCTP, UDPLITE] if rule.src_ports or rule.dst_ports else usual
    number = PROTOCOL_NUMBERS[rule.protocol]
    return [number, number, number, TCP] if number in usual else usual


def types_near(rule: Rule, family: Family) -> list[int]:
    known = [rule.icmp_type] if rule.icmp_type in REQUESTS[family] else []
    return known * 9 + REQUESTS[family]


def ports_near(ranges: Sequence[Ports]) -> list[int]:
    ends = [end for each in ranges for end in (each.first, each.last)]
    near = [end + by for end in ends for by in (0, 1, -1) if 0 <= end + by <= 65535]
    return [*near, 80, 443] if near else PACKET_PORTS


def first_words(container: str, family: Family) -> st.SearchStrategy[Packet]:
    """What a machine says before it has an address: it asks for one, and who is there."""
    if family == 4:
        return st.just(Packet(IPAddress("0.0.0.0"), IPAddress("255.255.255.255"), UDP, 68, 67))
    host = packets.link_local(container)
    said = [
        Packet(LINK_LOCAL, dst, ICMPV6, icmp_type=icmp_type, icmp_code=0)
        for dst, icmp_type in zip(
            (packets.ALL_ROUTERS, host, host), packets.NEIGHBOUR_DISCOVERY, strict=True
        )
    ]
    return st.sampled_from([Packet(LINK_LOCAL, packets.DHCPV6_SERVERS, UDP, 546, 547), *said])


class World:
    """A cluster and what is sent in it. A disagreement prints what matters of it by itself."""

    def __init__(self, cluster: Cluster, sent: list[Journey]) -> None:
        self.cluster = cluster
        self.sent = sent

    def __repr__(self) -> str:
        return "the one above"


@st.composite
def worlds(draw: st.DrawFn) -> World:
    cluster = draw(clusters())
    # one packet is enough to disagree about, and the smallest example has no more
    count = draw(st.sampled_from([1, *[32] * 20]))
    return World(cluster, [draw(journeys(cluster)) for _ in range(count)])


# -- the check ------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def wire() -> Iterator[Wire]:
    with packets.laid() as wire:
        yield wire


def told(cluster: Cluster, journey: Journey, decision: Decision) -> str:
    """What a person needs to repeat and understand a disagreement."""
    etcd = "\n".join(f"  {key} = {value}" for key, value in sorted(cluster.contents.items()))
    did = "dropped" if decision.allowed else "let pass"
    return f"{journey}\nwas {did} by the kernel, but {decision.reason}; etcd holds:\n{etcd}"


def explained_as(views: Views, journey: Journey) -> bool | None:
    """What `explain` says; None where nobody could ask it: about no endpoint, or another's MAC."""
    packet = journey.packet
    if journey.kind in {FALSE_MAC, NO_ADDRESS} or packet.src == LINK_LOCAL:
        return None
    if journey.source == journey.target:
        # what a container sends to itself does not get here
        return None
    if journey.source == HOST and cluster_closes(views, journey.target):
        # the host may send there, but nobody would have made a route
        return None
    stages = explained.stages(views, packet, journey.source, journey.target)
    return None if stages is None else all(each.allowed for each in stages)


def cluster_closes(views: Views, container: str) -> bool:
    endpoint = explained.endpoint_of(views, container)
    return endpoint is None or endpoint.state is not State.ACTIVE


# A failure takes minutes, because hypothesis looks for the smallest one.
@pytest.mark.timeout(1200)
def test_the_kernel_and_the_words_agree_about_every_packet(wire: Wire) -> None:
    pairs: Counter[tuple[int, bool, str]] = Counter()

    @settings(
        max_examples=CLUSTERS,
        phases=[Phase.generate, Phase.shrink],
        derandomize=True,
        database=None,
        deadline=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    )
    @given(worlds())
    def agree(world: World) -> None:
        cluster = world.cluster
        wire.install(cluster.contents)
        views = explained.views(cluster.contents)
        for journey in world.sent:
            decision = expected(cluster, journey)
            passed = wire.passes(journey.packet, journey.source, journey.target, mac=journey.mac)
            assert passed == decision.allowed, told(cluster, journey, decision)
            assert explained_as(views, journey) in {None, passed}, told(cluster, journey, decision)
            pairs[journey.packet.src.version, passed, journey.kind] += 1

    agree()
    for (version, way, kind), count in sorted(pairs.items()):
        print(f"IPv{version} {'passed' if way else 'dropped'}: {count} {kind}")
    for family in FAMILIES:
        passed, dropped = ({k: pairs[family, way, k] for k in KINDS} for way in (True, False))
        assert sum(passed.values()) + sum(dropped.values()) >= PAIRS
        # of each sort enough, or the agreement would mean little
        assert min(sum(passed.values()), sum(dropped.values())) >= PAIRS / 4
        assert all(passed[kind] for kind in set(KINDS) - {FALSE_ADDRESS, FALSE_MAC})
        assert all(dropped[kind] for kind in set(KINDS) - {FROM_HOST, NO_ADDRESS})
