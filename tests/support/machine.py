"""A machine made of fakes: what the steps on workloads see, without kernel, Docker or etcd."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from itertools import count
from pathlib import Path

from netaddr import IPAddress

from calico_ctl.datastore import nodes, status
from calico_ctl.datastore.store import Change, Entry, Event, Made, Tree
from calico_ctl.errors import AlreadyExists, CalicoError, NotFound
from calico_ctl.model import keys
from calico_ctl.model.container import Container, ContainerEvent, OwnContainer
from calico_ctl.model.count import Count, Drops
from calico_ctl.model.interface import Interface
from calico_ctl.model.keys import Leaf
from calico_ctl.model.node import Node
from calico_ctl.model.root import ROOT
from calico_ctl.model.rule import Direction
from calico_ctl.workload.platform import DropWatch
from tests.support.memory_store import MemoryStore

HOST = "host1"
GATEWAY = IPAddress("10.99.0.1")
CONTAINER = "c" * 64


class FakeClock:
    """Time that passes only when somebody waits."""

    def __init__(self) -> None:
        self.now = 0.0

    def monotonic(self) -> float:
        """Return the seconds waited so far."""
        return self.now

    def sleep(self, seconds: float) -> None:
        """Let time pass."""
        self.now += seconds


@dataclass
class FakeNetwork:
    """Interfaces in a dictionary. `fail` is raised by the next plug, after half of the work."""

    plugged: dict[str, Interface] = field(default_factory=dict)
    fail: BaseException | None = None
    unplugged: list[str] = field(default_factory=list)

    def plug(self, interface: Interface) -> None:
        """Remember the interface."""
        if (interface.netns, interface.name) in {(p.netns, p.name) for p in self.plugged.values()}:
            raise AlreadyExists(f"the container already has an interface {interface.name}")
        if self.fail is not None:
            raise self.fail
        self.plugged[interface.host_name] = interface

    def unplug(self, host_name: str) -> bool:
        """Forget the interface."""
        self.unplugged.append(host_name)
        return self.plugged.pop(host_name, None) is not None

    def reconfigure(self, interface: Interface) -> None:
        """Remember how it is now."""
        if interface.host_name not in self.plugged:
            raise NotFound(f"there is no interface {interface.name}")
        if self.fail is not None:
            raise self.fail
        self.plugged[interface.host_name] = interface

    def is_plugged(self, host_name: str, netns: str) -> bool:
        """Look for it in that namespace."""
        interface = self.plugged.get(host_name)
        return interface is not None and _same_file(interface.netns, netns)

    def is_there(self, host_name: str) -> bool:
        """Look for our side of it."""
        return host_name in self.plugged


def _same_file(one: str, other: str) -> bool:
    """Say whether two paths are one namespace; one that is not there is only like itself."""
    if one == other:
        return True
    with suppress(OSError):
        return Path(one).samefile(other)
    return False


@dataclass
class FakeDocker:
    """Containers by name, our own apart; `printed` is what any program in one of those prints.

    `fail` is raised by everything that looks at our own, `fail_to_execute` by running a program.
    """

    containers: dict[str, Container] = field(default_factory=dict)
    own: dict[str, OwnContainer] = field(default_factory=dict)
    printed: str = ""
    fail: CalicoError | None = None
    fail_to_execute: CalicoError | None = None
    executed: list[tuple[str, ...]] = field(default_factory=list)
    events: Sequence[ContainerEvent] = ()
    local: bool = True

    def is_local(self) -> bool:
        """Say what the test says."""
        return self.local

    def container(self, name_or_id: str) -> Container:
        """Find one by its name or the beginning of its id."""
        for name, container in self.containers.items():
            if name == name_or_id or container.id.startswith(name_or_id):
                return container
        raise NotFound(f"there is no container {name_or_id}")

    def container_ids(self) -> set[str]:
        """List them."""
        return {container.id for container in self.containers.values()}

    def container_events(self) -> Iterator[ContainerEvent]:
        """Tell what was prepared, then go away."""
        return iter(self.events)

    def kill(self, container_id: str) -> None:
        """Let it have no process."""
        for name, container in self.containers.items():
            if container.id == container_id:
                self.containers[name] = replace(container, running=False, pid=0)

    def remove(self, container_id: str) -> None:
        """Forget it."""
        self.containers = {k: v for k, v in self.containers.items() if v.id != container_id}

    def hurried(self) -> "FakeDocker":
        """The same: nobody waits for it."""
        return self

    def own_container(self, name: str) -> OwnContainer | None:
        """Find one of our own."""
        if self.fail is not None:
            raise self.fail
        return self.own.get(name)

    def execute(self, name: str, argv: Sequence[str]) -> str:
        """Print what was said."""
        failure = self.fail or self.fail_to_execute
        if failure is not None:
            raise failure
        assert self.own[name].running
        self.executed.append(tuple(argv))
        return self.printed


@dataclass
class FakeCounters:
    """What a kernel counted; None: it has no table of ours."""

    profiles: dict[str, Mapping[Direction, Mapping[int, Sequence[Count]]]] | None = None
    interfaces: Mapping[str, Drops] | None = None

    def rules(self, profile: str) -> Mapping[Direction, Mapping[int, Sequence[Count]]]:
        """Look the profile up."""
        if self.profiles is None:
            raise NotFound("this host has no table")
        if profile not in self.profiles:
            raise NotFound(f"profile {profile} is not in use on this host")
        return self.profiles[profile]

    def drops(self) -> Mapping[str, Drops]:
        """Return those of every interface."""
        if self.interfaces is None:
            raise NotFound("this host has no table")
        return self.interfaces


class Killed(BaseException):
    """The process is gone: nothing of it runs any more, not even what takes things back."""


class AnsweringStore(MemoryStore):
    """A store with an agent behind it: `answer` makes its report on each endpoint, or None."""

    def __init__(self, clock: FakeClock) -> None:
        super().__init__()
        self.answer: Callable[[int], status.EndpointStatus | None] = lambda revision: (
            status.EndpointStatus(status.UP, revision)
        )
        self.before: Callable[[str, str], None] = lambda verb, key: None
        self._clock = clock

    def kill_at(self, request: int) -> None:
        """Let no request through from that one on: whoever asks is killed."""
        asked = count()

        def die(_verb: str, _key: str) -> None:
            if next(asked) >= request:
                raise Killed

        self.before = die

    def revive(self) -> None:
        """Let everything through again."""
        self.before = lambda verb, key: None

    def create(self, key: str, value: str | None) -> Entry:
        """Make a key; the agent answers if it is an endpoint."""
        self.before("create", key)
        return self._answered(super().create(key, value))

    def swap(self, seen: Entry, value: str) -> Entry:
        """Replace a key's value; the agent answers if it is an endpoint."""
        self.before("swap", seen.key)
        return self._answered(super().swap(seen, value))

    def write_together(
        self, changes: Sequence[Change], made: Made | None = None
    ) -> Mapping[str, Entry]:
        """Make changes, in one step if it is transactional; the agent answers on endpoints."""
        if self.transactional and changes:
            self.before("together", changes[0].key)
        written = super().write_together(changes, made)
        if self.transactional:
            for entry in written.values():
                self._answered(entry)
        return written

    def _answered(self, entry: Entry) -> Entry:
        parsed = keys.parse(entry.key)
        if parsed is not None and parsed.leaf is Leaf.ENDPOINT and parsed.endpoint is not None:
            report = self.answer(entry.revision)
            if report is not None:
                status.write_endpoint(self, parsed.endpoint, report)
        return entry

    def watch(self, directory: str, after: int, timeout: float) -> Sequence[Event]:
        """Do not wait: let the clock run instead."""
        events = super().watch(directory, after, 0)
        if not events:
            self._clock.sleep(timeout)
        return events

    def tree(self, directory: str) -> Tree:
        """Read, unless `before` raises."""
        self.before("tree", directory)
        return super().tree(directory)

    def delete(self, key: str, seen: Entry | None = None) -> bool:
        """Delete, unless `before` raises."""
        self.before("delete", key)
        return super().delete(key, seen)


