"""What the frozen program does before anything else if it is the one file that unpacks itself.

PyInstaller's starter passes on each signal that it gets, so Ctrl-C arrives twice: once from the
terminal, once from there. The second would end the tidying up that the first one began. And what a
starter unpacked that was killed meanwhile, nobody would ever remove: some 15 MB each.
"""

import _signal
import fcntl
import os
import sys
import time

_ECHO_SECONDS = 0.5
_SETTLED_SECONDS = 60
_OURS = "_MEI"
_DIGITS = 8


def _interrupt_once() -> None:
    last = [float("-inf")]

    def handle(_signal_number: int, _frame: object) -> None:
        now = time.monotonic()
        is_echo = now - last[0] < _ECHO_SECONDS
        last[0] = now
        if not is_echo:
            raise KeyboardInterrupt

    # Not where somebody (`nohup`, a script's background) has them ignored.
    if _signal.getsignal(_signal.SIGINT) is _signal.default_int_handler:
        _signal.signal(_signal.SIGINT, handle)


def _hold(path: str) -> None:
    """Say while we live that this folder is in use. Containers that share it see that too."""
    fcntl.flock(os.open(path, os.O_RDONLY), fcntl.LOCK_SH | fcntl.LOCK_NB)


def _remove_abandoned(folder: str) -> None:
    """Remove what programs of this user unpacked that are gone, and that nobody uses."""
    for name in os.listdir(folder):
        path = f"{folder}/{name}"
        if name.startswith(_OURS) and _is_abandoned(path, name[len(_OURS) :][:_DIGITS]):
            import shutil

            shutil.rmtree(path, ignore_errors=True)


def _is_abandoned(path: str, digits: str) -> bool:
    try:
        found = os.lstat(path)
        if found.st_uid != os.geteuid() or time.time() - found.st_mtime < _SETTLED_SECONDS:
            return False
        if os.path.exists(f"/proc/{int(digits, 16)}") or _is_mapped(path):
            return False
        return not _is_held(path)
    except (OSError, ValueError):
        return False


def _is_held(path: str) -> bool:
    """Say whether a program holds it that we cannot see, as it is in another container."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def _is_mapped(path: str) -> bool:
    """Say whether a process uses it: also one of a calicoctl that held nothing."""
    wanted = os.fsencode(path[path.rindex("/") :]) + b"/"
    for number in os.listdir("/proc"):
        try:
            with open(f"/proc/{number}/maps", "rb") as file:
                if wanted in file.read():
                    return True
        except OSError:
            continue
    return False


_UNPACKED = str(getattr(sys, "_MEIPASS", ""))
_FOLDER, _, _NAME = _UNPACKED.rpartition("/")
if _NAME.startswith(_OURS):
    _interrupt_once()
    try:
        _hold(_UNPACKED)
        _remove_abandoned(_FOLDER)
    except OSError:
        pass
