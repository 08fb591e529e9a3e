"""Rules as values."""

from calico_ctl.model.rule import Action, Direction, Rule, Rules, default_rules


def test_members_of_a_new_profile_may_talk_to_each_other_and_to_anyone():
    assert default_rules("web") == Rules((Rule(src_tag="web"),), (Rule(),))


def test_a_rule_allows_unless_it_says_otherwise():
    assert Rule().action is Action.ALLOW


def test_each_direction_has_its_own_list():
    rules = Rules((Rule(src_tag="a"),), (Rule(dst_tag="b"),))
    assert rules.of(Direction.INBOUND) == (Rule(src_tag="a"),)
    assert rules.of(Direction.OUTBOUND) == (Rule(dst_tag="b"),)
    assert rules.tags() == {"a", "b"}
