"""What the kernel makes of our expressions lists exactly as what nft makes of the same text.

And it lists them byte for byte as they were written, so that a rule that is there is recognised.
"""

from contextlib import closing

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from calico_ctl.dataplane import nfnetlink
from calico_ctl.dataplane.netlink import NETFILTER, Netlink
from calico_ctl.dataplane.table import KernelTable
from calico_ctl.model.rule import Direction, Rule, Rules
from calico_ctl.policy import compile as policy_compile
from calico_ctl.policy import diff, layout
from calico_ctl.policy.operations import script
from calico_ctl.policy.ruleset import Chain, Names, Ruleset, Set, VerdictMap
from tests.support import nft
from tests.support.netns import private_netns
from tests.support.rules import rules

pytestmark = pytest.mark.integration


def table_of(drawn: Rules) -> Ruleset:
    """A table with a profile's chains and what they look up."""
    chains = {
        policy_compile.profile_chain("x", direction): Chain(
            policy_compile.profile_rules(drawn, direction)
        )
        for direction in Direction
    }
    sets = {
        policy_compile.tag_set(tag, family): Set(layout.ADDRESS_TYPE[family])
        for tag in drawn.tags()
        for family in (4, 6)
    }
    static = layout.static_chains() | {layout.TO_HOST_CHAIN: layout.to_host_chain("RETURN")}
    maps = {name: VerdictMap({}) for name in layout.DISPATCH}
    return Ruleset(
        static | chains, layout.static_sets() | sets | policy_compile.port_sets(drawn), maps
    )


def nft_joins_ports(rule: Rule) -> bool:
    """Whether nft 1.0.6 makes one 32-bit field of both ports, which it then lists as numbers."""
    numbers = [
        {number for ports in side for number in (ports.first, ports.last)}
        for side in (rule.src_ports, rule.dst_ports)
    ]
    return rule.protocol is None and all(len(each) == 1 for each in numbers)


def told_apart(table: Ruleset) -> set[str]:
    """The chains whose rules have no set inside."""
    return {
        name
        for name, chain in table.chains.items()
        if not any(" { " in rule for rule in chain.rules)
    }


@settings(
    max_examples=40,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow],
)
@given(st.lists(rules.filter(lambda rule: not nft_joins_ports(rule)), min_size=5, max_size=30))
def test_random_rules_list_as_if_nft_had_made_them(drawn: list[Rule]) -> None:
    desired = table_of(Rules(tuple(drawn), tuple(drawn)))
    with private_netns() as host, host.entered(), closing(KernelTable()) as table:
        nft.apply(script(diff.rebuild(Names(), desired)))
        expected = nft.listing()
        table.delete()
        table.rebuild(desired)
        assert nft.listing() == expected
        with Netlink(NETFILTER) as kernel:
            assert nfnetlink.chains_as(kernel, desired.chains) == told_apart(desired)
