"""Control groups of one host: made before it starts, given to its first process, removed with it.

Each host gets its own so that its Docker Engine finds a tree that is its alone. Both layouts are
known: one directory per controller (version 1, or hybrid) and the unified tree (version 2).
"""

import contextlib
import os
import signal
from functools import partial
from pathlib import Path

from tests.support.command import wait_until

ROOT = Path("/sys/fs/cgroup")


def unified() -> bool:
    """Whether this machine has only the version 2 tree."""
    return (ROOT / "cgroup.controllers").exists()


def directories(name: str) -> list[Path]:
    """The directories that make up the control group of this name, one per hierarchy."""
    if unified():
        # At the top: below a directory that holds processes no controller could be handed on.
        return [ROOT / name]
    found = []
    for line in Path("/proc/self/cgroup").read_text().splitlines():
        _, controllers, own = line.split(":", 2)
        folder = controllers.removeprefix("name=") or "unified"
        if (ROOT / folder).is_dir():
            found.append(ROOT / folder / own.lstrip("/") / name)
    return found


def make(name: str) -> list[Path]:
    """Make the control group in each hierarchy."""
    made = directories(name)
    for directory in made:
        directory.mkdir(parents=True, exist_ok=True)
        for setting in ("cpuset.cpus", "cpuset.mems"):
            # version 1: a group without processors takes no process
            if not unified() and (directory / setting).exists():
                (directory / setting).write_text((directory.parent / setting).read_text())
    return made


def processes(name: str) -> list[int]:
    """Every process in the control group, in whatever depth."""
    found: set[int] = set()
    for directory in directories(name):
        for listing in directory.rglob("cgroup.procs"):
            with contextlib.suppress(OSError):  # a container's group vanishes while we look
                found.update(int(line) for line in listing.read_text().split())
    return sorted(found - {0})


def kill(name: str) -> None:
    """End every process in the control group and wait until they are gone."""

    def empty() -> bool:
        left = processes(name)
        for pid in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        if left:
            _thaw(name)
        return not left

    wait_until(empty, 20, f"the processes of {name} end")


def _thaw(name: str) -> None:
    """Let processes end that are frozen: runc freezes a container for a moment when it ends it.

    Killed in that moment it leaves them so, and in version 1 what is frozen does not even die.
    """
    for directory in directories(name):
        for state in directory.rglob("freezer.state"):
            with contextlib.suppress(OSError):  # a container's group vanishes while we look
                state.write_text("THAWED")


def remove(name: str) -> None:
    """Remove the control group's directories, innermost first."""
    for directory in directories(name):
        inner = sorted((path for path in directory.rglob("*") if path.is_dir()), reverse=True)
        for path in [*inner, directory]:
            wait_until(partial(_removed, path), 10, f"{path} is removed")


def _removed(path: Path) -> bool:
    try:
        path.rmdir()
    except FileNotFoundError:
        return True
    except OSError:
        return False
    return True
