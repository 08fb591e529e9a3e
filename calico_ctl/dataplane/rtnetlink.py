"""Links, routes and neighbours as rtnetlink spells them (rtnetlink(7)).

What is read becomes small values that compare by what they are, so that what is and what shall be
are sets, and their differences are what to do. They are tuples because a host has thousands of
them and looks at all of them every few seconds. Nothing here decides.

Numbers come from linux/rtnetlink.h, if_link.h, neighbour.h, ip.h and ipv6.h. Addresses are as in a
packet: 4 or 16 bytes.
"""

import socket
import struct
from collections.abc import Callable, Collection
from typing import Any, NamedTuple, TypeVar

from calico_ctl.dataplane.netlink import (
    CREATE,
    REPLACE,
    Netlink,
    attribute,
    attributes,
    name,
    number,
    read_number,
    text,
)
from calico_ctl.model.address import Family

ROUTE_PROTOCOL = 80
"""Marks the routes that are ours, so that they are recognised and cleaned up."""

UNICAST = 1
UNIVERSE = 0
ON_LINK = 253
"""RTN_UNICAST, RT_SCOPE_UNIVERSE and RT_SCOPE_LINK."""

# Where a setting is in Link.ipv4: IPV4_DEVCONF_* of linux/ip.h count from 1, the array from 0.
IPV4_FORWARDING = 0
IPV4_PROXY_ARP = 2
IPV4_RP_FILTER = 7
# Where a setting is in Link.ipv6: DEVCONF_* of linux/ipv6.h.
IPV6_FORWARDING = 0
IPV6_ACCEPT_RA = 3
IPV6_PROXY_NDP = 22

_FAMILIES = {4: socket.AF_INET, 6: socket.AF_INET6}
_AF_OF_LENGTH = {4: socket.AF_INET, 16: socket.AF_INET6}

# RTM_*
_GET_LINK = 18
_NEW_ROUTE, _DELETE_ROUTE, _GET_ROUTE = 24, 25, 26
_NEW_NEIGHBOUR, _GET_NEIGHBOUR = 28, 30
_GET_NEIGHBOUR_TABLE = 66
_GET_NAMESPACE = 90

# struct ifinfomsg: family, type, index, flags, change
_LINK = struct.Struct("=BxHiII")
# IFLA_IFNAME, IFLA_AF_SPEC (AF_INET: IFLA_INET_CONF; AF_INET6: IFLA_INET6_CONF), IFLA_EXT_MASK
_LINK_NAME, _LINK_FAMILIES, _LINK_EXTENT = 3, 26, 29
# IFLA_LINK_NETNSID: where the other end of a pair is, if not here. NETNSA_NSID, NETNSA_FD
_LINK_NAMESPACE = 37
_NAMESPACE_NUMBER, _NAMESPACE_FILE = 1, 3
_INET_CONF, _INET6_CONF = 1, 2
_WITHOUT_STATISTICS = number(1 << 3)

# struct rtmsg: family, length of destination and source, tos, table, protocol, scope, type, flags
_ROUTE = struct.Struct("=BBBBBBBBI")
_MAIN_TABLE = 254
_OURS = bytes([_MAIN_TABLE, ROUTE_PROTOCOL])
# RTA_DST, RTA_OIF, RTA_PRIORITY
_ROUTE_TO, _ROUTE_LINK, _ROUTE_METRIC = 1, 4, 6
# RTA_NH_ID, and what it stands for: RTA_OIF, _GATEWAY, _MULTIPATH, _VIA, _ENCAP_TYPE, _ENCAP
_ROUTE_OBJECT = 30
_ROUTE_NEXTHOPS = frozenset({4, 5, 9, 18, 21, 22})
# RTA_TABLE, RTA_PREF say what the header says or nothing; RTA_CACHEINFO is about use.
_ROUTE_SAYS_NOTHING = frozenset({12, 15, 20})

# struct ndmsg: family, index, state, flags, type
_NEIGHBOUR = struct.Struct("=BxxxiHBB")
_NEIGHBOUR_ADDRESS, _NEIGHBOUR_MAC = 1, 2
_PERMANENT = 0x80
_PROXY = 0x08

# struct ndtmsg: family. NDTA_PARMS; in it NDTPA_IFINDEX, NDTPA_PROXY_DELAY
_NEIGHBOUR_TABLE = struct.Struct("=Bxxx")
_TABLE_OF_LINK, _TABLE_INDEX, _TABLE_PROXY_DELAY = 6, 1, 13

_LONG = struct.Struct("=Q")


class Link(NamedTuple):
    """An interface and what the kernel was told about it.

    `ipv4` and `ipv6` are its settings in the kernel's order, empty if it has not that family.
    """

    ifindex: int
    name: str
    ipv4: tuple[int, ...]
    ipv6: tuple[int, ...]


