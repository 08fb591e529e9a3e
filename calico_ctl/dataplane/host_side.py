"""The host's end of each local endpoint: kernel settings, neighbours, and the route to it.

Level-triggered: `sync` compares what shall be with what the kernel says now and mends the
difference, whatever the cause. Interfaces come and go at any moment; one that vanishes in the
middle is not an error, it is simply not complete.

Two endpoints may claim one address, by mistake or while one takes over from the other. The one with
the lower key has it as long as its interface exists, and the other is not complete: that does not
depend on the order in which they are given, nor on what was before, so nothing flaps.
"""

import errno
import socket
from collections.abc import Iterable, Iterator, Mapping, Set
from dataclasses import dataclass
from typing import NamedTuple

from calico_ctl.dataplane import netlink, rtnetlink
from calico_ctl.dataplane.netlink import KernelRefused, Netlink
from calico_ctl.dataplane.rtnetlink import Link, Neighbour, Proxy, Reader, Route, Thing
from calico_ctl.host import kernel
from calico_ctl.model.address import FAMILIES, Family
from calico_ctl.model.endpoint import Endpoint
from calico_ctl.model.names import INTERFACE_PREFIX

FORWARDING = ("net/ipv4/ip_forward", "net/ipv6/conf/all/forwarding")
"""Settings of the host; the kernel passes a change of them on to every interface."""

# proxy_arp and proxy_ndp let the host answer for the gateways, which are addresses of other
# interfaces or of none; without a proxy_delay of 0 the first packet of a container waits over half
# a second.
_IPV4_SETTINGS = (
    ("net/ipv4/conf/{}/rp_filter", rtnetlink.IPV4_RP_FILTER, 1),
    ("net/ipv4/conf/{}/proxy_arp", rtnetlink.IPV4_PROXY_ARP, 1),
    ("net/ipv4/conf/{}/forwarding", rtnetlink.IPV4_FORWARDING, 1),
)
_IPV6_SETTINGS = (
    ("net/ipv6/conf/{}/accept_ra", rtnetlink.IPV6_ACCEPT_RA, 0),
    ("net/ipv6/conf/{}/forwarding", rtnetlink.IPV6_FORWARDING, 1),
    ("net/ipv6/conf/{}/proxy_ndp", rtnetlink.IPV6_PROXY_NDP, 1),
)
_PROXY_DELAY: Mapping[Family, str] = {
    4: "net/ipv4/neigh/{}/proxy_delay",
    6: "net/ipv6/neigh/{}/proxy_delay",
}

# An IPv6 route without a metric gets 1024, and one that BIRD imported would be preferred to it.
_METRIC: Mapping[Family, int] = {4: 0, 6: 1}
_SCOPE: Mapping[Family, int] = {4: rtnetlink.ON_LINK, 6: rtnetlink.UNIVERSE}

# What the deletion of a route meets that has gone by itself.
_GONE = {errno.ESRCH, errno.ENODEV}
# What is not the fault of one endpoint, or of one route.
_OF_THE_HOST = {errno.EPERM, errno.ENOMEM, errno.ENOBUFS, errno.ETIMEDOUT}

_NO_INTERFACE = 0
"""The kernel counts interfaces from 1."""


class Setting(NamedTuple):
    """A kernel setting of an interface and its value; `path` has `{}` for the interface's name."""

    ifindex: int
    interface: str
    path: str
    value: int


@dataclass(frozen=True, slots=True)
class Installed:
    """What the kernel holds.

    `delays` are the proxy_delay of interfaces (by index) in milliseconds; `routes` come with what
    `rtnetlink.delete_route` wants.
    """

    links: Mapping[str, Link]
    delays: Mapping[Family, Mapping[int, int]]
    routes: Mapping[Route, bytes]
    neighbours: Set[Neighbour | Proxy]


@dataclass(frozen=True, slots=True)
class Desired:
    """What shall be. `outdone` are interfaces that want an address which another one has."""

    things: frozenset[Thing] = frozenset()
    outdone: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Plan:
    """What to do, in this order. `unneeded` are routes to delete, as the kernel describes them."""

    settings: tuple[Setting, ...] = ()
    neighbours: tuple[Neighbour | Proxy, ...] = ()
    unneeded: tuple[bytes, ...] = ()
    routes: tuple[Route, ...] = ()


