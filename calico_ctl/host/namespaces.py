"""Network namespaces of processes."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

from calico_ctl.errors import NotFound


def exists(pid: int) -> bool:
    """Say whether there is such a process and it has not ended."""
    try:
        with pinned(pid):
            return True
    except NotFound:
        return False


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
