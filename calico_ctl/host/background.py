"""Going on with something when the command has ended.

A child of ours in a session of its own: no terminal, no files of ours but those it is to have, so
that whoever waits for our output does not wait for it. Only fork keeps what is open, and works in
the frozen binary too, whose files are gone when the command ends: import all before.
"""

import os
import resource
import signal
from collections.abc import Callable, Collection
from contextlib import suppress
from itertools import pairwise

from calico_ctl.errors import CalicoError

_FIRST_FREE = 3
_MOST_FILES = 1 << 16


def leave_behind(work: Callable[[], object], keep: Collection[int]) -> int:
    """Do `work` in a process of its own, which has the descriptors `keep`; return its number.

    It ends with the work, whatever becomes of it. When this returns, it has left our session: the
    end of ours, and of its terminal, ends it no more. Who is interrupted before leaves nothing
    behind. Raises CalicoError if it cannot be started.
    """
    heard, told = os.pipe()
    try:
        child = os.fork()
    except OSError as error:
        raise CalicoError(f"cannot start another process: {error.strerror}") from error
    if child:
        os.close(told)
        _await(child, heard)
        return child
    # Nothing above us on the stack must ever go on: it is the command, a second time.
    code = 1
    with suppress(BaseException):
        _let_go(keep, told)
        work()
        code = 0
    os._exit(code)


def _await(child: int, heard: int) -> None:
    """Wait until the child says that it is on its own."""
    try:
        is_off = os.read(heard, 1)
    except BaseException:
        os.kill(child, signal.SIGKILL)
        raise
    finally:
        os.close(heard)
    if not is_off:
        raise CalicoError("cannot start another process: it ended at once")


def _let_go(keep: Collection[int], told: int) -> None:
    os.setsid()
    os.chdir("/")
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    nowhere = os.open(os.devnull, os.O_RDWR)
    for standard in range(_FIRST_FREE):
        os.dup2(nowhere, standard)
    os.write(told, b".")
    most = min(resource.getrlimit(resource.RLIMIT_NOFILE)[0], _MOST_FILES)
    for before, after in pairwise([_FIRST_FREE - 1, *sorted(keep), most]):
        os.closerange(before + 1, after)
