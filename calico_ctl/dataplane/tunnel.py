"""What goes through the tunnels of this host: routes, ends of tunnels and detours in the kernel.

Everything here carries a protocol number of its own, 81, and by it is recognised: what has it and
is not wanted goes, what is wanted and not there comes. So one pass serves the first start, every
change, what somebody else changed, and what a former life left behind.

What is new comes before what is old goes, so that no packet is lost in between: a route to the same
network is replaced, not deleted and made again.
"""

import json
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from netaddr import IPAddress, IPNetwork

from calico_ctl.bgp.encapsulation import MAIN_TABLE, Detour, Plan, Route
from calico_ctl.dataplane import tunnel_links, tunnel_state
from calico_ctl.dataplane.netlink import KernelRefused
from calico_ctl.errors import CalicoError, CommandFailed
from calico_ctl.host import command, kernel
from calico_ctl.model import address
from calico_ctl.model.address import FAMILIES, Family
from calico_ctl.model.encapsulation import DEVICES, Way

PROTOCOL = 81
"""Marks routes and routing rules as ours; 80 are the agent's, 12 are BIRD's."""

PRIORITY = 4081
"""Where the detours stand among the routing rules: after `local` (0), before `main` (32766)."""

_Object = Mapping[str, object]
_METRIC = {4: 0, 6: 1024}


@dataclass(frozen=True, slots=True)
class _Found:
    """A route that carries our number. `route` is None if it is written as none of ours is.

    `place` is what the kernel goes by when it replaces a route: table, destination and metric.
    """

    place: tuple[int, str, int]
    route: Route | None
    device: str
    deletion: str


class KernelTunnels:
    """This host's tunnels. Use from one thread. Needs root."""

    def __init__(self) -> None:
        """Know nothing of what a former life left."""
        self._clean = False
        self._settled: tuple[Plan, frozenset[object]] | None = None

    def make(self, plan: Plan) -> dict[str, str]:
        """Make everything as planned; return what did not work, by what it is about.

        It costs next to nothing where nothing changed, and without tunnels once all is clean.
        """
        if self._clean and not plan.tunnels and not tunnel_links.present():
            return {}
        before = _state()
        if before is not None and self._settled == (plan, before):
            return {}
        problems = self._make(plan)
        # It has to be the same before and after: what somebody else changes in between is not ours.
        settled = before is not None and not problems and before == _state()
        self._settled = (plan, before) if before is not None and settled else None
        return problems

    def _make(self, plan: Plan) -> dict[str, str]:
        problems: dict[str, str] = {}
        working = frozenset(
            each.device
            for each in plan.tunnels
            if _try(problems, f"device {each.device}", partial(tunnel_links.ensure, each))
        )
        used: set[str] = set()
        for device in sorted(working):
            _try(problems, f"ends of {device}", partial(_sync_peers, device, plan))
        for family in _families():
            _try(problems, f"IPv{family} routes", partial(_sync, family, plan, working, used))
        unused = (used | {*tunnel_links.present()}) - {each.device for each in plan.tunnels}
        _try(problems, "unused devices", partial(tunnel_links.remove, sorted(unused)))
        self._clean = not plan.tunnels and not problems
        return problems


def remove_all() -> None:
    """Remove all of ours from this host's kernel. Raises CommandFailed."""
    problems = KernelTunnels().make(Plan())
    if problems:
        raise CommandFailed("; ".join(problems.values()))


def _state() -> frozenset[object] | None:
    """Return what the kernel has, or None if that cannot be said in one value."""
    try:
        return tunnel_state.read(_families(), PROTOCOL)
    except KernelRefused:
        return None


def _families() -> list[Family]:
    """Return the families that this kernel has: one without IPv6 refuses to be asked."""
    has_ipv6 = kernel.read_setting("net/ipv6/conf/all/forwarding") is not None
    return [family for family in FAMILIES if family == 4 or has_ipv6]


def _try(problems: dict[str, str], what: str, step: Callable[[], object]) -> bool:
    try:
        step()
    except CalicoError as error:
        problems[what] = error.message
        return False
    return True


def _sync(family: Family, plan: Plan, working: Collection[str], used: set[str]) -> None:
    """Make the routes and detours of a family as planned; note which tunnels had routes."""
    wanted = {
        each
        for each in plan.routes
        if address.family(each.destination) == family and each.device in {"", *working}
    }
    found = _routes(family)
    used |= {each.device for each in found} & {*DEVICES.values()}
    there = {each.route for each in found}
    new = sorted(wanted - there, key=str)
    # What stands in the place of a new route is replaced by it.
    replaced = {(each.table, _text(each.destination), _METRIC[family]) for each in new}
    old = [each for each in found if each.route not in wanted and each.place not in replaced]
    detours = {each for each in plan.detours if address.family(each.source) == family}
    rules = _detours(family)
    lines = [f"route replace {_described(each)}" for each in new]
    lines += [_rule("add", each) for each in sorted(detours - {*rules}, key=str)]
    lines += [line for each, line in rules.items() if each not in detours]
    lines += [each.deletion for each in old]
    _batch(["ip", f"-{family}"], lines)


def _routes(family: Family) -> list[_Found]:
    listed = _json(["ip", "-j", f"-{family}", "route", "show", "table", "all", "proto", _NUMBER])
    return [_found(each, family) for each in listed]


