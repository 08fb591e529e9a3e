"""What is asked of the kernel to make and configure a veth pair: plans that print, no effects.

A plan is a list of requests for rtnetlink, each with what it does in words (rtnetlink(7), veth(4)).

Inside the container the default route goes via our interface. A default route that is there
already (Docker's bridge) is moved to a higher metric rather than deleted, so that it serves again
when our interface goes. IPv6 routes carry a metric of their own below the usual 1024 instead.

Numbers come from linux/rtnetlink.h, if_link.h, if_addr.h and veth.h.
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from netaddr import IPAddress

from calico_ctl.dataplane import container_side
from calico_ctl.dataplane.container_side import Address, DefaultRoute
from calico_ctl.dataplane.netlink import CREATE, EXCLUSIVE, REPLACE, attribute, name, nested, number
from calico_ctl.dataplane.rtnetlink import UNIVERSE, deletion
from calico_ctl.model import address
from calico_ctl.model.interface import Interface

IPV6_DEFAULT_METRIC = 512
"""Below the 1024 of routes that others add without saying a metric: ours is preferred."""

_LARGEST_METRIC = 2**32 - 1

# RTM_*
_NEW_LINK, _DELETE_LINK = 16, 17
_NEW_ADDRESS, _DELETE_ADDRESS = 20, 21
_NEW_ROUTE, _DELETE_ROUTE = 24, 25

_UP = 1
"""IFF_UP"""
# IFLA_ADDRESS, IFLA_IFNAME, IFLA_MTU, IFLA_LINKINFO, IFLA_NET_NS_FD; IFLA_INFO_KIND, IFLA_INFO_DATA
_LINK_MAC, _LINK_NAME, _LINK_MTU, _LINK_INFO, _LINK_NAMESPACE = 1, 3, 4, 18, 28
_INFO_KIND, _INFO_DATA = 1, 2
# VETH_INFO_PEER of linux/veth.h
_VETH_PEER = 1

# IFA_ADDRESS, IFA_LOCAL; IFA_F_NODAD
_OTHER_END, _LOCAL = 1, 2
_WITHOUT_DETECTION = 0x02


class Request(NamedTuple):
    """One thing for the kernel to do, in words, and the message: type, flags, body."""

    what: str
    kind: int
    flags: int
    body: bytes


class Step(NamedTuple):
    """A request and the one that takes it back."""

    do: Request
    undo: Request


def plan_pair(interface: Interface, netns: int, mtu: int | None = None) -> list[Request]:
    """Return the requests, for the host's namespace, that make both ends under their final names.

    `netns` is the open file of the other namespace. `mtu` is in bytes, for both ends; None: what
    the kernel makes it.
    """
    size = b"" if mtu is None else attribute(_LINK_MTU, number(mtu))
    peer = (
        container_side.link_head()
        + attribute(_LINK_NAME, name(interface.name))
        + attribute(_LINK_MAC, bytes.fromhex(interface.mac.replace(":", "")))
        + attribute(_LINK_NAMESPACE, number(netns))
        + size
    )
    pair = nested(
        _LINK_INFO,
        attribute(_INFO_KIND, b"veth"),
        nested(_INFO_DATA, nested(_VETH_PEER, peer)),
    )
    ends = attribute(_LINK_NAME, name(interface.host_name)) + size + pair
    what = f"make the pair {interface.host_name} and, inside, {interface.name}"
    return [
        Request(what, _NEW_LINK, CREATE | EXCLUSIVE, container_side.link_head() + ends),
        plan_up(interface.host_name),
    ]


def plan_removal(host_name: str) -> Request:
    """Return the request that removes a pair by its host side."""
    body = container_side.link_head() + attribute(_LINK_NAME, name(host_name))
    return Request(f"remove {host_name}", _DELETE_LINK, 0, body)


def plan_up(link: str) -> Request:
    """Return the request that brings a link up."""
    body = container_side.link_head(flags=_UP, change=_UP) + attribute(_LINK_NAME, name(link))
    return Request(f"bring {link} up", _NEW_LINK, 0, body)


def plan_mtu(link: str, mtu: int) -> Request:
    """Return the request that gives a link an MTU in bytes."""
    body = (
        container_side.link_head()
        + attribute(_LINK_NAME, name(link))
        + attribute(_LINK_MTU, number(mtu))
    )
    return Request(f"give {link} an MTU of {mtu}", _NEW_LINK, 0, body)


def plan_inside(interface: Interface, index: int) -> list[Request]:
    """Return the requests, for the container's namespace, up to but without the default routes.

    `index` is the interface's number there, here and below.
    """
    requests = [plan_up(interface.name)]
    requests += (plan_address(ip, interface.name, index) for ip in interface.addresses)
    return requests + plan_gateways(interface, index)


def plan_gateways(interface: Interface, index: int) -> list[Request]:
    """Return the requests that make the gateways reachable, which are in no network inside."""
    return [
        Request(
            f"route {address.host_network(gateway)} through {interface.name}",
            _NEW_ROUTE,
            CREATE | REPLACE,
            container_side.route_to(gateway.packed, index),
        )
        for gateway in interface.gateways
    ]


def plan_addresses(interface: Interface, index: int, present: Iterable[Address]) -> list[Request]:
    """Return the requests that add what is missing and delete what is too much, deletions first.

    `present` are the interface's addresses. Those of the link itself stay.
    """
    ours = {each.packed: each for each in present if each.scope == UNIVERSE}
    wanted = {ip.packed for ip in interface.addresses}
    requests = [
        Request(f"take {each} from {interface.name}", _DELETE_ADDRESS, 0, each.body)
        for packed, each in ours.items()
        if packed not in wanted
    ]
    missing = (ip for ip in interface.addresses if ip.packed not in ours)
    return requests + [plan_address(ip, interface.name, index) for ip in missing]


def plan_address(ip: IPAddress, interface: str, index: int) -> Request:
    """Return the request that gives an interface an address.

    IPv6 addresses are used at once: nobody else is on the link to be asked for duplicates.
    """
    flags = _WITHOUT_DETECTION if ip.version == 6 else 0
    head = container_side.address_head(ip.packed, flags, index)
    body = head + attribute(_LOCAL, ip.packed) + attribute(_OTHER_END, ip.packed)
    what = f"give {interface} the address {address.host_network(ip)}"
    return Request(what, _NEW_ADDRESS, CREATE | EXCLUSIVE, body)


def plan_default_routes(interface: Interface, index: int) -> list[Request]:
    """Return the requests that send everything else through our interface."""
    return [
        Request(
            f"route everything else via {gateway} through {interface.name}",
            _NEW_ROUTE,
            CREATE | REPLACE,
            container_side.default_route(
                gateway.packed, index, IPV6_DEFAULT_METRIC if gateway.version == 6 else 0
            ),
        )
        for gateway in interface.gateways
    ]


def plan_demotion(present: Iterable[DefaultRoute], index: int) -> list[Step]:
    """Return the steps that free metric 0 of IPv4 default routes, unless our interface has it.

    `present` are the namespace's. Each moves up by one, the highest first, so that none meets
    another.
    """
    by_metric = sorted(present, key=lambda route: route.metric, reverse=True)
    if not by_metric or by_metric[-1].metric != 0 or by_metric[-1].ifindex == index:
        return []
    steps = []
    for route in by_metric:
        if route.metric == _LARGEST_METRIC:
            continue
        old, new = route.with_metric(route.metric), route.with_metric(route.metric + 1)
        steps.append(Step(_route_added(new), _route_deleted(new)))
        steps.append(Step(_route_deleted(old), _route_added(old)))
    return steps


def plan_flush(routes: Sequence[bytes], interface: str) -> list[Request]:
    """Return the requests that delete routes, which are as the kernel described them."""
    what = f"delete a route through {interface}"
    return [Request(what, _DELETE_ROUTE, 0, deletion(body)) for body in routes]


def _route_added(route: DefaultRoute) -> Request:
    return Request(f"add {route}", _NEW_ROUTE, CREATE | EXCLUSIVE, route.body)


def _route_deleted(route: DefaultRoute) -> Request:
    return Request(f"delete {route}", _DELETE_ROUTE, 0, route.body)
