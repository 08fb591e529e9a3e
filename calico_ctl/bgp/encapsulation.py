"""Which tunnels a host needs and what goes through them: from pools, blocks and hosts to a plan.

- A pool with VXLAN or IP-in-IP has its packets carried between hosts from one host's address to
  the other's. Of such a pool each block of another host is a route into the tunnel, and so is each
  single address that another host has out of a block that is not its own.
- With `cross_subnet`, what lies on a host in the own subnet is a plain route via that host.
- Between a container and the address of another host the tunnel is used in both directions.
  The way there is an ordinary route. For the way back there is a *detour*: packets *from* the pool
  ask a table of its own first, in which the other hosts' addresses lead into the tunnel. The outer
  packets are from a host, so they ask it not.
- In VXLAN each host has a MAC address that follows from its name: nobody has to be asked for it.
- No route of a block is made for a host that is not known, has no address of the family, or is
  this one; nor for a block in which hosts or their neighbours are, so that a pool that overlaps
  their network cuts nobody off.
"""

import hashlib
from bisect import bisect_left
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from netaddr import IPAddress, IPNetwork

from calico_ctl.model import address, encapsulation
from calico_ctl.model.address import FAMILIES, Family
from calico_ctl.model.encapsulation import Way
from calico_ctl.model.node import Node
from calico_ctl.model.pool import Pool

MAIN_TABLE = 254

_TABLES = {
    (Way.VXLAN, False): 4081,
    (Way.VXLAN, True): 4082,
    (Way.IPIP, False): 4083,
    (Way.IPIP, True): 4084,
}
"""The routing tables of detours, by way and whether hosts of the own subnet are left out."""

DETOUR_TABLES = frozenset(_TABLES.values())


