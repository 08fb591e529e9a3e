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


@dataclass(frozen=True)
class Taken:
    """What one run of a command took: milliseconds, and the most memory that it had."""

    milliseconds: float
    megabytes: float


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
        for size, limit in _SIZES:
            members = map(cluster.fleet_member, range(size))
            store.fill(Address(namespace, etcd.port), cluster.written(members))
            yield from _endpoints(etcd, size, limit)


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
                runs.append(Taken((time.perf_counter() - began) * 1000, 0))
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
    with process.stdout as printed:
        while printed.read(1 << 20):
            pass
    _, status, usage = os.wait4(process.pid, 0)
    taken = (time.perf_counter() - began) * 1000
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0, words
    return Taken(taken, usage.ru_maxrss / 1024)


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
