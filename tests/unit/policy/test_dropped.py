"""The rules that a packet came through say why it was dropped."""

import re

import pytest

from calico_ctl.model.rule import Direction
from calico_ctl.policy import compile as policy_compile
from calico_ctl.policy import dropped, layout
from calico_ctl.policy.dropped import Step, Why
from tests.support.paths import CHECKOUT

OURS = "inet calico"
NOBODY = policy_compile.endpoint_chain((), Direction.INBOUND)
TWO = policy_compile.endpoint_chain(("a", "b"), Direction.OUTBOUND)


def place(chain: str, beginning: str) -> int:
    rules = layout.static_chains()[chain].rules
    return next(at for at, rule in enumerate(rules) if rule.startswith(beginning))


def why(*steps: tuple[str, int, str]) -> dropped.Reason:
    return dropped.reason([Step(OURS, *each) for each in steps], OURS)


@pytest.mark.parametrize(
    ("step", "end", "expected", "inbound"),
    [
        (("pi-web", 2, "3"), "drop-to", Why.RULE, True),
        (("po-a-b", 0, "1"), "drop-from", Why.RULE, False),
        (("pi-web", 0, "profile without readable rules"), "drop-to", Why.UNREADABLE, True),
        (("t-web", 2, ""), "drop-to", Why.NO_RULE, True),
        ((TWO, 4, ""), "drop-from", Why.NO_RULE, False),
        ((NOBODY, 0, ""), "drop-to", Why.NO_PROFILE, True),
        (("to-host", 0, ""), "drop-from", Why.TO_HOST, False),
        (("tunnel-fwd", 1, ""), "tunnel-fwd", Why.OTHER, False),
        (("raw-pre", 8, ""), "drop-spoofed", Why.SPOOFED, False),
        (
            ("check-first", place("check-first", "udp sport 67"), ""),
            "drop-spoofed",
            Why.ROUTER_ONLY,
            False,
        ),
        (
            ("check-first", place("check-first", "icmpv6"), ""),
            "drop-spoofed",
            Why.ROUTER_ONLY,
            False,
        ),
        (
            ("check-first", place("check-first", "goto"), ""),
            "drop-spoofed",
            Why.WRONG_MAC,
            False,
        ),
    ],
)
def test_what_led_to_the_end_of_a_packet_is_the_reason(step, end, expected, inbound):
    reason = why(("flt-fwd", 6, ""), step, (end, 0, ""))
    assert (reason.why, reason.inbound) == (expected, inbound)


@pytest.mark.parametrize(
    ("step", "expected"),
    [
        (("flt-fwd", place("flt-fwd", "ct state invalid"), ""), Why.INVALID),
        (("flt-in", place("flt-in", "ct state invalid"), ""), Why.INVALID),
        (("flt-fwd", place("flt-fwd", "tcp flags"), ""), Why.NOT_SYN),
        (("disp-to", 1, ""), Why.UNKNOWN_INTERFACE),
        (("disp-from", 1, ""), Why.UNKNOWN_INTERFACE),
        (("a-chain-of-tomorrow", 3, ""), Why.OTHER),
        (("flt-fwd", -1, ""), Why.OTHER),
    ],
)
def test_a_rule_that_drops_by_itself_is_the_reason(step, expected):
    assert why(("raw-pre", 1, ""), step).why is expected


DROPPING = [
    (chain, number, rule)
    for chain, each in layout.static_chains().items()
    for number, rule in enumerate(each.rules)
    if ("drop" in rule.rpartition("goto")[2] or rule.endswith(" drop"))
    and not chain.startswith("drop-")
]


@pytest.mark.parametrize(("chain", "number", "rule"), DROPPING)
def test_each_rule_that_drops_on_every_host_has_a_reason_of_its_own(chain, number, rule):
    end = "drop-to" if rule.endswith("drop-to") else "drop-from"
    assert why((chain, number, ""), (end, 0, "")).why is not Why.OTHER


def test_what_comes_back_undecided_was_allowed_by_nobody():
    assert why(("to-host", 0, ""), ("drop-from", 0, "")).why is Why.TO_HOST
    assert why(("to-host", 1, ""), ("drop-from", 0, "")).why is Why.NO_RULE
    place_to = place("flt-fwd", 'oifname "cali*" meta mark')
    reason = why(("flt-fwd", place_to, ""), ("drop-to", 0, ""))
    assert (reason.why, reason.inbound) == (Why.NO_RULE, True)


def test_a_deny_rule_is_named_with_its_number():
    reason = why(("t-web", 0, ""), ("pi-web", 4, "3"), ("drop-to", 0, ""))
    assert (reason.profile, reason.position) == ("web", 3)
    assert reason.message == "inbound rule 3 of profile web denies it"


def test_another_table_is_named_with_its_chain():
    reason = dropped.reason([Step(OURS, "flt-fwd"), Step("ip filter", "FORWARD")], OURS)
    assert reason.why is Why.OTHER_FIREWALL
    assert "table ip filter, chain FORWARD" in reason.message


def test_what_to_do_about_each_reason_is_on_the_page():
    page = (CHECKOUT / "docs/how-to/why-is-my-traffic-dropped.md").read_text()
    rows = re.findall(r"^\| (`.*?`) \| \S.*\|$", page, re.MULTILINE)
    assert sorted(re.findall(r"`(\w+)`", " ".join(rows))) == sorted(Why)
