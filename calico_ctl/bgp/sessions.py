"""With whom a host speaks BGP, and what each of them is to it.

There is one session for each neighbour, and its name says why. Of several reasons the first of
these wins: it is a peer of this host, a peer of all hosts, both are route reflectors, it is a host
that has this one as its peer, all hosts form a mesh.

What is known of a host of the cluster does not depend on how its peers were configured: its AS
number is its own, and where both ends were given a password, both choose the same one. What is
taken from a neighbour and what it gets is a matter of its `Role`.
"""

from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from enum import Enum, auto

from netaddr import IPAddress

from calico_ctl.errors import InvalidValue
from calico_ctl.model import address
from calico_ctl.model.address import FAMILIES, Family
from calico_ctl.model.bgp import BgpPeer
from calico_ctl.model.node import Node

KINDS = {
    "Mesh": "node-to-node mesh",
    "Node": "node specific",
    "Global": "global",
    "Reflector": "route reflector",
    "Client": "reflector client",
    "Host": "host that peers with this one",
}
"""How the names of sessions begin, and what kind of peer is at the other end."""


class Role(Enum):
    """What a neighbour is to this host."""

    HOST = auto()
    """A host of the cluster, which announces its own containers."""
    ROUTER = auto()
    """None of the cluster."""
    REFLECTOR = auto()
    """A reflector to a host that is none: it announces the containers of all hosts."""
    CLIENT = auto()
    """A host to a reflector: it gets what the others announce."""
    FELLOW = auto()
    """Another reflector to a reflector."""


@dataclass(frozen=True, slots=True)
class Peer:
    """Who is at the other end of a session, and why there is one."""

    address: IPAddress
    kind: str

    @property
    def family(self) -> Family:
        """The family of the routes exchanged with it."""
        return address.family(self.address)


@dataclass(frozen=True, slots=True)
class Session:
    """A neighbour, and the name of its protocol in BIRD; no password if it is empty."""

    name: str
    neighbour: IPAddress
    as_number: int
    role: Role = Role.HOST
    password: str = field(default="", repr=False)

    @property
    def family(self) -> Family:
        """The family of the neighbour's address, which is that of the routes exchanged."""
        return address.family(self.neighbour)

    @property
    def hears_all_hosts(self) -> bool:
        """Whether this host has, by this session and others like it, the word of all hosts."""
        reflected = self.role in {Role.REFLECTOR, Role.CLIENT, Role.FELLOW}
        return reflected or self.in_mesh

    @property
    def in_mesh(self) -> bool:
        """Whether there is a session with each host of the cluster, and this is one of them."""
        return self.name.startswith("Mesh_")


@dataclass(frozen=True, slots=True)
class Cluster:
    """All that decides about sessions. `peers` go by hostname, those of all hosts under ``""``.

    `reflectors` gives the id of the cluster of each address that is a route reflector's.
    """

    nodes: Mapping[str, Node]
    default_as: int
    mesh: bool = True
    peers: Mapping[str, tuple[BgpPeer, ...]] = field(default_factory=dict)
    reflectors: Mapping[IPAddress, IPAddress] = field(default_factory=dict)

    def as_number(self, node: Node) -> int:
        """Return the AS number of a host."""
        return node.as_number or self.default_as


def plan(cluster: Cluster, own: Node) -> list[Session]:
    """Return the sessions of a host, per family that both ends have.

    Sorted by family and address, so that equal knowledge gives equal text. An address that two
    nodes claim gives one session: a second would make BIRD refuse all of them.
    """
    return _Plan(cluster, own).sessions()


def escape(ip: IPAddress) -> str:
    """Write an address as a part of a BIRD name, which takes letters, digits and `_` only.

    No two addresses share a name: netaddr writes each in one way, and families differ in `.`/`:`.
    """
    return str(ip).replace(".", "_").replace(":", "_")


