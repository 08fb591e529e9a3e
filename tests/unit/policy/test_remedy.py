"""A proposed rule is a command that can be pasted, and its place is where it says."""

from netaddr import IPAddress

from calico_ctl.model import rule_text
from calico_ctl.model.rule import Direction, Rule, Rules
from calico_ctl.policy import remedy
from calico_ctl.policy.remedy import NewRule
from calico_ctl.policy.verdict import ICMPV6, UDP, Packet

PACKET = Packet(IPAddress("10.65.0.1"), IPAddress("10.65.0.2"), UDP, 5000, 53)


def test_the_rule_is_for_the_protocol_the_port_and_the_peer():
    assert remedy.allowing(Direction.INBOUND, PACKET, ["a", "b"]) == rule_text.parse(
        ["allow udp from tag a to ports 53"]
    )
    assert remedy.allowing(Direction.OUTBOUND, PACKET, []) == rule_text.parse(
        ["allow udp to ports 53 cidr 10.65.0.2/32"]
    )


def test_icmp_is_allowed_by_its_type_and_other_protocols_by_their_number():
    six = IPAddress("fd80::1"), IPAddress("fd80::2")
    ping = Packet(*six, ICMPV6, icmp_type=128, icmp_code=0)
    assert remedy.allowing(Direction.INBOUND, ping, ["a"]) == rule_text.parse(
        ["allow icmpv6 type 128 from tag a"]
    )
    gre = Packet(*six, 47)
    assert remedy.allowing(Direction.INBOUND, gre, ["a"]) == rule_text.parse(
        ["allow 47 from tag a"]
    )


def test_it_comes_to_its_place_or_behind_the_last():
    first, new = Rule(src_tag="x"), Rule(src_tag="new")
    rules = Rules((first,), (first,))
    assert NewRule("p", Direction.INBOUND, new, 1).applied(rules).inbound == (new, first)
    assert NewRule("p", Direction.OUTBOUND, new).applied(rules) == Rules((first,), (first, new))
    assert NewRule("p", Direction.INBOUND, new, 1).command() == (
        "calicoctl profile p rule add inbound --at=1 allow from tag new"
    )
