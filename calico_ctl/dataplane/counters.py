"""What our table has counted on this host, asked of the kernel by netlink.

A rule's number is the comment of each rule of the kernel that was written for it. Counts begin at
zero when a rule, or an interface's element in a set, is written: a chain is written anew when its
profile changes, and everything when the agent starts or mends the table.
"""

import struct
from collections.abc import Mapping, Sequence

from calico_ctl.dataplane import nfnetlink
from calico_ctl.dataplane.netlink import NETFILTER, Netlink, attributes, each_attribute, text
from calico_ctl.errors import NotFound
from calico_ctl.model.count import Count, Drops
from calico_ctl.model.rule import Direction
from calico_ctl.policy import compile as policy_compile
from calico_ctl.policy.layout import DROPPED
from calico_ctl.policy.ruleset import TABLE, Names

# NFTA_RULE_EXPRESSIONS, NFTA_RULE_USERDATA; libnftnl's type of a comment in the latter
_EXPRESSIONS, _USER_DATA, _COMMENT = 4, 7, 0
# NFTA_SET_ELEM_KEY, NFTA_SET_ELEM_EXPR; the key is one attribute, NFTA_DATA_VALUE
_KEY, _EXPRESSION, _VALUE = 1, 7, 1
# NFTA_EXPR_NAME, NFTA_EXPR_DATA; NFTA_COUNTER_BYTES, NFTA_COUNTER_PACKETS
_NAME, _DATA, _BYTES, _PACKETS = 1, 2, 1, 2


class KernelCounters:
    """Implements `workload.platform.Counters`."""

    def rules(self, profile: str) -> Mapping[Direction, Mapping[int, Sequence[Count]]]:
        """Return the counts of a profile's rules, by direction and number of the rule.

        One for each rule of the kernel: it may have several for one of ours. Raises NotFound if
        there is no table of ours or no chain of the profile in it.
        """
        chains = {each: policy_compile.profile_chain(profile, each) for each in Direction}
        with Netlink(NETFILTER) as kernel:
            if not _names(kernel).chains >= set(chains.values()):
                raise NotFound(
                    f"profile {profile} is not in use on this host, so nothing is counted for it",
                    hint="`calicoctl profile show --detailed` lists which hosts it is in use on",
                )
            return {each: _by_rule(kernel, chains[each]) for each in Direction}

    def drops(self) -> Mapping[str, Drops]:
        """Return what was dropped of each interface that is let through; NotFound: no table."""
        with Netlink(NETFILTER) as kernel:
            _names(kernel)
            sent, received, spoofed = (_by_interface(kernel, name) for name in DROPPED)
        return {
            each: Drops(sent.get(each, 0), received.get(each, 0), spoofed.get(each, 0))
            for each in sent.keys() | received.keys() | spoofed.keys()
        }


def _names(kernel: Netlink) -> Names:
    names = nfnetlink.names(kernel)
    if names is None:
        raise NotFound(
            f"this host has no nftables table {TABLE}, so nothing is counted here",
            hint="`calicoctl status` shows whether calico-node runs; it makes the table",
        )
    return names


def _by_rule(kernel: Netlink, chain: str) -> Mapping[int, Sequence[Count]]:
    found: dict[int, list[Count]] = {}
    for rule in nfnetlink.rules_of(kernel, chain):
        comment = comment_of(rule.get(_USER_DATA, b""))
        counts = [
            count
            for _, expression in each_attribute(rule.get(_EXPRESSIONS, b""))
            if (count := _count(expression)) is not None
        ]
        # A rule without a number says that the profile has no rules that can be read.
        if comment.isdecimal() and counts:
            found.setdefault(int(comment), []).append(counts[0])
    return found


def _by_interface(kernel: Netlink, set_name: str) -> Mapping[str, int]:
    found = {}
    for element in nfnetlink.elements_of(kernel, set_name):
        count = _count(element.get(_EXPRESSION, b"")) or Count()
        found[text(attributes(element[_KEY])[_VALUE])] = count.packets
    return found


def _count(expression: bytes) -> Count | None:
    """Read one expression; None if it does not count."""
    parts = attributes(expression)
    if text(parts.get(_NAME, b"")) != "counter":
        return None
    numbers = attributes(parts[_DATA])
    return Count(_number(numbers[_PACKETS]), _number(numbers[_BYTES]))


def _number(value: bytes) -> int:
    (number,) = struct.unpack(">Q", value)
    return int(number)


def comment_of(user_data: bytes) -> str:
    """Read the comment in a rule's user data: a row of type, length and value."""
    at = 0
    while at + 2 <= len(user_data):
        kind, length = user_data[at], user_data[at + 1]
        if kind == _COMMENT:
            return text(user_data[at + 2 : at + 2 + length])
        at += 2 + length
    return ""
