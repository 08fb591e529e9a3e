"""How long the frozen calicoctl keeps its user waiting: `scripts/bench binary` (as root).

Both forms that build_binary.sh builds, against a real etcd in a network namespace of its own. Times
are medians, from the start of the process to its end; memory is the most that a process had.
"""

import argparse
import io
import os
import statistics
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, redirect_stdout
from pathlib import Path

from benchmarks import report
from benchmarks.report import Line
from tests.support import netns
from tests.support.etcd import Etcd
from tests.support.frozen import Frozen
from tests.support.paths import CHECKOUT

_ROUNDS = 15
_MEGABYTES = 60.0
_TARGETS = {"version": (140.0, 60.0), "pool show": (300.0, 200.0)}
"""Milliseconds: of the one file, of the directory."""


def lines() -> Iterator[Line]:
    """Run the commands and compare."""
    built = Frozen(CHECKOUT / "dist")
    yield report.at_most("one file", built.file.stat().st_size / 1e6, 25.0, "MB")
    with ExitStack() as stack:
        with redirect_stdout(io.StringIO()):
            namespace = stack.enter_context(netns.private_netns())
        stack.enter_context(namespace.entered())
        etcd = stack.enter_context(Etcd())
        for words, (file_limit, directory_limit) in _TARGETS.items():
            yield from _taken("one file", built.file, words, etcd, file_limit)
            program = built.directory / "calicoctl"
            yield from _taken("directory", program, words, etcd, directory_limit)


def _taken(form: str, program: Path, words: str, etcd: Etcd, limit: float) -> Iterator[Line]:
    runs = [_run(program, words, etcd) for _ in range(_ROUNDS)]
    middle = statistics.median(milliseconds for milliseconds, _ in runs)
    yield report.at_most(f"{form}: {words}", middle, limit, "ms")
    most = max(megabytes for _, megabytes in runs)
    yield report.at_most(f"{form}: {words}: memory", most, _MEGABYTES, "MB")


_TIMED = """
import os, sys, time
began = time.perf_counter()
pid = os.fork()
if not pid:
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    os.execv(sys.argv[1], sys.argv[1:])
_, status, usage = os.wait4(pid, 0)
print(time.perf_counter() - began, usage.ru_maxrss)
sys.exit(os.waitstatus_to_exitcode(status))
"""
"""Asked of a small process: the kernel counts as a program's memory also what the process had that
became it, and ours has more than any command."""


def _run(program: Path, words: str, etcd: Etcd) -> tuple[float, float]:
    environment = {"PATH": os.environ["PATH"], "ETCD_AUTHORITY": etcd.authority}
    argv = [sys.executable, "-I", "-S", "-c", _TIMED, str(program), *words.split()]
    done = subprocess.run(argv, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    seconds, kilobytes = done.stdout.split()
    return float(seconds) * 1000, int(kilobytes) / 1024


def main() -> int:
    """Measure; return 1 if a target was missed."""
    argparse.ArgumentParser(description=__doc__).parse_args()
    return report.show("The frozen program: how long its user waits", lines())


if __name__ == "__main__":
    raise SystemExit(main())