class HostSide:
    """Keeps the host's ends right. Use from one thread.

    `repairs` counts what was right after an earlier `sync` and had to be mended because somebody
    else changed it. `refusals` says, of the last `sync`, what the kernel would not do for an
    interface that exists, and why; such an interface is not complete. Under "" it says which route
    that no endpoint needs would not go.
    """

    def __init__(self) -> None:
        """Open the way to the kernel, in the network namespace of this thread."""
        self.repairs = 0
        self.refusals: Mapping[str, str] = {}
        self._door = Netlink(netlink.ROUTE)
        self._reader = Reader(self._door)
        self._asked: tuple[tuple[Endpoint, ...], Mapping[str, Link]] = ((), {})
        self._desired = Desired()
        # What has been right and still shall be. Interfaces are known by their index here: a new
        # one under an old name is set up, not repaired.
        self._settled_host: set[str] = set()
        self._settled_links: Set[int] = frozenset()
        self._settled: Set[Thing] = frozenset()

    def close(self) -> None:
        """Leave the kernel as it is."""
        self._door.close()

    def sync(self, endpoints: Iterable[Endpoint]) -> frozenset[str]:
        """Make settings, neighbours and routes right; return the interfaces that are complete.

        Routes with our protocol number that no endpoint needs are removed. Raises CalicoError if
        the kernel cannot be read, or not be written at all.
        """
        self._keep_forwarding()
        local = tuple(endpoints)
        installed = read(self._reader, {endpoint.name for endpoint in local})
        links = installed.links
        if self._asked != (local, links):
            self._asked, self._desired = (local, links), desired(local, links)
        failed = self._carry_out(plan(installed, self._desired))
        self._settle({link.ifindex for link in links.values()}, failed)
        names = {link.ifindex: name for name, link in links.items()}
        self.refusals = {names.get(index, ""): reason for index, reason in failed.items() if reason}
        complete = {name for index, name in names.items() if index not in failed}
        return frozenset(complete - self._desired.outdone)

    def _keep_forwarding(self) -> None:
        # Before the interfaces are read, because each of them takes this over.
        for path in FORWARDING:
            if kernel.read_setting(path) not in {None, "1"} and kernel.write_setting(path, "1"):
                self.repairs += path in self._settled_host
            self._settled_host.add(path)

    def _carry_out(self, todo: Plan) -> dict[int, str]:
        """Return the interfaces (by index) for which something failed, and why; "" if they went."""
        failed: dict[int, str] = {}
        for setting in todo.settings:
            if not kernel.write_setting(setting.path.format(setting.interface), str(setting.value)):
                failed[setting.ifindex] = ""
            elif setting.ifindex in self._settled_links:
                self.repairs += 1
        for neighbour in todo.neighbours:
            self._put(neighbour, failed)
        for body in todo.unneeded:
            self._delete(body, failed)
        for route in todo.routes:
            self._put(route, failed)
        return failed

    def _delete(self, body: bytes, failed: dict[int, str]) -> None:
        try:
            delete_route(self._door, body)
        except KernelRefused as error:
            if error.number in _OF_THE_HOST:
                raise
            failed.setdefault(_NO_INTERFACE, error.message)

    def _put(self, thing: Thing, failed: dict[int, str]) -> None:
        try:
            rtnetlink.put(self._door, thing)
        except KernelRefused as error:
            if error.number in _OF_THE_HOST:
                raise
            failed.setdefault(thing.ifindex, error.message if _exists(thing.ifindex) else "")
        else:
            self.repairs += thing in self._settled

    def _settle(self, links: set[int], failed: Mapping[int, str]) -> None:
        things: Set[Thing] = self._desired.things
        if failed:
            things = {x for x in things if x.ifindex not in failed or x in self._settled}
            links = {x for x in links if x not in failed or x in self._settled_links}
        self._settled, self._settled_links = things, links


def remove_all() -> None:
    """Remove every route of ours."""
    with Netlink(netlink.ROUTE) as door:
        for family in FAMILIES:
            for body in Reader(door).routes(family).values():
                delete_route(door, body)


