"""What the kernel has of tunnels, as a value that is the same as long as nothing of it changed.

To compare all with a plan, `tunnel` runs ten programs, which take 90 ms of processor time. Asked
directly, the kernel says the same in 1 ms; and to see that things are as they were, nobody has to
understand them. So this leaves out only what changes by itself, such as when something was used
last, and `tunnel` looks more closely if the value is another one.
"""

import errno
import socket
import struct
from collections.abc import Iterable, Iterator

from calico_ctl.dataplane.netlink import (
    ROUTE,
    KernelRefused,
    Netlink,
    attribute,
    attributes,
    name,
    number,
)
from calico_ctl.model.address import Family
from calico_ctl.model.encapsulation import DEVICES

# RTM_GETLINK, _GETROUTE, _GETNEIGH, _GETRULE
_GET_LINK, _GET_ROUTE, _GET_NEIGHBOUR, _GET_RULE = 18, 26, 30, 34

# struct ifinfomsg: family, type, index, flags, change. IFF_UP; IFLA_ADDRESS, _IFNAME, _MTU,
# _LINKINFO, _AF_SPEC (of AF_INET: IFLA_INET_CONF; of AF_INET6: IFLA_INET6_CONF, _ADDR_GEN_MODE),
# IFLA_EXT_MASK with RTEXT_FILTER_SKIP_STATS
_LINK = struct.Struct("=BxHiII")
_UP = 1
_ADDRESS, _NAME, _MTU, _KIND, _FAMILIES_OF_LINK, _EXTENT = 1, 3, 4, 18, 26, 29
_INET_CONF, _INET6_CONF, _ADDRESS_MODE = 1, 2, 8
_WITHOUT_STATISTICS = number(1 << 3)

# struct rtmsg, and RTA_CACHEINFO: when it was used
_ROUTE = struct.Struct("=BBBBBBBBI")
_ROUTE_USE = 12

# struct fib_rule_hdr, and FRA_PROTOCOL
_RULE = struct.Struct("=BBBBBBBBI")
_RULE_PROTOCOL = 21

# struct ndmsg: family, index, state, flags, type. NDA_DST, NDA_LLADDR, NDA_IFINDEX; NUD_PERMANENT
_NEIGHBOUR = struct.Struct("=BxxxiHBB")
_NEIGHBOUR_ADDRESS, _NEIGHBOUR_MAC, _NEIGHBOUR_LINK = 1, 2, 8
_PERMANENT = 0x80

_FAMILIES = {4: socket.AF_INET, 6: socket.AF_INET6}
_BRIDGE = 7
"""AF_BRIDGE: asks for what a VXLAN knows about the other ends."""


def read(families: Iterable[Family], protocol: int) -> frozenset[object]:
    """Return the devices, their neighbours, and the routes and rules with a protocol number.

    Raises KernelRefused.
    """
    found: set[object] = set()
    with Netlink(ROUTE) as kernel:
        asked = [_FAMILIES[family] for family in families]
        for device in DEVICES.values():
            link = _link(kernel, device)
            if link is not None:
                found.add((device, *_of_link(link)))
                index: int = _LINK.unpack_from(link)[2]
                found |= {each for af in (*asked, _BRIDGE) for each in _ends(kernel, af, index)}
        for af in asked:
            found |= {*_routes(kernel, af, protocol), *_rules(kernel, af, protocol)}
    return frozenset(found)


def _link(kernel: Netlink, device: str) -> bytes | None:
    question = _LINK.pack(0, 0, 0, 0, 0) + attribute(_NAME, name(device))
    question += attribute(_EXTENT, _WITHOUT_STATISTICS)
    try:
        return kernel.get(f"describe {device}", _GET_LINK, question)
    except KernelRefused as error:
        if error.number == errno.ENODEV:
            return None
        raise


def _of_link(body: bytes) -> tuple[object, ...]:
    _, _, index, flags, _ = _LINK.unpack_from(body)
    found = attributes(body, _LINK.size)
    families = attributes(found.get(_FAMILIES_OF_LINK, b""))
    ipv4 = attributes(families.get(socket.AF_INET, b""))
    ipv6 = attributes(families.get(socket.AF_INET6, b""))
    said = [found.get(each) for each in (_ADDRESS, _MTU, _KIND)]
    settings = [ipv4.get(_INET_CONF), ipv6.get(_INET6_CONF), ipv6.get(_ADDRESS_MODE)]
    return (index, bool(flags & _UP), *said, *settings)


def _ends(kernel: Netlink, af: int, index: int) -> Iterator[tuple[object, ...]]:
    question = _NEIGHBOUR.pack(af, 0, 0, 0, 0) + attribute(_NEIGHBOUR_LINK, number(index))
    for body in kernel.dump("list the ends of tunnels", _GET_NEIGHBOUR, question):
        _, link, state, flags, kind = _NEIGHBOUR.unpack_from(body)
        if link == index and (state & _PERMANENT or af == _BRIDGE):
            said = attributes(body, _NEIGHBOUR.size)
            mac, host = said.get(_NEIGHBOUR_MAC), said.get(_NEIGHBOUR_ADDRESS)
            yield (af, index, state, flags, kind, mac, host)


def _routes(kernel: Netlink, af: int, protocol: int) -> Iterator[tuple[object, ...]]:
    question = _ROUTE.pack(af, 0, 0, 0, 0, protocol, 0, 0, 0)
    for body in kernel.dump("list the routes of tunnels", _GET_ROUTE, question):
        said = attributes(body, _ROUTE.size)
        said.pop(_ROUTE_USE, None)
        yield (body[: _ROUTE.size], *said.items())


def _rules(kernel: Netlink, af: int, protocol: int) -> Iterator[bytes]:
    question = _RULE.pack(af, 0, 0, 0, 0, 0, 0, 0, 0)
    for body in kernel.dump("list the detours", _GET_RULE, question):
        if attributes(body, _RULE.size).get(_RULE_PROTOCOL) == bytes([protocol]):
            yield body
