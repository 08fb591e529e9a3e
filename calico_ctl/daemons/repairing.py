"""What others changed and we mended: how often, and how soon again.

Somebody who changes our table once is answered at once. Two programs that write one thing in turns
would never end, so from the sixth time in a row each answer waits longer, up to a minute.
"""

import logging
from collections import Counter
from collections.abc import Mapping

from calico_ctl.workload.platform import Clock

log = logging.getLogger(__name__)

_AT_ONCE = 5
_IN_A_ROW = 10.0
_LONGEST = 60.0


class Repairing:
    """Counts of repairs by kind, and whether our table is to be written anew."""

    def __init__(self, clock: Clock) -> None:
        """Start at peace."""
        self._clock = clock
        self._counts: Counter[str] = Counter()
        self._in_a_row = 0
        self._last = float("-inf")
        self._due_at: float | None = None

    def counts(self) -> Mapping[str, int]:
        """Return how much was mended, by kind: `table`, `host`, `firewall`."""
        return dict(self._counts)

    def count(self, kind: str, number: int) -> None:
        """Count what was mended elsewhere."""
        self._counts[kind] += number

    def touched(self, by: str) -> None:
        """Take in that somebody else changed our table; `by` names the program, if known."""
        if self._due_at is not None:
            return
        now = self._clock.monotonic()
        if now - self._last > _IN_A_ROW + self._delay():
            self._in_a_row = 0
        self._in_a_row += 1
        self._due_at = now + self._delay()
        log.warning(
            "our table was changed by %s: writing it anew in %.0f s",
            by or "somebody",
            self._delay(),
        )

    def due(self) -> bool:
        """Say, once, whether the table is to be written anew now."""
        now = self._clock.monotonic()
        if self._due_at is None or now < self._due_at:
            return False
        self._due_at, self._last = None, now
        self.count("table", 1)
        return True

    def _delay(self) -> float:
        beyond = self._in_a_row - _AT_ONCE
        return min(2.0**beyond, _LONGEST) if beyond > 0 else 0.0
