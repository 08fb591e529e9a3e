"""Why a rule does not match is said for each criterion, and never wrongly."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from netaddr import IPAddress

from calico_ctl.model import rule_text
from calico_ctl.policy import rules_asked, verdict
from calico_ctl.policy.verdict import ICMP, SCTP, TCP, UDP, Packet
from tests.support.rules import rules

SRC, DST = IPAddress("10.65.0.1"), IPAddress("10.65.0.2")
PING = Packet(SRC, DST, ICMP, icmp_type=8, icmp_code=0)
WEB = Packet(SRC, DST, TCP, 5000, 80)


def carries(tag: str, ip: IPAddress) -> bool:
    return tag == "web" and ip == SRC


@pytest.mark.parametrize(
    ("rule", "packet", "reasons"),
    [
        ("allow", WEB, ()),
        ("allow tcp from tag web to ports 80", WEB, ()),
        ("allow udp", WEB, ("it is tcp, not udp",)),
        ("allow to ports 80", PING, ("it has no ports",)),
        ("allow to ports 81,8000:8080", WEB, ("port 80 is not in 81,8000:8080",)),
        ("allow from ports 1:1023", WEB, ("source port 5000 is not in 1:1023",)),
        ("allow sctp to ports 80", Packet(SRC, DST, SCTP, 1, 80), ()),
        ("allow icmp type 13", PING, ("its ICMP type is 8, not 13",)),
        ("allow icmp type 8 code 1", PING, ("its ICMP code is 0, not 1",)),
        ("allow from tag db", WEB, ("10.65.0.1 does not carry tag db",)),
        ("allow to tag web", WEB, ("10.65.0.2 does not carry tag web",)),
        ("allow from cidr 10.66.0.0/16", WEB, ("10.65.0.1 is not in 10.66.0.0/16",)),
        (
            "allow udp from tag db to cidr fd80::/64",
            WEB,
            (
                "it is tcp, not udp",
                "10.65.0.2 is not in fd80::/64",
                "10.65.0.1 does not carry tag db",
            ),
        ),
    ],
)
def test_each_criterion_that_fails_is_said(rule, packet, reasons):
    assert rules_asked.because(rule_text.parse([rule]), packet, carries) == reasons


PACKETS = st.one_of(
    st.builds(
        Packet,
        st.just(SRC),
        st.just(DST),
        st.sampled_from([TCP, UDP, SCTP]),
        st.sampled_from([80, 5000]),
        st.sampled_from([22, 80, 443]),
    ),
    st.just(PING),
)


@settings(max_examples=2 * settings().max_examples)
@given(rules, PACKETS)
def test_a_rule_matches_exactly_if_nothing_is_said_against_it(rule, packet):
    matches = verdict.matches(rule, packet, carries)
    # Ports without a protocol mean TCP and UDP; only that is no criterion of its own.
    assert bool(rules_asked.because(rule, packet, carries)) is not matches
