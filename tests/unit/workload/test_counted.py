"""Counts are put beside the rules that they belong to, or beside none."""

import pytest
from netaddr import IPNetwork

from calico_ctl.datastore import profiles, status
from calico_ctl.datastore.status import AgentStatus
from calico_ctl.errors import Conflict, NotFound
from calico_ctl.model.count import Count
from calico_ctl.model.rule import Direction, Rule
from calico_ctl.workload import counted
from calico_ctl.workload.counted import CountedRule
from tests.support.machine import HOST, FakeCounters, Machine

ANY = Rule()
BY_TAG = Rule(src_tag="web")
NEVER = Rule(src_net=IPNetwork("10.0.0.0/8"), dst_net=IPNetwork("fd00::/8"))
IN, OUT = Direction.INBOUND, Direction.OUTBOUND


@pytest.fixture
def machine() -> Machine:
    machine = Machine()
    profiles.create(machine.store, "web")
    kernel = {IN: {1: [Count(1, 100), Count(2, 200)]}, OUT: {1: [Count(5, 500)]}}
    machine.counters = FakeCounters({"web": kernel})
    return machine


def test_a_rule_with_several_in_the_kernel_has_their_sum(machine: Machine) -> None:
    assert counted.of_profile(machine, "web") == {
        IN: [CountedRule(BY_TAG, Count(3, 300))],
        OUT: [CountedRule(ANY, Count(5, 500))],
    }


def test_a_profile_that_etcd_or_the_kernel_does_not_have_is_not_found(machine: Machine) -> None:
    with pytest.raises(NotFound, match="profile db does not exist"):
        counted.of_profile(machine, "db")
    profiles.create(machine.store, "db")
    with pytest.raises(NotFound, match="profile db is not in use"):
        counted.of_profile(machine, "db")


def test_rules_that_the_kernel_does_not_hold_yet_have_no_counts(machine: Machine) -> None:
    profiles.edit_rules(
        machine.store, "web", lambda rules: type(rules)(rules.inbound, (*rules.outbound, ANY))
    )
    with pytest.raises(Conflict, match=r"the outbound rules of profile web .* not caught up"):
        counted.of_profile(machine, "web")


@pytest.mark.parametrize(
    "found",
    [
        {1: [Count()]},
        {1: [Count()], 2: [Count(), Count()], 3: [Count()]},
        # as many, but the other way round: the second is the one about both families
        {1: [Count(), Count()], 2: [Count()]},
        {2: [Count()], 3: [Count(), Count()]},
    ],
)
def test_counts_of_other_rules_are_not_put_beside_these(found) -> None:
    assert counted.paired([ANY, BY_TAG], IN, {1: [Count()], 2: [Count(), Count()]}) is not None
    assert counted.paired([ANY, BY_TAG], IN, found) is None


def test_a_rule_that_no_packet_can_match_counts_nothing() -> None:
    assert counted.paired([NEVER, ANY], IN, {2: [Count(1, 2)]}) == [
        CountedRule(NEVER, Count()),
        CountedRule(ANY, Count(1, 2)),
    ]


def test_counts_are_in_doubt_while_the_agent_is_silent_or_in_trouble(machine: Machine) -> None:
    assert "does not report" in counted.doubt(machine)
    status.write_agent(machine.store, HOST, AgentStatus("now", trouble="no room"))
    assert "is in trouble (no room)" in counted.doubt(machine)
    status.write_agent(machine.store, HOST, AgentStatus("now"))
    assert counted.doubt(machine) == ""
