"""From a write in etcd to the kernel: one change at a time, with a random pause before each.

The clock starts before the request is sent and stops when the end of the nftables transaction that
has the change is read.
"""

import random
import time
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Self

from benchmarks import cluster, commits, lab
from benchmarks.cluster import FLEET, FLEET_EXTRA, REMOTE_ENDPOINTS
from benchmarks.commits import DEL_ELEMENT, NEW_ELEMENT, Commit, Commits
from benchmarks.lab import HOSTNAME
from benchmarks.measured import LOCAL_ENDPOINTS, OUTSIDERS, Measured
from benchmarks.report import Line, latency, percentile
from calico_ctl.dataplane import nfnetlink
from calico_ctl.dataplane.netlink import NETFILTER, Netlink

_PATIENCE = 20.0
_PAUSE = (0.005, 0.03)
_SPARE_LOCAL = 10


class Stopwatch:
    """Writes to etcd and waits for the kernel. `began` is when the last write was sent."""

    def __init__(self, measured: Measured) -> None:
        """Listen to the kernel."""
        self._measured = measured
        self._commits = Commits(measured.host.namespace)
        self._random = random.Random(1)
        self.began = 0.0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._commits.close()

    def repeat(self, count: int, change: Callable[[int], float]) -> list[float]:
        """Return what `change` measures, so often, or as often as the time allows."""
        self._measured.check()
        end = time.monotonic() + self._measured.seconds
        samples: list[float] = []
        while len(samples) < count and time.monotonic() < end:
            samples.append(change(len(samples)))
        return samples

    def write(self, key: str, value: str | None, done: Callable[[Commit], bool]) -> float:
        """Pause, write, wait until the kernel shows it; return the milliseconds."""
        self._commits.within(self._random.uniform(*_PAUSE))
        store = self._measured.store
        self.began = time.monotonic()
        if value is None:
            store.send_delete(key)
        else:
            store.send_put(key, value)
        seen = self._commits.until(done, _PATIENCE)
        store.answer()
        return (seen - self.began) * 1000


def rule_writes(measured: Measured, what: str, count: int, felix: str = "") -> Iterator[Line]:
    """Rewrite the rules of one profile after the other."""
    yield latency(what, rule_samples(measured, count, 200), p50=10, p99=50, felix=felix)


def rule_samples(measured: Measured, count: int, profiles: int) -> list[float]:
    """Return how long rewriting the rules of one of the first so many profiles takes, each time."""
    with Stopwatch(measured) as watch:

        def rewrite(number: int) -> float:
            port = next(measured.ports)
            rules = cluster.write_rules(number % profiles, port)
            return watch.write(*rules, commits.showing(commits.port_in_rules(port)))

        return watch.repeat(count, rewrite)


def joins(measured: Measured) -> Iterator[Line]:
    """Let endpoints of other hosts join a tag of 10,000, and leave it."""
    left: list[float] = []
    with Stopwatch(measured) as watch:

        def rewritten(number: int) -> float:
            outside = cluster.outsider(number % OUTSIDERS)
            inside = cluster.remote(REMOTE_ENDPOINTS + number % OUTSIDERS, FLEET)
            joined = watch.write(inside.key, inside.value(), _both(inside, NEW_ELEMENT))
            left.append(watch.write(outside.key, outside.value(), _both(outside, DEL_ELEMENT)))
            return joined

        def new(number: int) -> float:
            fresh = cluster.remote(2 * REMOTE_ENDPOINTS + number, FLEET)
            joined = watch.write(fresh.key, fresh.value(), _both(fresh, NEW_ELEMENT))
            left.append(watch.write(fresh.key, None, _both(fresh, DEL_ELEMENT)))
            return joined

        for what, change in (("a rewritten", rewritten), ("a new", new)):
            samples = watch.repeat(200, change)
            yield latency(f"{what} endpoint joins 10,000", samples, p50=5, p99=25, felix="8.5 ms")
        yield latency("an endpoint leaves 10,000", left)


def tag_added(measured: Measured) -> Iterator[Line]:
    """Give the profile of the 10,000 one more tag, and take it away again.

    Nobody listens here: for a listener the kernel writes down each of 20,000 elements, which takes
    longer than to change them. The number of the last transaction is asked for again and again.
    """
    added: list[float] = []
    removed: list[float] = []
    with measured.host.namespace.entered(), Netlink(NETFILTER) as asked:

        def change(*tags: str) -> float:
            before, began = nfnetlink.generation(asked), time.monotonic()
            measured.store.put(*cluster.write_fleet_tags(*tags))
            while nfnetlink.generation(asked) == before:
                if time.monotonic() - began > measured.seconds:
                    return float("inf")
            return (time.monotonic() - began) * 1000

        for _ in range(10):
            added.append(change(FLEET, FLEET_EXTRA))
            removed.append(change(FLEET))
    yield latency("a profile of 10,000 gets a tag", added, felix="116 ms")
    yield latency("a profile of 10,000 loses a tag", removed)


def local_endpoints(measured: Measured) -> Iterator[Line]:
    """Let endpoints of this host come and go; their interfaces are there already."""
    spare = [
        cluster.local(HOSTNAME, number, cluster.some_profiles(range(number, number + 5)))
        for number in range(LOCAL_ENDPOINTS, LOCAL_ENDPOINTS + _SPARE_LOCAL)
    ]
    measured.host.plug((endpoint.name for endpoint in spare), measured.far)
    acknowledged: list[float] = []
    removed: list[float] = []
    with Stopwatch(measured) as watch:

        def change(number: int) -> float:
            endpoint = spare[number % _SPARE_LOCAL]
            comes = commits.showing(commits.interface(endpoint.name, NEW_ELEMENT))
            added = watch.write(endpoint.key, endpoint.value(), comes)
            up = lab.until_statuses(
                measured.host, lambda statuses: endpoint.status_key in statuses, _PATIENCE
            )
            acknowledged.append((up - watch.began) * 1000)
            goes = commits.showing(commits.interface(endpoint.name, DEL_ELEMENT))
            removed.append(watch.write(endpoint.key, None, goes))
            lab.until_statuses(
                measured.host, lambda statuses: endpoint.status_key not in statuses, _PATIENCE
            )
            return added

        samples = watch.repeat(50, change)
    yield latency("an endpoint of this host is added", samples)
    yield latency("… and acknowledged in etcd", acknowledged)
    yield latency("an endpoint of this host is removed", removed)


def growth(few: list[float], many: list[float]) -> Line:
    """Compare the time with 1,000 endpoints on this host with that with 10."""
    low, high = percentile(few, 50), percentile(many, 50)
    measured = f"{high / low:.2f} times ({low:.1f} ms → {high:.1f} ms, p50)"
    what = "a rule: 1,000 endpoints here against 10"
    return Line(what, measured, "≤ 2 times", high <= 2 * low and high < float("inf"))


def _both(endpoint: cluster.Endpoint, kind: int) -> Callable[[Commit], bool]:
    return commits.showing(commits.member(endpoint.ipv4, kind), commits.member(endpoint.ipv6, kind))
