"""A step says whether anything changes, and how much."""

from calico_ctl.policy.ruleset import Chain, Ruleset, Set, Step


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
