"""Whether an address is one of this machine's own, whichever interface has it."""

import socket

from netaddr import IPAddress


def is_ours(ip: IPAddress) -> bool:
    """Ask the kernel, which lets nobody speak from an address that this machine has not.

    (Unless net.ipv4.ip_nonlocal_bind, or IPv6's, is set: then every address counts as ours.)
    """
    family = socket.AF_INET if ip.version == 4 else socket.AF_INET6
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as asking:
            asking.bind((str(ip), 0))
    except OSError:
        return False
    return True
