"""The kernel's network as `workload` sees it: plug, unplug, look."""

import json
import socket
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path

from calico_ctl.dataplane import rtnetlink, uplink, veth
from calico_ctl.dataplane.netlink import ROUTE, KernelRefused, Netlink
from calico_ctl.errors import AlreadyExists, CalicoError
from calico_ctl.host import command
from calico_ctl.model.interface import Interface

_Objects = Sequence[Mapping[str, object]]


class KernelNetwork:
    """Implements `workload.platform.Network` with `ip` and `nsenter`. Needs root."""

    def plug(self, interface: Interface) -> None:
        """Make the pair with one end inside and configure it; on failure nothing of it is left."""
        links, default_routes = _inside_of(interface.netns)
        if interface.name in _names(links):
            raise AlreadyExists(
                f"the container already has an interface {interface.name}",
                hint="choose another name with --interface=<INTERFACE>",
            )
        with ExitStack() as undo:
            undo.callback(self.unplug, interface.host_name)
            _ip(veth.plan_pair(interface, _mtu(interface)))
            if any(ip.version == 6 for ip in interface.addresses):
                enable_ipv6(interface.netns, interface.name)
            self._configure(interface, veth.plan_inside(interface), default_routes, undo)
            undo.pop_all()

    def unplug(self, host_name: str) -> bool:
        """Remove the pair by its host side; say whether it was there."""
        if not link_exists(host_name):
            return False
        try:
            _ip([f"link delete dev {host_name}"])
        except CalicoError:
            # The container may have ended meanwhile and taken the pair with it.
            if link_exists(host_name):
                raise
            return False
        return True

    def reconfigure(self, interface: Interface) -> None:
        """Make addresses and routes inside as they shall be, of an interface that is there."""
        netns = interface.netns
        shown = command.run([*_inside(netns), "ip", "-j", "addr", "show", "dev", interface.name])
        _, default_routes = _inside_of(netns)
        if any(ip.version == 6 for ip in interface.addresses):
            enable_ipv6(netns, interface.name)
        lines = veth.plan_addresses(interface, shown) + veth.plan_gateways(interface)
        mtu = _mtu(interface)
        if mtu is not None:
            _ip([f"link set dev {interface.host_name} mtu {mtu}"])
            lines.insert(0, f"link set dev {interface.name} mtu {mtu}")
        with ExitStack() as undo:
            self._configure(interface, lines, default_routes, undo)
            undo.pop_all()
        for family in {4, 6} - {gateway.version for gateway in interface.gateways}:
            # The kernel keeps routes of a family whose last address of ours has gone.
            flush = ["route", "flush", "dev", interface.name, "proto", "boot"]
            command.run([*_inside(netns), "ip", f"-{family}", *flush])

    def is_plugged(self, host_name: str, netns: str) -> bool:
        """Say whether the other end of our pair is in that namespace, whatever its name there."""
        try:
            with Path(netns).open() as file, Netlink(ROUTE) as route:
                return rtnetlink.other_end_is_in(route, host_name, file.fileno())
        except (FileNotFoundError, KernelRefused):
            return False

    def is_there(self, host_name: str) -> bool:
        """Say whether the host has our side of a pair."""
        return link_exists(host_name)

    def _configure(
        self, interface: Interface, lines: list[str], default_routes: _Objects, undo: ExitStack
    ) -> None:
        """Carry out these lines inside, and have the default routes lead through the interface."""
        wanted_ipv4 = any(gateway.version == 4 for gateway in interface.gateways)
        demotion = veth.plan_demotion(default_routes, interface.name) if wanted_ipv4 else []
        undo.callback(self._promote, interface, demotion)
        lines += [step.do for step in demotion]
        _ip(lines + veth.plan_default_routes(interface), interface.netns)

    def _promote(self, interface: Interface, demotion: list[veth.Step]) -> None:
        # Only on the way out of a failure: some of these lines were never done, so each is tried.
        for step in reversed(demotion):
            command.succeeds([*_inside(interface.netns), "ip", *step.undo.split()])


def _mtu(interface: Interface) -> int | None:
    return uplink.mtu_of_containers(interface.gateways, interface.addresses, interface.overhead)


def enable_ipv6(netns: str, interface: str) -> None:
    """Undo what Docker does to every interface of a container without an IPv6 network."""
    setting = f"/proc/sys/net/ipv6/conf/{interface}/disable_ipv6"
    command.run([*_inside(netns), "tee", setting], stdin="0\n")


def link_exists(name: str) -> bool:
    """Say whether this namespace has a link of that name."""
    try:
        socket.if_nametoindex(name)
    except OSError:
        return False
    return True


def _inside_of(netns: str) -> tuple[_Objects, _Objects]:
    """Return the links and the IPv4 default routes of a namespace, read by one program."""
    show = "link show\nroute show default\n"
    links, _, routes = command.run(
        [*_inside(netns), "ip", "-j", "-batch", "-"], stdin=show
    ).partition("\n")
    return _json(links), _json(routes)


def _json(shown: str) -> _Objects:
    objects: _Objects = json.loads(shown or "[]")
    return objects


def _names(links: Iterable[Mapping[str, object]]) -> set[str]:
    return {str(link["ifname"]) for link in links}


def _inside(netns: str) -> list[str]:
    return ["nsenter", f"--net={netns}"]


def _ip(lines: Iterable[str], netns: str = "") -> None:
    script = "".join(f"{line}\n" for line in lines)
    if script:
        prefix = _inside(netns) if netns else []
        command.run([*prefix, "ip", "-batch", "-"], stdin=script)
