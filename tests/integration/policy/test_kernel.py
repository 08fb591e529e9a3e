"""However the kernel's table came to be, it is the one that a fresh start would make."""

import functools
import itertools
import random
from collections.abc import Iterator
from contextlib import closing, contextmanager

import pytest

from calico_ctl.dataplane.table import KernelTable
from tests.support import nft
from tests.support.netns import private_netns
from tests.support.states import STATES, desired, ruleset, walk


@contextmanager
def host_table() -> Iterator[KernelTable]:
    """A namespace of its own, and the table in it."""
    with private_netns() as host, host.entered(), closing(KernelTable()) as table:
        yield table


@functools.cache
def fresh(state: str) -> list[str]:
    with host_table() as table:
        table.rebuild(ruleset(STATES[state]))
        return nft.contents()


@pytest.mark.parametrize("seed", range(4))
def test_a_walk_between_states_ends_in_the_same_table_as_a_fresh_start(seed: int) -> None:
    path = random.Random(seed).choices(list(STATES), k=2 * len(STATES))
    with host_table() as table:
        host = desired({})
        host.take()
        table.rebuild(host.table())
        before: dict[str, str] = {}
        for state in path:
            table.take(walk(host, before, STATES[state]))
            before = STATES[state]
            assert nft.contents() == fresh(state), state
            assert host.table() == ruleset(STATES[state]), state


def test_a_rebuild_of_any_live_table_gives_the_same_one() -> None:
    with host_table() as table:
        for before, after in itertools.pairwise([*STATES, *reversed(STATES)]):
            table.rebuild(ruleset(STATES[before]))
            table.rebuild(ruleset(STATES[after]))
            assert nft.contents() == fresh(after), (before, after)


def test_a_table_of_another_version_is_replaced_in_one_transaction() -> None:
    with host_table() as table:
        nft.apply(
            "add table inet calico\n"
            "add set inet calico src4 { type ipv4_addr; }\n"
            "add chain inet calico ok { type filter hook input priority 0; policy accept; }\n"
        )
        table.rebuild(ruleset(STATES["pools"]))
        assert nft.contents() == fresh("pools")
