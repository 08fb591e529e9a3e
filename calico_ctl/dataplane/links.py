"""Notices that a link of this network namespace, a setting of one or a route of ours changed."""

import socket

from calico_ctl.dataplane.netlink import (
    IF_EQUAL,
    KEEP,
    LOAD_BYTE,
    LOAD_HALF,
    RETURN,
    ROUTE,
    Netlink,
)
from calico_ctl.dataplane.rtnetlink import ROUTE_PROTOCOL

# RTNLGRP_LINK, _IPV4_ROUTE, _IPV6_ROUTE, _IPV4_NETCONF, _IPV6_NETCONF of linux/rtnetlink.h
_GROUPS = (1, 7, 11, 24, 25)

# Where struct nlmsghdr has the type of a message, and struct rtmsg behind it the protocol.
_TYPE, _PROTOCOL = 4, 16 + 5
_NEW_ROUTE, _DELETE_ROUTE = 24, 25

_ROUTES_OF_OURS_ONLY = (
    (LOAD_HALF, 0, 0, _TYPE),
    (IF_EQUAL, 1, 0, socket.htons(_NEW_ROUTE)),
    (IF_EQUAL, 0, 2, socket.htons(_DELETE_ROUTE)),
    (LOAD_BYTE, 0, 0, _PROTOCOL),
    (IF_EQUAL, 0, 1, ROUTE_PROTOCOL),
    (RETURN, 0, 0, KEEP),
    (RETURN, 0, 0, 0),
)


def open_watch() -> Netlink:
    """Return a socket that has news whenever one of these changes (rtnetlink(7)).

    BIRD changes thousands of routes at once, and neighbours come and go all the time. The kernel
    drops the routes of others before they wake anybody; of neighbours it tells nothing.
    """
    watch = Netlink(ROUTE, _GROUPS)
    watch.keep_out(_ROUTES_OF_OURS_ONLY)
    return watch


def wait(watch: Netlink, timeout: float) -> bool:
    """Wait for a change; say whether there was one.

    What changed is not said: the reader compares everything anyway, so a burst counts as one, and
    messages that the kernel had to drop count as a change.
    """
    news = watch.news(timeout)
    return news is None or bool(news)
