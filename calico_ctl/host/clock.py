"""This machine's clock."""

import time


class SystemClock:
    """Implements `workload.platform.Clock`."""

    def monotonic(self) -> float:
        """Return seconds from an arbitrary start; never goes back."""
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        """Wait."""
        time.sleep(seconds)
