"""The kernel's network as `workload` sees it: plug, unplug, look."""

import os
import socket
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import NamedTuple

from calico_ctl.dataplane import container_side, rtnetlink, uplink, veth
from calico_ctl.dataplane.netlink import ROUTE, KernelRefused, Netlink
from calico_ctl.dataplane.veth import Request, Step
from calico_ctl.errors import AlreadyExists, CalicoError
from calico_ctl.host import kernel, namespaces
from calico_ctl.model.address import FAMILIES
from calico_ctl.model.interface import Interface


class _Inside(NamedTuple):
    """A container's namespace: its open file, and a socket in it."""

    netns: int
    route: Netlink


class KernelNetwork:
    """Implements `workload.platform.Network` with rtnetlink. Needs root. Usable from threads."""

    def plug(self, interface: Interface) -> None:
        """Make the pair with one end inside and configure it; on failure nothing of it is left."""
        with _inside(interface.netns) as inside, ExitStack() as undo:
            if container_side.index_of(inside.route, interface.name) is not None:
                raise AlreadyExists(
                    f"the container already has an interface {interface.name}",
                    hint="choose another name with --interface=<INTERFACE>",
                )
            undo.callback(self.unplug, interface.host_name)
            with Netlink(ROUTE) as host:
                _do(host, veth.plan_pair(interface, inside.netns, _mtu(interface)))
            index = _index(inside, interface)
            _enable_ipv6(inside, interface)
            _do(inside.route, veth.plan_inside(interface, index))
            self._lead_out(inside, interface, index, undo)
            undo.pop_all()

    def unplug(self, host_name: str) -> bool:
        """Remove the pair by its host side; say whether it was there."""
        if not link_exists(host_name):
            return False
        try:
            with Netlink(ROUTE) as host:
                _do(host, [veth.plan_removal(host_name)])
        except KernelRefused:
            # The container may have ended meanwhile and taken the pair with it.
            if link_exists(host_name):
                raise
            return False
        return True

    def reconfigure(self, interface: Interface) -> None:
        """Make addresses and routes inside as they shall be, of an interface that is there."""
        with _inside(interface.netns) as inside, ExitStack() as undo:
            index = _index(inside, interface)
            _enable_ipv6(inside, interface)
            mtu = _mtu(interface)
            if mtu is not None:
                with Netlink(ROUTE) as host:
                    _do(host, [veth.plan_mtu(interface.host_name, mtu)])
                _do(inside.route, [veth.plan_mtu(interface.name, mtu)])
            present = container_side.addresses(inside.route, index)
            _do(inside.route, veth.plan_addresses(interface, index, present))
            _do(inside.route, veth.plan_gateways(interface, index))
            self._lead_out(inside, interface, index, undo)
            undo.pop_all()
            for family in set(FAMILIES) - {gateway.version for gateway in interface.gateways}:
                # The kernel keeps routes of a family whose last address of ours has gone.
                routes = container_side.written_routes(inside.route, index, family)
                _do(inside.route, veth.plan_flush(routes, interface.name))

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

    def _lead_out(self, inside: _Inside, interface: Interface, index: int, undo: ExitStack) -> None:
        """Have the default routes lead through the interface."""
        if any(gateway.version == 4 for gateway in interface.gateways):
            present = container_side.default_routes(inside.route)
            demotion = veth.plan_demotion(present, index)
            undo.callback(_promote, inside.route, demotion)
            _do(inside.route, [step.do for step in demotion])
        _do(inside.route, veth.plan_default_routes(interface, index))


def link_exists(name: str) -> bool:
    """Say whether this namespace has a link of that name."""
    try:
        socket.if_nametoindex(name)
    except OSError:
        return False
    return True


@contextmanager
def _inside(netns: str) -> Iterator[_Inside]:
    """Give a socket in the namespace whose file that is. Raises CalicoError if there is none."""
    try:
        descriptor = os.open(netns, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise CalicoError(
            f"cannot enter the network namespace {netns}: {error.strerror}"
        ) from error
    try:
        with namespaces.within(descriptor, partial(Netlink, ROUTE)) as route:
            yield _Inside(descriptor, route)
    finally:
        os.close(descriptor)


def _index(inside: _Inside, interface: Interface) -> int:
    index = container_side.index_of(inside.route, interface.name)
    if index is None:
        raise CalicoError(f"the container has no interface {interface.name}")
    return index


def _enable_ipv6(inside: _Inside, interface: Interface) -> None:
    """Undo what Docker does to every interface of a container without an IPv6 network.

    To its own address a container sends through loopback.
    """
    if all(ip.version == 4 for ip in interface.addresses):
        return
    for name in ("lo", interface.name):
        setting = f"net/ipv6/conf/{name}/disable_ipv6"
        if not namespaces.within(inside.netns, partial(kernel.write_setting, setting, "0")):
            problem = f"the container cannot have an IPv6 address: its kernel has no {setting}"
            raise CalicoError(problem)


def _mtu(interface: Interface) -> int | None:
    return uplink.mtu_of_containers(interface.gateways, interface.addresses, interface.overhead)


def _do(route: Netlink, requests: Iterable[Request]) -> None:
    for request in requests:
        route.ask(*request)


def _promote(route: Netlink, demotion: list[Step]) -> None:
    # Only on the way out of a failure: some of these steps were never done, so each is tried.
    for step in reversed(demotion):
        with suppress(KernelRefused):
            route.ask(*step.undo)
