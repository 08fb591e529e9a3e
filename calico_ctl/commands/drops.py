"""Show what this host's policy drops, as it happens.

Usage:
  calicoctl drops [<ENDPOINT>] [--follow | --for=<TIME>] [--output=<FORM>]

Arguments:
  <ENDPOINT>  Only what is dropped of this endpoint of this host: its id or the beginning of it, an
              address, an interface, or a container by its name or id.

Each line is a packet: when, of whom, in which direction, from where to where, and why. What others
than Calico drop of our packets is shown too, with the table and chain that did it. Needs root.

While the command runs, the kernel tells of the first packets of connections (and of those that it
takes for false), 500 a second at most; what is more than that is not shown, and a warning says so.
When it does not run, nothing of it costs anything. `calicoctl endpoint show --counters` shows how
much was dropped since the policy agent began. Without etcd the reasons are known all the same, but
of whom only the interface; that is then what <ENDPOINT> may be.

Options:
  --follow         Go on until interrupted (Ctrl-C).
  --for=<TIME>     How long to look, such as 30s or 5m [default: 5s].
  --output=<FORM>  How to show them: table, or json for an object on each line.
  -h --help        Show this text.

Examples:
  sudo calicoctl drops
  sudo calicoctl drops web --follow
  sudo calicoctl drops --for=1m --output=json
"""

import json
import re
from collections.abc import Sequence
from contextlib import closing
from datetime import UTC, datetime

from calico_ctl import usage
from calico_ctl.commands import output
from calico_ctl.commands.output import Form
from calico_ctl.console import Console
from calico_ctl.errors import CalicoError, DatastoreUnavailable, ExitCode, InvalidValue, UsageError
from calico_ctl.model import duration, names
from calico_ctl.policy.dropped import Drop, Seen, Why
from calico_ctl.policy.rules_asked import protocol_name
from calico_ctl.policy.ruleset import TABLE
from calico_ctl.usage import Words
from calico_ctl.workload import endpoint_word, which_endpoint
from calico_ctl.workload.platform import DropWatch, Platform
from calico_ctl.workload.which_endpoint import Filter
from calico_ctl.workload.whose import Owner, Owners

_AT_A_TIME = 0.5
_COUNT_SECONDS = 2.0
_TABLELESS = (
    f"the nftables table {TABLE} is gone: until the policy agent makes it again, no policy drops"
    " anything here; `calicoctl status` shows how the agent is"
)
_LONGEST = 86400.0
_INTERFACE = re.compile(rf"{names.INTERFACE_PREFIX}[0-9a-f]{{1,11}}")


def run(argv: Sequence[str], platform: Platform, console: Console) -> ExitCode:
    """Look for as long as is asked for."""
    words = usage.parse(__doc__, argv)
    form, seconds = _form(words), _seconds(words)
    console.require_root("calicoctl drops")
    only = _interface(words, platform)
    viewer = _Viewer(platform, console, form, only)
    watch = platform.drop_watch()
    try:
        _look(watch, viewer, platform, console, None if words.flag("--follow") else seconds)
    finally:
        # Ctrl-C is how one ends who follows: what was left out is said then too.
        with closing(watch):
            counted = _tell_of_the_rest(watch, console)
    _sum_up(viewer, seconds, console)
    return ExitCode.OK if counted else ExitCode.FAILED


class _Viewer:
    """Prints drops, and remembers how many, and what was warned of."""

    def __init__(self, platform: Platform, console: Console, form: Form, only: str | None) -> None:
        self._platform = platform
        self._console = console
        self._form = form
        self._only = only
        self._owners = Owners(platform)
        self._warned: set[str] = set()
        self.shown = 0

    def take(self, seen: Seen) -> None:
        """Show what was seen, and say once what else is to be known about it."""
        if seen.tableless:
            self._warn(_TABLELESS)
        if seen.missed:
            self._warn("more was dropped than could be told; some of it is not shown")
        for drop in seen.drops:
            self._show(drop)

    def warn_of_too_many(self) -> None:
        """Say once that not all that there is can be looked at."""
        self._warn("there are too many packets; some of them are not looked at")

    def _show(self, drop: Drop) -> None:
        if self._only not in {None, drop.interface}:
            return
        self.shown += 1
        owner = self._owners.of(drop.interface)
        if self._owners.trouble:
            self._warn(f"only interfaces are known: {self._owners.trouble}")
        now = datetime.now(tz=UTC)
        if self._form is Form.JSON:
            item = _item(now, self._platform.hostname, drop, owner)
            self._console.result(json.dumps(item))
        else:
            self._console.result(_line(now, drop, owner))

    def _warn(self, what: str) -> None:
        if what not in self._warned:
            self._warned.add(what)
            self._console.say(f"warning: {what}")


