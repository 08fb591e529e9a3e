"""IP addresses, networks and MAC addresses: strict text in, netaddr values out.

The one place that turns text into addresses. Strict means: four decimal octets without leading
zeros for IPv4, no zone index and no embedded IPv4 for IPv6.
"""

import re
from enum import StrEnum
from typing import Literal

from netaddr import AddrFormatError, IPAddress, IPNetwork

from calico_ctl.errors import InvalidValue

Family = Literal[4, 6]
FAMILIES: tuple[Family, ...] = (4, 6)

_IPV4 = re.compile(r"\.".join([r"(25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])"] * 4))
# As most are written: without a leading zero in any group, and `::` for all that are zero.
_GROUPS = r"[1-9a-f][0-9a-f]{0,3}(?::[1-9a-f][0-9a-f]{0,3})*"
_PLAIN_IPV6 = re.compile(f"{_GROUPS}::{_GROUPS}")
_PLAIN_COLONS = 6
"""With one more, `::` would stand for a single group, which is written as 0."""
_MAC = re.compile(r"([0-9a-f]{2}:){5}[0-9a-f]{2}")
_PREFIX_LENGTH = re.compile(r"0|[1-9][0-9]{0,2}")


class AnyAddress(StrEnum):
    """A wish for any free address of a family."""

    IPV4 = "ipv4"
    IPV6 = "ipv6"


AddressRequest = IPAddress | IPNetwork | AnyAddress
"""What `container add` accepts: this address, any from this pool, or any of this family."""


def parse_address(text: str, what: str = "IP address") -> IPAddress:
    """Return the address that `text` spells; raise InvalidValue otherwise."""
    return _parse_address(text, what, "an IPv4 or IPv6 address such as 192.168.1.5 or fd80::5")


def parse_ipv4(text: str, what: str = "IPv4 address") -> IPAddress:
    """Return the IPv4 address that `text` spells; raise InvalidValue otherwise."""
    address = _read_ipv4(text)
    if address is None:
        raise InvalidValue(what, text, "an IPv4 address such as 192.168.1.5")
    return address


def parse_ipv6(text: str, what: str = "IPv6 address") -> IPAddress:
    """Return the IPv6 address that `text` spells; raise InvalidValue otherwise."""
    address = _read_ipv6(text)
    if address is None:
        raise InvalidValue(what, text, "an IPv6 address such as fd80::5")
    return address


def canonical_ipv4(text: str, what: str = "IPv4 address") -> str:
    """Return the text of the IPv4 address that `text` spells; raise InvalidValue otherwise."""
    # there is only one way to write it
    return text if _IPV4.fullmatch(text) else str(parse_ipv4(text, what))


def canonical_ipv6(text: str, what: str = "IPv6 address") -> str:
    """Return how others write the IPv6 address; raise InvalidValue if `text` spells none."""
    plain = _PLAIN_IPV6.fullmatch(text) and text.count(":") <= _PLAIN_COLONS
    return text if plain else str(parse_ipv6(text, what))


def parse_unicast(ip: IPAddress, what: str) -> IPAddress:
    """Return the address if a host can be reached it from elsewhere; raise InvalidValue else."""
    if int(ip) == 0 or ip.is_multicast() or ip.is_loopback() or ip.is_link_local():
        raise InvalidValue(what, str(ip), "an address under which other hosts reach this one")
    return ip


def parse_network(text: str, what: str = "CIDR") -> IPNetwork:
    """Return the network that `text` spells, host bits cleared; a bare address is a /32 or /128."""
    base, slash, length = text.partition("/")
    expected = "a CIDR such as 10.65.0.0/16 or fd80::/64"
    address = _parse_address(base, what, expected, shown=text)
    if not slash:
        return IPNetwork(address)
    if not _PREFIX_LENGTH.fullmatch(length) or int(length) > width(address):
        raise InvalidValue(what, text, expected)
    return IPNetwork((int(address), int(length)), address.version).cidr


def parse_exact_network(text: str, what: str = "CIDR") -> IPNetwork:
    """Return the network that `text` spells, as `parse_network`, without host bits to be cleared.

    For what people type: one or the other half of 10.0.0.1/8 is a slip, and we cannot know which.
    """
    network = parse_network(text, what)
    if "/" in text and IPNetwork(text, version=network.version).ip != network.ip:
        raise InvalidValue(what, text, f"no bits beyond the prefix length, as in {network}")
    return network


def parse_address_request(text: str) -> AddressRequest:
    """Return what the user wishes: an address, a pool (CIDR), or `ipv4`/`ipv6` in any case."""
    if text.lower() in set(AnyAddress):
        return AnyAddress(text.lower())
    if "/" in text:
        return parse_exact_network(text)
    return _parse_address(
        text, "IP address", "an address, 'ipv4', 'ipv6', or the CIDR of a configured pool"
    )


def parse_mac(text: str) -> str:
    """Return the MAC address in lower case with colons; raise InvalidValue otherwise."""
    lowered = text.lower()
    if not _MAC.fullmatch(lowered):
        raise InvalidValue("MAC address", text, "six pairs of hex digits with colons")
    return lowered


def family(value: IPAddress | IPNetwork) -> Family:
    """Return 4 or 6."""
    return 4 if value.version == 4 else 6


def width(value: IPAddress | IPNetwork) -> int:
    """Return the number of bits of an address of this family: 32 or 128."""
    return 32 if value.version == 4 else 128


def host_network(address: IPAddress) -> str:
    """Format an address as the network of only itself: `192.168.1.5/32`, `fd80::5/128`."""
    return f"{address}/{width(address)}"


def wanted_family(request: AddressRequest) -> Family:
    """Return the family of the address that will come of a request."""
    if isinstance(request, AnyAddress):
        return 4 if request is AnyAddress.IPV4 else 6
    return family(request)


def _parse_address(text: str, what: str, expected: str, shown: str | None = None) -> IPAddress:
    address = _read_ipv6(text) if ":" in text else _read_ipv4(text)
    if address is None:
        raise InvalidValue(what, text if shown is None else shown, expected)
    return address


# Thousands of each are read by whoever lists endpoints. An IPv4 address is read here, in half of
# the time that netaddr takes; told the family, netaddr need not try both.


def _read_ipv4(text: str) -> IPAddress | None:
    found = _IPV4.fullmatch(text)
    if found is None:
        return None
    a, b, c, d = map(int, found.groups())
    return IPAddress(a << 24 | b << 16 | c << 8 | d, 4)


def _read_ipv6(text: str) -> IPAddress | None:
    try:
        address = IPAddress(text, 6) if text.isascii() else None
    except (AddrFormatError, ValueError):
        return None
    return None if address is None or _embeds_ipv4(int(address)) else address


def _embeds_ipv4(value: int) -> bool:
    """Say whether an IPv6 address is written with an IPv4 one at its end, however it was typed.

    These are ::a.b.c.d, except for ::0 to ::ffff, and ::ffff:a.b.c.d (what inet_ntop(3) prints).
    ::1:0 would be written as ::0.1.0.0, which nobody could read back.
    """
    return 0x1_0000 <= value <= 0xFFFF_FFFF or value >> 32 == 0xFFFF
