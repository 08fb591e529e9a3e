"""How long a command keeps its user waiting: `python -m benchmarks.cli` (as root).

Each command is a process of its own, from source, against a real etcd in a network namespace of its
own: first with nothing in it, then with 1,000 endpoints, then with 10,000. `container add` is run
on a real node, and returns when the address works. Times are medians, from the start of the process
to its end, with all that it printed read.
"""

import argparse
import io
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, redirect_stdout
from dataclasses import dataclass
from itertools import count

from benchmarks import cluster, report, store
from benchmarks.report import Line
from benchmarks.store import Address
from tests.support import cluster as nodes
from tests.support import netns
from tests.support.etcd import Etcd
from tests.support.lab import Lab
from tests.support.paths import CHECKOUT

_ROUNDS = 9
_SIZES = ((1_000, 280.0), (10_000, 900.0))
_MEGABYTES = 80.0
_TAB_MILLISECONDS = 300.0
_TABS = (
    ("profiles", ("profile",)),
    ("tags", ("profile", "web", "tag", "remove")),
    ("pools", ("pool", "remove")),
    ("hosts", ("node", "remove")),
)
"""What is asked for when a person presses the Tab key, and the words before that."""


@dataclass(frozen=True)
class Taken:
    """One run of a command: milliseconds, the most memory it had, how many bytes it printed."""

    milliseconds: float
    megabytes: float = 0
    printed: int = 0


def lines(*, node: bool) -> Iterator[Line]:
    """Start etcd, run the commands, compare; then, if wanted, those that need a node."""
    yield from _on_etcd_alone()
    if node:
        yield from _on_a_node()


def _on_etcd_alone() -> Iterator[Line]:
    with ExitStack() as stack:
        with redirect_stdout(io.StringIO()):
            namespace = stack.enter_context(netns.private_netns())
        stack.enter_context(namespace.entered())
        etcd = stack.enter_context(Etcd())
        numbers = count()
        yield _fast("version", 45, [_run(etcd, "version") for _ in range(_ROUNDS)])
        yield _fast("pool show", 180, [_run(etcd, "pool", "show") for _ in range(_ROUNDS)])
        made = [_run(etcd, "profile", "add", f"p{next(numbers)}") for _ in range(_ROUNDS)]
        yield _fast("profile add", 180, made)
        address = Address(namespace, etcd.port)
        for size, limit in _SIZES:
            store.fill(address, cluster.written(map(cluster.fleet_member, range(size))))
            yield from _endpoints(etcd, size, limit)
        store.fill(address, cluster.profiles() | cluster.hosts())
        for what, words in _TABS:
            asked = [_run(etcd, "complete", "--", *words, "") for _ in range(_ROUNDS)]
            assert all(each.printed for each in asked), f"no {what} in time"
            yield _fast(f"Tab key, {what} of that cluster", _TAB_MILLISECONDS, asked)


def _endpoints(etcd: Etcd, size: int, limit: float) -> Iterator[Line]:
    what = f"endpoint show --detailed, {size:,} endpoints"
    shown = [_run(etcd, "endpoint", "show", "--detailed") for _ in range(_ROUNDS)]
    yield _fast(what, limit, shown)
    yield report.at_most(f"{what}: memory", max(each.megabytes for each in shown), _MEGABYTES, "MB")
    data = [_run(etcd, "endpoint", "show", "--detailed", "--output=json") for _ in range(_ROUNDS)]
    yield _fast(f"{what} --output=json", 0, data)
    address = str(cluster.fleet_member(size // 2).ipv4)
    one = [_run(etcd, "endpoint", "show", f"--endpoint={address}") for _ in range(_ROUNDS)]
    yield _fast(f"endpoint show --endpoint=<address>, {size:,} endpoints", 0, one)


def _on_a_node() -> Iterator[Line]:
    with ExitStack() as stack:
        with redirect_stdout(io.StringIO()):
            lab = stack.enter_context(Lab(1, node_image=True))
            calico = nodes.start(lab)
            (host,) = calico.hosts
            calico.run(host, "web", "--net=none")
            runs = []
            for _ in range(_ROUNDS):
                began = time.perf_counter()
                calico.calicoctl(host, "container add web ipv4")
                runs.append(Taken((time.perf_counter() - began) * 1000))
                calico.calicoctl(host, "container remove web")
        yield _fast("container add", 300, runs)


def _fast(what: str, limit: float, runs: Sequence[Taken]) -> Line:
    middle = statistics.median(run.milliseconds for run in runs)
    if not limit:
        return Line(what, f"{middle:.2f} ms")
    return report.at_most(what, middle, limit, "ms")


def _run(etcd: Etcd, *words: str) -> Taken:
    environment = {"PATH": os.environ["PATH"], "ETCD_AUTHORITY": etcd.authority}
    began = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, CHECKOUT / "calicoctl.py", *words],
        env=environment,
        stdout=subprocess.PIPE,
    )
    assert process.stdout is not None
    printed = 0
    with process.stdout as output:
        while piece := output.read(1 << 20):
            printed += len(piece)
    _, status, usage = os.wait4(process.pid, 0)
    taken = (time.perf_counter() - began) * 1000
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0, words
    return Taken(taken, usage.ru_maxrss / 1024, printed)


def main() -> int:
    """Measure; return 1 if a target was missed."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--no-node", action="store_true", help="leave out what needs a node")
    chosen = parser.parse_args()
    if os.geteuid() != 0:
        parser.error("needs root, for network namespaces")
    return report.show("Commands: how long their user waits", lines(node=not chosen.no_node))


if __name__ == "__main__":
    raise SystemExit(main())