@dataclass
class Machine:
    """Implements `workload.platform.Platform`: host1, a node with one running container `web`."""

    clock: FakeClock = field(default_factory=FakeClock)
    network: FakeNetwork = field(default_factory=FakeNetwork)
    docker: FakeDocker = field(default_factory=FakeDocker)
    counters: FakeCounters = field(default_factory=FakeCounters)
    hostname: str = HOST
    agent: str = ""

    def __post_init__(self) -> None:
        """Register the node."""
        self.store = AnsweringStore(self.clock)
        nodes.register(self.store, Node(HOST, GATEWAY))
        self.docker.containers["web"] = Container(CONTAINER, "web", True, 42, "default")

    def drop_watch(self) -> DropWatch:
        """Nobody looks at drops here."""
        raise AssertionError("nobody was to look at drops")

    def agent_report(self) -> str:
        """Let the agent say what the test has it say."""
        if not self.agent:
            raise NotFound("no process answers")
        return self.agent

    def left(self) -> list[str]:
        """Return what a container has left behind; the agent's report is the agent's to remove."""
        below = [f"{keys.workloads(HOST)}/"]
        entries = [e for e in self.store.tree(ROOT).entries if e.value is not None]
        found = [e.key for e in entries if e.key.startswith(tuple(below))]
        found += [e.key for e in entries if "/block/" in e.key and '"handle_id"' in str(e.value)]
        return found + list(self.network.plugged)


class Unplugged(CalicoError):
    """What a test's network raises."""
