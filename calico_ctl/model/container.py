"""What we need to know about a container to give it an interface."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Container:
    """A Docker container (full `id`) as the engine describes it; `pid` is 0 if it does not run."""

    id: str
    name: str
    running: bool
    pid: int
    network_mode: str