def _look(
    watch: DropWatch, viewer: _Viewer, platform: Platform, console: Console, seconds: float | None
) -> None:
    """Show drops until the time is over or nobody reads them any more."""
    began = counted = platform.clock.monotonic()
    left = _AT_A_TIME
    while left > 0 and console.is_heard:
        viewer.take(watch.wait(min(left, _AT_A_TIME)))
        now = platform.clock.monotonic()
        if now - counted >= _COUNT_SECONDS:
            counted = now
            if watch.passed_over():
                viewer.warn_of_too_many()
        if seconds is not None:
            left = seconds - (now - began)
    # An etcd that does not answer may have taken the time: what was told meanwhile counts.
    if console.is_heard:
        viewer.take(watch.wait(0))


def _tell_of_the_rest(watch: DropWatch, console: Console) -> bool:
    """Say how many packets were left out, or that it is not known; return whether it is."""
    try:
        passed_over = watch.passed_over()
    except CalicoError as error:
        message = f"cannot say how many packets were not looked at: {error.message}"
        console.error(CalicoError(message, error.hint))
        return False
    if passed_over:
        console.say(f"warning: {passed_over} packets were not looked at: there were too many")
    return True


def _sum_up(viewer: _Viewer, seconds: float, console: Console) -> None:
    count = viewer.shown
    said = "nothing was dropped" if count == 0 else f"{count} packets were dropped"
    console.say(f"{said} in {seconds:g} s".replace("1 packets were", "1 packet was", count == 1))


def _form(words: Words) -> Form:
    form = output.form(words)
    if form not in {Form.TABLE, Form.JSON}:
        raise InvalidValue("--output", form.value, "table or json: what goes on has no other form")
    return form


def _seconds(words: Words) -> float:
    return duration.parse(words.text("--for"), "--for", _LONGEST)


def _interface(words: Words, platform: Platform) -> str | None:
    """Return the interface of the endpoint that is asked about; None: all are."""
    text = words.optional("<ENDPOINT>")
    if text is None:
        return None
    wanted = Filter(word=endpoint_word.parse(text, "endpoint"))
    try:
        endpoint = which_endpoint.find_one(platform, wanted)
    except DatastoreUnavailable as error:
        if _INTERFACE.fullmatch(text):
            return text
        error.hint = f"leave out {text}, or name its interface: those are known without etcd"
        raise
    if endpoint.key.host != platform.hostname:
        raise UsageError(
            f"error: endpoint {endpoint.key.id} is on host {endpoint.key.host}",
            hint=f"run it on {endpoint.key.host}: each host knows what it drops itself",
        )
    return endpoint.name


def _reason(drop: Drop, owner: Owner) -> str:
    """Return the reason, with the profiles' names where the kernel has only one for their list."""
    if drop.reason.why is Why.NO_RULE and owner.endpoint is not None and owner.endpoint.profiles:
        return f"no {drop.direction} rule of {', '.join(owner.endpoint.profiles)} matches"
    return drop.reason.message


def _line(now: datetime, drop: Drop, owner: Owner) -> str:
    packet = drop.packet
    protocol = protocol_name(packet.protocol)
    if packet.icmp_type is not None:
        protocol += f" type {packet.icmp_type}"
    ends = f"{_end(packet.src, packet.src_port)} -> {_end(packet.dst, packet.dst_port)}"
    when = now.astimezone().strftime("%H:%M:%S")
    whose = owner.name(drop.interface) or "(no interface of ours)"
    return f"{when} {whose} {drop.direction} {protocol} {ends}: {_reason(drop, owner)}"


def _end(ip: object, port: int | None) -> str:
    if port is None:
        return str(ip)
    return f"[{ip}]:{port}" if ":" in str(ip) else f"{ip}:{port}"


def _item(now: datetime, hostname: str, drop: Drop, owner: Owner) -> dict[str, object]:
    packet, endpoint = drop.packet, owner.endpoint
    return {
        "schema": output.SCHEMA,
        "kind": "drop",
        "time": now.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "hostname": hostname,
        "interface": drop.interface or None,
        "endpoint": None if endpoint is None else endpoint.key.id,
        "workload": None if endpoint is None else endpoint.key.workload,
        "container": owner.container or None,
        "direction": drop.direction.value,
        "protocol": protocol_name(packet.protocol),
        "source": str(packet.src),
        "source_port": packet.src_port,
        "destination": str(packet.dst),
        "port": packet.dst_port,
        "icmp_type": packet.icmp_type,
        "icmp_code": packet.icmp_code,
        "why": drop.reason.why.value,
        "reason": _reason(drop, owner),
        "profile": drop.reason.profile or None,
        "position": drop.reason.position or None,
    }
