"""Whether a service could listen on an address and port of this machine."""

import errno
import socket

from netaddr import IPAddress

from calico_ctl.errors import AlreadyExists, CalicoError


def require_free(ip: IPAddress, port: int) -> None:
    """Listen there for a moment.

    Raises AlreadyExists if somebody else does, CalicoError if nobody can, because the address is
    not this machine's for example.
    """
    family = socket.AF_INET if ip.version == 4 else socket.AF_INET6
    shown = f"{ip}:{port}" if ip.version == 4 else f"[{ip}]:{port}"
    try:
        with socket.socket(family, socket.SOCK_STREAM) as listener:
            # As servers do: connections that have just ended do not count, listeners do.
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if ip.version == 6:
                listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            listener.bind((str(ip), port))
            listener.listen(1)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise AlreadyExists(f"something else listens on {shown} already") from error
        hint = "`ip -brief address` shows this machine's addresses"
        if error.errno == errno.EACCES:
            hint = "ports up to 1023 are for root with all capabilities: not in a container"
        raise CalicoError(f"nobody can listen on {shown}: {error.strerror}", hint) from error
