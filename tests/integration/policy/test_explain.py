"""`explain` agrees with the user guide's words, and what it proposes helps.

The clusters and packets are those of `test_model`, which holds the words against the kernel, and
each packet's explanation too.
"""

from collections import Counter

from hypothesis import HealthCheck, Phase, given, settings
from netaddr import IPAddress

from calico_ctl.model import codec, keys
from calico_ctl.policy import rules_asked
from calico_ctl.policy.explain import Stage, Views, Why
from calico_ctl.policy.remedy import NewRule
from tests.integration.policy import test_model
from tests.integration.policy.test_model import FALSE_MAC, NO_ADDRESS, Cluster, Journey, World
from tests.support import explained

DRAWN = settings(
    max_examples=30,
    phases=[Phase.generate],
    derandomize=True,
    database=None,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)


def asked(views: Views, journey: Journey) -> list[Stage] | None:
    """What is said about a journey; None where nobody could ask: no endpoint, or another's MAC."""
    nameless = journey.kind in {FALSE_MAC, NO_ADDRESS} or journey.packet.src.is_link_local()
    if nameless:
        return None
    return explained.stages(views, journey.packet, journey.source, journey.target)


def with_rule(cluster: Cluster, new: NewRule) -> dict[str, str]:
    """What etcd holds after a proposed command."""
    key = keys.profile_rules(new.profile)
    rules = new.applied(codec.decode_rules(cluster.contents[key]))
    return cluster.contents | {key: codec.encode_rules(rules)}


def test_what_a_proposed_rule_is_for_is_allowed_afterwards() -> None:
    proposed: Counter[Why] = Counter()

    @DRAWN
    @given(test_model.worlds())
    def helps(world: World) -> None:
        views = explained.views(world.cluster.contents)
        for journey in world.sent:
            for at, stage in enumerate(asked(views, journey) or []):
                if stage.new_rule is None:
                    continue
                changed = explained.views(with_rule(world.cluster, stage.new_rule))
                after = asked(changed, journey) or []
                assert after[at].allowed, (stage, after[at])
                proposed[stage.why] += 1

    helps()
    assert min(proposed[Why.RULE], proposed[Why.NO_RULE]) > 5


def test_a_rule_did_not_match_for_a_reason_and_the_one_that_decided_has_none_against_it() -> None:
    seen: Counter[bool] = Counter()

    @DRAWN
    @given(test_model.worlds())
    def has_reasons(world: World) -> None:
        views = explained.views(world.cluster.contents)

        def carries(tag: str, ip: IPAddress) -> bool:
            return world.cluster.carries(tag, ip)

        for journey in world.sent:
            for stage in asked(views, journey) or []:
                assert all(each.because for each in stage.unmatched), stage
                seen[bool(stage.unmatched)] += 1
                if stage.rule is not None:
                    assert not rules_asked.because(stage.rule, journey.packet, carries)
                for each in stage.memberships:
                    assert bool(each.through) == world.cluster.carries(each.tag, each.ip)

    has_reasons()
    assert min(seen[True], seen[False]) > 5
