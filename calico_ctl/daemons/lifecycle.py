"""Follows the life of this host's containers, through whichever door it is changed.

Docker tells what has happened to a container; what is to be done about it is read from what the
container is now, so lost, late and repeated news do no harm. After a start of this service, or of
Docker, every container is looked at.

A container that Docker has destroyed gives back what it had. Of one that is merely unknown to
Docker nobody may be sure: it is looked for once more after a while, and as long as its interface is
there it lives. Besides, what a command left half-done is taken back (`workload.attach.recover`).
"""

import logging
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from calico_ctl.daemons.meters import Meters
from calico_ctl.daemons.runtime import Post, Runtime, Stopping, Tick
from calico_ctl.daemons.service_report import ServiceReport
from calico_ctl.daemons.workers import Workers
from calico_ctl.datastore import endpoints, status
from calico_ctl.errors import CalicoError, DatastoreUnavailable, InvalidValue
from calico_ctl.model import metric
from calico_ctl.model.container import Container, ContainerEvent
from calico_ctl.model.endpoint import DOCKER
from calico_ctl.wiring import RealPlatform
from calico_ctl.workload import attach, containers
from calico_ctl.workload.platform import Platform

log = logging.getLogger(__name__)

TICK_SECONDS = 2.0

_WORKERS = 4
_RECONNECT_SECONDS = 1.0
_FIRST_DELAY, _LONGEST_DELAY = 1.0, 30.0
_UNKNOWN_SECONDS = 30.0

_WORTH_A_LOOK = {"start", "die", "destroy"}


@dataclass(frozen=True, slots=True)
class Listed:
    """Docker answers, and has these containers; all events from now on will follow."""

    ids: frozenset[str]


@dataclass(frozen=True, slots=True)
class Settled:
    """A container was looked at.

    `problem` is why it has no network yet, `left_alone` why it will not get one. `waits_for_etcd`
    says that nothing else is known to be wrong: it may not even wish a network.
    """

    id: str
    name: str
    problem: str = ""
    left_alone: str = ""
    waits_for_etcd: bool = False


@dataclass(slots=True)
class _Again:
    """When to look at a container again that could not be settled, and what stood in the way."""

    due: float
    delay: float
    settled: Settled


@dataclass(frozen=True, slots=True)
class _Unknown:
    """A container that Docker does not know: since when, and our sides of its interfaces."""

    since: float
    interfaces: tuple[str, ...]


def run(platform: RealPlatform) -> None:
    """Follow until told to stop."""
    runtime = Runtime()
    runtime.stop_on_signals()
    meters = Meters(status.LIFECYCLE, platform.settings.metrics_directory)
    runtime.listen("meters", meters.run)
    runtime.listen("docker", lambda post, stopping: follow(platform, post, stopping))
    runtime.tick_every(TICK_SECONDS)
    for _ in turns(platform, runtime, meters):
        pass


def turns(platform: Platform, runtime: Runtime, meters: Meters | None = None) -> Iterator[None]:
    """Take in what has come in, again and again; yield after each batch."""
    lifecycle = Lifecycle(platform, meters or Meters(status.LIFECYCLE))
    lifecycle.workers.start(runtime, _WORKERS)
    runtime.listen("report", lifecycle.report.run)
    for batch in runtime.batches():
        lifecycle.turn(batch)
        yield


def follow(platform: Platform, post: Post, stopping: Stopping) -> None:
    """Post which containers there are and what happens to them; outlives Docker's restarts."""
    told = ""
    while not stopping.is_set():
        try:
            events = platform.docker.container_events()
            post(Listed(frozenset(platform.docker.container_ids())))
            told = ""
            for event in events:
                if event.action in _WORTH_A_LOOK:
                    post(event)
        except CalicoError as error:
            if error.message != told:
                log.warning("cannot follow Docker, trying again: %s", error.message)
            told = error.message
        stopping.wait(_RECONNECT_SECONDS)


