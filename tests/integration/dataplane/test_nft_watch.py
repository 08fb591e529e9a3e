"""Others who change nftables are noticed; what we change ourselves is not."""

import time
from collections.abc import Iterator
from contextlib import closing

import pytest

from calico_ctl.dataplane.nft_watch import NftWatch, Touched
from calico_ctl.dataplane.table import KernelTable
from calico_ctl.policy.ruleset import TABLE
from tests.support.netns import NetNs, private_netns
from tests.support.states import STATES, ruleset

pytestmark = pytest.mark.integration


@pytest.fixture
def host() -> Iterator[NetNs]:
    with private_netns() as host, host.entered():
        yield host


@pytest.fixture
def watch(host: NetNs) -> Iterator[NftWatch]:
    with closing(NftWatch()) as watch:
        yield watch


def seen(watch: NftWatch, patience: float = 3.0) -> Touched:
    """Gather what the watch tells until it has told the end of somebody's transaction."""
    until = time.monotonic() + patience
    told = Touched()
    while not told.by and not told.unknown and time.monotonic() < until:
        told = told.and_then(watch.wait(0.2))
    return told


def test_a_flushed_ruleset_names_our_table_and_the_program(host, watch):
    with closing(KernelTable()) as table:
        table.rebuild(ruleset(STATES["one endpoint"]))
        host.run(["nft", "flush", "ruleset"])
        told = seen(watch)
    assert TABLE in told.tables
    assert told.by == {"nft"}


@pytest.mark.parametrize(
    "change",
    [
        "flush chain inet calico disp-from",
        "add element inet calico t4-web { 10.9.9.9 }",
        "delete element inet calico to-ep { calia }",
        "insert rule inet calico flt-fwd accept",
    ],
)
def test_every_kind_of_change_is_noticed(host, watch, change):
    with closing(KernelTable()) as table:
        table.rebuild(ruleset(STATES["one endpoint"]))
        host.run(["nft", change])
        assert TABLE in seen(watch).tables


def test_our_own_changes_are_not_told_however_many(host, watch):
    with closing(KernelTable()) as table:
        for state in STATES.values():
            table.rebuild(ruleset(state))
        table.delete()
        assert not seen(watch, patience=1.0)


def test_iptables_is_told_by_its_table(host, watch):
    host.run(["iptables-nft", "-N", "DOCKER-USER"])
    told = seen(watch)
    assert told.tables == {"ip filter"}
    assert any("iptables" in name for name in told.by)


def test_quiet_is_quiet(watch):
    assert not watch.wait(0.05)


def test_news_that_the_kernel_had_to_drop_may_be_about_any_table(host, watch):
    lines = "".join(f"add chain inet other c{number}\n" for number in range(20_000))
    for _ in range(3):
        host.run(["nft", "-f", "-"], stdin=f"add table inet other\n{lines}delete table inet other")
    told = Touched()
    while more := watch.wait(1.0):
        told = told.and_then(more)
    assert told.unknown
