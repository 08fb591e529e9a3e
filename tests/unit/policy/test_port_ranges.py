"""Ports that no rule tells apart are in one range, and together the ranges are all ports."""

import itertools

from hypothesis import given, settings
from hypothesis import strategies as st

from calico_ctl.model.rule import Ports, Rule
from calico_ctl.policy import port_ranges
from tests.support.rules import rules


@settings(max_examples=30, deadline=None)
@given(st.lists(rules, max_size=4))
def test_the_ranges_are_all_ports_and_each_is_inside_or_outside_of_every_rule(listed):
    ranges = port_ranges.alike(listed)
    assert ranges[0].first == 0
    assert ranges[-1].last == port_ranges.LARGEST
    assert all(a.last + 1 == b.first for a, b in itertools.pairwise(ranges))
    for each in ranges:
        for asked in (ports for rule in listed for ports in rule.dst_ports):
            inside = asked.first <= each.first and each.last <= asked.last
            assert inside or each.last < asked.first or asked.last < each.first


def test_a_rule_about_one_port_makes_a_range_of_that_port():
    assert Ports(80, 80) in port_ranges.alike([Rule(protocol="tcp", dst_ports=(Ports(80, 80),))])
