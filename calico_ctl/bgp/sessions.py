"""With whom a host speaks BGP."""

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass

from netaddr import IPAddress

from calico_ctl.errors import InvalidValue
from calico_ctl.model import address
from calico_ctl.model.address import FAMILIES, Family
from calico_ctl.model.node import Node

KINDS = {"Mesh": "node-to-node mesh", "Node": "node specific", "Global": "global"}
"""How the names of sessions begin, and what kind of peer is at the other end."""


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
    """A neighbour, and the name of its protocol in BIRD."""

    name: str
    neighbour: IPAddress
    as_number: int

    @property
    def family(self) -> Family:
        """The family of the neighbour's address, which is that of the routes exchanged."""
        return address.family(self.neighbour)


def mesh(nodes: Iterable[Node], own: Node, default_as: int) -> list[Session]:
    """Return the sessions of `own` with every other node, per family that both have.

    Sorted by family and address, so that equal knowledge gives equal text. An address that two
    nodes claim gives one session: a second would make BIRD refuse all of them.
    """
    neighbours: dict[IPAddress, int] = {}
    for node in sorted(nodes, key=lambda node: node.host):
        for family in FAMILIES:
            ip = node.address(family)
            if node.host != own.host and ip is not None and own.address(family) not in {None, ip}:
                neighbours.setdefault(ip, node.as_number or default_as)
    return [
        Session(f"Mesh_{escape(ip)}", ip, neighbours[ip])
        for ip in sorted(neighbours, key=lambda ip: (ip.version, ip.value))
    ]


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
