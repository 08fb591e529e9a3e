"""What is of our part of nft's language is turned into expressions; what is not is refused."""

import pytest
from hypothesis import given

from calico_ctl.dataplane import nft_rules
from calico_ctl.model.rule import Direction, Rule, Rules
from calico_ctl.policy import compile as policy_compile
from calico_ctl.policy import layout
from tests.support.rules import rules


@given(rules)
def test_every_rule_that_the_compiler_writes_is_of_the_language(rule: Rule) -> None:
    for direction in Direction:
        for text in policy_compile.profile_rules(Rules((rule,), (rule,)), direction):
            compiled = nft_rules.compile_rule(text)
            assert compiled.parts
            assert compiled.comment == "1"


def test_every_static_rule_is_of_the_language() -> None:
    chains = layout.static_chains() | {"to-host": layout.to_host_chain("ACCEPT")}
    for chain in chains.values():
        for text in chain.rules:
            assert nft_rules.compile_rule(text).parts


@pytest.mark.parametrize(
    "text",
    [
        "ip saddr",
        "tcp dport 80 reject",
        "drop it",
        "meta mark | 1",
        "th dport 80,",
        "th dport",
        "iifname eth0",
    ],
)
def test_what_is_not_of_the_language_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not a rule of ours"):
        nft_rules.compile_rule(text)


def test_a_whole_name_of_an_interface_is_compared_to_its_end() -> None:
    whole, beginning = (
        b"".join(part for part in nft_rules.compile_rule(text).parts if isinstance(part, bytes))
        for text in ('oifname "tunl0"', 'oifname "tunl0*"')
    )
    assert b"tunl0".ljust(16, b"\0") in whole
    assert b"tunl0".ljust(16, b"\0") not in beginning


def test_a_protocol_is_asked_for_once_before_its_fields() -> None:
    once = nft_rules.compile_rule("meta nfproto ipv4 ip saddr 10.0.0.1 ip daddr 10.0.0.2 accept")
    implied = nft_rules.compile_rule("ip saddr 10.0.0.1 ip daddr 10.0.0.2 accept")
    assert once == implied


def test_a_comment_is_no_expression() -> None:
    plain, commented = (nft_rules.compile_rule(text) for text in ("drop", 'drop comment "7"'))
    assert plain.parts == commented.parts
    assert (plain.comment, commented.comment) == ("", "7")


@pytest.mark.parametrize(
    ("ranges", "expected"),
    [
        ([(80, 80), (443, 443)], ((80, 80), (443, 443))),
        ([(90, 95), (80, 80), (81, 91)], ((80, 95),)),
        ([(1, 10), (3, 4)], ((1, 10),)),
        ([], ()),
    ],
)
def test_ranges_that_overlap_or_touch_become_one(ranges, expected) -> None:
    assert nft_rules.merged(ranges) == expected


def test_values_know_whether_they_are_ranges() -> None:
    assert nft_rules.Values("inet_service", ((80, 90),)).interval
    assert not nft_rules.Values("inet_service", ((80, 80),)).interval
