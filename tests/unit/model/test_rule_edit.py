import pytest
from hypothesis import given
from hypothesis import strategies as st

from calico_ctl.errors import InvalidValue, NotFound
from calico_ctl.model import rule_edit
from calico_ctl.model.rule import Direction, Rule, Rules

INBOUND, OUTBOUND = Direction.INBOUND, Direction.OUTBOUND
A, B, C, NEW = (Rule(src_tag=name) for name in ("a", "b", "c", "new"))
RULES = Rules(inbound=(A, B, C), outbound=(A,))


@pytest.mark.parametrize(
    ("position", "expected"),
    [(1, (NEW, A, B, C)), (3, (A, B, NEW, C)), (4, (A, B, C, NEW)), (None, (A, B, C, NEW))],
)
def test_a_rule_is_put_at_its_position(position, expected) -> None:
    changed = rule_edit.insert(RULES, INBOUND, NEW, position)
    assert changed == Rules(inbound=expected, outbound=RULES.outbound)


def test_a_rule_that_is_there_is_not_put_in_twice() -> None:
    assert rule_edit.insert(RULES, INBOUND, B, 1) == RULES
    assert rule_edit.insert(RULES, OUTBOUND, B).outbound == (A, B)


@pytest.mark.parametrize("position", [0, 5, 999])
def test_a_position_that_leaves_a_gap_is_refused(position) -> None:
    with pytest.raises(InvalidValue, match="expected 1 to 4"):
        rule_edit.insert(RULES, INBOUND, NEW, position)


def test_the_rule_at_a_position_is_taken_out() -> None:
    assert rule_edit.remove_at(RULES, INBOUND, 2).inbound == (A, C)


def test_nothing_can_be_taken_out_where_nothing_is() -> None:
    with pytest.raises(InvalidValue, match="expected 1 to 3"):
        rule_edit.remove_at(RULES, INBOUND, 4)
    with pytest.raises(InvalidValue, match=r"expected 1$"):
        rule_edit.remove_at(RULES, OUTBOUND, 2)
    with pytest.raises(NotFound, match="there are no outbound rules"):
        rule_edit.remove_at(Rules(), OUTBOUND, 1)


def test_only_the_first_of_two_equal_rules_is_taken_out() -> None:
    assert rule_edit.remove(Rules(inbound=(A, B, A)), INBOUND, A).inbound == (B, A)


def test_a_rule_that_is_not_there_is_named() -> None:
    with pytest.raises(NotFound, match="no outbound rule `allow from tag b`"):
        rule_edit.remove(RULES, OUTBOUND, B)


@given(st.lists(st.sampled_from([A, B, C]), unique=True), st.integers(1, 4))
def test_what_was_put_in_can_be_taken_out_again(present, position) -> None:
    rules = Rules(inbound=tuple(present))
    at = min(position, len(present) + 1)
    assert rule_edit.remove_at(rule_edit.insert(rules, INBOUND, NEW, at), INBOUND, at) == rules
    assert rule_edit.remove(rule_edit.insert(rules, INBOUND, NEW, at), INBOUND, NEW) == rules


def test_positions_count_from_one_and_zero_is_the_first() -> None:
    assert [rule_edit.parse_position(text) for text in ("0", "1", "12")] == [1, 1, 12]


@pytest.mark.parametrize("text", ["", "-1", "x", "1.5", " 1", "²", "9" * 30])
def test_what_is_no_number_is_no_position(text) -> None:
    with pytest.raises(InvalidValue, match="--at"):
        rule_edit.parse_position(text)
