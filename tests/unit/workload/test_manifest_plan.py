"""Plans of `apply`, and that no state on the way allows what neither end allows."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from netaddr import IPAddress, IPNetwork

from calico_ctl.errors import AlreadyExists, CalicoError, Conflict
from calico_ctl.model.manifest import Stated
from calico_ctl.model.pool import Pool
from calico_ctl.model.profile import Profile
from calico_ctl.model.rule import Action, Direction, Rule, Rules
from calico_ctl.policy import verdict
from calico_ctl.workload import manifest_plan
from calico_ctl.workload.manifest_plan import Present, Write

FROM_WEB, FROM_BAD = Rule(src_tag="web"), Rule(Action.DENY, src_tag="bad")


def present(*things: Profile | Pool, unreadable: Iterable[str] = ()) -> Present:
    profiles = {each.name: each for each in things if isinstance(each, Profile)}
    pools = [each for each in things if isinstance(each, Pool)]
    return Present(profiles, pools, frozenset(unreadable))


def stated(*things: Profile | Pool) -> list[Stated]:
    return [Stated(thing, f"a.yaml, document {number}") for number, thing in enumerate(things, 1)]


def writes(there: Present, *things: Profile | Pool) -> list[Write]:
    return manifest_plan.writes(there, manifest_plan.plan(there, stated(*things)))


def pool(cidr: str, **options: bool) -> Pool:
    return Pool(IPNetwork(cidr), **options)  # type: ignore[arg-type]


def test_pools_come_first_and_each_thing_is_told_what_becomes_of_it() -> None:
    there = present(Profile("a"), Profile("b", ("x", "y")), pool("10.0.0.0/16"))
    wanted = [Profile("b", ("y", "x")), Profile("c"), Profile("a", ("t",))]
    steps = manifest_plan.plan(there, stated(*wanted, pool("10.1.0.0/16"), pool("10.0.0.0/16")))
    assert [str(step) for step in steps] == [
        "pool 10.1.0.0/16 created",
        "pool 10.0.0.0/16 unchanged",
        "profile b unchanged",
        "profile c created",
        "profile a changed",
    ]


@pytest.mark.parametrize(
    ("wanted", "kind", "message"),
    [
        (pool("10.0.0.0/8"), Conflict, "pool 10.0.0.0/8 overlaps the pool 10.65.0.0/16"),
        (pool("10.65.3.0/24"), Conflict, "pool 10.65.3.0/24 overlaps the pool 10.65.0.0/16"),
        (pool("10.65.0.0/16", masquerade=True), AlreadyExists, "exists already with other options"),
        (pool("11.0.0.0/16"), AlreadyExists, "exists already, but its value cannot be read"),
    ],
)
def test_a_pool_that_does_not_fit_to_what_is_there_is_refused_with_its_place(
    wanted, kind, message
) -> None:
    there = present(pool("10.65.0.0/16"), unreadable=["/calico/ipam/v4/pool/11.0.0.0-16"])
    with pytest.raises(CalicoError) as caught:
        manifest_plan.plan(there, stated(wanted))
    assert isinstance(caught.value, kind)
    assert caught.value.message.startswith("a.yaml, document 1: pool ")
    assert message in caught.value.message
    assert caught.value.hint


def test_what_somebody_else_wrote_beside_our_options_does_not_make_a_pool_another_one() -> None:
    there = present(replace(pool("10.0.0.0/16"), extra={"mine": True}))
    (step,) = manifest_plan.plan(there, stated(pool("10.0.0.0/16")))
    assert step.outcome == "unchanged"


@pytest.mark.parametrize("disabled", [True, False])
def test_a_pool_is_disabled_or_enabled_and_not_made_anew(disabled: bool) -> None:
    there = present(pool("10.0.0.0/16", masquerade=True, disabled=not disabled))
    wanted = pool("10.0.0.0/16", masquerade=True, disabled=disabled)
    (step,) = manifest_plan.plan(there, stated(wanted))
    assert (step.outcome, step.present) == ("changed", there.pools[0])


def test_a_new_profile_is_made_empty_then_gets_its_rules_then_its_tags() -> None:
    rules = Rules((FROM_WEB,))
    assert writes(present(), Profile("web", ("web",), rules)) == [
        Write("web"),
        Write("web", rules=rules),
        Write("web", tags=("web",)),
    ]
    assert writes(present(), Profile("web")) == [
        Write("web"),
        Write("web", rules=Rules()),
        Write("web", tags=()),
    ]


def test_only_what_differs_is_written() -> None:
    old = Profile("web", ("a",), Rules((FROM_WEB,)))
    assert writes(present(old), old) == []
    assert writes(present(old), replace(old, tags=("a", "b"))) == [Write("web", tags=("a", "b"))]
    assert writes(present(old), replace(old, rules=Rules())) == [Write("web", rules=Rules())]


def test_tags_go_before_rules_and_come_after_them() -> None:
    old = Profile("p", ("a", "b"), Rules((FROM_WEB,)))
    new = Profile("p", ("b", "c"), Rules())
    assert writes(present(old), new) == [
        Write("p", tags=("b",)),
        Write("p", rules=Rules()),
        Write("p", tags=("b", "c")),
    ]


def test_tags_that_are_only_denied_come_before_rules_and_go_after_them() -> None:
    guarded = Profile("db", (), Rules((FROM_BAD, Rule())))
    member = Profile("p", ("bad",))
    opened = Profile("db", (), Rules((Rule(),)))
    assert writes(present(Profile("db"), Profile("p")), guarded, member) == [
        Write("p", tags=("bad",)),
        Write("db", rules=guarded.rules),
    ]
    assert writes(present(guarded, member), opened, Profile("p")) == [
        Write("db", rules=opened.rules),
        Write("p", tags=()),
    ]


def test_rules_that_allow_nothing_new_are_written_before_those_that_do() -> None:
    there = present(Profile("a"), Profile("b", (), Rules((Rule(),))))
    assert writes(there, Profile("a", (), Rules((), (Rule(),))), Profile("b")) == [
        Write("b", rules=Rules()),
        Write("a", rules=Rules((), (Rule(),))),
    ]


def test_a_profile_that_nobody_can_read_is_written_whole() -> None:
    there = present(unreadable=["/calico/policy/profile/web"])
    (step,) = manifest_plan.plan(there, stated(Profile("web", ("a",))))
    assert str(step) == "profile web changed"
    assert writes(there, Profile("web", ("a",))) == [
        Write("web"),
        Write("web", tags=()),
        Write("web", rules=Rules()),
        Write("web", tags=("a",)),
    ]


ALLOWED, DENIED = ("a",), ("x",)
rule_lists = st.lists(
    st.one_of(
        st.sampled_from(ALLOWED).map(lambda tag: Rule(src_tag=tag)),
        st.sampled_from(DENIED).map(lambda tag: Rule(Action.DENY, src_tag=tag)),
        st.sampled_from([Rule(), Rule(Action.DENY)]),
    ),
    max_size=3,
)
profile_pairs = st.fixed_dictionaries(
    {
        name: st.builds(
            Profile,
            name=st.just(name),
            tags=st.lists(st.sampled_from(ALLOWED + DENIED), unique=True).map(tuple),
            rules=rule_lists.map(lambda rules: Rules(tuple(rules))),
        )
        for name in ("p", "q")
    }
)


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(old=profile_pairs, new=profile_pairs)
def test_no_state_on_the_way_lets_in_what_neither_end_lets_in(old, new) -> None:
    """As long as no tag is asked about by allow and by deny rules."""
    there = present(*old.values())
    now: dict[str, Profile] = dict(old)
    for write in writes(there, *new.values()):
        if write.tags is not None:
            now[write.profile] = replace(now[write.profile], tags=write.tags)
        if write.rules is not None:
            now[write.profile] = replace(now[write.profile], rules=write.rules)
        for source, target in (("p", "q"), ("q", "p"), ("p", "p")):
            if lets_in(now, source, target):
                assert lets_in(old, source, target) or lets_in(new, source, target), (now, write)
    assert {name: (set(each.tags), each.rules) for name, each in now.items()} == {
        name: (set(each.tags), each.rules) for name, each in new.items()
    }


def lets_in(profiles: Mapping[str, Profile], source: str, target: str) -> bool:
    packet = verdict.Packet(IPAddress("10.0.0.1"), IPAddress("10.0.0.2"), 6, 1024, 80)
    asked: Sequence[str] = [target]
    return verdict.ask(
        asked,
        lambda name: profiles[name].rules,
        Direction.INBOUND,
        packet,
        lambda tag, _ip: tag in profiles[source].tags,
    ).allowed
