"""From one table to another: only what differs, in an order that always works."""

import itertools

import pytest

from calico_ctl.policy import diff
from calico_ctl.policy.ruleset import Names
from tests.support.states import STATES, endpoint, ruleset


def lines(before: str, after: str) -> list[str]:
    return diff.changes(ruleset(STATES[before]), ruleset(STATES[after])).splitlines()


@pytest.mark.parametrize("state", STATES)
def test_equal_tables_need_no_transaction(state: str):
    assert lines(state, state) == []


def test_a_rule_more_rewrites_only_its_profiles_chains():
    flushed = [line for line in lines("one endpoint", "a rule more") if "flush" in line]
    assert flushed == ["flush chain inet calico pi-web", "flush chain inet calico po-web"]


def test_a_member_more_is_one_element_a_family():
    assert lines("one endpoint", "a member elsewhere") == [
        "add element inet calico t4-web { 10.65.0.98 }",
        "add element inet calico t6-web { fd80::62 }",
    ]
    assert lines("a member elsewhere", "one endpoint") == [
        "delete element inet calico t4-web { 10.65.0.98 }",
        "delete element inet calico t6-web { fd80::62 }",
    ]


def test_a_set_of_networks_is_written_as_a_whole():
    written = [line for line in lines("one endpoint", "pools") if "pools4" in line]
    assert written == [
        "flush set inet calico pools4",
        "add element inet calico pools4 { 10.65.0.0/16 }",
    ]


def test_an_endpoint_that_changes_its_chain_in_the_map_is_taken_out_first():
    before = ruleset(STATES["one endpoint"])
    after = ruleset(STATES["one endpoint"] | dict([endpoint("b")]))
    script = diff.changes(after, before).splitlines()
    assert _first(script, "delete element inet calico to-ep") < _first(script, "delete chain")


@pytest.mark.parametrize(("before", "after"), list(itertools.permutations(STATES, 2)))
def test_nothing_is_used_before_it_is_there_nor_gone_while_it_is_used(before: str, after: str):
    script = lines(before, after)
    order = ["add set", "add chain", "add rule", "add element inet calico to-ep", "delete chain"]
    places = [_places(script, beginning) for beginning in [*order, "delete set"]]
    for earlier, later in itertools.pairwise([each for each in places if each]):
        assert max(earlier) < min(later)


def test_a_rebuild_empties_and_deletes_what_it_does_not_know():
    live = Names(frozenset({"stale-1", "ok"}), frozenset({"t4-old"}), frozenset())
    script = diff.rebuild(live, ruleset(STATES["empty"])).splitlines()
    deletions = [line for line in script if line.startswith("delete")]
    assert deletions == ["delete chain inet calico stale-1", "delete set inet calico t4-old"]
    assert "flush chain inet calico stale-1" in script
    assert not any("delete table" in line for line in script)


def _places(script: list[str], beginning: str) -> list[int]:
    return [at for at, line in enumerate(script) if line.startswith(beginning)]


def _first(script: list[str], beginning: str) -> int:
    return _places(script, beginning)[0]
