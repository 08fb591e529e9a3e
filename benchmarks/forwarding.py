"""What the rules cost a packet that is forwarded: `python -m benchmarks.forwarding` (as root).

Two containers on one host, and tables that an agent made for 10 and for 1,000 endpoints. In every
round each of them is loaded in turn into the same host with the same interfaces, routes and ends,
and then none; so nothing differs but the table. The two containers are the last endpoints. Docker's
own rules are there with each, since no host of ours is without; and once neither they nor a table.

A packet of a new flow asks all rules: a flow of datagrams stays new until it is answered. The
packets of an established flow do not. The figures are those of the best quarter of the rounds.
"""

import argparse
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks import cluster, docker_rules, lab, path, report, store
from benchmarks.cluster import Endpoint
from benchmarks.lab import HOSTNAME, Host
from benchmarks.path import Container, Datagrams
from benchmarks.report import Line
from calico_ctl.model import keys
from tests.support.netns import NetNs
from tests.support.paths import CHECKOUT

FEW, MANY = 10, 1_000
_PORT = 5001
_PROFILES = 50
_ROUNDS = 24
_BATCHES = 200
_TCP_SECONDS = 0.15
_ANEW = "add table inet calico\ndelete table inet calico\n"

_RECEIVER = (
    '{"inbound": [{"protocol": "tcp", "dst_ports": [22]}, {"src_tag": "group-00"},'
    ' {"dst_ports": [5001]}], "outbound": [{}]}'
)


@dataclass
class Costs:
    """What was measured with one table, round by round."""

    new: list[float] = field(default_factory=list)
    established: list[float] = field(default_factory=list)
    tcp: list[float] = field(default_factory=list)
    tcp_in_turn: list[float] = field(default_factory=list)


def lines(checkout: Path) -> Iterator[Line]:
    """Make the tables, measure with each, compare."""
    with lab.far_side() as far:
        with lab.host(checkout) as host:
            few = _table(host, far, _endpoints(range(MANY - FEW, MANY)))
        with lab.host(checkout) as host:
            *others, first, second = _endpoints(range(MANY))
            ends = Container(host, first), Container(host, second)
            try:
                many = _table(host, far, [*others, first, second])
                host.stop_etcd()
                path.stay_on_one_processor()
                bare, none, low, high = _rounds(host, ends, few, many)
            finally:
                for end in ends:
                    end.close()
    yield from _comparison(bare, none, low, high)


def _endpoints(numbers: Iterable[int]) -> list[Endpoint]:
    profiles = (cluster.profile_name(0), cluster.profile_name(1), "receiver")
    return [cluster.local(HOSTNAME, number, profiles) for number in numbers]


def _table(host: Host, far: NetNs, endpoints: list[Endpoint]) -> str:
    """Let an agent make the table for these endpoints; the last two are plugged in already."""
    contents = cluster.profiles() | cluster.written(endpoints)
    contents[keys.profile_rules("receiver")] = _RECEIVER
    contents[keys.profile_tags("receiver")] = "[]"
    store.fill(host.address, contents)
    host.plug((each.name for each in endpoints), far)
    connection = host.store()
    revision = connection.put(keys.READY, "true")
    connection.close()
    agent = host.start_agent()
    taken = lab.wait_in_sync(host, agent, revision, {}, timeout=120)
    agent.stop()
    if taken == float("inf"):
        raise RuntimeError("the agent did not come in sync")
    return host.run("nft", "-s", "list", "table", "inet", "calico")


def _rounds(host: Host, ends: tuple[Container, Container], few: str, many: str) -> list[Costs]:
    """Measure the bare path, Docker's rules alone, and those with each of our tables."""
    costs = [Costs() for _ in range(4)]
    bare, *others = costs
    for _ in range(_ROUNDS):
        host.run("nft", "-f", "-", stdin=_ANEW)
        docker_rules.unload(host)
        _measure(ends, bare)
        for table, cost in zip(("", few, many), others, strict=True):
            docker_rules.load(host, marked=bool(table))
            host.run("nft", "-f", "-", stdin=f"{_ANEW}{table}")
            _measure(ends, cost)
    return costs


def _measure(ends: tuple[Container, Container], cost: Costs) -> None:
    sender, receiver = ends
    flow = Datagrams(sender, receiver, _PORT)
    before = receiver.received()
    flow.nanoseconds(_BATCHES // 4)
    cost.new.append(flow.nanoseconds(_BATCHES))
    arrived = receiver.received() - before
    flow.close()
    if arrived < _BATCHES * 64:
        raise RuntimeError(f"the path does not forward: {arrived} packets arrived")
    flow = Datagrams(sender, receiver, _PORT)
    flow.establish()
    flow.nanoseconds(_BATCHES // 4)
    cost.established.append(flow.nanoseconds(_BATCHES))
    flow.close()
    for _ in range(3):
        cost.tcp.append(path.gigabits(sender, receiver, _PORT, _TCP_SECONDS))
    cost.tcp_in_turn.append(path.gigabits_in_turn(sender, receiver, _PORT, _TCP_SECONDS))


def _comparison(bare: Costs, none: Costs, low: Costs, high: Costs) -> Iterator[Line]:
    for what, without, few, many in (
        ("a new flow", none.new, low.new, high.new),
        ("an established flow", none.established, low.established, high.established),
    ):
        ratio = _best(many) / _best(few)
        nanoseconds = f"{_best(few):.0f} → {_best(many):.0f} ns, {_best(without):.0f} without"
        yield Line(
            f"a packet of {what}: {MANY:,} endpoints against {FEW}",
            f"{ratio:.3f} times ({nanoseconds})",
            "≤ 1.05 times",
            ratio <= 1.05,
        )
    what = f"bulk TCP with {MANY:,} endpoints against Docker's rules alone"
    ratio, rates = _rates(none.tcp, high.tcp)
    yield Line(what, f"{ratio:.3f} times ({rates})", "≥ 0.95 times", ratio >= 0.95)
    ratio, rates = _rates(bare.tcp, high.tcp)
    yield Line("… against a host with no rules at all", f"{ratio:.3f} times ({rates})")
    ratio, rates = _rates(none.tcp_in_turn, high.tcp_in_turn)
    yield Line("… one process, hardly any work but the path", f"{ratio:.3f} times ({rates})")


def _rates(base: list[float], many: list[float]) -> tuple[float, str]:
    before, after = (-_best([-rate for rate in rates]) for rates in (base, many))
    return after / before, f"{before:.1f} → {after:.1f} Gbit/s"


def _best(samples: list[float]) -> float:
    """Return the mean of the smallest quarter."""
    best = sorted(samples)[: len(samples) // 4]
    return sum(best) / len(best)


def main() -> int:
    """Measure; return 1 if a target was missed."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--agent", default=CHECKOUT, type=Path, help="another checkout's agent")
    given = parser.parse_args()
    if os.geteuid() != 0:
        parser.error("needs root, for network namespaces")
    return report.show("Forwarding: what the rules cost a packet", lines(given.agent))


if __name__ == "__main__":
    raise SystemExit(main())
