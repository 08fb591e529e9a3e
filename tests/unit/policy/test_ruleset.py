"""A step says whether anything changes, and how much."""

from calico_ctl.policy.ruleset import Chain, Ruleset, Set, Step, VerdictMap


def members(*addresses: str) -> Set:
    return Set("ipv4_addr", frozenset(addresses))


def test_a_step_with_two_equal_sides_is_none() -> None:
    assert not Step(Ruleset(), Ruleset())
    assert not Step(Ruleset(sets={"s": members("a")}), Ruleset(sets={"s": members("a")}))
    assert Step(Ruleset(sets={"s": members("a")}), Ruleset(sets={"s": members()}))


def test_a_summary_counts_chains_and_elements() -> None:
    step = Step(
        Ruleset({"c": Chain(())}, {"s": members("a", "b"), "gone": members("x")}),
        Ruleset({"c": Chain(("drop",)), "d": Chain(())}, {"s": members("b", "c")}),
    )
    assert step.summary() == "changed 2 chains and 3 elements"


def test_details_name_what_changes() -> None:
    step = Step(
        Ruleset({"c": Chain(()), "gone": Chain(())}, {"s": members("a", "b"), "t": members("x")}),
        Ruleset(
            {"c": Chain(("drop",)), "d": Chain(())},
            {"s": members("b", "c", "d")},
            {"m": VerdictMap({"cali1": "goto t-web"})},
        ),
    )
    assert step.details() == "chains c, +d, -gone; sets s +2 -1, t -1; maps m +1"
    assert Step(Ruleset(), Ruleset()).details() == ""


def test_details_of_very_much_are_not_endless() -> None:
    step = Step(Ruleset(), Ruleset({f"c{number:03}": Chain(()) for number in range(500)}))
    assert step.details().startswith("chains +c000, +c001, ")
    assert step.details().endswith("+c019, and 480 more")
