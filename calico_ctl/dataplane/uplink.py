"""The interface that has an address of this host: its MTU, and the subnet that it is in.

Asked of the kernel directly: each container that gets an interface waits for it.
"""

import fcntl
import socket
import struct
from collections.abc import Iterable

from netaddr import IPAddress, IPNetwork

from calico_ctl.bgp.encapsulation import Uplink
from calico_ctl.dataplane.netlink import ROUTE, Netlink, attributes

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


def of(ip: IPAddress) -> Uplink | None:
    """Return the interface that has an address, or None if none of this machine's links has it.

    An address on the loopback interface is none of a link.
    """
    question = _ADDRESS.pack(_FAMILIES[ip.version], 0, 0, 0, 0)
    with Netlink(ROUTE) as kernel:
        listed = kernel.dump("list the addresses", _GET_ADDRESS, question)
    for body in listed:
        found = attributes(body, _ADDRESS.size)
        if found.get(_LOCAL, found.get(_OTHER_END)) != ip.packed:
            continue
        _, length, _, _, index = _ADDRESS.unpack_from(body)
        subnet = IPNetwork((int(ip), length), ip.version).cidr
        uplink = _described(index, subnet)
        if uplink is not None:
            return uplink
    return None


def mtu_of_containers(
    hosts: Iterable[IPAddress], addresses: Iterable[IPAddress], overhead: int
) -> int | None:
    """Return the MTU in bytes of a container's interface; None: as the kernel makes it.

    `hosts` are this host's addresses that the container has as gateways: their links carry its
    packets, with `overhead` more bytes each. Where no link has them, they are of the usual size.
    """
    uplinks = [each for each in map(of, hosts) if each is not None]
    if not uplinks and not overhead:
        return None
    mtu = min((each.mtu for each in uplinks), default=_USUAL) - overhead
    return max(mtu, *(_SMALLEST[ip.version] for ip in addresses), _SMALLEST[4])


def _described(index: int, subnet: IPNetwork) -> Uplink | None:
    try:
        interface = socket.if_indextoname(index)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as asking:
            mtu, flags = (_asked(asking, what, interface) for what in (_GET_MTU, _GET_FLAGS))
    except OSError:
        # It went in this very moment.
        return None
    return None if flags & _LOOPBACK else Uplink(interface, mtu, subnet)


def _asked(asking: socket.socket, what: int, interface: str) -> int:
    request = _REQUEST.pack(interface.encode(), 0)
    number: int = _REQUEST.unpack(fcntl.ioctl(asking, what, request))[1]
    return number & 0xFFFF if what == _GET_FLAGS else number
