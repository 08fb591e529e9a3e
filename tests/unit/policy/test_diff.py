"""From one table to another: only what differs, in an order that always works."""

from collections.abc import Iterator

import pytest

from calico_ctl.policy import diff
from calico_ctl.policy.diff import Held, Transaction
from calico_ctl.policy.operations import AddChain, AddElements, AddRule, AddSet, Flush, script
from calico_ctl.policy.ruleset import Names, Step
from tests.support.states import STATES, desired, ruleset, walk


def text(transactions: list[Transaction]) -> list[str]:
    return script(transactions).splitlines()


def lines(before: str, after: str) -> list[str]:
    """The script that host1's agent writes when one state becomes another."""
    host = desired(STATES[before])
    host.take()
    return text(diff.changes(walk(host, STATES[before], STATES[after])))


def whole(before: str, after: str) -> list[str]:
    """The script between two complete tables."""
    return text(diff.changes(Step(ruleset(STATES[before]), ruleset(STATES[after]))))


def others(state: str) -> Iterator[str]:
    return (other for other in STATES if other != state)


@pytest.mark.parametrize("state", STATES)
def test_equal_tables_need_no_transaction(state: str):
    assert lines(state, state) == []


@pytest.mark.parametrize("before", STATES)
def test_a_step_and_the_difference_of_whole_tables_are_the_same_script(before: str):
    for after in others(before):
        assert lines(before, after) == whole(before, after), after


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
    written = [line for line in lines("one endpoint", "pools") if "calico pools4" in line]
    assert written == [
        "flush set inet calico pools4",
        "add element inet calico pools4 { 10.65.0.0/16 }",
    ]


def test_an_endpoint_that_changes_its_chain_in_the_map_is_taken_out_first():
    written = lines("the list the other way round", "one endpoint")
    assert _first(written, "delete element inet calico to-ep") < _first(written, "delete chain")


@pytest.mark.parametrize("before", STATES)
def test_nothing_is_used_before_it_is_there_nor_gone_while_it_is_used(before: str):
    for after in others(before):
        _require_order(before, after)


def _require_order(before: str, after: str) -> None:
    # A chain with a hook refers to others and is referred to by nobody: it may come last.
    hooked = ("nat-post", "tunnel-in", "tunnel-fwd")
    written = [line for line in lines(before, after) if not any(name in line for name in hooked)]
    for earlier, later in (
        ("add set", "add rule"),
        ("add chain", "add rule"),
        ("add rule", "add element inet calico to-ep"),
        ("add element inet calico to-ep", "delete chain"),
        ("flush chain", "delete chain"),
        ("delete chain", "delete set"),
    ):
        places = _places(written, earlier), _places(written, later)
        if all(places):
            assert max(places[0]) < min(places[1]), (after, earlier, later)


@pytest.mark.parametrize("before", STATES)
def test_what_is_new_is_whole_before_anybody_is_sent_to_it(before: str):
    for after in others(before):
        _require_whole(before, after)


def _require_whole(before: str, after: str) -> None:
    host = desired(STATES[before])
    host.take()
    known = host.table()
    first, *second = diff.changes(walk(host, STATES[before], STATES[after])) or [[]]
    assert len(second) <= 1, after
    assert not any(isinstance(each, AddChain) and each.hook for each in first if second), after
    if second:
        assert not any(isinstance(each, AddSet) for each in second[0]), after
        assert all(each.hook for each in second[0] if isinstance(each, AddChain)), after
        made = (each for each in first if isinstance(each, AddSet | AddChain | AddElements))
        named = {each.name for each in made}
        named |= {each.chain for each in first if isinstance(each, AddRule)}
        there = known.chains.keys() | known.sets.keys() | known.maps.keys()
        assert not named & there, after


def test_a_rebuild_empties_and_deletes_what_it_does_not_know():
    live = Names(frozenset({"stale-1", "flt-in"}), frozenset({"t4-old"}), frozenset())
    written = text(diff.rebuild(live, ruleset(STATES["empty"])))
    deletions = [line for line in written if line.startswith("delete")]
    assert deletions == ["delete chain inet calico stale-1", "delete set inet calico t4-old"]
    assert "flush chain inet calico stale-1" in written
    assert not any("delete table" in line for line in written)


def test_a_rebuild_of_a_live_table_first_makes_what_is_new():
    live = ruleset(STATES["one endpoint"])
    names = Names(frozenset(live.chains), frozenset(live.sets), frozenset(live.maps))
    first, rest = diff.rebuild(names, ruleset(STATES["two profiles"]))
    assert {each.name for each in first if isinstance(each, AddSet)} == {"t4-app", "t6-app"}
    assert not any(isinstance(each, Flush) for each in first)
    assert any(isinstance(each, Flush) for each in rest)
    assert len(diff.rebuild(names, live)) == 1
    assert len(diff.rebuild(Names(), live)) == 1


def test_a_rebuild_writes_of_a_set_that_is_known_only_what_differs():
    live = ruleset(STATES["one endpoint"])
    names = Names(frozenset(live.chains), frozenset(live.sets), frozenset(live.maps))
    (right,) = live.sets["t4-web"].elements
    held = Held({"t4-web": frozenset({"10.9.9.9"}), "t6-web": live.sets["t6-web"].elements})
    written = text(diff.rebuild(names, live, held))
    assert [line for line in written if "t4-web" in line and "element" in line] == [
        "delete element inet calico t4-web { 10.9.9.9 }",
        f"add element inet calico t4-web {{ {right} }}",
    ]
    assert not [
        line for line in written if "t6-web" in line and ("flush" in line or "elem" in line)
    ]
    assert "flush set inet calico t4-web" in text(diff.rebuild(names, live))


def test_a_rebuild_leaves_chains_alone_that_are_right():
    live = ruleset(STATES["one endpoint"])
    names = Names(frozenset(live.chains), frozenset(live.sets), frozenset(live.maps))
    held = Held(chains=frozenset(live.chains) - {"flt-in"})
    written = text(diff.rebuild(names, live, held))
    assert {
        line.split()[4] for line in written if line.startswith(("flush chain", "add rule"))
    } == {"flt-in"}
    hooked = {name for name, chain in live.chains.items() if chain.hook}
    assert {line.split()[4] for line in written if line.startswith("add chain")} == hooked


def test_a_table_is_replaced_in_one_transaction():
    assert len(diff.replace(ruleset(STATES["empty"]))) == 1
    written = text(diff.replace(ruleset(STATES["empty"])))
    assert written[:3] == [
        "add table inet calico",
        "delete table inet calico",
        "add table inet calico",
    ]


def _places(written: list[str], beginning: str) -> list[int]:
    return [at for at, line in enumerate(written) if line.startswith(beginning)]


def _first(written: list[str], beginning: str) -> int:
    return _places(written, beginning)[0]
