"""While rules and members change, no allowed packet is lost and no denied one let through.

Each kind of change is written into etcd as fast as the agent follows, while packets are sent and
counted one by one. A packet's whole way is inside one system call, so a busy machine loses none.
`scripts/bench losses` does the same with 10,000 changes.
"""

from collections.abc import Iterator

import pytest

from benchmarks import lab, losses
from benchmarks.losses import Done
from tests.support.paths import CHECKOUT

pytestmark = pytest.mark.integration

UPDATES = 40
"""Of each kind."""


@pytest.fixture(scope="module")
def done() -> Iterator[dict[str, Done]]:
    with lab.host(CHECKOUT, 2) as host, losses.containers(host) as ends:
        yield dict(losses.through_the_agent(host, *ends, UPDATES))


@pytest.mark.parametrize("kind", [each.name for each in losses.KINDS])
def test_while_this_changes_all_packets_go_where_they_may(done: dict[str, Done], kind: str) -> None:
    happened = done[kind]
    assert happened.transactions > 0
    assert happened.counts.new > 0
    assert happened.counts.established > 0
    assert happened.counts.denied > 0
    assert happened.counts.clean, happened