class Route(NamedTuple):
    """A route of the main table with our protocol number, through one interface (by index).

    `other` is what else the kernel says of it, such as a gateway; a route of ours has nothing.
    """

    destination: bytes
    length: int
    ifindex: int
    metric: int
    scope: int
    tos: int = 0
    kind: int = UNICAST
    other: bytes = b""

    @property
    def place(self) -> tuple[bytes, int, int, int]:
        """What the kernel goes by when it replaces a route: of these only the first is used."""
        return (self.destination, self.length, self.tos, self.metric)


class Neighbour(NamedTuple):
    """An address that is pinned to a MAC address (6 bytes) on an interface."""

    ifindex: int
    address: bytes
    mac: bytes


class Proxy(NamedTuple):
    """An address for which this host answers on an interface."""

    ifindex: int
    address: bytes


T = TypeVar("T")
Thing = Route | Neighbour | Proxy


def other_end_is_in(route: Netlink, interface: str, netns: int) -> bool:
    """Say whether the other end of a pair is in a namespace, given by a file that is open.

    Raises KernelRefused if there is no such interface.
    """
    asked = _LINK.pack(0, 0, 0, 0, 0) + attribute(_LINK_NAME, name(interface))
    link = attributes(route.get(f"interface {interface}", _GET_LINK, asked), _LINK.size)
    asked = bytes(4) + attribute(_NAMESPACE_FILE, number(netns))
    space = attributes(route.get("a namespace", _GET_NAMESPACE, asked), 4)
    # Namespaces have numbers here only if something of ours has an end there.
    return _LINK_NAMESPACE in link and link[_LINK_NAMESPACE] == space.get(_NAMESPACE_NUMBER)


class Reader:
    """Asks what there is.

    Remembers the messages of last time and what they said: on a quiet host nearly all are the
    same, byte for byte, and to see that takes a tenth of the time of taking them apart.
    """

    def __init__(self, kernel: Netlink) -> None:
        """Ask through this socket."""
        self._kernel = kernel
        self._known: dict[bytes, dict[bytes, Any]] = {}

    def links(self, names: Collection[str]) -> dict[str, Link]:
        """Return those of the named interfaces that exist."""
        question = _LINK.pack(0, 0, 0, 0, 0) + attribute(_LINK_EXTENT, _WITHOUT_STATISTICS)
        found = self._ask("list the interfaces", _GET_LINK, question, parse_link)
        return {link.name: link for link in found.values() if link.name in names}

    def proxy_delays(self, family: Family) -> dict[int, int]:
        """Return how long each interface waits before it answers for others, in milliseconds."""
        question = _NEIGHBOUR_TABLE.pack(_FAMILIES[family])
        what = "list the neighbour tables"
        found = self._ask(what, _GET_NEIGHBOUR_TABLE, question, parse_proxy_delay)
        return dict(found.values())

    def routes(self, family: Family) -> dict[Route, bytes]:
        """Return the routes with our protocol number, and what `delete_route` wants for each."""
        question = _ROUTE.pack(_FAMILIES[family], 0, 0, 0, _MAIN_TABLE, ROUTE_PROTOCOL, 0, 0, 0)
        found = self._ask("list our routes", _GET_ROUTE, question, parse_route)
        return {route: body for body, route in found.items() if is_ours(body, family)}

    def neighbours(self, family: Family, indexes: Collection[int]) -> set[Neighbour]:
        """Return the addresses that are pinned on the interfaces."""
        question = _NEIGHBOUR.pack(_FAMILIES[family], 0, 0, 0, 0)
        found = set()
        # Each message says how long ago the neighbour was used: none is the same twice.
        for body in self._kernel.dump("list the neighbours", _GET_NEIGHBOUR, question):
            _, index, state, _, _ = _NEIGHBOUR.unpack_from(body)
            if index in indexes and state & _PERMANENT:
                found.add(parse_neighbour(body))
        return found

    def proxies(self, family: Family) -> set[Proxy]:
        """Return the addresses for which this host answers, on any interface."""
        question = _NEIGHBOUR.pack(_FAMILIES[family], 0, 0, _PROXY, 0)
        found = self._ask("list the proxy neighbours", _GET_NEIGHBOUR, question, parse_proxy)
        return set(found.values())

    def _ask(
        self, what: str, kind: int, question: bytes, parse: Callable[[bytes], T]
    ) -> dict[bytes, T]:
        known: dict[bytes, T] = self._known.get(question, {})
        said = {}
        for body in self._kernel.dump(what, kind, question):
            said[body] = known[body] if body in known else parse(body)
        self._known[question] = said
        return said


def put(kernel: Netlink, thing: Thing) -> None:
    """Make it so, in the place of whatever is in its place."""
    if isinstance(thing, Route):
        what = f"route {_shown(thing.destination)} through interface {thing.ifindex}"
        kernel.ask(what, _NEW_ROUTE, CREATE | REPLACE, route_message(thing))
    else:
        what = f"pin {_shown(thing.address)} on interface {thing.ifindex}"
        kernel.ask(what, _NEW_NEIGHBOUR, CREATE | REPLACE, neighbour_message(thing))


