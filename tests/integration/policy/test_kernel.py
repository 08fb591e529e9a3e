"""However the kernel's table came to be, it is the one that a fresh start would make."""

import itertools
import random
import re

import pytest

from calico_ctl.dataplane.nft import Nft
from calico_ctl.policy import active, diff
from calico_ctl.policy.ruleset import Names, Ruleset
from tests.support.netns import private_netns
from tests.support.states import STATES, ruleset


def contents(nft: Nft) -> list[str]:
    """Return the table's objects in an order of ours, without counters and element order."""
    text = re.sub(r"counter packets \d+ bytes \d+", "counter", nft.listing())
    text = re.sub(r"\{([^{}]*)\}", lambda m: "{" + ",".join(sorted(m[1].split(","))) + "}", text)
    text = re.sub(r"\s*\n\s*", "\n", text).strip().removesuffix("}").strip()
    return sorted(each.strip() for each in re.split(r"\n(?=(?:chain|set|map) )", text))


def fresh(desired: Ruleset) -> list[str]:
    with private_netns() as namespace, namespace.entered():
        nft = Nft()
        nft.apply(diff.rebuild(Names(), desired))
        return contents(nft)


@pytest.mark.parametrize("seed", range(3))
def test_a_walk_between_states_ends_in_the_same_table_as_a_fresh_start(seed: int) -> None:
    walk = random.Random(seed).sample(list(STATES), len(STATES))
    expected = {name: fresh(ruleset(STATES[name])) for name in STATES} if seed == 0 else {}
    with private_netns() as namespace, namespace.entered():
        nft = Nft()
        nft.apply(diff.rebuild(Names(), active.empty()))
        installed = active.empty()
        for name in walk:
            desired = ruleset(STATES[name])
            nft.apply(diff.changes(installed, desired))
            installed = desired
            assert contents(nft) == (expected.get(name) or fresh(desired)), name


def test_a_rebuild_of_any_live_table_gives_the_same_one() -> None:
    with private_netns() as namespace, namespace.entered():
        nft = Nft()
        for before, after in itertools.pairwise([*STATES, *reversed(STATES)]):
            nft.apply(diff.rebuild(nft.names() or Names(), ruleset(STATES[before])))
            nft.apply(diff.rebuild(nft.names() or Names(), ruleset(STATES[after])))
            assert contents(nft) == fresh(ruleset(STATES[after])), (before, after)
