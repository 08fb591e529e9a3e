"""What goes through the tunnels of this host: routes, ends of tunnels and detours in the kernel.

Everything here carries a protocol number of its own, 81, and by it is recognised: what has it and
is not wanted goes, what is wanted and not there comes. So one pass serves the first start, every
change, what somebody else changed, and what a former life left behind.

What is new comes before what is old goes, so that no packet is lost in between: a route to the same
network is replaced, not deleted and made again.
"""

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from netaddr import IPAddress, IPNetwork

from calico_ctl.bgp.encapsulation import DETOUR_TABLES, MAIN_TABLE, Detour, Peer, Plan, Route
from calico_ctl.dataplane import tunnel_links
from calico_ctl.errors import CommandFailed
from calico_ctl.host import command
from calico_ctl.model import address
from calico_ctl.model.address import FAMILIES, Family
from calico_ctl.model.encapsulation import DEVICES

PROTOCOL = 81
"""Marks routes and routing rules as ours; 80 are the agent's, 12 are BIRD's."""

PRIORITY = 4081
"""Where the detours stand among the routing rules: after `local` (0), before `main` (32766)."""

_Object = Mapping[str, object]
_USUAL_METRIC = {4: 0, 6: 1024}
_TABLE_NAMES = {"main": MAIN_TABLE}
_OTHER_KIND = -1


@dataclass(frozen=True, slots=True)
class _Place:
    """What the kernel goes by when it replaces a route."""

    destination: str
    table: int
    metric: int


@dataclass(frozen=True, slots=True)
class _Found:
    """A route that carries our number; `route` is None if it can be none of ours."""

    place: _Place
    route: Route | None
    deletion: str


class KernelTunnels:
    """This host's tunnels. Use from one thread. Needs root."""

    def __init__(self) -> None:
        """Know nothing of what a former life left."""
        self._clean = False

    def make(self, plan: Plan) -> dict[str, str]:
        """Make everything as planned; return what did not work, by what it is about.

        Without tunnels it costs next to nothing once all is clean.
        """
        if self._clean and not plan.tunnels and not tunnel_links.present():
            return {}
        problems: dict[str, str] = {}
        working = set()
        for tunnel in plan.tunnels:
            try:
                tunnel_links.ensure(tunnel)
                working.add(tunnel.device)
            except CommandFailed as error:
                problems[f"device {tunnel.device}"] = error.message
        steps = [(f"device {name}", lambda name=name: _peers(name, plan)) for name in working]
        steps += [(f"IPv{f} routes", lambda f=f: _routes(f, plan, working)) for f in FAMILIES]
        unused = [name for name in DEVICES.values() if name not in _devices(plan)]
        used_before = tunnel_links.present() if self._clean else _in_use(unused)
        steps.append(("unused devices", lambda: _remove_unused(unused, used_before)))
        for what, step in steps:
            try:
                step()
            except CommandFailed as error:
                problems[what] = error.message
        self._clean = not plan.tunnels and not problems
        return problems


def remove_all() -> None:
    """Remove all of ours from this host's kernel. Raises CommandFailed."""
    problems = KernelTunnels().make(Plan())
    if problems:
        raise CommandFailed("; ".join(problems.values()))