def interfaces() -> frozenset[str]:
    """Return the names of the interfaces of ours that exist."""
    names = (name for _, name in socket.if_nameindex())
    return frozenset(name for name in names if name.startswith(INTERFACE_PREFIX))


def read(reader: Reader, names: Set[str]) -> Installed:
    """Read what the kernel holds of the named interfaces, and every route of ours."""
    links = reader.links(names)
    indexes = {link.ifindex for link in links.values()}
    neighbours: set[Neighbour | Proxy] = set()
    for family in FAMILIES:
        neighbours |= reader.neighbours(family, indexes)
    neighbours |= reader.proxies(6)
    delays = {family: reader.proxy_delays(family) for family in FAMILIES}
    return Installed(links, delays, reader.routes(4) | reader.routes(6), neighbours)


def desired(endpoints: Iterable[Endpoint], links: Mapping[str, Link]) -> Desired:
    """Work out what shall be, for those endpoints whose interface exists."""
    holders: dict[bytes, int] = {}
    pinned: dict[tuple[int, bytes], Neighbour | Proxy] = {}
    outdone = set()
    present = (endpoint for endpoint in endpoints if endpoint.name in links)
    for endpoint in sorted(present, key=lambda endpoint: endpoint.key):
        index = links[endpoint.name].ifindex
        for ip in endpoint.addresses:
            if holders.setdefault(ip.packed, index) != index:
                outdone.add(endpoint.name)
        for each in _neighbours(endpoint, links[endpoint.name]):
            pinned.setdefault((each.ifindex, each.address), each)
    routes = (_route(to, index) for to, index in holders.items())
    return Desired(frozenset([*routes, *pinned.values()]), frozenset(outdone))


def plan(installed: Installed, wanted: Desired) -> Plan:
    """Return what turns the one into the other.

    A route in the place of a missing one is not deleted: it is replaced, and there is no moment
    without a route.
    """
    missing = wanted.things.difference(installed.neighbours, installed.routes)
    routes = sorted(each for each in missing if isinstance(each, Route))
    places = {route.place for route in routes}
    unneeded = (
        body
        for route, body in installed.routes.items()
        if route not in wanted.things and route.place not in places
    )
    return Plan(
        tuple(
            setting
            for link in installed.links.values()
            for setting in _wrong_settings(link, installed.delays)
        ),
        tuple(sorted(each for each in missing if not isinstance(each, Route))),
        tuple(unneeded),
        tuple(routes),
    )


def delete_route(door: Netlink, body: bytes) -> None:
    """Delete a route; that it has gone already is as good."""
    try:
        rtnetlink.delete_route(door, body)
    except KernelRefused as error:
        if error.number not in _GONE:
            raise


def _exists(ifindex: int) -> bool:
    try:
        socket.if_indextoname(ifindex)
    except OSError:
        return False
    return True


def _route(to: bytes, index: int) -> Route:
    family: Family = 4 if len(to) == 4 else 6
    return Route(to, 8 * len(to), index, _METRIC[family], _SCOPE[family])


def _neighbours(endpoint: Endpoint, link: Link) -> Iterator[Neighbour | Proxy]:
    """Yield its addresses pinned to its MAC, so that nobody can claim them, and its gateway."""
    if endpoint.mac is not None:
        mac = bytes.fromhex(endpoint.mac.replace(":", ""))
        for ip in endpoint.addresses:
            if ip.version == 4 or link.ipv6:
                yield Neighbour(link.ifindex, ip.packed, mac)
    if endpoint.ipv6_gateway is not None and link.ipv6:
        yield Proxy(link.ifindex, endpoint.ipv6_gateway.packed)


def _wrong_settings(link: Link, delays: Mapping[Family, Mapping[int, int]]) -> Iterator[Setting]:
    for settings, values in ((_IPV4_SETTINGS, link.ipv4), (_IPV6_SETTINGS, link.ipv6)):
        for path, at, wanted in settings if values else ():
            if values[at] != wanted:
                yield Setting(link.ifindex, link.name, path, wanted)
    for family, path in _PROXY_DELAY.items():
        if delays[family].get(link.ifindex):
            yield Setting(link.ifindex, link.name, path, 0)
