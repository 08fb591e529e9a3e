"""Is a packet lost, or let through, while rules change? `python -m benchmarks.losses` (as root).

First through etcd and the agent: one kind of change after the other, each as fast as the agent
follows, while traffic runs through what is changed. Then transactions by netlink directly, as fast
as that can (benchmarks.direct), to learn which ways of writing the same thing are safe. What is
called a control is known not to be: it shows that a loss would be seen.
"""

import argparse
import contextlib
import json
import os
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from benchmarks import cluster, direct, lab, report, store
from benchmarks.commits import Commits
from benchmarks.flows import CLOSED, OPEN, Counts, Traffic
from benchmarks.lab import HOSTNAME, Host
from benchmarks.path import Container
from benchmarks.report import Line
from calico_ctl.model import keys
from tests.support.paths import CHECKOUT

UPDATES = 10_000
_FOLLOWS_WITHIN = 0.004
_CROWD = 100

_SENDER = cluster.local(HOSTNAME, 1, ("senders",))
_RECEIVER = cluster.local(HOSTNAME, 2, ("receiver",))

Write = tuple[str, str]


def _rules(**match: object) -> Write:
    """Write rules whose last one opens the port."""
    first = {"protocol": "tcp", "dst_ports": [22]}
    return _inbound(first, {"protocol": "udp", "dst_ports": [OPEN], **match})


def _denied(*ports: object) -> Write:
    """Write rules that open all but some ports."""
    return _inbound({"protocol": "udp", "dst_ports": ports, "action": "deny"}, {})


def _inbound(*rules: object) -> Write:
    value = json.dumps({"inbound": rules, "outbound": [{}]})
    return keys.profile_rules("receiver"), value


def _one_member(number: int) -> Write:
    endpoint = cluster.remote(number // 2 % _CROWD, "senders" if number % 2 else "others")
    return endpoint.key, endpoint.value()


def _many_members(number: int) -> Write:
    tags = ["crowd", "senders"] if number % 2 else ["crowd"]
    return keys.profile_tags("crowd"), json.dumps(tags)


def _profiles_of_the_endpoint(number: int) -> Write:
    profiles = ("others", "receiver") if number % 2 else ("receiver",)
    return _RECEIVER.key, cluster.local(HOSTNAME, 2, profiles).value()


_OPEN = _rules()
_TAGGED = _rules(src_tag="senders")


@dataclass(frozen=True)
class Kind:
    """A kind of change: the nth write, and the rules before the first. No state closes the port."""

    name: str
    change: Callable[[int], Write]
    rules: Write = _OPEN


KINDS = (
    Kind("a net", lambda n: _rules(src_net=("10.0.0.0/8", "10.64.0.0/10")[n % 2])),
    Kind("a list of ports", lambda n: _rules(dst_ports=[OPEN, 20_000 + n])),
    Kind("a range of ports", lambda n: _rules(dst_ports=[f"6900:{OPEN + 1 + n % 500}"])),
    Kind("a list with ranges of ports", lambda n: _rules(dst_ports=["6900:7010", 20_000 + n])),
    Kind("a denied list of ports", lambda n: _denied(CLOSED, 20_000 + n)),
    Kind("a denied list with ranges", lambda n: _denied(f"{CLOSED}:8100", 20_000 + n)),
    Kind("a tag", lambda n: _rules(src_tag="senders", dst_ports=[OPEN, 20_000 + n]), _TAGGED),
    Kind("a member of a tag", _one_member, _TAGGED),
    Kind(f"{_CROWD} members of a tag", _many_members, _TAGGED),
    Kind("an endpoint's list of profiles", _profiles_of_the_endpoint),
)


def _contents() -> dict[str, str]:
    """Return the keys of a small cluster: two endpoints here, a crowd elsewhere."""
    nothing = '{"inbound": [], "outbound": []}'
    contents = {
        keys.profile_tags("senders"): '["senders"]',
        keys.profile_rules("senders"): '{"inbound": [], "outbound": [{}]}',
        keys.profile_tags("receiver"): "[]",
        keys.profile_tags("others"): "[]",
        keys.profile_rules("others"): nothing,
        keys.profile_tags("crowd"): '["crowd"]',
        keys.profile_rules("crowd"): nothing,
    }
    crowd = (cluster.remote(_CROWD + number, "crowd") for number in range(_CROWD))
    return contents | dict([_OPEN]) | cluster.written([_SENDER, _RECEIVER, *crowd])


def lines(checkout: Path, api: int) -> Iterator[Line]:
    """Measure both ways."""
    with lab.host(checkout, api) as host, containers(host) as ends:
        for kind, done in through_the_agent(host, *ends, UPDATES // len(KINDS)):
            yield report.losses(f"agent: {kind}", done.updates, done.transactions, done.counts)
    with lab.host(checkout) as host, containers(host) as ends:
        yield from direct.lines(host, *ends)


@contextlib.contextmanager
def containers(host: Host) -> Iterator[tuple[Container, Container]]:
    """Have two containers on a host: who sends, who receives."""
    ends = Container(host, _SENDER), Container(host, _RECEIVER)
    try:
        yield ends
    finally:
        for end in ends:
            end.close()


@dataclass(frozen=True)
class Done:
    """How many changes were written, in how many transactions, and what became of the traffic."""

    updates: int
    transactions: int
    counts: Counts


def through_the_agent(
    host: Host, sender: Container, receiver: Container, updates: int
) -> Iterator[tuple[str, Done]]:
    """Start the agent; yield for each kind of change what became of traffic during `updates`."""
    store.fill(host.address, _contents())
    with closing(host.store()) as connection, closing(Commits(host.namespace)) as commits:
        connection.put(keys.READY, "true")
        agent = host.start_agent()
        for kind in KINDS:
            connection.put(*kind.rules)
            traffic = Traffic(sender, receiver)
            commits.within(0.1)
            transactions = 0
            for number in range(updates):
                connection.put(*kind.change(number))
                transactions += commits.until(lambda _: True, _FOLLOWS_WITHIN) < float("inf")
            transactions += len(commits.within(0.5))
            yield kind.name, Done(updates, transactions, traffic.stop())
            agent.check()


def main() -> int:
    """Measure; return 1 if a packet was lost or let through."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--agent", default=CHECKOUT, type=Path, help="another checkout's agent")
    parser.add_argument("--api", default=2, type=int, choices=[2, 3], help="which API of etcd")
    given = parser.parse_args()
    if os.geteuid() != 0:
        parser.error("needs root, for network namespaces")
    title = "Losses: packets while rules change"
    return report.show(title, lines(given.agent, given.api), widths=(44, 108, 18))


if __name__ == "__main__":
    raise SystemExit(main())
