"""What the rules of a profile matched on this host: the rules from etcd beside the kernel's counts.

The two are read one after the other, and the agent may be behind: counts that do not fit the rules
are never put beside them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from calico_ctl.datastore import profiles, status
from calico_ctl.errors import Conflict
from calico_ctl.model.count import Count
from calico_ctl.model.rule import Direction, Rule
from calico_ctl.policy import compile as policy_compile
from calico_ctl.workload.platform import Platform


@dataclass(frozen=True, slots=True)
class CountedRule:
    """A rule, and what it matched."""

    rule: Rule
    count: Count


def of_profile(platform: Platform, profile: str) -> Mapping[Direction, Sequence[CountedRule]]:
    """Return a profile's rules with their counts, by direction.

    Raises NotFound if the profile does not exist or is not in use on this host, or Conflict if the
    kernel does not hold the rules that etcd has.
    """
    rules = profiles.read(platform.store, profile).rules
    found = platform.counters.rules(profile)
    counted = {each: paired(rules.of(each), each, found[each]) for each in Direction}
    for direction, each in counted.items():
        if each is None:
            raise Conflict(
                f"the {direction} rules of profile {profile} in this host's kernel are not those in"
                " etcd: the policy agent has not caught up",
                hint="try again; `calicoctl status` shows how the agent is",
            )
    return {direction: each or () for direction, each in counted.items()}


def doubt(platform: Platform) -> str:
    """Say why the counts may be those of rules that changed since; empty if the agent keeps up."""
    agent = status.read_agent(platform.store, platform.hostname)
    if agent is not None and not agent.trouble:
        return ""
    reason = "does not report" if agent is None else f"is in trouble ({agent.trouble})"
    return f"the policy agent {reason}: what was counted may be of older rules"


def paired(
    rules: Sequence[Rule], direction: Direction, found: Mapping[int, Sequence[Count]]
) -> Sequence[CountedRule] | None:
    """Put counts (one for each rule of the kernel, by our rule's number) beside the rules.

    None if the kernel has other rules than these would give: other numbers, or more or fewer of one
    number. A rule that can match no packet has none in the kernel, and counts nothing.
    """
    expected = {
        number: len(policy_compile.rule_texts(rule, direction))
        for number, rule in enumerate(rules, start=1)
    }
    present = {number: len(found.get(number, ())) for number in expected.keys() | found.keys()}
    if present != expected:
        return None
    return [
        CountedRule(rule, _sum(found.get(number, ()))) for number, rule in enumerate(rules, start=1)
    ]


def _sum(counts: Sequence[Count]) -> Count:
    return Count(sum(each.packets for each in counts), sum(each.bytes for each in counts))
