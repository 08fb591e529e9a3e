"""The host's end of each local endpoint: kernel settings, neighbours, and the route to it.

Level-triggered: `sync` compares what shall be with what the kernel says now and repairs the
difference, whatever the cause. Interfaces come and go at any moment; one that vanishes in the
middle is not an error, it is simply not complete.
"""

import json
import socket
from collections.abc import Iterable, Mapping

from netaddr import IPAddress

from calico_ctl.errors import CommandFailed
from calico_ctl.host import command, kernel
from calico_ctl.model import address
from calico_ctl.model.address import FAMILIES, Family
from calico_ctl.model.endpoint import Endpoint
from calico_ctl.model.names import INTERFACE_PREFIX

ROUTE_PROTOCOL = 80
"""Marks the routes that are ours, so that they are recognised and cleaned up."""

Routes = Mapping[IPAddress, str]
"""Address → interface."""

# An IPv6 route without a metric gets 1024, and one that BIRD imported would be preferred to it.
_METRIC = {4: "", 6: " metric 1"}


def sync(endpoints: Iterable[Endpoint]) -> frozenset[str]:
    """Make settings, neighbours and routes right; return the interfaces that are complete.

    Routes with our protocol number that no endpoint needs are removed.
    """
    present = interfaces()
    local = [endpoint for endpoint in endpoints if endpoint.name in present]
    for endpoint in local:
        _configure(endpoint)
    desired = {ip: endpoint.name for endpoint in local for ip in endpoint.addresses}
    for family in FAMILIES:
        wanted = {ip: name for ip, name in desired.items() if ip.version == family}
        _apply(plan_routes(installed_routes(family), wanted), family)
    installed = {**installed_routes(4), **installed_routes(6)}
    return frozenset(
        endpoint.name
        for endpoint in local
        if all(installed.get(ip) == endpoint.name for ip in endpoint.addresses)
    )


def remove_all() -> None:
    """Remove every route of ours."""
    for family in FAMILIES:
        _apply(plan_routes(installed_routes(family), {}), family)


def interfaces() -> frozenset[str]:
    """Return the names of the interfaces of ours that exist."""
    names = (name for _, name in socket.if_nameindex())
    return frozenset(name for name in names if name.startswith(INTERFACE_PREFIX))


def settings(endpoint: Endpoint) -> dict[str, str]:
    """Return the kernel settings of an endpoint's interface.

    proxy_ndp lets the host answer for the IPv6 gateway, an address of another interface of its
    own; without a proxy_delay of 0 the first packet of a container waits over half a second.
    """
    name = endpoint.name
    ipv4 = {
        f"net/ipv4/conf/{name}/rp_filter": "1",
        f"net/ipv4/conf/{name}/proxy_arp": "1",
        f"net/ipv4/conf/{name}/forwarding": "1",
        f"net/ipv4/neigh/{name}/proxy_delay": "0",
    }
    ipv6 = {
        f"net/ipv6/conf/{name}/accept_ra": "0",
        f"net/ipv6/conf/{name}/forwarding": "1",
        f"net/ipv6/conf/{name}/proxy_ndp": "1",
        f"net/ipv6/neigh/{name}/proxy_delay": "0",
    }
    return ipv4 | ipv6


def plan_routes(installed: Routes, desired: Routes) -> list[str]:
    """Return the `ip -batch` lines that turn the installed routes into the desired ones."""
    lines = [
        f"route delete {address.host_network(ip)} dev {name} proto {ROUTE_PROTOCOL}"
        for ip, name in sorted(installed.items())
        if ip not in desired
    ]
    for ip, name in sorted(desired.items()):
        if installed.get(ip) != name:
            scope = " scope link" if ip.version == 4 else ""
            metric = _METRIC[ip.version]
            target = f"{address.host_network(ip)} dev {name}{scope}{metric}"
            lines.append(f"route replace {target} proto {ROUTE_PROTOCOL}")
    return lines


def plan_neighbours(endpoint: Endpoint) -> list[str]:
    """Return the lines that pin each address to its MAC and answer for the IPv6 gateway."""
    lines = []
    if endpoint.mac is not None:
        for ip in endpoint.addresses:
            pinned = f"{ip} lladdr {endpoint.mac} dev {endpoint.name} nud permanent"
            lines.append(f"neigh replace {pinned}")
    if endpoint.ipv6_gateway is not None:
        lines.append(f"neigh replace proxy {endpoint.ipv6_gateway} dev {endpoint.name}")
    return lines


def installed_routes(family: Family) -> dict[IPAddress, str]:
    """Return the routes that carry our protocol number."""
    argv = ["ip", "-j", f"-{family}", "route", "show", "proto", str(ROUTE_PROTOCOL)]
    routes = json.loads(command.run(argv) or "[]")
    return {IPAddress(route["dst"]): str(route["dev"]) for route in routes if "dev" in route}


def _configure(endpoint: Endpoint) -> None:
    for name, value in settings(endpoint).items():
        kernel.write_setting(name, value)
    # Either line may meet an interface that has just gone; `sync` sees that by the routes.
    command.succeeds(
        ["ip", "-force", "-batch", "-"], stdin="".join(f"{x}\n" for x in plan_neighbours(endpoint))
    )


def _apply(lines: list[str], family: Family) -> None:
    if not lines:
        return
    try:
        script = "".join(f"{line}\n" for line in lines)
        command.run(["ip", f"-{family}", "-force", "-batch", "-"], stdin=script)
    except CommandFailed:
        # -force went on after the line that failed; `sync` reads back what came of it.
        return
