"""Asking a process of this host for what it knows: it writes one text to whoever connects.

Over a socket in the file system, which only root may use. It works when Docker and etcd do not, and
across containers that share the directory. A socket that nobody answers is one whose process ended.
"""

import socket
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from threading import Event

from calico_ctl.errors import CalicoError, DeadlineExceeded, NotFound

AGENT = Path("/var/lib/calico/felix.sock")
"""Where the policy agent tells all that it holds: in a directory that host and node share."""

AGENT_REPORT = AGENT.with_name("felix-report.sock")
"""Where it tells how it is just now, which costs it nothing."""

_LOOK_SECONDS = 1.0
_SECONDS_TO_READ = 10.0
_QUEUE_SECONDS = 0.02
_PIECE = 1 << 16


class Ended(NotFound):
    """A process answered at a socket once, and does not run any more."""


def give(path: Path, answer: Callable[[], str], stopping: Event) -> None:
    """Answer one after the other until `stopping` is set; `answer` is called for each.

    Raises CalicoError if the socket cannot be made. One that is there already is replaced.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        _listen(listener, path)
        listener.settimeout(_LOOK_SECONDS)
        while not stopping.is_set():
            with suppress(TimeoutError):
                connection, _ = listener.accept()
                with connection, suppress(OSError):
                    connection.settimeout(_SECONDS_TO_READ)
                    connection.sendall(answer().encode())


def ask(path: Path, seconds: float) -> str:
    """Return what the process behind a socket answers within `seconds`.

    Raises NotFound if there is none (Ended if there was one), DeadlineExceeded if it does not
    answer.
    """
    until = time.monotonic() + seconds
    pieces: list[bytes] = []
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as asking:
            asking.settimeout(seconds)
            _connect(asking, path, until)
            asking.settimeout(_left(until))
            while piece := asking.recv(_PIECE):
                pieces.append(piece)
                asking.settimeout(_left(until))
    except TimeoutError as error:
        raise DeadlineExceeded(f"nothing answered at {path} within {seconds:g} s") from error
    except FileNotFoundError as error:
        raise NotFound(f"no process answers at {path}") from error
    except ConnectionRefusedError as error:
        raise Ended(f"no process answers at {path}") from error
    except OSError as error:
        raise CalicoError(f"cannot ask at {path}: {error.strerror}") from error
    return b"".join(pieces).decode(errors="replace")


def _left(until: float) -> float:
    return max(until - time.monotonic(), 0.001)


def _connect(asking: socket.socket, path: Path, until: float) -> None:
    """Connect; TimeoutError if the process has not taken up those before by then."""
    while True:
        try:
            asking.connect(str(path))
        except BlockingIOError as error:
            # A full queue is told at once, whatever the time limit.
            if time.monotonic() >= until:
                raise TimeoutError from error
            time.sleep(_QUEUE_SECONDS)
        else:
            return


def _listen(listener: socket.socket, path: Path) -> None:
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        # It gets its name only when it answers.
        unfinished = path.with_name(f"{path.name}.new")
        unfinished.unlink(missing_ok=True)
        listener.bind(str(unfinished))
        unfinished.chmod(0o600)
        listener.listen()
        unfinished.replace(path)
    except OSError as error:
        raise CalicoError(f"cannot listen at {path}: {error.strerror}") from error
