"""What the steps on workloads need of the outside world, as Protocols, bundled in one Platform.

Real ones are made in `wiring`; tests pass fakes that obey the same contract.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Protocol

from calico_ctl.datastore.store import Store

if TYPE_CHECKING:
    # Every command loads this module, and most have none of these in their hands.
    from calico_ctl.model.container import Container, ContainerEvent, OwnContainer
    from calico_ctl.model.count import Count, Drops
    from calico_ctl.model.interface import Interface
    from calico_ctl.model.rule import Direction
    from calico_ctl.policy.dropped import Seen


class Docker(Protocol):
    """The Docker Engine, as far as workloads and looking at our own containers go."""

    def is_local(self) -> bool:
        """Say whether it is on this machine, so that its process ids mean something here."""
        ...

    def container(self, name_or_id: str) -> "Container":
        """Inspect by name, id or unique id prefix.

        Raises NotFound, Conflict (ambiguous prefix) or DockerUnavailable.
        """
        ...

    def container_ids(self) -> set[str]:
        """Return the ids of all containers, also of those that do not run."""
        ...

    def container_events(self) -> "Iterator[ContainerEvent]":
        """Follow what happens to containers from when this returns, until the engine goes away."""
        ...

    def kill(self, container_id: str) -> None:
        """End a container at once; no error if it does not run or is gone."""
        ...

    def remove(self, container_id: str) -> None:
        """Remove a container, running or not; no error if it is gone."""
        ...

    def hurried(self) -> "Docker":
        """Return the engine without our own proxy between, and with little time to answer."""
        ...

    def own_container(self, name: str) -> "OwnContainer | None":
        """Say how one of our own containers is, or None if there is none of that name."""
        ...

    def execute(self, name: str, argv: Sequence[str]) -> str:
        """Run a program in a running container; return what it printed.

        Raises DockerError with its last lines if it ended with another code than 0.
        """
        ...


class Network(Protocol):
    """The kernel's network on this host, as far as workloads go. May raise CalicoError."""

    def plug(self, interface: "Interface") -> None:
        """Make the pair with one end inside and configure it; on failure nothing of it is left."""
        ...

    def unplug(self, host_name: str) -> bool:
        """Remove the pair by its host side; say whether it was there."""
        ...

    def reconfigure(self, interface: "Interface") -> None:
        """Make addresses and routes inside as they shall be, of an interface that is there."""
        ...

    def is_plugged(self, host_name: str, netns: str) -> bool:
        """Say whether the other end of our pair is in that namespace."""
        ...

    def is_there(self, host_name: str) -> bool:
        """Say whether the host has our side of a pair."""
        ...


class Counters(Protocol):
    """What this host's kernel has counted. Needs root; may raise KernelRefused."""

    def rules(self, profile: str) -> "Mapping[Direction, Mapping[int, Sequence[Count]]]":
        """Return the counts of a profile's rules, by direction and number of the rule.

        One for each rule of the kernel: it may have several for one of ours. Raises NotFound if
        there is no table of ours or no chain of the profile in it.
        """
        ...

    def drops(self) -> "Mapping[str, Drops]":
        """Return what was dropped of each interface that is let through; NotFound: no table."""
        ...


class DropWatch(Protocol):
    """Somebody who looks at what this host's kernel drops. Use from one thread."""

    def wait(self, seconds: float) -> "Seen":
        """Wait until something is told, at most so long, and return what was dropped of it."""
        ...

    def passed_over(self) -> int:
        """Return how many packets were not looked at because there were too many."""
        ...

    def close(self) -> None:
        """Look no more: nothing of it stays in the kernel."""
        ...


class Clock(Protocol):
    """Time, as an argument."""

    def monotonic(self) -> float:
        """Return seconds from an arbitrary start."""
        ...

    def sleep(self, seconds: float) -> None:
        """Wait."""
        ...


class Platform(Protocol):
    """Everything outside, made only when it is asked for."""

    @property
    def hostname(self) -> str:
        """This host's name in etcd: as it was written down, else as the kernel says it."""
        ...

    @property
    def store(self) -> Store:
        """The datastore."""
        ...

    @property
    def docker(self) -> Docker:
        """The Docker Engine."""
        ...

    @property
    def network(self) -> Network:
        """The kernel's network."""
        ...

    @property
    def counters(self) -> Counters:
        """What the kernel has counted."""
        ...

    def drop_watch(self) -> DropWatch:
        """Begin to look at what the kernel drops. NotFound: no table of ours; KernelRefused."""
        ...

    def agent_report(self) -> str:
        """Return how this host's policy agent is just now, as it writes it; empty: not known yet.

        Needs root; CalicoError if nobody answers.
        """
        ...

    @property
    def clock(self) -> Clock:
        """Time."""
        ...
