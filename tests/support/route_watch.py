"""Notes every change of the routes in a network namespace: a route may be away for a millisecond.

Whoever makes one has `PROGRAM` write into `note`, in the namespace where `run` runs things.
"""

import itertools
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from tests.support import command

PROGRAM = ["ip", "monitor", "route"]
PATIENCE = 30.0


@dataclass
class RouteWatch:
    """What happened to the routes since it was made, which waits until everything is noted."""

    run: Callable[[list[str]], object]
    note: Path
    _marks: "itertools.count[int]" = field(default_factory=lambda: itertools.count(1))

    def __post_init__(self) -> None:
        """Wait until changes are noted."""
        self._catch_up()

    def taken_away(self) -> list[str]:
        """Return the routes by way of a neighbour that were deleted, be it for a moment."""
        self._catch_up()
        lines = self.note.read_text().splitlines()
        return [line for line in lines if line.startswith("Deleted") and " via " in line]

    def _catch_up(self) -> None:
        """Change a route that nobody needs until that is noted: so is what was before it."""
        mark = f"192.0.2.{next(self._marks)}"

        def noted() -> bool:
            for verb in ("add", "del"):
                self.run(["ip", "route", verb, f"{mark}/32", "dev", "eth0"])
            return f"{mark} " in self.note.read_text()

        command.wait_until(noted, PATIENCE, "changes of routes are noted")
