"""Notices that a link of this network namespace, a setting of one or a route of ours changed."""

import errno
import socket
import struct
from array import array

from calico_ctl.dataplane.rtnetlink import ROUTE_PROTOCOL

_NETLINK_ROUTE = 0
_SOL_NETLINK = 270
_ADD_MEMBERSHIP = 1
_SO_ATTACH_FILTER = 26
# RTNLGRP_LINK, _IPV4_ROUTE, _IPV6_ROUTE, _IPV4_NETCONF, _IPV6_NETCONF of linux/rtnetlink.h
_GROUPS = (1, 7, 11, 24, 25)

# Where struct nlmsghdr has the type of a message, and struct rtmsg behind it the protocol.
_TYPE, _PROTOCOL = 4, 16 + 5
_NEW_ROUTE, _DELETE_ROUTE = 24, 25

# Instructions of linux/filter.h: code, skip if true, skip if false, operand.
_LOAD_HALF, _LOAD_BYTE, _IF_EQUAL, _RETURN = 0x28, 0x30, 0x15, 0x06
_INSTRUCTION = struct.Struct("=HBBI")
# A filter reads in network order what netlink writes in the order of the machine.
_ROUTES_OF_OURS_ONLY = (
    (_LOAD_HALF, 0, 0, _TYPE),
    (_IF_EQUAL, 1, 0, socket.htons(_NEW_ROUTE)),
    (_IF_EQUAL, 0, 2, socket.htons(_DELETE_ROUTE)),
    (_LOAD_BYTE, 0, 0, _PROTOCOL),
    (_IF_EQUAL, 0, 1, ROUTE_PROTOCOL),
    (_RETURN, 0, 0, 0xFFFFFFFF),
    (_RETURN, 0, 0, 0),
)


def open_watch() -> socket.socket:
    """Return a socket that becomes readable whenever one of these changes (rtnetlink(7)).

    BIRD changes thousands of routes at once, and neighbours come and go all the time. The kernel
    drops the routes of others before they wake anybody; of neighbours it tells nothing.
    """
    watch = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, _NETLINK_ROUTE)
    _attach(watch, _ROUTES_OF_OURS_ONLY)
    watch.bind((0, 0))
    for group in _GROUPS:
        watch.setsockopt(_SOL_NETLINK, _ADD_MEMBERSHIP, group)
    return watch


def wait(watch: socket.socket, timeout: float) -> bool:
    """Wait for a change; say whether there was one.

    What changed is not said: the reader compares everything anyway, so a burst counts as one, and
    messages that the kernel had to drop (ENOBUFS) count as a change.
    """
    watch.settimeout(timeout)
    try:
        watch.recv(65536)
    except TimeoutError:
        return False
    except OSError as error:
        if error.errno != errno.ENOBUFS:
            raise
    return True


def _attach(watch: socket.socket, program: tuple[tuple[int, int, int, int], ...]) -> None:
    """Have the kernel ask a program about each message (socket(7), SO_ATTACH_FILTER)."""
    code = array("B", b"".join(_INSTRUCTION.pack(*each) for each in program))
    # struct sock_fprog: how many instructions, and where they are; the kernel copies them
    place = struct.pack("HP", len(program), code.buffer_info()[0])
    watch.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, place)
