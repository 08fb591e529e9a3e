"""What the steps on workloads need of the outside world, as Protocols, bundled in one Platform.

Real ones are made in `wiring`; tests pass fakes that obey the same contract.
"""

from typing import Protocol

from calico_ctl.datastore.store import Store
from calico_ctl.model.container import Container
from calico_ctl.model.interface import Interface


class Docker(Protocol):
    """The Docker Engine, as far as workloads go."""

    def container(self, name_or_id: str) -> Container:
        """Inspect by name, id or unique id prefix.

        Raises NotFound, Conflict (ambiguous prefix) or DockerUnavailable.
        """
        ...


class Network(Protocol):
    """The kernel's network on this host, as far as workloads go. Raises CommandFailed."""

    def plug(self, interface: Interface) -> None:
        """Make the pair with one end inside and configure it; on failure nothing of it is left."""
        ...

    def unplug(self, host_name: str) -> bool:
        """Remove the pair by its host side; say whether it was there."""
        ...

    def interface_exists(self, netns: str, name: str) -> bool:
        """Say whether a namespace has an interface of that name."""
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
        """This host's name, as the kernel says it."""
        ...

    @property
    def store(self) -> Store:
        """The datastore."""
        ...

    def open_store(self) -> Store:
        """Return the datastore by a connection of its own, as whoever watches it needs one."""
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
    def clock(self) -> Clock:
        """Time."""
        ...
