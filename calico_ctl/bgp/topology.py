"""What etcd says about hosts, AS numbers and pools, read into BIRD's configuration.

Reading is total. A value that cannot be read is left out and named in `problems`; it never keeps
another host from its routes. Everything is read anew at each change: the keys are few (three or so
per host), and nothing can be left over from an earlier state.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import TypeVar

from netaddr import IPAddress, IPNetwork

from calico_ctl.bgp import sessions
from calico_ctl.bgp.bird import Config
from calico_ctl.errors import InvalidValue
from calico_ctl.model import address, codec, keys
from calico_ctl.model.keys import Leaf, ParsedKey
from calico_ctl.model.node import DEFAULT_AS_NUMBER, Node, parse_as_number
from calico_ctl.model.pool import Pool

_T = TypeVar("_T")

_WHAT = "host address"
_NO_HOSTS = tuple(
    IPNetwork(text)
    for text in ("0.0.0.0/8", "127.0.0.0/8", "224.0.0.0/3", "::/127", "fe80::/10", "ff00::/8")
)

_FOLLOWED = {
    Leaf.READY,
    Leaf.HOST_IPV4,
    Leaf.HOST_IPV6,
    Leaf.BGP_HOST,
    Leaf.BGP_GLOBAL,
    Leaf.POOL,
}


@dataclass(frozen=True, slots=True)
class Topology:
    """The readable part of what routing needs. `ready`: etcd holds a cluster's data at all."""

    ready: bool
    nodes: Mapping[str, Node]
    default_as: int
    mesh: bool
    pools: tuple[IPNetwork, ...]
    problems: Mapping[str, str] = field(default_factory=dict)


def follows(key: str) -> bool:
    """Say whether a key matters here."""
    parsed = keys.parse(key)
    return parsed is not None and parsed.leaf in _FOLLOWED


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
    nodes = topology.nodes.values() if topology.mesh else ()
    return Config(
        ipv4=own.ipv4,
        ipv6=own.ipv6,
        as_number=own.as_number or topology.default_as,
        pools=topology.pools,
        sessions=tuple(sessions.mesh(nodes, own, topology.default_as)),
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
            pools=tuple(sorted(self._pools())),
            problems=self._problems,
        )

    def _parsed(self, values: Mapping[str, str]) -> Iterator[tuple[ParsedKey, tuple[str, str]]]:
        for key, value in values.items():
            parsed = keys.parse(key)
            if parsed is not None and parsed.leaf in _FOLLOWED:
                yield parsed, (key, value)

    def _node(self, host: str) -> Node:
        """Read a host. Where it says nothing for BGP, its address as a gateway is its address."""
        return Node(
            host,
            ipv4=self._own(host, "ip_addr_v4", _usable_ipv4)
            or self._one(Leaf.HOST_IPV4, "", _usable_ipv4, host),
            ipv6=self._own(host, "ip_addr_v6", _usable_ipv6)
            or self._one(Leaf.HOST_IPV6, "", _usable_ipv6, host),
            as_number=self._own(host, "as_num", parse_as_number),
        )

    def _pools(self) -> Iterator[IPNetwork]:
        for parsed, (key, value) in self._found.items():
            if parsed.leaf is Leaf.POOL:
                pool = self._try(key, value, partial(_pool, parsed.name))
                if pool:
                    yield pool.cidr

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


def _usable_ipv4(text: str) -> IPAddress:
    return _usable(address.parse_ipv4(text))


def _usable_ipv6(text: str) -> IPAddress:
    return _usable(address.parse_ipv6(text))


def _usable(ip: IPAddress) -> IPAddress:
    """Refuse what is no host's address; BIRD would refuse it together with all other sessions."""
    if any(ip.version == each.version and ip in each for each in _NO_HOSTS):
        raise InvalidValue(_WHAT, str(ip), "the unicast address of a host")
    return ip
