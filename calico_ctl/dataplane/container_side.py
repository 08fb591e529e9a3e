"""A container's links, addresses and routes: what is there, asked from inside its namespace.

And the parts that requests to change them are made of (`veth` plans those). Numbers come from
linux/rtnetlink.h, if_link.h and if_addr.h. Addresses are as in a packet: 4 or 16 bytes.
"""

import errno
import socket
import struct
from typing import NamedTuple

from calico_ctl.dataplane.netlink import (
    KernelRefused,
    Netlink,
    attribute,
    attributes,
    name,
    number,
    read_number,
)
from calico_ctl.dataplane.rtnetlink import ON_LINK, UNICAST, UNIVERSE, deletion
from calico_ctl.model.address import FAMILIES, Family

_AF = {4: socket.AF_INET, 6: socket.AF_INET6}
_AF_OF_LENGTH = {4: socket.AF_INET, 16: socket.AF_INET6}

# RTM_*
_GET_LINK, _GET_ADDRESS, _GET_ROUTE = 18, 22, 26

# struct ifinfomsg: family, type, index, flags, change. IFLA_IFNAME
_LINK = struct.Struct("=BxHiII")
_LINK_NAME = 3

# struct ifaddrmsg: family, length of the prefix, flags, scope, index. IFA_ADDRESS, IFA_LOCAL: the
# other end's and this one's, or only the first if they are the same
_ADDRESS = struct.Struct("=BBBBI")
_OTHER_END, _LOCAL = 1, 2

# struct rtmsg: family, length of destination and source, tos, table, protocol, scope, type, flags
_ROUTE = struct.Struct("=BBBBBBBBI")
_MAIN_TABLE = 254
_BOOT = 3
"""RTPROT_BOOT: what `ip route` writes, and so do we inside."""
# RTA_DST, RTA_OIF, RTA_GATEWAY, RTA_PRIORITY
_ROUTE_TO, _ROUTE_LINK, _ROUTE_GATEWAY, _ROUTE_METRIC = 1, 4, 5, 6
# RTNH_F_ONLINK, the only flag that is a wish; the others say how the route is.
_GATEWAY_IS_ON_LINK = 4


class Address(NamedTuple):
    """An address of an interface; `body` is how the kernel describes it."""

    packed: bytes
    length: int
    scope: int
    body: bytes

    def __str__(self) -> str:
        return f"{_shown(self.packed)}/{self.length}"


class DefaultRoute(NamedTuple):
    """An IPv4 default route; `body` is how the kernel describes it.

    `ifindex` is that of its interface, 0 if it has none or several.
    """

    metric: int
    ifindex: int
    body: bytes

    def __str__(self) -> str:
        gateway = attributes(self.body, _ROUTE.size).get(_ROUTE_GATEWAY)
        via = "" if gateway is None else f" via {_shown(gateway)}"
        return f"the default route{via} with metric {self.metric}"

    def with_metric(self, metric: int) -> "DefaultRoute":
        """Return the same route with another metric, as it is asked for."""
        *head, flags = _ROUTE.unpack_from(self.body)
        found = attributes(deletion(self.body), _ROUTE.size) | {_ROUTE_METRIC: number(metric)}
        body = _ROUTE.pack(*head, flags & _GATEWAY_IS_ON_LINK)
        body += b"".join(attribute(*each) for each in found.items())
        return DefaultRoute(metric, self.ifindex, body)


def index_of(kernel: Netlink, link: str) -> int | None:
    """Return the number of the link with that name, or None if there is none."""
    asked = link_head() + attribute(_LINK_NAME, name(link))
    try:
        body = kernel.get(f"look for {link}", _GET_LINK, asked)
    except KernelRefused as error:
        if error.number != errno.ENODEV:
            raise
        return None
    index: int = _LINK.unpack_from(body)[2]
    return index


def addresses(kernel: Netlink, index: int) -> list[Address]:
    """Return the addresses of an interface."""
    return [
        _parse_address(body)
        for family in FAMILIES
        for body in kernel.dump(
            "list the addresses", _GET_ADDRESS, _ADDRESS.pack(_AF[family], 0, 0, 0, index)
        )
        # A kernel without IPv6 answers with what it has.
        if body[0] == _AF[family] and _ADDRESS.unpack_from(body)[4] == index
    ]


def default_routes(kernel: Netlink) -> list[DefaultRoute]:
    """Return the IPv4 default routes."""
    return [
        DefaultRoute(_number(body, _ROUTE_METRIC), _number(body, _ROUTE_LINK), body)
        for body in _routes(kernel, 4)
        if body[1] == 0
    ]


def written_routes(kernel: Netlink, index: int, family: Family) -> list[bytes]:
    """Return the routes through an interface that we or somebody by hand wrote, as described."""
    routes = _routes(kernel, family)
    return [body for body in routes if body[5] == _BOOT and _number(body, _ROUTE_LINK) == index]


def link_head(flags: int = 0, change: int = 0) -> bytes:
    """Write how a message about a link begins; attributes say which link."""
    return _LINK.pack(0, 0, 0, flags, change)


def address_head(packed: bytes, flags: int, index: int) -> bytes:
    """Write how a message about an address that stands alone begins."""
    family, length = _AF_OF_LENGTH[len(packed)], 8 * len(packed)
    return _ADDRESS.pack(family, length, flags, UNIVERSE, index)


def route_to(packed: bytes, index: int) -> bytes:
    """Write a route to one address, which is on the link of an interface."""
    # Only IPv4 tells scopes of routes apart.
    scope = ON_LINK if len(packed) == 4 else UNIVERSE
    head = _route_head(packed, 8 * len(packed), scope)
    return head + attribute(_ROUTE_TO, packed) + attribute(_ROUTE_LINK, number(index))


def default_route(gateway: bytes, index: int, metric: int) -> bytes:
    """Write a default route; metric 0 is the family's usual one."""
    head = _route_head(gateway, 0, UNIVERSE)
    where = attribute(_ROUTE_GATEWAY, gateway) + attribute(_ROUTE_LINK, number(index))
    return head + where + (attribute(_ROUTE_METRIC, number(metric)) if metric else b"")


def _route_head(packed: bytes, length: int, scope: int) -> bytes:
    family = _AF_OF_LENGTH[len(packed)]
    return _ROUTE.pack(family, length, 0, 0, _MAIN_TABLE, _BOOT, scope, UNICAST, 0)


def _routes(kernel: Netlink, family: Family) -> list[bytes]:
    question = _ROUTE.pack(_AF[family], 0, 0, 0, _MAIN_TABLE, 0, 0, 0, 0)
    listed = kernel.dump("list the routes", _GET_ROUTE, question)
    return [body for body in listed if body[0] == _AF[family] and body[4] == _MAIN_TABLE]


def _parse_address(body: bytes) -> Address:
    _, length, _, scope, _ = _ADDRESS.unpack_from(body)
    found = attributes(body, _ADDRESS.size)
    return Address(found.get(_LOCAL, found[_OTHER_END]), length, scope, body)


def _number(body: bytes, kind: int) -> int:
    return read_number(attributes(body, _ROUTE.size).get(kind, bytes(4)))


def _shown(packed: bytes) -> str:
    return socket.inet_ntop(_AF_OF_LENGTH[len(packed)], packed)
