"""What we need to know about a container: to give it an interface, or to say how it is."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Container:
    """A Docker container (full `id`) as the engine describes it; `pid` is 0 if it does not run.

    `environment` are lines like `NAME=value`, the image's among them. `hosts_path` is where the
    engine keeps what is /etc/hosts inside.
    """

    id: str
    name: str
    running: bool
    pid: int
    network_mode: str
    environment: tuple[str, ...] = ()
    hostname: str = ""
    domain: str = ""
    hosts_path: str = ""


@dataclass(frozen=True, slots=True)
class ContainerEvent:
    """What happened to a container, in Docker's word: `start`, `die`, `destroy`, …"""

    id: str
    action: str


@dataclass(frozen=True, slots=True)
class OwnContainer:
    """One of our own containers. `description` is Docker's, such as `Up 5 minutes`."""

    running: bool
    description: str
    environment: Mapping[str, str] = field(default_factory=dict)
