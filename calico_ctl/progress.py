"""What goes on now, on one line of a terminal, with the seconds that it has taken so far."""

import os
import sys
from collections.abc import Callable
from threading import Condition, Thread
from time import monotonic
from types import TracebackType
from typing import Self

_INTERVAL = 1.0


class Progress:
    """Keeps one line up to date until the next one begins, or the work ends."""

    def __init__(self, write: Callable[[str], None], interval: float = _INTERVAL) -> None:
        """Write with `write`, anew every `interval` seconds."""
        self._write = write
        self._interval = interval
        self._changed = Condition()
        self._text = ""
        self._began = 0.0
        self._ended = False
        self._thread = Thread(target=self._keep_current, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.end_line()
        with self._changed:
            self._ended = True
            self._changed.notify()
        self._thread.join()

    def begin_line(self, text: str) -> None:
        """Say what goes on now."""
        self.end_line()
        with self._changed:
            self._text, self._began = text, monotonic()
            self._write(_cut(text))

    def end_line(self) -> None:
        """Leave the line as it is now; what is written next stands below it."""
        with self._changed:
            if self._text:
                self._write("\n")
            self._text = ""

    def _keep_current(self) -> None:
        with self._changed:
            while not self._ended:
                self._changed.wait(self._interval)
                seconds = int(monotonic() - self._began)
                if self._text and seconds:
                    self._write(f"\r{_cut(f'{self._text} ... {seconds} s')}")


def _cut(text: str) -> str:
    """Cut a line in its middle to the terminal's width: a line that wraps cannot be rewritten."""
    try:
        width = os.get_terminal_size(sys.stderr.fileno()).columns
    except (OSError, ValueError):
        return text
    if not width or len(text) < width:
        return text
    kept = max(width - 4, 8)
    return f"{text[: kept - kept // 2]}...{text[-(kept // 2) :]}"
