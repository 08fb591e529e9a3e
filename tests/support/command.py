"""Running programs so that a red test explains itself: each command and its output is printed."""

import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

Command = str | Sequence[str]
"""A string is for the shell; a sequence is one program with its arguments."""

PACE = 6
"""How much slower than an idle machine of today one may be that runs the tests."""
DIES_WITH_US = ("setpriv", "--pdeathsig", "KILL")
"""In front of a long-running program: it ends when the test run ends, however that ends."""


@dataclass(frozen=True)
class Result:
    """What a finished command left: exit code, standard output, standard error."""

    command: str
    code: int
    out: str
    err: str

    @property
    def text(self) -> str:
        """Both streams, for messages."""
        return (self.out + self.err).strip()


class CommandFailedError(AssertionError):
    """A command that had to succeed did not."""

    def __init__(self, result: Result) -> None:
        super().__init__(f"`{result.command}` ended with {result.code}:\n{result.text}")
        self.result = result


class TimedOutError(AssertionError):
    """Something did not happen within its time."""


def plain(command: Command) -> str:
    """The command as a person would type it."""
    return command if isinstance(command, str) else shlex.join(command)


def clean_environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """An environment free of the developer's settings (ETCD_AUTHORITY, DOCKER_HOST, proxies)."""
    kept = {key: os.environ[key] for key in ("HOME", "LANG", "TERM") if key in os.environ}
    path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    return {"PATH": path, "PYTHONDONTWRITEBYTECODE": "1", **kept, **(extra or {})}


def run(
    argv: Sequence[str],
    *,
    show: str | None = None,
    env: Mapping[str, str] | None = None,
    stdin: str = "",
    check: bool = True,
    timeout: float = 240,
) -> Result:
    """Run a program to its end. `show` is the line to print for it; an empty one prints nothing."""
    shown = plain(argv) if show is None else show
    if shown:
        print(shown, flush=True)
    with subprocess.Popen(
        argv,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
        env=clean_environment() if env is None else dict(env),
        start_new_session=True,
    ) as process:
        try:
            out, err = process.communicate(stdin, timeout)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            out, err = process.communicate()
            raise TimedOutError(
                f"`{shown or plain(argv)}` ran over {timeout} s:\n{out}{err}"
            ) from None
        except BaseException:
            os.killpg(process.pid, signal.SIGKILL)
            raise
    result = Result(shown or plain(argv), process.returncode, out, err)
    if shown:
        _print_output(result)
    if check and result.code != 0:
        raise CommandFailedError(result)
    return result


def _print_output(result: Result) -> None:
    for line in result.out.splitlines() + result.err.splitlines():
        print(f"  {line}")
    if result.code != 0:
        print(f"  (exit code {result.code})")
    sys.stdout.flush()


def spawn(
    argv: Sequence[str], log: Path, env: Mapping[str, str] | None = None
) -> subprocess.Popen[bytes]:
    """Start a program that stays, in a process group of its own, writing into `log`."""
    with log.open("ab") as stream:
        return subprocess.Popen(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=stream,
            env=clean_environment() if env is None else dict(env),
            start_new_session=True,
        )


def stop(process: subprocess.Popen[bytes], number: int = signal.SIGTERM, wait: float = 20) -> None:
    """Signal a spawned program's group and wait for it; kill it if it does not go."""
    if process.poll() is None:
        os.killpg(process.pid, number)
    try:
        process.wait(wait)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait(wait)


def freeze(process: subprocess.Popen[bytes]) -> None:
    """Stop a process, and the group that it leads, if it does, where they stand (see SIGCONT)."""
    leads = os.getpgid(process.pid) == process.pid
    (os.killpg if leads else os.kill)(process.pid, signal.SIGSTOP)
    await_standstill(process.pid)


def await_standstill(pid: int) -> None:
    """Wait until no thread of a process runs, nor of the group that it leads.

    Each stops where the kernel next looks at it, which on a busy machine may be late.
    """
    wait_until(lambda: _stands_still(pid), 10, f"process {pid} stands still", 0.001)


def _stands_still(pid: int) -> bool:
    """Say whether no thread of a process runs, nor of the group that it leads."""
    states = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            if pid in {int(stat.parent.name), int(_fields(stat)[2])}:
                states += [_fields(each)[0] for each in stat.parent.glob("task/*/stat")]
        except OSError:  # it has just ended
            continue
    return all(state in "TtZX" for state in states)


def _fields(stat: Path) -> list[str]:
    """Return what follows the name in a `stat` of proc(5): state, parent, group, …"""
    return stat.read_text().rpartition(")")[2].split()


def wait_until(
    condition: Callable[[], object], timeout: float, what: str, every: float = 0.05
) -> None:
    """Poll until the condition holds; fail with `what` when the time is over.

    `timeout` is what an idle machine needs at most; one that is slow or busy is given `PACE` times
    that. A promise about time (`repaired within 5 s`) is what `within` is for.
    """
    within(condition, timeout * PACE, what, every)


def within(condition: Callable[[], object], timeout: float, what: str, every: float = 0.05) -> None:
    """Poll until the condition holds; fail with `what` once so many seconds are over."""
    end = time.monotonic() + timeout
    while not condition():
        if time.monotonic() > end:
            raise TimedOutError(f"not within {timeout} s: {what}")
        time.sleep(every)
