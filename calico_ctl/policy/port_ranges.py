"""Which ports need to be asked about to know the answer for all of them."""

from collections.abc import Iterable

from calico_ctl.model.rule import Ports, Rule

LARGEST = 65535

_ALWAYS = (53, 67, 68, 546, 547)
"""Ports about which the agent's table has rules of its own: names and addresses of containers."""


def alike(rules: Iterable[Rule]) -> list[Ports]:
    """Cut all destination ports into ranges within which none of the rules tells two apart."""
    asked = [each for rule in rules for each in rule.dst_ports]
    asked += [Ports(port, port) for port in _ALWAYS]
    starts = {0} | {each.first for each in asked} | {each.last + 1 for each in asked}
    ordered = sorted(start for start in starts if start <= LARGEST)
    ends = [start - 1 for start in ordered[1:]] + [LARGEST]
    return [Ports(first, last) for first, last in zip(ordered, ends, strict=True)]
