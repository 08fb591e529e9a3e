"""What diagnostics need of the outside world, as Protocols; `wiring` has the real things.

Wider than `workload.platform`: here the engine is asked for all that it says, in its own words.
"""

from collections.abc import Mapping, Sequence
from typing import Protocol

from calico_ctl.datastore.store import Store
from calico_ctl.model.container import OwnContainer
from calico_ctl.model.etcd_access import EtcdAccess

Json = Mapping[str, object]


class Docker(Protocol):
    """The Docker Engine. Every call may raise DockerUnavailable or DockerError."""

    def hurried(self) -> "Docker":
        """Return the engine without our own proxy between, and with little time to answer."""
        ...

    def version(self) -> Json:
        """Return what the engine says of its version and its parts."""
        ...

    def info(self) -> Json:
        """Return what the engine says of itself."""
        ...

    def listing(self) -> Sequence[Json]:
        """Return a few words on each container, running or not."""
        ...

    def inspect(self, name_or_id: str) -> Json:
        """Return all that the engine knows of a container; raise NotFound."""
        ...

    def manages_swarm(self) -> bool:
        """Say whether the engine is a manager of a Docker Swarm."""
        ...

    def own_container(self, name: str) -> OwnContainer | None:
        """Say how one of our own containers is, or None if there is none of that name."""
        ...

    def execute(self, name: str, argv: Sequence[str]) -> str:
        """Run a program in a running container; return what it printed."""
        ...

    def output(self, name: str, lines: int | None = None) -> str:
        """Return what a container printed, or only its last lines."""
        ...


class Settings(Protocol):
    """The environment, as far as it is asked."""

    @property
    def etcd_variables(self) -> Mapping[str, str]:
        """The variables that say how etcd is reached."""
        ...

    @property
    def docker(self) -> Mapping[str, str]:
        """The variables that say how Docker is."""
        ...

    def etcd(self) -> EtcdAccess:
        """Return how etcd is reached; raise InvalidValue naming the variable that is wrong."""
        ...


class Platform(Protocol):
    """Everything outside, made only when it is asked for: making it may raise InvalidValue."""

    @property
    def settings(self) -> Settings:
        """The environment."""
        ...

    @property
    def hostname(self) -> str:
        """This host's name, as the kernel says it."""
        ...

    @property
    def store(self) -> Store:
        """The datastore."""
        ...

    @property
    def docker(self) -> Docker:
        """The Docker Engine."""
        ...
