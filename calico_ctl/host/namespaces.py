"""Network namespaces of processes."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from calico_ctl.errors import Conflict, InvalidValue, NotFound

_OWN = "/proc/self/ns/net"


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
