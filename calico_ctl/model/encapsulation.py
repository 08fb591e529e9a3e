"""Encapsulation: how packets of a pool travel between hosts, and what it costs them.

Names and numbers that the two ends of a tunnel, the rules and the sizes of packets agree on.
"""

from collections.abc import Iterable
from enum import StrEnum

from netaddr import IPAddress

from calico_ctl.model import address
from calico_ctl.model.address import Family
from calico_ctl.model.pool import Pool

VXLAN_PORT = 4789
VXLAN_ID = 4096
IPIP_PROTOCOL = 4
"""IPPROTO_IPIP: the protocol number of IPv4 in IPv4."""


class Way(StrEnum):
    """A kind of tunnel."""

    IPIP = "ipip"
    VXLAN = "vxlan"


DEVICES: dict[tuple[Way, Family], str] = {
    (Way.VXLAN, 4): "vxlan.calico",
    (Way.VXLAN, 6): "vxlan-v6.calico",
    (Way.IPIP, 4): "tunl0",
}
"""The device of each kind of tunnel; the family is that of the pool and of the hosts' addresses."""

_OVERHEAD: dict[tuple[Way, Family], int] = {
    (Way.VXLAN, 4): 50,
    (Way.VXLAN, 6): 70,
    (Way.IPIP, 4): 20,
}
"""Bytes: the outer IP header, and for VXLAN also UDP (8), VXLAN (8) and the inner Ethernet (14)."""


def way_of(pool: Pool) -> Way | None:
    """Return how packets of a pool travel; None: as they are."""
    if pool.vxlan:
        return Way.VXLAN
    return Way.IPIP if pool.ipip else None


def overhead(way: Way, family: Family) -> int:
    """Return how many bytes of each packet a tunnel takes."""
    return _OVERHEAD[way, family]


def overhead_of(addresses: Iterable[IPAddress], pools: Iterable[Pool]) -> int:
    """Return how many bytes tunnels take of the packets of who has these addresses; at most."""
    ips = tuple(addresses)
    found = [0]
    for pool in pools:
        way = way_of(pool)
        if way is not None and any(pool.contains(ip) for ip in ips):
            found.append(overhead(way, address.family(pool.cidr)))
    return max(found)
