"""Network namespaces of processes."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from calico_ctl.errors import CalicoError, Conflict, InvalidValue, NotFound

_T = TypeVar("_T")

_OWN = "/proc/self/ns/net"
_CLONE_NEWNET = 0x40000000


def exists(pid: int) -> bool:
    """Say whether there is such a process and it has not ended."""
    try:
        with pinned(pid):
            return True
    except NotFound:
        return False


def require_foreign(path: str) -> None:
    """Raise unless a path leads to a namespace, and not to the network namespace that we are in.

    All namespaces are in one file system of the kernel's, and nothing else is.
    """
    try:
        found, own = Path(path).stat(), Path(_OWN).stat()
    except OSError as error:
        raise NotFound(f"cannot look at {path}: {error.strerror}") from error
    if found.st_dev != own.st_dev:
        raise InvalidValue("network namespace", path, "the path of a namespace's file")
    if found.st_ino == own.st_ino:
        raise Conflict(
            f"{path} is this host's own network namespace",
            hint="name that of a container; `ip netns` lists some",
        )


@contextmanager
def pinned(pid: int) -> Iterator[str]:
    """Keep the network namespace that a process is in; give the path of a file that stands for it.

    The path means this namespace also when the process has ended and its number is somebody else's.
    Raises NotFound if there is no such process.
    """
    try:
        descriptor = os.open(f"/proc/{pid}/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    except (FileNotFoundError, ProcessLookupError) as error:
        raise NotFound(f"process {pid} has ended") from error
    try:
        # Not /proc/self: the programs that are given it are processes of their own.
        yield f"/proc/{os.getpid()}/fd/{descriptor}"
    finally:
        os.close(descriptor)


def within(descriptor: int, do: Callable[[], _T]) -> _T:
    """Return what a function returns inside a network namespace, given by a file that is open.

    It runs in a thread of its own, which enters and never has to come back: whatever fails, nobody
    else finds himself in there. Sockets that it opens are the namespace's for good. Raises what the
    function raises, or CalicoError if one cannot enter (it takes CAP_SYS_ADMIN).
    """
    # Imported here: who plugs nothing in waits for neither.
    from threading import Thread

    outcome: list[_T] = []
    failure: list[BaseException] = []

    def run() -> None:
        try:
            _enter(descriptor)
            outcome.append(do())
        except BaseException as error:  # noqa: BLE001 - raised again where it is waited for
            failure.append(error)

    visitor = Thread(target=run, name="namespace", daemon=True)
    visitor.start()
    visitor.join()
    if failure:
        raise failure[0]
    return outcome[0]


def _enter(descriptor: int) -> None:
    # os.setns exists since Python 3.12 only.
    import ctypes

    libc = ctypes.CDLL(None, use_errno=True)
    if libc.setns(descriptor, _CLONE_NEWNET) != 0:
        why = os.strerror(ctypes.get_errno()).lower()
        raise CalicoError(f"cannot enter a network namespace: {why}")
