"""A Calico interface of a workload, as etcd knows it."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import NamedTuple

from netaddr import IPAddress

from calico_ctl.model import address
from calico_ctl.model.address import Family

DOCKER = "docker"
"""The orchestrator of containers that Docker runs; the workload is the full container id."""

DEFAULT_INTERFACE = "eth1"
_INTERFACE_FIELD = "interface"

NAMESPACE = "namespace"
"""The orchestrator of network namespaces given by path."""


class State(StrEnum):
    """Whether the endpoint's workload runs; an inactive one keeps its addresses reserved."""

    ACTIVE = "active"
    INACTIVE = "inactive"


class EndpointKey(NamedTuple):
    """Where an endpoint is: this host, this orchestrator, this workload, this endpoint id.

    A tuple, because it is looked up by all the time, and a dataclass takes six times as long.
    """

    host: str
    orchestrator: str
    workload: str
    id: str


class Membership(NamedTuple):
    """What other hosts have to know of an endpoint: its profiles, and its addresses as texts."""

    profiles: tuple[str, ...] = ()
    ipv4: tuple[str, ...] = ()
    ipv6: tuple[str, ...] = ()

    def of_family(self, family: Family) -> tuple[str, ...]:
        """Return the addresses of that family."""
        return self.ipv4 if family == 4 else self.ipv6


class ShownEndpoint(NamedTuple):
    """An endpoint as people are shown it: addresses and gateways as texts, in their order.

    Ten thousand are listed at once, and most of the time would go into addresses that are made of
    texts only to be written again.
    """

    key: EndpointKey
    state: State
    name: str
    mac: str | None
    profiles: tuple[str, ...] = ()
    addresses: tuple[str, ...] = ()
    ipv4_gateway: str | None = None
    ipv6_gateway: str | None = None


def named_inside(interface: str) -> Mapping[str, object]:
    """Return what an endpoint says beside its eight fields: its name inside, if it is unusual."""
    return {} if interface == DEFAULT_INTERFACE else {_INTERFACE_FIELD: interface}


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One interface. `name` is the host side; `gateways` hold the next hop inside, per family.

    `extra` are fields that somebody else wrote; they survive our rewrites.
    """

    key: EndpointKey
    state: State
    name: str
    mac: str | None
    profiles: tuple[str, ...] = ()
    addresses: tuple[IPAddress, ...] = ()
    ipv4_gateway: IPAddress | None = None
    ipv6_gateway: IPAddress | None = None
    extra: Mapping[str, object] = field(default_factory=dict, hash=False)

    def gateway(self, family: Family) -> IPAddress | None:
        """Return the next hop of the workload's default route of that family."""
        return self.ipv4_gateway if family == 4 else self.ipv6_gateway

    def of_family(self, family: Family) -> tuple[IPAddress, ...]:
        """Return the addresses of that family."""
        return tuple(ip for ip in self.addresses if address.family(ip) == family)

    @property
    def interface(self) -> str:
        """The interface's name inside the workload."""
        name = self.extra.get(_INTERFACE_FIELD)
        return name if isinstance(name, str) else DEFAULT_INTERFACE

    @property
    def membership(self) -> Membership:
        """What other hosts have to know of it."""
        four, six = (tuple(str(ip) for ip in self.of_family(family)) for family in (4, 6))
        return Membership(self.profiles, four, six)

    @property
    def shown(self) -> ShownEndpoint:
        """The same as people are shown it."""
        return ShownEndpoint(
            self.key,
            self.state,
            self.name,
            self.mac,
            self.profiles,
            tuple(str(ip) for ip in sorted(self.addresses)),
            None if self.ipv4_gateway is None else str(self.ipv4_gateway),
            None if self.ipv6_gateway is None else str(self.ipv6_gateway),
        )

    def with_state(self, state: State) -> "Endpoint":
        """Return the same endpoint in that state."""
        return replace(self, state=state)

    def with_addresses(self, addresses: tuple[IPAddress, ...]) -> "Endpoint":
        """Return the same endpoint with exactly these; a gateway of a family without any goes."""
        families = {address.family(ip) for ip in addresses}
        return replace(
            self,
            addresses=addresses,
            ipv4_gateway=self.ipv4_gateway if 4 in families else None,
            ipv6_gateway=self.ipv6_gateway if 6 in families else None,
        )

    def with_gateway(self, gateway: IPAddress) -> "Endpoint":
        """Return the same endpoint with that gateway for its family."""
        if address.family(gateway) == 4:
            return replace(self, ipv4_gateway=gateway)
        return replace(self, ipv6_gateway=gateway)

    def with_profiles(self, profiles: tuple[str, ...]) -> "Endpoint":
        """Return the same endpoint with exactly these profiles, in this order."""
        return replace(self, profiles=profiles)
