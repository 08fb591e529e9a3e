"""Routing: hosts, peers, pools and blocks in etcd → BIRD's configuration → reload if it changed.

What etcd holds is read anew at each change, so one path serves the first start, every change and
recovery. While etcd is away, or does not hold `/calico/Ready` (it is not the store that we know),
BIRD keeps what it has: its routes go on working. A configuration that BIRD refuses replaces
nothing and is tried again with the next turn.
"""

import hashlib
import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Protocol

from netaddr import IPAddress, IPNetwork

from calico_ctl.bgp import bird as bgp_bird
from calico_ctl.bgp import topology
from calico_ctl.bgp.bird import Config
from calico_ctl.bgp.encapsulation import Uplink
from calico_ctl.bgp.following import Following
from calico_ctl.bgp.topology import Topology
from calico_ctl.daemons import encapsulation
from calico_ctl.daemons.encapsulation import Encapsulation
from calico_ctl.daemons.meters import Meters
from calico_ctl.daemons.runtime import Runtime, Tick
from calico_ctl.daemons.service_report import ServiceReport
from calico_ctl.dataplane import uplink
from calico_ctl.dataplane.bird import Bird, SessionState
from calico_ctl.dataplane.tunnel import KernelTunnels
from calico_ctl.datastore import follow
from calico_ctl.datastore.follow import Changes, Disconnected, Resync, Scope
from calico_ctl.errors import CommandFailed
from calico_ctl.model import keys, metric
from calico_ctl.model.root import ROOT
from calico_ctl.wiring import RealPlatform
from calico_ctl.workload.platform import Platform

log = logging.getLogger(__name__)

SERVICE = "routing"
TICK_SECONDS = 10.0

_SCOPE = Scope(ROOT, without=(f"{keys.STATUS}/", f"{keys.PROFILES}/"))


class Speaker(Protocol):
    """A BGP daemon, as far as this goes."""

    def configure(self, text: str) -> bool:
        """Give it a configuration unless it has it; say whether it was new."""
        ...

    def sessions(self) -> list[SessionState] | None:
        """Return its BGP sessions, or None if it is not up."""
        ...


