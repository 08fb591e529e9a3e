"""The kernel's network as `workload` sees it: plug, unplug, look."""

import json
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack

from calico_ctl.dataplane import veth
from calico_ctl.errors import AlreadyExists, CalicoError
from calico_ctl.host import command
from calico_ctl.model.interface import Interface


class KernelNetwork:
    """Implements `workload.platform.Network` with `ip` and `nsenter`. Needs root."""

    def plug(self, interface: Interface) -> None:
        """Make the pair with one end inside and configure it; on failure nothing of it is left."""
        if self.interface_exists(interface.netns, interface.name):
            raise AlreadyExists(
                f"the container already has an interface {interface.name}",
                hint="choose another name with --interface=<INTERFACE>",
            )
        with ExitStack() as undo:
            undo.callback(self.unplug, interface.host_name)
            _ip(veth.plan_pair(interface))
            if any(ip.version == 6 for ip in interface.addresses):
                enable_ipv6(interface.netns, interface.name)
            _ip(veth.plan_inside(interface), interface.netns)
            self._take_default_routes(interface, undo)
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
        if any(ip.version == 6 for ip in interface.addresses):
            enable_ipv6(netns, interface.name)
        _ip(veth.plan_addresses(interface, shown), netns)
        families = {gateway.version for gateway in interface.gateways}
        _ip(veth.plan_gateways(interface), netns)
        for family in {4, 6} - families:
            # The kernel keeps routes of a family whose last address of ours has gone.
            flush = ["route", "flush", "dev", interface.name, "proto", "boot"]
            command.run([*_inside(netns), "ip", f"-{family}", *flush])
        with ExitStack() as undo:
            self._take_default_routes(interface, undo)
            undo.pop_all()

    def is_plugged(self, host_name: str, netns: str) -> bool:
        """Say whether the other end of our pair is in that namespace, whatever its name there."""
        ours = _links(["ip", "-j", "link", "show"])
        end = next((link for link in ours if link["ifname"] == host_name), None)
        if end is None:
            return False
        inside = _links([*_inside(netns), "ip", "-j", "link", "show"])
        return any(
            (link["ifindex"], link.get("link_index")) == (end.get("link_index"), end["ifindex"])
            for link in inside
        )

    def is_there(self, host_name: str) -> bool:
        """Say whether the host has our side of a pair."""
        return link_exists(host_name)

    def interface_exists(self, netns: str, name: str) -> bool:
        """Say whether a namespace has an interface of that name."""
        return name in _names(_links([*_inside(netns), "ip", "-j", "link", "show"]))

    def _take_default_routes(self, interface: Interface, undo: ExitStack) -> None:
        shown = command.run(
            [*_inside(interface.netns), "ip", "-j", "-4", "route", "show", "default"]
        )
        wanted_ipv4 = any(gateway.version == 4 for gateway in interface.gateways)
        demotion = veth.plan_demotion(shown, interface.name) if wanted_ipv4 else []
        undo.callback(self._promote, interface, demotion)
        _ip([step.do for step in demotion], interface.netns)
        _ip(veth.plan_default_routes(interface), interface.netns)

    def _promote(self, interface: Interface, demotion: list[veth.Step]) -> None:
        # Only on the way out of a failure: some of these lines were never done, so each is tried.
        for step in reversed(demotion):
            command.succeeds([*_inside(interface.netns), "ip", *step.undo.split()])


def enable_ipv6(netns: str, interface: str) -> None:
    """Undo what Docker does to every interface of a container without an IPv6 network."""
    setting = f"/proc/sys/net/ipv6/conf/{interface}/disable_ipv6"
    command.run([*_inside(netns), "tee", setting], stdin="0\n")


def link_exists(name: str) -> bool:
    """Say whether this namespace has a link of that name."""
    return name in _names(_links(["ip", "-j", "link", "show"]))


def _links(show: Sequence[str]) -> Sequence[Mapping[str, object]]:
    links: Sequence[Mapping[str, object]] = json.loads(command.run(show) or "[]")
    return links


def _names(links: Iterable[Mapping[str, object]]) -> set[str]:
    return {str(link["ifname"]) for link in links}


def _inside(netns: str) -> list[str]:
    return ["nsenter", f"--net={netns}"]


def _ip(lines: Iterable[str], netns: str = "") -> None:
    script = "".join(f"{line}\n" for line in lines)
    if script:
        prefix = _inside(netns) if netns else []
        command.run([*prefix, "ip", "-batch", "-"], stdin=script)
