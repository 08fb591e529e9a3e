"""Threads that do pieces of work in the order in which they came, only so many at a time.

Daemon threads: those of an executor would have the process wait for them when it is told to end.
A thread is there only as long as there is work.
"""

import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future

Work = Callable[[], object]


class Lane:
    """A queue with a limited number of threads."""

    def __init__(self, limit: int) -> None:
        """Do at most `limit` pieces at a time."""
        self._limit = limit
        self._lock = threading.Lock()
        self._threads = 0
        self._waiting: deque[tuple[Future[object], Work]] = deque()

    def submit(self, work: Work) -> "Future[object]":
        """Have the work done when its turn comes; returns at once.

        The future gets what the work returns or raises. Cancelled before its turn, it is not done;
        afterwards it is done to its end, and keeps its thread so long.
        """
        future: Future[object] = Future()
        with self._lock:
            if self._threads < self._limit:
                threading.Thread(target=self._run, name="lane", daemon=True).start()
                self._threads += 1
            self._waiting.append((future, work))
        return future

    def _run(self) -> None:
        while (waiting := self._next()) is not None:
            _do(*waiting)

    def _next(self) -> tuple[Future[object], Work] | None:
        with self._lock:
            if self._waiting:
                return self._waiting.popleft()
            self._threads -= 1
            return None


def _do(future: "Future[object]", work: Work) -> None:
    if not future.set_running_or_notify_cancel():
        return
    try:
        result = work()
    except BaseException as error:  # noqa: BLE001 - it is raised where the result is asked for
        future.set_exception(error)
    else:
        future.set_result(result)
