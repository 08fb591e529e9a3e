"""The interface that has an address of this host: its MTU, and the subnet that it is in.

Asked of the kernel directly: each container that gets an interface waits for it.
"""

import fcntl
import socket
import struct
from collections.abc import Iterable
from typing import TYPE_CHECKING, NamedTuple

from netaddr import IPAddress, IPNetwork

from calico_ctl.dataplane.netlink import ROUTE, Netlink, attributes

if TYPE_CHECKING:
    from calico_ctl.bgp.encapsulation import Uplink

# RTM_GETADDR; struct ifaddrmsg: family, length of the prefix, flags, scope, index
_GET_ADDRESS = 22
_ADDRESS = struct.Struct("=BBBBI")
# IFA_ADDRESS, IFA_LOCAL: the other end's and this one's, or only the first if they are the same
_OTHER_END, _LOCAL = 1, 2
_FAMILIES = {4: socket.AF_INET, 6: socket.AF_INET6}

# SIOCGIFMTU, SIOCGIFFLAGS and struct ifreq of linux/if.h; IFF_LOOPBACK
_GET_MTU, _GET_FLAGS = 0x8921, 0x8913
_REQUEST = struct.Struct("=16sI20x")
_LOOPBACK = 0x8

_SMALLEST = {4: 576, 6: 1280}
"""What any link must carry (RFC 791, RFC 8200): an interface gets no smaller MTU."""

_USUAL = 1500


class _Link(NamedTuple):
    """An interface, its MTU in bytes, and the length of the prefix of its address."""

    interface: str
    mtu: int
    length: int


def of(ip: IPAddress) -> "Uplink | None":
    """Return the interface that has an address, or None if none of this machine's links has it.

    An address on the loopback interface is none of a link.
    """
    # Imported here: whoever waits for a container's interface needs none of what tunnels are.
    from calico_ctl.bgp.encapsulation import Uplink

    link = _with_address(ip)
    if link is None:
        return None
    return Uplink(link.interface, link.mtu, IPNetwork((int(ip), link.length), ip.version).cidr)


def mtu_of_containers(
    hosts: Iterable[IPAddress], addresses: Iterable[IPAddress], overhead: int
) -> int | None:
    """Return the MTU in bytes of a container's interface; None: as the kernel makes it.

    `hosts` are this host's addresses that the container has as gateways: their links carry its
    packets, with `overhead` more bytes each. Where no link has them, they are of the usual size.
    """
    links = [each for each in map(_with_address, hosts) if each is not None]
    if not links and not overhead:
        return None
    mtu = min((each.mtu for each in links), default=_USUAL) - overhead
    return max(mtu, *(_SMALLEST[ip.version] for ip in addresses), _SMALLEST[4])


def _with_address(ip: IPAddress) -> _Link | None:
    question = _ADDRESS.pack(_FAMILIES[ip.version], 0, 0, 0, 0)
    with Netlink(ROUTE) as kernel:
        listed = kernel.dump("list the addresses", _GET_ADDRESS, question)
    for body in listed:
        found = attributes(body, _ADDRESS.size)
        if found.get(_LOCAL, found.get(_OTHER_END)) != ip.packed:
            continue
        _, length, _, _, index = _ADDRESS.unpack_from(body)
        link = _described(index, length)
        if link is not None:
            return link
    return None


def _described(index: int, length: int) -> _Link | None:
    try:
        interface = socket.if_indextoname(index)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as asking:
            mtu, flags = (_asked(asking, what, interface) for what in (_GET_MTU, _GET_FLAGS))
    except OSError:
        # It went in this very moment.
        return None
    return None if flags & _LOOPBACK else _Link(interface, mtu, length)


def _asked(asking: socket.socket, what: int, interface: str) -> int:
    request = _REQUEST.pack(interface.encode(), 0)
    number: int = _REQUEST.unpack(fcntl.ioctl(asking, what, request))[1]
    return number & 0xFFFF if what == _GET_FLAGS else number
