"""What etcd says about hosts, peers, AS numbers, pools and blocks, read into BIRD's configuration.

Reading is total. A value that cannot be read is left out and named in `problems`; it never keeps
another host from its routes. Everything is read anew at each change, so nothing can be left over
from an earlier state; `follows` keeps it cheap: of what grows with the number of containers, only
this host's own blocks are looked at.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import TypeVar

from netaddr import IPAddress, IPNetwork

from calico_ctl.bgp import sessions
from calico_ctl.bgp.bird import Config
from calico_ctl.bgp.sessions import Cluster
from calico_ctl.errors import InvalidValue
from calico_ctl.model import address, bgp, codec, keys
from calico_ctl.model.address import FAMILIES
from calico_ctl.model.bgp import DEFAULT_PREFIX_LIMIT, BgpPeer, LogLevel, Reflector
from calico_ctl.model.keys import Leaf, ParsedKey
from calico_ctl.model.node import DEFAULT_AS_NUMBER, Node, parse_as_number
from calico_ctl.model.pool import Pool

_T = TypeVar("_T")

_BLOCK_BITS = 6
"""What is left of an address after the prefix of a block: blocks have 64 addresses."""

_FOLLOWED = {
    Leaf.READY,
    Leaf.BGP_HOST,
    Leaf.BGP_GLOBAL,
    Leaf.BGP_PEER,
    Leaf.REFLECTOR,
    Leaf.AFFINITY,
    Leaf.BLOCK,
    Leaf.POOL,
}


@dataclass(frozen=True, slots=True)
class Settings:
    """What can be set for all hosts, and anew for one; None where nothing is."""

    log_level: LogLevel | None = None
    accept_default_route: bool | None = None
    prefix_limit: int | None = None


@dataclass(frozen=True, slots=True)
class Topology:
    """The readable part of what routing needs. `ready`: etcd holds a cluster's data at all.

    `peers`, `settings` and `blocks` go by hostname; what is for all hosts is under ``""``.
    """

    ready: bool
    nodes: Mapping[str, Node]
    default_as: int
    mesh: bool
    pools: tuple[Pool, ...]
    peers: Mapping[str, tuple[BgpPeer, ...]] = field(default_factory=dict)
    reflectors: tuple[Reflector, ...] = ()
    settings: Mapping[str, Settings] = field(default_factory=dict)
    blocks: Mapping[str, tuple[IPNetwork, ...]] = field(default_factory=dict)
    problems: Mapping[str, str] = field(default_factory=dict)


def follows(key: str, hostname: str) -> bool:
    """Say whether a key matters to the routing of a host."""
    parsed = keys.parse(key)
    if parsed is None or parsed.leaf not in _FOLLOWED:
        return False
    return parsed.leaf is not Leaf.AFFINITY or parsed.host == hostname


def read(values: Mapping[str, str]) -> Topology:
    """Read all followed keys; `values` may hold others."""
    return _Reading(values).topology()


def config(topology: Topology, hostname: str) -> Config | None:
    """Return what BIRD on a host shall do, or None while the host has no IPv4 address.

    An IPv4 address is needed for the router id, whatever families there are.
    """
    own = topology.nodes.get(hostname)
    if own is None or own.ipv4 is None:
        return None
    reflectors = {each.ip: each.cluster_id for each in topology.reflectors}
    cluster = Cluster(
        topology.nodes, topology.default_as, topology.mesh, topology.peers, reflectors
    )
    addresses = ((family, own.address(family)) for family in FAMILIES)
    settings = _settings(topology, hostname)
    return Config(
        ipv4=own.ipv4,
        ipv6=own.ipv6,
        as_number=cluster.as_number(own),
        pools=tuple(pool.cidr for pool in topology.pools),
        sessions=tuple(sessions.plan(cluster, own)),
        hosts=frozenset(
            ip for node in topology.nodes.values() for ip in (node.ipv4, node.ipv6) if ip
        ),
        as_numbers=frozenset(cluster.as_number(node) for node in topology.nodes.values()),
        encapsulated=tuple(pool.cidr for pool in topology.pools if pool.ipip or pool.vxlan),
        blocks=topology.blocks.get(hostname, ()),
        cluster_ids=tuple((f, reflectors[ip]) for f, ip in addresses if ip in reflectors),
        accept_default_route=settings.accept_default_route or False,
        prefix_limit=settings.prefix_limit or DEFAULT_PREFIX_LIMIT,
        log_level=settings.log_level or LogLevel.INFO,
    )


def _settings(topology: Topology, hostname: str) -> Settings:
    """Return what holds on a host: each setting of its own, else that of all hosts."""
    own, common = (topology.settings.get(host, Settings()) for host in (hostname, ""))
    accept = own.accept_default_route
    return Settings(
        own.log_level or common.log_level,
        common.accept_default_route if accept is None else accept,
        own.prefix_limit or common.prefix_limit,
    )


class _Reading:
    """One pass over the values; remembers what could not be read."""

    def __init__(self, values: Mapping[str, str]) -> None:
        self._problems: dict[str, str] = {}
        self._found = dict(self._parsed(values))

    def topology(self) -> Topology:
        leaves = self._found
        ready = leaves.get(ParsedKey(Leaf.READY), ("", ""))[1] == "true"
        hosts = sorted({parsed.host for parsed in leaves if parsed.host})
        return Topology(
            ready=ready,
            nodes={host: self._node(host) for host in hosts},
            default_as=self._one(Leaf.BGP_GLOBAL, "as_num", parse_as_number) or DEFAULT_AS_NUMBER,
            mesh=self._one(Leaf.BGP_GLOBAL, "node_mesh", codec.decode_mesh_enabled) is not False,
            pools=tuple(sorted(self._pools(), key=lambda pool: pool.cidr)),
            peers=self._peers(),
            reflectors=tuple(self._reflectors()),
            settings={host: self._settings(host) for host in ["", *hosts]},
            blocks=self._blocks(),
            problems=self._problems,
        )

    def _parsed(self, values: Mapping[str, str]) -> Iterator[tuple[ParsedKey, tuple[str, str]]]:
        for key, value in values.items():
            parsed = keys.parse(key)
            if parsed is not None and parsed.leaf in _FOLLOWED:
                yield parsed, (key, value)

    def _node(self, host: str) -> Node:
        return Node(
            host,
            ipv4=self._own(host, "ip_addr_v4", _usable_ipv4),
            ipv6=self._own(host, "ip_addr_v6", _usable_ipv6),
            as_number=self._own(host, "as_num", parse_as_number),
        )

    def _settings(self, host: str) -> Settings:
        one = partial(self._one, Leaf.BGP_HOST if host else Leaf.BGP_GLOBAL, host=host)
        return Settings(
            one("loglevel", bgp.parse_log_level),
            one("accept_default_route", bgp.parse_switch),
            one("max_prefixes", bgp.parse_prefix_limit),
        )

    def _pools(self) -> Iterator[Pool]:
        for parsed, key, value in self._all(Leaf.POOL):
            pool = self._try(key, value, partial(_pool, parsed.name))
            if pool:
                yield pool

    def _peers(self) -> dict[str, tuple[BgpPeer, ...]]:
        found: dict[str, tuple[BgpPeer, ...]] = {}
        for parsed, key, value in self._all(Leaf.BGP_PEER):
            peer = self._try(key, value, partial(_peer, parsed.name))
            if peer:
                found[parsed.host] = (*found.get(parsed.host, ()), peer)
        return found

    def _reflectors(self) -> Iterator[Reflector]:
        for parsed, key, value in self._all(Leaf.REFLECTOR):
            reflector = self._try(key, value, partial(_reflector, parsed.name))
            if reflector:
                yield reflector

    def _blocks(self) -> dict[str, tuple[IPNetwork, ...]]:
        """Return the blocks that hosts prefer, without those that say another host's name.

        A host notes that it prefers a block before it makes the block. If it dies in between,
        somebody else may have made it.
        """
        found: dict[str, tuple[IPNetwork, ...]] = {}
        for parsed, key, _ in self._all(Leaf.AFFINITY):
            cidr = self._try(key, parsed.name, _block)
            if cidr and self._prefers(cidr, parsed.host):
                found[parsed.host] = tuple(sorted((*found.get(parsed.host, ()), cidr)))
        return found

    def _prefers(self, cidr: IPNetwork, host: str) -> bool:
        key, value = self._found.get(ParsedKey(Leaf.BLOCK, keys.dashed(cidr)), ("", ""))
        return not value or self._try(key, value, codec.decode_block_affinity) == host

    def _all(self, leaf: Leaf) -> list[tuple[ParsedKey, str, str]]:
        """Return all keys of one kind in one order, whatever order etcd gave."""
        found = [(each, *self._found[each]) for each in self._found if each.leaf is leaf]
        return sorted(found, key=lambda item: item[1])

    def _own(self, host: str, name: str, parse: Callable[[str], _T]) -> _T | None:
        return self._one(Leaf.BGP_HOST, name, parse, host)

    def _one(self, leaf: Leaf, name: str, parse: Callable[[str], _T], host: str = "") -> _T | None:
        key, value = self._found.get(ParsedKey(leaf, name=name, host=host), ("", ""))
        # Empty means absent: older tools wrote "" for a host without IPv6.
        return self._try(key, value.strip(), parse) if value.strip() else None

    def _try(self, key: str, text: str, parse: Callable[[str], _T]) -> _T | None:
        try:
            return parse(text)
        except InvalidValue as error:
            self._problems[key] = error.message
            return None


def _pool(segment: str, text: str) -> Pool:
    return codec.decode_pool(keys.parse_cidr_segment(segment), text)


def _peer(segment: str, text: str) -> BgpPeer:
    return codec.decode_bgp_peer(bgp.parse_peer_address(segment), text)


def _reflector(segment: str, text: str) -> Reflector:
    return codec.decode_reflector(bgp.parse_peer_address(segment), text)


def _block(segment: str) -> IPNetwork:
    cidr = keys.parse_cidr_segment(segment)
    if cidr.prefixlen != address.width(cidr) - _BLOCK_BITS:
        raise InvalidValue("block", str(cidr), "a network of 64 addresses")
    return cidr


def _usable_ipv4(text: str) -> IPAddress:
    return bgp.host_address(address.parse_ipv4(text))


def _usable_ipv6(text: str) -> IPAddress:
    return bgp.host_address(address.parse_ipv6(text))
