"""A range of addresses that containers may have."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from netaddr import IPAddress, IPNetwork

from calico_ctl.model import address
from calico_ctl.model.address import Family

DEFAULT_POOLS = (IPNetwork("192.168.0.0/16"), IPNetwork("fd80:24e2:f998:72d6::/64"))
"""What a first `calicoctl node` adds, per family, where no pool is configured."""


@dataclass(frozen=True, slots=True)
class Pool:
    """A pool. `masquerade`: traffic from it to outside all pools leaves with the host's address.

    `extra` are fields that somebody else wrote; they survive our rewrites.
    """

    cidr: IPNetwork
    ipip: bool = False
    masquerade: bool = False
    extra: Mapping[str, object] = field(default_factory=dict, hash=False)

    @property
    def family(self) -> Family:
        """The address family of the pool."""
        return address.family(self.cidr)

    def contains(self, ip: IPAddress) -> bool:
        """Say whether the address lies in the pool (never for the other family)."""
        return ip.version == self.cidr.version and ip in self.cidr

    def overlaps(self, other: IPNetwork) -> bool:
        """Say whether the pool shares any address with a network."""
        return self.cidr.version == other.version and (other in self.cidr or self.cidr in other)
