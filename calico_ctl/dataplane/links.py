"""Notices that some link of this network namespace appeared, changed or went away."""

import errno
import socket

_NETLINK_ROUTE = 0
_GROUP_LINK = 1


def open_watch() -> socket.socket:
    """Return a socket that becomes readable whenever a link changes (rtnetlink(7))."""
    watch = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, _NETLINK_ROUTE)
    watch.bind((0, _GROUP_LINK))
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