def delete_route(kernel: Netlink, body: bytes) -> None:
    """Delete the route that the kernel described so."""
    route = parse_route(body)
    what = f"delete the route to {_shown(route.destination)}/{route.length}"
    kernel.ask(what, _DELETE_ROUTE, 0, deletion(body))


def parse_link(body: bytes) -> Link:
    """Read an RTM_NEWLINK message."""
    found = attributes(body, _LINK.size)
    families = attributes(found.get(_LINK_FAMILIES, b""))
    ipv4 = attributes(families.get(socket.AF_INET, b"")).get(_INET_CONF, b"")
    ipv6 = attributes(families.get(socket.AF_INET6, b"")).get(_INET6_CONF, b"")
    index: int = _LINK.unpack_from(body)[2]
    return Link(index, text(found[_LINK_NAME]), _integers(ipv4), _integers(ipv6))


def parse_proxy_delay(body: bytes) -> tuple[int, int]:
    """Read an RTM_NEWNEIGHTBL message: interface (0: the default of new ones), milliseconds."""
    found = attributes(attributes(body, _NEIGHBOUR_TABLE.size)[_TABLE_OF_LINK])
    delay: int = _LONG.unpack(found[_TABLE_PROXY_DELAY])[0]
    return read_number(found.get(_TABLE_INDEX, bytes(4))), delay


def is_ours(body: bytes, family: Family) -> bool:
    """Say whether an RTM_NEWROUTE message has our protocol and is of the main table.

    A kernel without IPv6 answers a question about its routes with all that it has.
    """
    return body[0] == _FAMILIES[family] and body[4:6] == _OURS


def parse_route(body: bytes) -> Route:
    """Read an RTM_NEWROUTE message."""
    family, length, _, tos, _, _, scope, kind, _ = _ROUTE.unpack_from(body)
    found = attributes(body, _ROUTE.size)
    everywhere = bytes(4 if family == socket.AF_INET else 16)
    return Route(
        destination=found.pop(_ROUTE_TO, everywhere),
        length=length,
        ifindex=read_number(found.pop(_ROUTE_LINK, bytes(4))),
        metric=read_number(found.pop(_ROUTE_METRIC, bytes(4))),
        scope=scope,
        tos=tos,
        kind=kind,
        other=b"".join(
            attribute(*each) for each in found.items() if each[0] not in _ROUTE_SAYS_NOTHING
        ),
    )


def parse_neighbour(body: bytes) -> Neighbour:
    """Read an RTM_NEWNEIGH message of a neighbour."""
    found = attributes(body, _NEIGHBOUR.size)
    index: int = _NEIGHBOUR.unpack_from(body)[1]
    return Neighbour(index, found[_NEIGHBOUR_ADDRESS], found.get(_NEIGHBOUR_MAC, b""))


def parse_proxy(body: bytes) -> Proxy:
    """Read an RTM_NEWNEIGH message of an address that this host answers for."""
    index: int = _NEIGHBOUR.unpack_from(body)[1]
    return Proxy(index, attributes(body, _NEIGHBOUR.size)[_NEIGHBOUR_ADDRESS])


def route_message(route: Route) -> bytes:
    """Write what makes a route of ours; `other` is what only the kernel says."""
    head = _ROUTE.pack(
        _AF_OF_LENGTH[len(route.destination)],
        route.length,
        0,
        route.tos,
        _MAIN_TABLE,
        ROUTE_PROTOCOL,
        route.scope,
        route.kind,
        0,
    )
    where = attribute(_ROUTE_TO, route.destination) + attribute(_ROUTE_LINK, number(route.ifindex))
    return head + where + (attribute(_ROUTE_METRIC, number(route.metric)) if route.metric else b"")


def deletion(body: bytes) -> bytes:
    """Write what deletes a route, given how the kernel described it.

    That is the description itself; only a route through a nexthop object (ip-nexthop(8)) is
    described with what the object says, and refused with it.
    """
    found = attributes(body, _ROUTE.size)
    if _ROUTE_OBJECT not in found:
        return body
    named = (attribute(*each) for each in found.items() if each[0] not in _ROUTE_NEXTHOPS)
    return body[: _ROUTE.size] + b"".join(named)


def neighbour_message(neighbour: Neighbour | Proxy) -> bytes:
    """Write what pins an address or has this host answer for it."""
    family = _AF_OF_LENGTH[len(neighbour.address)]
    address = attribute(_NEIGHBOUR_ADDRESS, neighbour.address)
    if isinstance(neighbour, Proxy):
        return _NEIGHBOUR.pack(family, neighbour.ifindex, 0, _PROXY, 0) + address
    pinned = _NEIGHBOUR.pack(family, neighbour.ifindex, _PERMANENT, 0, 0)
    return pinned + address + attribute(_NEIGHBOUR_MAC, neighbour.mac)


def _shown(packed: bytes) -> str:
    return socket.inet_ntop(_AF_OF_LENGTH[len(packed)], packed)


def _integers(array: bytes) -> tuple[int, ...]:
    return struct.unpack(f"={len(array) // 4}i", array)
