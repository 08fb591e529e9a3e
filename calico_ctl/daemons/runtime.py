"""How every daemon runs: listener threads that only post, one thread that decides.

A listener does one blocking thing (follow etcd, follow links, tick) and posts what it sees. The
deciding thread takes everything that is there as one batch. Nothing is shared but the inbox, so
nothing needs a lock. A listener that ends, for whatever reason, ends the process with that reason;
the init inside calico-node starts it again, and starting is the recovery path.
"""

import queue
import signal
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import FrameType

from calico_ctl.errors import CalicoError

Post = Callable[[object], None]
Stopping = threading.Event
Listener = Callable[[Post, Stopping], None]

INBOX_LIMIT = 20_000
"""Messages that may wait; a listener that is ahead by more waits for the deciding thread."""


@dataclass(frozen=True, slots=True)
class Tick:
    """Time has passed."""


@dataclass(frozen=True, slots=True)
class _Ended:
    listener: str
    error: Exception | None


class Runtime:
    """The inbox, the listeners and the signals of one process."""

    def __init__(self) -> None:
        """Start with no listeners."""
        self._inbox: queue.Queue[object] = queue.Queue(INBOX_LIMIT)
        self.stopping: Stopping = threading.Event()

    def listen(self, name: str, listener: Listener) -> None:
        """Run a listener in a thread of its own until `stopping` is set."""

        def guarded() -> None:
            error: Exception | None = None
            try:
                listener(self._inbox.put, self.stopping)
            except Exception as caught:  # noqa: BLE001 - a listener's end has to end the process
                error = caught
            if not self.stopping.is_set():
                self._inbox.put(_Ended(name, error))

        threading.Thread(target=guarded, name=name, daemon=True).start()

    def tick_every(self, seconds: float) -> None:
        """Post a Tick at once and then every so often."""

        def ticking(post: Post, stopping: Stopping) -> None:
            post(Tick())
            while not stopping.wait(seconds):
                post(Tick())

        self.listen("clock", ticking)

    def stop_on_signals(self) -> None:
        """End `batches` when SIGTERM or SIGINT comes; call from the main thread."""

        def ask_to_stop(_number: int, _frame: FrameType | None) -> None:
            self.stopping.set()

        signal.signal(signal.SIGTERM, ask_to_stop)
        signal.signal(signal.SIGINT, ask_to_stop)

    def batches(self) -> Iterator[list[object]]:
        """Yield what has come in, everything at once, until the process shall stop.

        Raises CalicoError naming the listener if one ended by itself.
        """
        while not self.stopping.is_set():
            batch = self._take()
            if batch:
                yield batch

    def _take(self) -> list[object]:
        try:
            batch = [self._inbox.get(timeout=0.5)]
        except queue.Empty:
            return []
        while True:
            try:
                batch.append(self._inbox.get_nowait())
            except queue.Empty:
                break
        for message in batch:
            if isinstance(message, _Ended):
                reason = message.error or "it returned"
                text = f"the {message.listener} listener ended ({reason})"
                raise CalicoError(text) from message.error
        return batch
