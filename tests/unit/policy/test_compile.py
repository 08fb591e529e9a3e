"""One rule to nft texts, family by family."""

from netaddr import IPNetwork

from calico_ctl.model.rule import Action, Direction, Ports, Rule, Rules
from calico_ctl.policy import compile as policy_compile

ALLOW = "counter meta mark set meta mark | 0x01000000 return"


def test_a_rule_without_criteria_is_written_once_for_both_families():
    assert policy_compile.rule_texts(Rule()) == [ALLOW]


def test_a_deny_drops():
    assert policy_compile.rule_texts(Rule(action=Action.DENY)) == ["counter drop"]


def test_ports_without_a_protocol_match_tcp_and_udp():
    texts = policy_compile.rule_texts(Rule(src_ports=(Ports(80, 80),)))
    assert texts == [f"meta l4proto {{ tcp, udp }} th sport {{ 80 }} {ALLOW}"]


def test_overlapping_and_touching_ports_become_one_range():
    ports = (Ports(90, 95), Ports(80, 80), Ports(81, 91), Ports(443, 443))
    (text,) = policy_compile.rule_texts(Rule(protocol="tcp", dst_ports=ports))
    assert "th dport { 80-95, 443 }" in text


def test_a_net_of_one_family_is_never_written_for_the_other():
    assert policy_compile.rule_texts(Rule(src_net=IPNetwork("10.65.0.0/24"))) == [
        f"meta nfproto ipv4 ip saddr 10.65.0.0/24 {ALLOW}"
    ]
    assert policy_compile.rule_texts(Rule(dst_net=IPNetwork("fd80::/64"))) == [
        f"meta nfproto ipv6 ip6 daddr fd80::/64 {ALLOW}"
    ]


def test_a_net_of_length_zero_still_binds_the_family():
    assert policy_compile.rule_texts(Rule(src_net=IPNetwork("0.0.0.0/0"))) == [
        f"meta nfproto ipv4 {ALLOW}"
    ]


def test_a_tag_is_asked_in_the_set_of_each_family():
    four, six = policy_compile.rule_texts(Rule(src_tag="db", protocol="tcp"))
    assert four == f"meta nfproto ipv4 ip saddr @t4-db meta l4proto 6 {ALLOW}"
    assert six == f"meta nfproto ipv6 ip6 saddr @t6-db meta l4proto 6 {ALLOW}"


def test_icmp_is_ipv4_only_and_icmpv6_is_ipv6_only():
    (four,) = policy_compile.rule_texts(Rule(protocol="icmp", icmp_type=8, src_tag="a"))
    assert four.startswith("meta nfproto ipv4")
    assert "icmp type 8" in four
    (six,) = policy_compile.rule_texts(Rule(protocol="icmpv6", icmp_type=128, icmp_code=0))
    assert six.startswith("meta nfproto ipv6")
    assert "icmpv6 type 128 icmpv6 code 0" in six


def test_nets_of_both_families_in_one_rule_match_nothing():
    rule = Rule(src_net=IPNetwork("10.0.0.0/8"), dst_net=IPNetwork("fd80::/64"))
    assert policy_compile.rule_texts(rule) == []


def test_a_profile_without_readable_rules_denies_at_its_position():
    (text,) = policy_compile.profile_rules(None, Direction.INBOUND)
    assert text.startswith("counter drop")


def test_a_profile_with_empty_rules_passes_on_to_the_next():
    assert policy_compile.profile_rules(Rules(), Direction.INBOUND) == ()


def test_an_endpoint_asks_its_profiles_in_order_and_then_denies():
    accepted = "meta mark & 0x01000000 == 0x01000000 return"
    assert policy_compile.endpoint_rules(("b", "a"), Direction.INBOUND) == (
        "jump pi-b",
        accepted,
        "jump pi-a",
        accepted,
        "counter drop",
    )


def test_an_endpoint_without_profiles_denies_everything():
    assert policy_compile.endpoint_rules((), Direction.OUTBOUND) == ("counter drop",)