def _found(shown: _Object, family: Family) -> _Found:
    target, device = str(shown["dst"]), str(shown.get("dev", ""))
    table = MAIN_TABLE if "table" not in shown else _table(str(shown["table"]))
    metric = int(str(shown.get("metric", 0)))
    words = [f"route del {target}"]
    words += [f"{word} {shown[key]}" for key, word in _NAMING if key in shown]
    deletion = " ".join([*words, f"table {table} metric {metric} proto {PROTOCOL}"])
    route = None
    onlink = "onlink" in str(shown.get("flags"))
    in_tunnel = device in DEVICES.values()
    usual = metric == _METRIC[family] and onlink == (in_tunnel and family == 4)
    if usual and "gateway" in shown and target != "default" and "type" not in shown:
        source = shown.get("prefsrc")
        route = Route(
            IPNetwork(target),
            IPAddress(str(shown["gateway"])),
            device if in_tunnel else "",
            IPAddress(str(source)) if source else None,
            table,
        )
    return _Found((table, target, metric), route, device, deletion)


_NAMING = (("gateway", "via"), ("dev", "dev"))
_NUMBER = str(PROTOCOL)


def _table(name: str) -> int:
    return int(name) if name.isdecimal() else MAIN_TABLE


def _text(cidr: IPNetwork) -> str:
    """Write a network as `ip` shows it: an address that stands alone without its length."""
    return str(cidr.ip) if cidr.prefixlen == address.width(cidr) else str(cidr)


def _described(route: Route) -> str:
    words = [str(route.destination), f"via {route.gateway}"]
    if route.device:
        words.append(f"dev {route.device}")
        # The address of a host is in no network of the tunnel.
        words += ["onlink"] if route.gateway.version == 4 else []
    if route.source is not None:
        words.append(f"src {route.source}")
    return " ".join([*words, f"table {route.table} proto {PROTOCOL}"])


def _detours(family: Family) -> dict[Detour, str]:
    """Return the detours that there are, each with the line that takes it away."""
    found = {}
    for each in _json(["ip", "-j", f"-{family}", "rule", "show"]):
        if str(each.get("protocol")) != _NUMBER:
            continue
        source = "all" if each["src"] == "all" else f"{each['src']}/{each.get('srclen', '')}"
        where = f"priority {each['priority']}"
        where += f" lookup {each['table']}" if "table" in each else ""
        network = _DEFAULTS[family] if source == "all" else source.removesuffix("/")
        usual = each["priority"] == PRIORITY and str(each.get("table")).isdecimal()
        detour = Detour(IPNetwork(network), int(str(each["table"])) if usual else 0)
        found[detour] = f"rule del from {source.removesuffix('/')} {where} protocol {PROTOCOL}"
    return found


_DEFAULTS = {4: "0.0.0.0/0", 6: "::/0"}


def _rule(verb: str, detour: Detour) -> str:
    return (
        f"rule {verb} from {detour.source} priority {PRIORITY} lookup {detour.table}"
        f" protocol {PROTOCOL}"
    )


def _sync_peers(device: str, plan: Plan) -> None:
    """Pin what stands for each host in a VXLAN to its MAC address, and that to the host."""
    peers = [each for each in plan.peers if each.device == device]
    _sync_neighbours(device, {(str(each.gateway), each.mac) for each in peers})
    _sync_forwarding(device, {(each.mac, str(each.host)) for each in peers})


def _sync_neighbours(device: str, wanted: set[tuple[str, str]]) -> None:
    listed = _json(["ip", "-j", "neigh", "show", "dev", device, "nud", "permanent"])
    found = {(str(each["dst"]), str(each.get("lladdr"))) for each in listed}
    kept = {ip for ip, _ in wanted}
    lines = [
        f"neigh replace {ip} lladdr {mac} dev {device} nud permanent"
        for ip, mac in sorted(wanted - found)
    ]
    lines += [f"neigh del {ip} dev {device}" for ip, _ in sorted(found) if ip not in kept]
    _batch(["ip"], lines)


def _sync_forwarding(device: str, wanted: set[tuple[str, str]]) -> None:
    if DEVICES[Way.IPIP, 4] == device:
        return
    listed = _json(["bridge", "-j", "fdb", "show", "dev", device])
    found = {(str(each["mac"]), str(each["dst"])) for each in listed if "dst" in each}
    new = wanted - found
    replaced = {mac for mac, _ in new}
    lines = [
        f"fdb replace {mac} dev {device} dst {host} self permanent" for mac, host in sorted(new)
    ]
    lines += [
        f"fdb del {mac} dev {device} dst {host} self"
        for mac, host in sorted(found - wanted)
        if mac not in replaced
    ]
    _batch(["bridge"], lines)


def _json(argv: Sequence[str]) -> list[_Object]:
    listed: list[_Object] = json.loads(command.run(argv) or "[]")
    # `ip` shows what it has filtered out as empty objects.
    return [each for each in listed if each]


def _batch(program: Sequence[str], lines: Iterable[str]) -> None:
    """Carry out all lines, also after one that fails; raise for the first of those."""
    script = "".join(f"{line}\n" for line in lines)
    if script:
        command.run([*program, "-force", "-batch", "-"], stdin=script)