@dataclass(frozen=True, slots=True)
class Holders:
    """Who has what of a block: the host that prefers it, and hosts with single addresses of it.

    `lent` has only those addresses whose host is another one than that of the block.
    """

    cidr: IPNetwork
    host: str | None
    lent: Mapping[IPAddress, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Uplink:
    """The interface with the host's address: its MTU in bytes, and the subnet that it is in."""

    interface: str
    mtu: int
    subnet: IPNetwork


@dataclass(frozen=True, slots=True)
class Tunnel:
    """A device: from this host's address, with the MTU in bytes; `mac` only for VXLAN."""

    way: Way
    family: Family
    local: IPAddress
    mtu: int
    mac: str = ""

    @property
    def device(self) -> str:
        """The name of the device."""
        return encapsulation.DEVICES[self.way, self.family]


@dataclass(frozen=True, slots=True)
class Route:
    """A route via a gateway. Without a device it is a plain one, through whatever leads there."""

    destination: IPNetwork
    gateway: IPAddress
    device: str = ""
    source: IPAddress | None = None
    table: int = MAIN_TABLE


@dataclass(frozen=True, slots=True)
class Peer:
    """The other end of a VXLAN: a gateway has that MAC address, and it is on that host."""

    device: str
    gateway: IPAddress
    mac: str
    host: IPAddress


@dataclass(frozen=True, slots=True)
class Detour:
    """Packets from a pool ask that table first."""

    source: IPNetwork
    table: int


@dataclass(frozen=True, slots=True)
class Plan:
    """All that the kernel needs; `problems` say what could not be planned, by what it is about."""

    tunnels: tuple[Tunnel, ...] = ()
    routes: frozenset[Route] = frozenset()
    peers: frozenset[Peer] = frozenset()
    detours: frozenset[Detour] = frozenset()
    problems: Mapping[str, str] = field(default_factory=dict)


def mac_of(hostname: str, family: Family) -> str:
    """Return the MAC address of a host in the VXLAN of a family: it follows from its name."""
    digest = hashlib.sha256(f"calico vxlan {family} {hostname}".encode()).digest()
    # Locally administered and of one host: the lowest bits of the first byte are 10.
    octets = bytes([digest[0] & 0xFC | 0x02]) + digest[1:6]
    return ":".join(f"{octet:02x}" for octet in octets)


def wanted(pools: Iterable[Pool]) -> list[Pool]:
    """Return the pools that need tunnels."""
    return [pool for pool in pools if encapsulation.way_of(pool) is not None]


def plan(
    own: Node,
    nodes: Mapping[str, Node],
    pools: Iterable[Pool],
    blocks: Collection[Holders],
    uplinks: Mapping[Family, Uplink],
) -> Plan:
    """Return what the host `own` needs; `uplinks` are those of its addresses, where found."""
    return _Planning(own, nodes, uplinks).plan(wanted(pools), blocks)


class _Planning:
    """One pass over the pools; collects what they need."""

    def __init__(
        self, own: Node, nodes: Mapping[str, Node], uplinks: Mapping[Family, Uplink]
    ) -> None:
        self._own = own
        self._nodes = nodes
        self._uplinks = uplinks
        self._sorted_hosts = {
            family: sorted(int(ip) for node in nodes.values() if (ip := node.address(family)))
            for family in FAMILIES
        }
        self._tunnels: dict[tuple[Way, Family], Tunnel] = {}
        self._routes: set[Route] = set()
        self._peers: set[Peer] = set()
        self._detours: set[Detour] = set()
        self._problems: dict[str, str] = {}

    def plan(self, pools: Iterable[Pool], blocks: Collection[Holders]) -> Plan:
        for pool in pools:
            tunnel = self._tunnel(pool)
            if tunnel is not None:
                self._pool(pool, tunnel, blocks)
        return Plan(
            tuple(self._tunnels[each] for each in sorted(self._tunnels)),
            frozenset(self._routes),
            frozenset(self._peers),
            frozenset(self._detours),
            self._problems,
        )

    def _tunnel(self, pool: Pool) -> Tunnel | None:
        """Return the tunnel that a pool needs, or None, with the reason noted."""
        way, family = encapsulation.way_of(pool), pool.family
        if way is None or (way, family) not in encapsulation.DEVICES:
            self._problems[f"pool {pool.cidr}"] = f"there is no {way} for IPv{family}"
            return None
        local, uplink = self._own.address(family), self._uplinks.get(family)
        if local is None:
            reason = f"this host has no IPv{family} address to send its packets from"
        elif uplink is None:
            reason = f"no interface of this host has its address {local}"
        else:
            mac = mac_of(self._own.host, family) if way is Way.VXLAN else ""
            mtu = uplink.mtu - encapsulation.overhead(way, family)
            return self._tunnels.setdefault((way, family), Tunnel(way, family, local, mtu, mac))
        self._problems[f"pool {pool.cidr}"] = reason
        return None

    def _pool(self, pool: Pool, tunnel: Tunnel, blocks: Collection[Holders]) -> None:
        table = _TABLES[tunnel.way, pool.cross_subnet]
        # Where a pool has the hosts themselves, the outer packets would ask the table too.
        if not pool.contains(tunnel.local):
            self._detours.add(Detour(pool.cidr, table))
            for node in self._others(tunnel.family):
                self._detour(pool, tunnel, node, table)
        for destination, hostname in _holdings(pool, blocks):
            if hostname == self._own.host:
                continue
            holder = self._nodes.get(hostname)
            host = None if holder is None else holder.address(tunnel.family)
            if host is None:
                self._problems[f"host {hostname}"] = (
                    f"no IPv{tunnel.family} address of it is known, so {destination} is not reached"
                )
                continue
            if self._has_machines(destination):
                self._problems[f"block {destination}"] = (
                    "hosts or their neighbours may be in it, so its containers on other hosts are"
                    " not reached"
                )
                continue
            self._routes.add(self._route(pool, tunnel, destination, hostname, host))

    def _has_machines(self, destination: IPNetwork) -> bool:
        """Say whether what is not a container's may be in a block: there are thousands of them."""
        start, end = destination.first, destination.last
        if start == end:
            return False
        family = address.family(destination)
        subnet, hosts = self._uplinks[family].subnet, self._sorted_hosts[family]
        at = bisect_left(hosts, start)
        is_near = subnet.first <= end and start <= subnet.last
        return is_near or (at < len(hosts) and hosts[at] <= end)

    def _others(self, family: Family) -> Iterator[Node]:
        for node in self._nodes.values():
            if node.host != self._own.host and node.address(family) is not None:
                yield node

    def _detour(self, pool: Pool, tunnel: Tunnel, node: Node, table: int) -> None:
        host = node.address(tunnel.family)
        if host is None or host == tunnel.local or self._is_near(pool, host):
            return
        gateway = self._into(tunnel, node.host, host)
        target = IPNetwork(address.host_network(host))
        self._routes.add(Route(target, gateway, tunnel.device, None, table))

    def _route(
        self, pool: Pool, tunnel: Tunnel, destination: IPNetwork, hostname: str, host: IPAddress
    ) -> Route:
        if self._is_near(pool, host):
            return Route(destination, host, source=tunnel.local)
        gateway = self._into(tunnel, hostname, host)
        return Route(destination, gateway, tunnel.device, tunnel.local)

    def _is_near(self, pool: Pool, host: IPAddress) -> bool:
        return pool.cross_subnet and host in self._uplinks[pool.family].subnet

    def _into(self, tunnel: Tunnel, hostname: str, host: IPAddress) -> IPAddress:
        """Return the gateway in a tunnel that stands for a host, and note how it is reached."""
        if tunnel.way is not Way.VXLAN:
            return host
        mac = mac_of(hostname, tunnel.family)
        # IPv6 takes no gateway on one link whose address is on another one.
        gateway = host if tunnel.family == 4 else _link_local(mac)
        self._peers.add(Peer(tunnel.device, gateway, mac, host))
        return gateway


def _holdings(pool: Pool, blocks: Iterable[Holders]) -> Iterator[tuple[IPNetwork, str]]:
    """Yield what of a pool lies on which host; of a block only what the pool has of it."""
    for each in blocks:
        if not pool.overlaps(each.cidr):
            continue
        if each.host is not None:
            yield (each.cidr if each.cidr in pool.cidr else pool.cidr), each.host
        for ip, host in each.lent.items():
            if pool.contains(ip):
                yield IPNetwork(address.host_network(ip)), host


def _link_local(mac: str) -> IPAddress:
    """Return the link-local address that follows from a MAC address (RFC 4291, appendix A)."""
    octets = bytes.fromhex(mac.replace(":", ""))
    identifier = bytes([octets[0] ^ 2]) + octets[1:3] + b"\xff\xfe" + octets[3:]
    return IPAddress(0xFE80 << 112 | int.from_bytes(identifier, "big"), 6)
