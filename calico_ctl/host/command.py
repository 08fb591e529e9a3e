"""The only way to run a program: through `sh`, never through a shell.

`sh` is imported when the first program is run: it costs tens of milliseconds, and most commands
run none. Children get pipes instead of its pseudo-terminals: cheaper, and programs print plainly.
"""

import logging
import os
import shlex
import sys
import threading
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING

from calico_ctl.errors import CommandFailed

if TYPE_CHECKING:
    from sh import RunningCommand

# It would log every program that it starts.
logging.getLogger("sh").setLevel(logging.WARNING)

# It replaces itself at the end of its import, and who waits for another thread's gets what it was.
_importing = threading.Lock()

_FROZEN = {"LD_LIBRARY_PATH", "LD_LIBRARY_PATH_ORIG"}
_FROZEN_PREFIX = "_PYI_"


def run(argv: Sequence[str], *, stdin: str = "", timeout: float = 10) -> str:
    """Run a program to its end and return what it printed on stdout.

    Raises CommandFailed if it is not there, does not end within `timeout` seconds, or exits with
    anything but 0; the message holds a command line that can be pasted.
    """
    with _importing:
        import shutil

        import sh

    program = shutil.which(argv[0])
    if program is None:
        raise CommandFailed(
            f"cannot run {argv[0]}: there is no such program", hint=f"install {argv[0]}"
        )
    process = sh.Command(program)(
        *argv[1:],
        _in=stdin,
        _env=child_environment(dict(os.environ)),
        _tty_out=False,
        _encoding="utf-8",
        _decode_errors="replace",
        _bg=True,
        _bg_exc=False,
    )
    # Not sh's own time limits: they poll every 100 ms, so each program seems to take that long.
    limit = threading.Timer(timeout, partial(_end, process))
    limit.start()
    try:
        output = process.wait()
    except sh.SignalException_SIGKILL as error:
        raise CommandFailed(f"{_shown(argv)} did not end within {timeout:g} s") from error
    except sh.ErrorReturnCode as error:
        raise CommandFailed(f"{_shown(argv)} failed: {_reason(error)}") from error
    finally:
        limit.cancel()
    return str(output)


def succeeds(argv: Sequence[str], *, stdin: str = "", timeout: float = 10) -> bool:
    """Run a program; say whether it exited with 0."""
    try:
        run(argv, stdin=stdin, timeout=timeout)
    except CommandFailed:
        return False
    return True


def child_environment(environment: dict[str, str]) -> dict[str, str]:
    """Return what a child shall see: PyInstaller's library path is for the frozen Python only.

    So are its own variables: a calicoctl below a frozen one is not to look into the same directory.
    """
    child = {
        name: value
        for name, value in environment.items()
        if name not in _FROZEN and not name.startswith(_FROZEN_PREFIX)
    }
    original = environment.get("LD_LIBRARY_PATH_ORIG")
    if original is not None:
        child["LD_LIBRARY_PATH"] = original
    elif "LD_LIBRARY_PATH" in environment and not getattr(sys, "frozen", False):
        child["LD_LIBRARY_PATH"] = environment["LD_LIBRARY_PATH"]
    return child


def _end(process: "RunningCommand") -> None:
    # It may have ended by itself in this very moment.
    with suppress(ProcessLookupError):
        process.kill()


def _shown(argv: Sequence[str]) -> str:
    return f"`{shlex.join(argv)}`"


def _reason(error: object) -> str:
    printed = bytes(getattr(error, "stderr", b"")) or bytes(getattr(error, "stdout", b""))
    lines = printed.decode(errors="replace").strip().splitlines()
    exit_code = getattr(error, "exit_code", "?")
    # The first line is the cause; `ip -batch` only counts lines after it.
    return f"{lines[0]} (exit code {exit_code})" if lines else f"exit code {exit_code}"
