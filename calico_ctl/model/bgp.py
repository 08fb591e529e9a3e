"""What is configured for BGP beside hosts: peers, route reflectors, log levels.

A peer's password is known to whoever reads etcd; nobody prints it, not even in an error message.
"""

import re
from dataclasses import dataclass, field
from enum import StrEnum

from netaddr import IPAddress, IPNetwork

from calico_ctl.errors import InvalidValue
from calico_ctl.model import address
from calico_ctl.model.address import Family

DEFAULT_PREFIX_LIMIT = 20_000
"""How many routes are taken from a peer that is no route reflector."""

_LARGEST_PREFIX_LIMIT = 10_000_000
_COUNT = re.compile(r"[1-9][0-9]{0,7}")
_NO_HOSTS = tuple(
    IPNetwork(text)
    for text in (
        *("0.0.0.0/8", "127.0.0.0/8", "169.254.0.0/16", "224.0.0.0/3"),
        *("::/127", "fe80::/10", "ff00::/8"),
    )
)
# What BIRD takes between quotes, and the kernel as a key of TCP MD5.
_PASSWORD = re.compile(r"[ !#-~]{1,80}")


class LogLevel(StrEnum):
    """How much BIRD says: nothing but errors, changes of state, or everything."""

    NONE = "none"
    INFO = "info"
    DEBUG = "debug"


@dataclass(frozen=True, slots=True)
class BgpPeer:
    """Somebody that one host or all hosts exchange routes with; no password if it is empty."""

    ip: IPAddress
    as_number: int
    password: str = field(default="", repr=False)

    @property
    def family(self) -> Family:
        """The family of its address, which is that of the routes exchanged."""
        return address.family(self.ip)


@dataclass(frozen=True, slots=True)
class Reflector:
    """A route reflector. Those of one cluster serve the same clients; its id is IPv4-like."""

    ip: IPAddress
    cluster_id: IPAddress

    @property
    def family(self) -> Family:
        """The family of its address, which is that of the routes that it passes on."""
        return address.family(self.ip)


def parse_peer_address(text: str, what: str = "peer address") -> IPAddress:
    """Return the address of a peer; raise InvalidValue if it is none that a host can have."""
    return host_address(address.parse_address(text, what), what)


def host_address(ip: IPAddress, what: str = "host address") -> IPAddress:
    """Return the address if a host can have it towards others; raise InvalidValue else.

    BIRD would refuse another one, and with it the whole configuration.
    """
    if any(ip.version == each.version and ip in each for each in _NO_HOSTS):
        raise InvalidValue(what, str(ip), "the unicast address of a host")
    return ip


def parse_cluster_id(text: str) -> IPAddress:
    """Return the id of a cluster of route reflectors; raise InvalidValue if it is none."""
    found = address.parse_ipv4(text, "cluster id")
    if int(found) == 0:
        raise InvalidValue("cluster id", text, "four numbers with dots, not 0.0.0.0")
    return found


def parse_password(text: str) -> str:
    """Return a password if BIRD and the kernel take it; the error does not show it."""
    if not _PASSWORD.fullmatch(text):
        raise InvalidValue(
            "password", HIDDEN, "1 to 80 printable ASCII characters without quotation marks"
        )
    return text


def parse_log_level(text: str) -> LogLevel:
    """Return a log level; raise InvalidValue if it is none."""
    if text not in set(LogLevel):
        raise InvalidValue("log level", text, ", ".join(LogLevel))
    return LogLevel(text)


def parse_switch(text: str) -> bool:
    """Return what `true` or `false` means; raise InvalidValue for anything else."""
    if text not in {"true", "false"}:
        raise InvalidValue("value", text, "true or false")
    return text == "true"


def parse_prefix_limit(text: str) -> int:
    """Return a number of routes; raise InvalidValue if it is none."""
    if not _COUNT.fullmatch(text) or int(text) > _LARGEST_PREFIX_LIMIT:
        raise InvalidValue("number of routes", text, f"1 to {_LARGEST_PREFIX_LIMIT}")
    return int(text)


class _Hidden:
    """Stands in a message for what may hold a password."""

    def __str__(self) -> str:
        return "(not shown)"


HIDDEN = _Hidden()
