"""A range of addresses that containers may have."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from netaddr import IPAddress, IPNetwork

from calico_ctl.errors import InvalidValue
from calico_ctl.model import address
from calico_ctl.model.address import Family

DEFAULT_POOLS = (IPNetwork("192.168.0.0/16"), IPNetwork("fd80:24e2:f998:72d6::/64"))
"""What a first `calicoctl node` adds, per family, where no pool is configured."""

_NOBODYS = (
    *map(IPNetwork, ("0.0.0.0/8", "127.0.0.0/8", "169.254.0.0/16", "224.0.0.0/3")),
    *map(IPNetwork, ("::1/128", "fe80::/10", "ff00::/8")),
)
"""Addresses that no router carries from one host to another."""


@dataclass(frozen=True, slots=True)
class Pool:
    """A pool. `masquerade`: traffic from it to outside all pools leaves with the host's address.

    `ipip` and `vxlan`: packets between hosts travel in IP-in-IP or in VXLAN; with `cross_subnet`
    only between hosts that are not in one subnet. A pool that is `disabled` gives out no more
    addresses; those that are in use stay, and all else holds as before. `extra` are fields that
    somebody else wrote; they survive our rewrites.
    """

    cidr: IPNetwork
    ipip: bool = False
    masquerade: bool = False
    vxlan: bool = False
    cross_subnet: bool = False
    disabled: bool = False
    extra: Mapping[str, object] = field(default_factory=dict, hash=False)

    @property
    def family(self) -> Family:
        """The address family of the pool."""
        return address.family(self.cidr)

    @property
    def options(self) -> tuple[bool, bool, bool, bool]:
        """What is chosen about a pool when it is made; whether it is disabled may change later."""
        return (self.ipip, self.masquerade, self.vxlan, self.cross_subnet)

    @property
    def words(self) -> tuple[str, ...]:
        """All that is on, in the words of `calicoctl pool add`."""
        options = {
            "ipip": self.ipip,
            "vxlan": self.vxlan,
            "cross-subnet": self.cross_subnet,
            "nat-outgoing": self.masquerade,
            "disabled": self.disabled,
        }
        return tuple(word for word, is_on in options.items() if is_on)

    def contains(self, ip: IPAddress) -> bool:
        """Say whether the address lies in the pool (never for the other family)."""
        return ip.version == self.cidr.version and ip in self.cidr

    def overlaps(self, other: IPNetwork) -> bool:
        """Say whether the pool shares any address with a network."""
        return self.cidr.version == other.version and (other in self.cidr or self.cidr in other)


def check(pool: Pool) -> Pool:
    """Return the pool if containers may have it and its options fit; raise InvalidValue else."""
    cidr = str(pool.cidr)
    if any(pool.overlaps(each) for each in _NOBODYS):
        raise InvalidValue("CIDR of a pool", cidr, "addresses that are routed between hosts")
    if pool.ipip and pool.vxlan:
        raise InvalidValue("options of pool", cidr, "ipip or vxlan, not both")
    if pool.ipip and pool.family != 4:
        raise InvalidValue("CIDR for ipip", cidr, "IPv4 pools only")
    if pool.cross_subnet and not (pool.ipip or pool.vxlan):
        raise InvalidValue("options of pool", cidr, "ipip or vxlan beside cross-subnet")
    return pool
