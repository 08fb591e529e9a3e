"""The table that has packets traced is there only while somebody looks, however he ends."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest

from calico_ctl.dataplane import watch_table
from calico_ctl.dataplane.netlink import NETFILTER, Netlink
from calico_ctl.dataplane.nft_watch import NftWatch
from calico_ctl.dataplane.table import KernelTable
from calico_ctl.dataplane.watch_table import WatchTable
from calico_ctl.policy.ruleset import TABLE
from tests.support import command
from tests.support.netns import NetNs, private_netns
from tests.support.paths import CHECKOUT
from tests.support.states import STATES, ruleset

pytestmark = pytest.mark.integration

HOLD = """
from calico_ctl.dataplane.watch_table import WatchTable
table = WatchTable()
print(table.name, flush=True)
input()
"""


@pytest.fixture
def host() -> Iterator[NetNs]:
    with private_netns() as host, host.entered():
        yield host


def watching() -> list[str]:
    return [line for line in command.run(["nft", "list", "tables"]).out.splitlines() if line]


def hold() -> tuple[subprocess.Popen[str], str]:
    """A process that has a table; return it and the table's name."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD],
        cwd=CHECKOUT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    return process, process.stdout.readline().strip()


def end(process: subprocess.Popen[str]) -> None:
    process.send_signal(signal.SIGKILL)
    process.wait(30)
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.close()
    process.stdout.close()


def test_it_is_gone_after_it_was_closed(host):
    table = WatchTable()
    assert watching() == [f"table inet {table.name}"]
    table.close()
    assert watching() == []


def test_that_somebody_else_removed_it_is_no_error(host, monkeypatch):
    monkeypatch.setattr(watch_table, "OWNER", 0x8000)
    table = WatchTable()
    host.run(["nft", "flush", "ruleset"])
    table.close()
    assert watching() == []


def test_it_is_listed_as_meant(host):
    table = WatchTable()
    table.let_through(frozenset({"calia", "calib"}))
    table.let_through(frozenset({"calib", "calic"}))
    listed = " ".join(command.run(["nft", "list", "table", "inet", table.name]).out.split())
    table.close()
    assert (
        'elements = { "calib", "calic" }' in listed or 'elements = { "calic", "calib" }' in listed
    )
    assert "flags owner" in listed
    assert "hook prerouting priority raw - 10; policy accept;" in listed
    assert "iifname != @let-through limit rate 500/second burst 500 packets meta nftrace set 1" in (
        listed
    )
    assert "fib saddr . iif oif missing limit rate" in listed
    assert "hook forward priority filter - 6; policy accept;" in listed
    assert "ct state established,related return limit rate" in listed


def test_a_process_that_was_killed_leaves_no_table(host):
    process, name = hold()
    assert watching() == [f"table inet {name}"]
    end(process)
    command.wait_until(lambda: watching() == [], 30, "the kernel has removed the table")


def test_where_tables_have_no_owner_the_next_one_removes_what_was_left(host, monkeypatch):
    # No process ever has this number: it is above the largest that pid_max may be.
    left = f"{watch_table.PREFIX}{2**22 + 1}"
    living = f"{watch_table.PREFIX}{os.getppid()}"
    for name in (left, living, f"{watch_table.PREFIX}x"):
        host.run(["nft", "add", "table", "inet", name])
    # A flag that no kernel knows is answered as the owner's is by one before 5.12.
    monkeypatch.setattr(watch_table, "OWNER", 0x8000)
    table = WatchTable()
    listed = command.run(["nft", "list", "table", "inet", table.name]).out
    names = set(watching())
    table.close()
    assert "owner" not in listed
    assert names == {
        f"table inet {name}" for name in (living, f"{watch_table.PREFIX}x", table.name)
    }


def test_another_ones_table_is_left_alone(host):
    process, name = hold()
    with Netlink(NETFILTER) as kernel:
        assert watch_table.remove_abandoned(kernel) == []
    table = WatchTable()
    table.close()
    assert watching() == [f"table inet {name}"]
    end(process)


def test_the_agents_watch_does_not_take_it_for_a_change_of_the_policys_table(host):
    policy = KernelTable()
    policy.rebuild(ruleset(STATES["one endpoint"]))
    watch = NftWatch()
    process, name = hold()
    end(process)
    touched = watch.wait(30)
    while f"inet {name}" not in touched.tables:
        more = watch.wait(30)
        assert more
        touched = touched.and_then(more)
    watch.close()
    policy.close()
    assert TABLE not in touched.tables
    assert not touched.unknown
