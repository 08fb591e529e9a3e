"""Several threads that do one piece of work for each of many names.

Never two at a time for one name; and whoever asks while the work for a name is being done has it
done once more afterwards, because what the work looked at may have changed meanwhile. So a burst of
requests for one name costs two turns at most.
"""

import threading
from collections.abc import Callable

from calico_ctl.daemons.runtime import Post, Runtime, Stopping

_LOOK_SECONDS = 0.5


class Workers:
    """The queue between who asks and the threads that work."""

    def __init__(self, work: Callable[[str, Post], None]) -> None:
        """Have nothing to do yet. `work` gets a name, and may post to the runtime's inbox."""
        self._work = work
        self._changed = threading.Condition()
        self._waiting: dict[str, None] = {}
        self._busy: set[str] = set()

    def start(self, runtime: Runtime, count: int) -> None:
        """Start so many threads; one that fails ends the process, as every listener does."""
        for number in range(1, count + 1):
            runtime.listen(f"worker {number}", self._run)

    def ask(self, name: str) -> None:
        """Have the work done for a name, after what was asked for before. Returns at once."""
        with self._changed:
            self._waiting[name] = None
            self._changed.notify()

    def _run(self, post: Post, stopping: Stopping) -> None:
        while not stopping.is_set():
            name = self.take(_LOOK_SECONDS)
            if name is None:
                continue
            try:
                self._work(name, post)
            finally:
                self.give_back(name)

    def take(self, timeout: float) -> str | None:
        """Take the name that waits longest; None if there is none within `timeout` seconds."""
        with self._changed:
            name = self._next()
            if name is None:
                self._changed.wait(timeout)
                name = self._next()
            if name is not None:
                del self._waiting[name]
                self._busy.add(name)
            return name

    def _next(self) -> str | None:
        return next((name for name in self._waiting if name not in self._busy), None)

    def give_back(self, name: str) -> None:
        """Say that the work for a name is done."""
        with self._changed:
            self._busy.remove(name)
            if name in self._waiting:
                self._changed.notify()
