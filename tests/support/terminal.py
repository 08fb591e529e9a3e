"""A program on a terminal, and a person who reads and types."""

import contextlib
import os
import pty
import select
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence

CTRL_C = b"\x03"


class Terminal:
    """The person's side."""

    def __init__(self, keyboard: int, process: "subprocess.Popen[bytes]") -> None:
        self._keyboard = keyboard
        self._process = process
        self.seen = b""

    def type(self, text: bytes) -> None:
        os.write(self._keyboard, text)

    def read_until(self, mark: bytes, seconds: float = 60) -> bytes:
        """Read until the mark has been seen since the last time; return what was read."""
        end = time.monotonic() + seconds
        while mark not in self.seen:
            if not self._read(end - time.monotonic()):
                raise AssertionError(f"{mark!r} does not come: {self.seen!r}")
        found, _, self.seen = self.seen.partition(mark)
        return found

    def sees(self, mark: bytes, seconds: float = 1) -> bool:
        """Read for so long, or until the mark has been seen; say whether it has."""
        end = time.monotonic() + seconds
        while mark not in self.seen and (left := end - time.monotonic()) > 0:
            self._read(left)
        return mark in self.seen

    def wait(self, seconds: float = 60) -> int:
        """Wait for the program's end; return its exit code."""
        end = time.monotonic() + seconds
        while self._read(end - time.monotonic()):
            pass
        return self._process.wait(max(0.1, end - time.monotonic()))

    def _read(self, seconds: float) -> bool:
        ready, _, _ = select.select([self._keyboard], [], [], max(0, seconds))
        data = b""
        with contextlib.suppress(OSError):
            data = os.read(self._keyboard, 65_536) if ready else b""
        self.seen += data
        return bool(data)


@contextlib.contextmanager
def running(argv: Sequence[str], environment: Mapping[str, str]) -> Iterator[Terminal]:
    """Run a program on a terminal of its own; it is ended if it is still there afterwards."""
    keyboard, screen = pty.openpty()
    with subprocess.Popen(
        argv, stdin=screen, stdout=screen, stderr=screen, env=environment, start_new_session=True
    ) as process:
        os.close(screen)
        try:
            yield Terminal(keyboard, process)
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
            os.close(keyboard)
