"""4,000 changes of endpoints as fast as etcd takes them: is one lost, and when is it over."""

import random
import threading
import time
from collections.abc import Iterator

from benchmarks import cluster, store
from benchmarks.cluster import FLEET, REMOTE_ENDPOINTS
from benchmarks.commits import DEL_CHAIN, DEL_RULE, NEW_CHAIN, NEW_RULE, Commit, Commits
from benchmarks.measured import Measured
from benchmarks.report import Line

CHANGES = 4_000
_WRITERS = 4
_QUIET = 1.0
_PATIENCE = 30.0


def settles(measured: Measured) -> Iterator[Line]:
    """Write all of it, follow the kernel until it holds what etcd says, compare."""
    measured.check()
    commits = Commits(measured.host.namespace)
    writing = _Writing(measured.host.address, list(_changes()))
    seen: list[Commit] = []
    while writing.is_alive():
        seen += commits.within(0.05)
    differing, sets = _follow(measured, commits, seen, writing.ended + _PATIENCE)
    commits.close()

    elapsed = writing.ended - writing.began
    yield Line(
        "a burst of endpoint changes", f"{CHANGES} in {elapsed:.2f} s", f"{_WRITERS} writers"
    )
    settled = max(0.0, seen[-1].seen - writing.ended) if seen and not differing else _PATIENCE
    lost = f"{differing} of {sets} sets differ from etcd"
    yield Line("… settled after the last write", f"{settled:.2f} s", "≤ 3 s", settled <= 3)
    yield Line("… and nothing lost", lost, "0", differing == 0)
    rules = sum(commit.count(NEW_CHAIN, DEL_CHAIN, NEW_RULE, DEL_RULE) for commit in seen)
    written = f"{rules}, in {len(seen)} transactions"
    yield Line("… rules and chains written meanwhile", written, "0", rules == 0)


class _Writing(threading.Thread):
    """The writers at work; `began` and `ended` are when."""

    def __init__(self, address: store.Address, changes: list[tuple[str, str | None]]) -> None:
        super().__init__()
        self._address, self._changes = address, changes
        self.began = self.ended = time.monotonic()
        self.start()

    def run(self) -> None:
        """Write all of it."""
        store.write_all(self._address, self._changes, _WRITERS)
        self.ended = time.monotonic()


def _changes() -> Iterator[tuple[str, str | None]]:
    """Let endpoints of other hosts come, go, join and leave; some several times."""
    chance = random.Random(2)
    for _ in range(CHANGES):
        number = chance.randrange(REMOTE_ENDPOINTS + 1_000)
        app = cluster.profile_name(chance.randrange(cluster.PROFILES))
        profiles = chance.choice([(FLEET, app), (app,), ()])
        endpoint = cluster.remote(number, *profiles)
        yield endpoint.key, endpoint.value() if profiles else None


def _follow(
    measured: Measured, commits: Commits, seen: list[Commit], end: float
) -> tuple[int, int]:
    """Take in transactions until the sets are right or the time is over; return the comparison."""
    while True:
        while more := commits.within(_QUIET):
            seen += more
        comparison = measured.differing_sets()
        if comparison[0] == 0 or time.monotonic() > end:
            return comparison
