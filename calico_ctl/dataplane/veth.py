"""The lines for `ip -batch` that make and configure a veth pair: plans that print, no effects.

Inside the container the default route goes via our interface. A default route that is there
already (Docker's bridge) is moved to a higher metric rather than deleted, so that it serves again
when our interface goes. IPv6 routes carry a metric of their own below the usual 1024 instead.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from netaddr import IPAddress

from calico_ctl.model import address
from calico_ctl.model.interface import Interface

IPV6_DEFAULT_METRIC = 512
"""Below the 1024 of routes that others add without saying a metric: ours is preferred."""

_LARGEST_METRIC = 2**32 - 1


@dataclass(frozen=True, slots=True)
class Step:
    """A line and the line that takes it back."""

    do: str
    undo: str


def plan_pair(interface: Interface, mtu: int | None = None) -> list[str]:
    """Return the lines, for the host's namespace, that make both ends under their final names.

    `mtu` is in bytes, for both ends; None: what the kernel makes it.
    """
    size = "" if mtu is None else f" mtu {mtu}"
    return [
        f"link add name {interface.host_name}{size} type veth"
        f" peer name {interface.name}{size} address {interface.mac} netns {interface.netns}",
        f"link set dev {interface.host_name} up",
    ]


def plan_inside(interface: Interface) -> list[str]:
    """Return the lines, for the container's namespace, up to but without the default routes."""
    lines = [f"link set dev {interface.name} up"]
    lines += (plan_address("add", ip, interface.name) for ip in interface.addresses)
    return lines + plan_gateways(interface)


def plan_gateways(interface: Interface) -> list[str]:
    """Return the lines that make the gateways reachable, which are in no network inside."""
    return [
        f"route replace {address.host_network(gateway)} dev {interface.name}"
        for gateway in interface.gateways
    ]


def plan_addresses(interface: Interface, shown: str) -> list[str]:
    """Return the lines that add what is missing and delete what is too much, deletions first.

    `shown` is what `ip -j addr show dev <interface>` prints. Addresses of the link itself stay.
    """
    (link,) = [each for each in json.loads(shown) if each]
    present = [each for each in link["addr_info"] if each["scope"] == "global"]
    wanted = {str(ip) for ip in interface.addresses}
    has = {each["local"] for each in present}
    lines = [
        f"addr del {each['local']}/{each['prefixlen']} dev {interface.name}"
        for each in present
        if each["local"] not in wanted
    ]
    missing = (ip for ip in interface.addresses if str(ip) not in has)
    return lines + [plan_address("add", ip, interface.name) for ip in missing]


def plan_address(verb: str, ip: IPAddress, interface: str) -> str:
    """Return the line that adds or deletes an address of an interface.

    IPv6 addresses are used at once: nobody else is on the link to be asked for duplicates.
    """
    nodad = " nodad" if ip.version == 6 and verb == "add" else ""
    return f"addr {verb} {address.host_network(ip)} dev {interface}{nodad}"


def plan_default_routes(interface: Interface) -> list[str]:
    """Return the lines that send everything else through our interface."""
    lines = []
    for gateway in interface.gateways:
        metric = f" metric {IPV6_DEFAULT_METRIC}" if gateway.version == 6 else ""
        lines.append(f"route replace default via {gateway} dev {interface.name}{metric}")
    return lines


def plan_demotion(default_routes: Sequence[Mapping[str, object]], interface: str) -> list[Step]:
    """Return the steps that free metric 0 of IPv4 default routes, unless `interface` has it.

    `default_routes` are those that `ip -j -4 route show default` prints. Each moves up by one, the
    highest first, so that none meets another.
    """
    by_metric = sorted(default_routes, key=_metric, reverse=True)
    if not by_metric or _metric(by_metric[-1]) != 0 or by_metric[-1].get("dev") == interface:
        return []
    steps = []
    for route in by_metric:
        metric = _metric(route)
        if metric == _LARGEST_METRIC:
            continue
        old, new = _described(route, metric), _described(route, metric + 1)
        steps.append(Step(f"route add {new}", f"route del {new}"))
        steps.append(Step(f"route del {old}", f"route add {old}"))
    return steps


def _metric(route: Mapping[str, object]) -> int:
    metric = route.get("metric", 0)
    return metric if isinstance(metric, int) else 0


def _described(route: Mapping[str, object], metric: int) -> str:
    words = ["default"]
    for key, word in (
        ("gateway", "via"),
        ("dev", "dev"),
        ("protocol", "proto"),
        ("prefsrc", "src"),
    ):
        if key in route:
            words += [word, str(route[key])]
    flags = route.get("flags")
    if isinstance(flags, list) and "onlink" in flags:
        words.append("onlink")
    return " ".join([*words, "metric", str(metric)])
