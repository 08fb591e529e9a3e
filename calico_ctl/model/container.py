"""What we need to know about a container: to give it an interface, or to say how it is."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Container:
    """A Docker container (full `id`) as the engine describes it; `pid` is 0 if it does not run."""

    id: str
    name: str
    running: bool
    pid: int
    network_mode: str


@dataclass(frozen=True, slots=True)
class OwnContainer:
    """One of our own containers. `description` is Docker's, such as `Up 5 minutes`."""

    running: bool
    description: str
    environment: Mapping[str, str] = field(default_factory=dict)