class Routing:
    """The deciding thread's state: the keys that matter, and what was done about them."""

    def __init__(
        self,
        platform: Platform,
        speaker: Speaker,
        meters: Meters | None = None,
        uplink_of: Callable[[IPAddress], Uplink | None] = uplink.of,
    ) -> None:
        """Start without having read anything."""
        self._meters = meters or Meters(SERVICE)
        self.report = ServiceReport(platform.store, platform.hostname, SERVICE, self._meters)
        """What is told etcd; its `run` has to run in a thread of its own."""
        self._platform = platform
        self._speaker = speaker
        self._uplink_of = uplink_of
        self._following: Following | None = None
        self._problems: Mapping[str, str] = {}
        self._sessions: dict[str, _Seen] = {}
        self._applied = ""
        self._trouble = ""

    def turn(self, batch: Iterable[object]) -> None:
        """Take in a batch, make BIRD right, report."""
        messages = list(batch)
        changed = [self._take_in(message) for message in messages]
        # A tick tries again what failed.
        ticked = any(isinstance(message, Tick) for message in messages)
        if self._following is None or not (any(changed) or ticked):
            return
        self._configure(topology.read(self._following.values))
        if ticked:
            self._watch_sessions()
        if self._applied or self._trouble:
            self.report.say(trouble=self._trouble, config=self._applied)

    def _take_in(self, message: object) -> bool:
        match message:
            case Resync(entries=entries):
                return self._take_over({key: value for key, (value, _) in entries.items()})
            case Changes(changes=changes) if self._following is not None:
                # All of them, whatever the first one says.
                changed = [self._following.fold(each.key, each.value) for each in changes]
                return any(changed)
            case Disconnected(reason=reason):
                log.warning("etcd is away, BIRD keeps what it has: %s", reason)
            case _:
                pass
        return False

    def _take_over(self, values: dict[str, str]) -> bool:
        if values.get(keys.READY) != "true":
            log.warning("%s is not true in etcd: BIRD keeps what it has", keys.READY)
            return False
        self._following = Following(self._platform.hostname, values)
        return True

    def _configure(self, seen: Topology) -> None:
        if self._problems != seen.problems:
            for key, reason in seen.problems.items():
                log.warning("left out %s: %s", key, reason)
            self._problems = seen.problems
        config = topology.config(seen, self._platform.hostname)
        if config is None:
            return
        config = replace(config, subnets=self._subnets(config))
        started = self._platform.clock.monotonic()
        text = bgp_bird.render(config)
        try:
            changed = self._speaker.configure(text)
        except CommandFailed as error:
            self._trouble = f"BIRD keeps what it had: {error.message}"
            log.warning("%s", self._trouble)
            return
        self._trouble = ""
        self._applied = hashlib.sha256(text.encode()).hexdigest()[:16]
        if changed:
            self._meters.count(metric.CONFIGURED)
            log.info(
                "configured BIRD with %d sessions and %d pools in %.1f ms",
                len(config.sessions),
                len(config.pools),
                (self._platform.clock.monotonic() - started) * 1000,
            )

    def _subnets(self, config: Config) -> tuple[IPNetwork, ...]:
        own = [ip for ip in (config.ipv4, config.ipv6) if ip is not None]
        uplinks = (self._uplink_of(ip) for ip in own)
        return tuple(each.subnet for each in uplinks if each is not None)

    def _watch_sessions(self) -> None:
        sessions = self._speaker.sessions()
        if sessions is None:
            log.warning("BIRD does not answer")
            return
        now = self._platform.clock.monotonic()
        found = {each.name: _Seen(each.established, now) for each in sessions}
        established = sum(each.established for each in found.values())
        self._meters.set(metric.SESSIONS, len(found))
        self._meters.set(metric.ESTABLISHED, established)
        for line in _turns(self._sessions, found, now):
            log.info("%s: %d of %d are established", line, established, len(found))
        # What is as it was has been so since then.
        former = self._sessions
        self._sessions = {
            name: former[name] if name in former and former[name].same(each) else each
            for name, each in found.items()
        }


@dataclass(frozen=True, slots=True)
class _Seen:
    """How a session was found, and when it was first found so: seconds of the clock."""

    established: bool
    since: float

    def same(self, other: "_Seen") -> bool:
        return self.established == other.established


def _turns(former: Mapping[str, _Seen], found: Mapping[str, _Seen], now: float) -> Iterator[str]:
    """Yield what is to be said of each session that was established, or is, and was not.

    How long it was the other way is as exact as one looks often.
    """
    for name in sorted(former.keys() | found.keys()):
        was, seen = former.get(name), found.get(name)
        if was is None and seen is not None and seen.established:
            yield f"session {name} is established, seen for the first time"
        elif was is not None and seen is not None and not was.same(seen):
            turn = "established" if seen.established else "lost"
            yield f"session {name} is {turn} after {now - was.since:.0f} s"
        elif was is not None and seen is None and was.established:
            yield f"session {name} is no more, after {now - was.since:.0f} s"


def run(platform: RealPlatform) -> None:
    """Run until told to stop; BIRD, its routes and the tunnels stay as they are then."""
    runtime = Runtime()
    runtime.stop_on_signals()
    meters = Meters(SERVICE, platform.settings.metrics_directory)
    runtime.listen("meters", meters.run)
    routing = Routing(platform, Bird(), meters)
    runtime.listen("report", routing.report.run)
    about_tunnels = ServiceReport(platform.store, platform.hostname, encapsulation.SERVICE)
    runtime.listen("report on tunnels", about_tunnels.run)
    tunnels = Encapsulation(platform.hostname, KernelTunnels(), about_tunnels.say)
    runtime.listen(
        "etcd",
        lambda post, stopping: follow.follow(platform.store, _SCOPE, post, stopping),
    )
    runtime.tick_every(TICK_SECONDS)
    for batch in runtime.batches():
        routing.turn(batch)
        tunnels.turn(batch)
    log.info("stopping; BIRD and its routes stay as they are")