@dataclass(slots=True)
class Lifecycle:
    """The deciding thread's state; the workers only look at containers and settle them."""

    platform: Platform
    meters: Meters = field(default_factory=lambda: Meters(status.LIFECYCLE))
    workers: Workers = field(init=False)
    report: ServiceReport = field(init=False)
    _destroyed: set[str] = field(default_factory=set)
    _left_alone: dict[str, Settled] = field(default_factory=dict)
    _again: dict[str, _Again] = field(default_factory=dict)
    _unknown: dict[str, _Unknown] = field(default_factory=dict)
    _listed: Listed | None = None

    def __post_init__(self) -> None:
        """Have nobody looked at yet."""
        self.workers = Workers(self.settle)
        platform = self.platform
        self.report = ServiceReport(
            platform.store, platform.hostname, status.LIFECYCLE, self.meters
        )

    def turn(self, batch: Iterable[object]) -> None:
        """Take in a batch: have containers looked at, and see to what is due."""
        for message in batch:
            match message:
                case Listed():
                    self._listed = message
                case ContainerEvent(id=container, action=action):
                    if action == "destroy":
                        self._destroyed.add(container)
                    self.workers.ask(container)
                case Settled():
                    self._take_in(message)
                case _:
                    pass
        if self._listed is not None:
            self._look_at_all(self._listed)
        if any(isinstance(message, Tick) for message in batch):
            self._recover()
            self._look_again()
            self._collect()
        self._say()

    def _take_in(self, settled: Settled) -> None:
        now = self.platform.clock.monotonic()
        self._left_alone.pop(settled.id, None)
        former = self._again.pop(settled.id, None)
        if settled.left_alone:
            self._left_alone[settled.id] = settled
        if settled.problem:
            if former is None or former.settled != settled:
                log.warning("container %s has no network yet: %s", settled.name, settled.problem)
            delay = min(former.delay * 2, _LONGEST_DELAY) if former else _FIRST_DELAY
            self._again[settled.id] = _Again(now + delay, delay, settled)
        if not settled.waits_for_etcd:
            for again in self._waiting_for_etcd():
                again.due = now

    def _look_at_all(self, listed: Listed) -> None:
        """Have every container looked at that Docker or etcd knows on this host."""
        try:
            stored, _ = endpoints.all(self.platform.store, self.platform.hostname, DOCKER)
        except CalicoError as error:
            log.warning("cannot read this host's endpoints yet: %s", error.message)
            return
        self._listed = None
        interfaces: dict[str, list[str]] = {}
        for endpoint in stored:
            interfaces.setdefault(endpoint.key.workload, []).append(endpoint.name)
        now = self.platform.clock.monotonic()
        self._unknown = {
            container: _Unknown(now, tuple(interfaces[container]))
            for container in interfaces.keys() - listed.ids
        }
        for container in sorted(listed.ids):
            self.workers.ask(container)

    def _waiting_for_etcd(self) -> list[_Again]:
        return [each for each in self._again.values() if each.settled.waits_for_etcd]

    def _look_again(self) -> None:
        """Have those looked at whose turn to be tried again has come."""
        now = self.platform.clock.monotonic()
        # One finds out for all whether etcd is back; with many it would cost much to ask for each.
        for again in self._waiting_for_etcd()[:1]:
            again.due = now
        for container, again in self._again.items():
            if now >= again.due:
                again.due = now + _LONGEST_DELAY
                self.workers.ask(container)

    def _collect(self) -> None:
        """Have those released that Docker has not known for a while and that do not live."""
        now = self.platform.clock.monotonic()
        for container, unknown in list(self._unknown.items()):
            alive = any(self.platform.network.is_there(name) for name in unknown.interfaces)
            if now - unknown.since >= _UNKNOWN_SECONDS and not alive:
                del self._unknown[container]
                self._destroyed.add(container)
                self.workers.ask(container)

    def _recover(self) -> None:
        try:
            for key in attach.recover(self.platform):
                log.info("took back what broke off: %s of workload %s", key.id, key.workload)
        except CalicoError as error:
            log.warning("cannot take back what broke off, trying again: %s", error.message)

    def settle(self, container_id: str, post: Post) -> None:
        """Settle a container; in a worker's thread."""
        name = container_id[:12]
        try:
            container = containers.find(self.platform, container_id)
            if container is None:
                self._release(container_id)
                post(Settled(container_id, name))
                return
            name = container.name
            post(Settled(container_id, name, left_alone=self._connect(container)))
        except CalicoError as error:
            is_etcd = isinstance(error, DatastoreUnavailable)
            post(Settled(container_id, name, problem=error.message, waits_for_etcd=is_etcd))

    def _connect(self, container: Container) -> str:
        """Connect a container, or return why it is left alone."""
        try:
            containers.wish_of(container)
        except InvalidValue as error:
            return error.message
        began = self.platform.clock.monotonic()
        done = containers.connect(self.platform, container)
        if done:
            took = self.platform.clock.monotonic() - began
            self.meters.observe(metric.ATTACH, took)
            log.info("container %s: %s in %.0f ms", container.name, done, took * 1000)
        return containers.why_left_alone(container)

    def _release(self, container_id: str) -> None:
        if container_id not in self._destroyed:
            return
        began = self.platform.clock.monotonic()
        if containers.release(self.platform, container_id):
            took = (self.platform.clock.monotonic() - began) * 1000
            name = container_id[:12]
            log.info("container %s is gone: released what it had in %.0f ms", name, took)
        self._destroyed.discard(container_id)

    def _say(self) -> None:
        unsettled = (each.settled for each in self._again.values())
        problems = {each.name: each.problem for each in unsettled}
        left_alone = {each.name: each.left_alone for each in self._left_alone.values()}
        self.meters.set(metric.UNSETTLED, len(problems))
        self.meters.set(metric.LEFT_ALONE, len(left_alone))
        self.report.say(problems=problems, left_alone=left_alone)
