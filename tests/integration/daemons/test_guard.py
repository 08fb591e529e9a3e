"""Others' changes of our table are told, those of the accept rules are mended."""

import threading
from collections.abc import Iterator
from contextlib import closing

import pytest

from calico_ctl.daemons import guard
from calico_ctl.daemons.guard import FirewallMended, TableTouched
from calico_ctl.dataplane.nft_watch import NftWatch
from calico_ctl.dataplane.table import KernelTable
from tests.support.command import wait_until
from tests.support.netns import NetNs, private_netns
from tests.support.states import STATES, ruleset

pytestmark = pytest.mark.integration


@pytest.fixture
def host() -> Iterator[NetNs]:
    with private_netns() as host, host.entered():
        host.run(["iptables-nft", "-N", "DOCKER-USER"])
        yield host


@pytest.fixture
def posted(host: NetNs) -> Iterator[list[object]]:
    """What the guard posts."""
    messages: list[object] = []
    stopping, caught_up = threading.Event(), threading.Event()
    caught_up.set()

    def stand() -> None:
        with host.entered(), closing(NftWatch()) as watch:
            guard.run(watch, caught_up, messages.append, stopping)

    thread = threading.Thread(target=stand)
    thread.start()
    wait_until(lambda: accepted(host), 30, "the accept rules are there")
    yield messages
    stopping.set()
    thread.join(60)
    assert not thread.is_alive()


def accepted(host: NetNs) -> bool:
    rules = host.run(["iptables-nft", "-S", "DOCKER-USER"], quiet=True).out.splitlines()
    return sum("cali+" in rule for rule in rules) == 2


def test_accept_rules_that_are_there_for_the_first_time_are_no_repair(posted):
    assert posted == []


def test_accept_rules_that_somebody_flushed_are_put_back_and_told(host, posted):
    host.run(["iptables-nft", "-F", "DOCKER-USER"])
    wait_until(lambda: accepted(host), 30, "the accept rules are there again")
    wait_until(lambda: FirewallMended(1) in posted, 30, "it is told")


def test_a_touched_table_is_told_with_the_program(host, posted):
    with closing(KernelTable()) as table:
        table.rebuild(ruleset(STATES["one endpoint"]))
        host.run(["nft", "flush", "table", "inet", "calico"])
    wait_until(lambda: "nft" in programs(posted), 30, "it is told")


def programs(posted: list[object]) -> set[str]:
    """Who is said to have touched the table: changes that follow each other are told as one."""
    told = (each.by for each in posted if isinstance(each, TableTouched))
    return {program for by in told for program in by.split(", ")}


def test_tables_of_others_are_none_of_our_business(host, posted):
    host.run(["nft", "add", "table", "inet", "other"])
    host.run(["iptables-nft", "-F", "DOCKER-USER"])
    wait_until(lambda: FirewallMended(1) in posted, 30, "what came after it is told")
    assert not any(isinstance(each, TableTouched) for each in posted)
