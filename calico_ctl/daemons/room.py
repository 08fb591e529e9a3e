"""Memory that many share: who finds too little of it free waits in line.

For one thread only, the proxy's.
"""

from collections import deque
from concurrent.futures import Future


class Room:
    """So many bytes, of which everybody takes what it will hold, and gives that back."""

    def __init__(self, size: int) -> None:
        """Have `size` bytes free."""
        self._free = size
        self._waiting: deque[tuple[Future[object], int]] = deque()

    def take(self, size: int) -> "Future[object]":
        """Take so many bytes; they are taken when the future is done, unless it is cancelled."""
        future: Future[object] = Future()
        self._waiting.append((future, size))
        self._grant()
        return future

    def give_back(self, size: int) -> None:
        """Give back so many bytes that were taken."""
        self._free += size
        self._grant()

    def _grant(self) -> None:
        # In order of arrival: otherwise the small would always be before the large.
        while self._waiting:
            future, size = self._waiting[0]
            if size > self._free and not future.cancelled():
                return
            self._waiting.popleft()
            if future.set_running_or_notify_cancel():
                self._free -= size
                future.set_result(None)
