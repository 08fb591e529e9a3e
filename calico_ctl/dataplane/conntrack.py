"""The kernel's table of known connections."""

from collections.abc import Iterable

from netaddr import IPAddress

from calico_ctl.host import command


def forget(addresses: Iterable[IPAddress]) -> None:
    """Remove every known connection from or to the addresses.

    Whoever gets an address next must not inherit its connections. `conntrack` exits with an error
    when there was none to remove, which is as good.
    """
    for ip in addresses:
        family = ["-f", "ipv6"] if ip.version == 6 else []
        for direction in ("--orig-src", "--orig-dst", "--reply-src"):
            command.succeeds(["conntrack", "-D", *family, direction, str(ip)])