def peer_of(name: str) -> Peer | None:
    """Return whom a session is named after, or None if it is none of ours."""
    beginning, _, escaped = name.partition("_")
    if beginning not in KINDS:
        return None
    for separator in ".:":
        with suppress(InvalidValue):
            ip = address.parse_address(escaped.replace("_", separator))
            return Peer(ip, KINDS[beginning])
    return None


class _Plan:
    """One host's view of the cluster."""

    def __init__(self, cluster: Cluster, own: Node) -> None:
        self._cluster = cluster
        self._own = own
        self._hosts: dict[IPAddress, Node] = {}
        for node in sorted(cluster.nodes.values(), key=lambda node: node.host):
            for ip in _addresses(node):
                self._hosts.setdefault(ip, node)
        self._here = frozenset(_addresses(own))
        self._reflects = {family: own.address(family) in cluster.reflectors for family in FAMILIES}
        self._own_peers = _by_address(cluster.peers.get(own.host, ()))
        self._peers_of_all = _by_address(cluster.peers.get("", ()))
        self._peered_by = {
            (host, peer.family): peer
            for host, peers in cluster.peers.items()
            for peer in peers
            if peer.ip in self._here
        }

    def sessions(self) -> list[Session]:
        known = {*self._own_peers, *self._peers_of_all, *self._cluster.reflectors, *self._hosts}
        found = (self._session(ip) for ip in sorted(known, key=lambda ip: (ip.version, ip.value)))
        return [each for each in found if each is not None]

    def _session(self, ip: IPAddress) -> Session | None:
        kind = self._kind(ip)
        if not kind or ip in self._here or self._own.address(address.family(ip)) is None:
            return None
        return Session(
            f"{kind}_{escape(ip)}",
            ip,
            self._as_number(ip),
            self._role(ip, kind),
            self._password(ip),
        )

    def _kind(self, ip: IPAddress) -> str:
        """Return why there is a session with an address; empty if there is no reason."""
        node, reflects = self._hosts.get(ip), self._reflects[address.family(ip)]
        reasons = {
            "Node": ip in self._own_peers,
            "Global": ip in self._peers_of_all,
            "Reflector": reflects and ip in self._cluster.reflectors,
            "Client": reflects and self._from_there(ip) is not None,
            "Host": self._from_there(ip) is not None,
            "Mesh": self._cluster.mesh and node is not None and node.host != self._own.host,
        }
        return next((kind for kind, is_one in reasons.items() if is_one), "")

    def _role(self, ip: IPAddress, kind: str) -> Role:
        reflects = self._reflects[address.family(ip)]
        if ip in self._cluster.reflectors:
            return Role.FELLOW if reflects else Role.REFLECTOR
        if ip not in self._hosts:
            return Role.ROUTER
        return Role.CLIENT if reflects and kind != "Mesh" else Role.HOST

    def _as_number(self, ip: IPAddress) -> int:
        node, peer = self._hosts.get(ip), self._from_here(ip)
        if node is not None:
            return self._cluster.as_number(node)
        return self._cluster.default_as if peer is None else peer.as_number

    def _password(self, ip: IPAddress) -> str:
        """Return the password that the other end chooses too: that for the lower address."""
        there = self._from_there(ip)
        given = [each for each in (self._from_here(ip), there) if each is not None]
        return min(given, key=lambda peer: peer.ip).password if given else ""

    def _from_here(self, ip: IPAddress) -> BgpPeer | None:
        """Return what this host was told of a peer."""
        return self._own_peers.get(ip) or self._peers_of_all.get(ip)

    def _from_there(self, ip: IPAddress) -> BgpPeer | None:
        """Return what the host at an address was told of this one."""
        node, family = self._hosts.get(ip), address.family(ip)
        if node is None or node.host == self._own.host:
            return None
        return self._peered_by.get((node.host, family)) or self._peered_by.get(("", family))


def _addresses(node: Node) -> list[IPAddress]:
    return [ip for ip in (node.ipv4, node.ipv6) if ip is not None]


def _by_address(peers: Iterable[BgpPeer]) -> dict[IPAddress, BgpPeer]:
    return {peer.ip: peer for peer in peers}
