"""One rule to nft texts, family by family."""

from netaddr import IPNetwork

from calico_ctl.model.rule import Action, Direction, Ports, Rule, Rules
from calico_ctl.policy import compile as policy_compile
from calico_ctl.policy.ruleset import Set

ALLOW = "counter meta mark set meta mark | 0x01000000 return"


def texts(rule: Rule) -> list[str]:
    return policy_compile.rule_texts(rule, Direction.INBOUND)


def test_a_rule_without_criteria_is_written_once_for_both_families():
    assert texts(Rule()) == [ALLOW]


def test_a_deny_goes_where_drops_are_counted():
    deny = Rule(action=Action.DENY)
    assert texts(deny) == ["counter goto drop-to"]
    assert policy_compile.rule_texts(deny, Direction.OUTBOUND) == ["counter goto drop-from"]


def test_every_text_of_a_rule_carries_its_number():
    rules = Rules(inbound=(Rule(protocol="tcp"), Rule(src_tag="db")))
    first, four, six = policy_compile.profile_rules(rules, Direction.INBOUND)
    assert first.endswith('comment "1"')
    assert four.endswith('comment "2"')
    assert six.endswith('comment "2"')


def test_ports_without_a_protocol_match_tcp_and_udp():
    assert texts(Rule(src_ports=(Ports(80, 80),))) == [
        f"meta l4proto @tcp-or-udp th sport 80 {ALLOW}"
    ]


def test_overlapping_and_touching_ports_become_one_range():
    ports = (Ports(90, 95), Ports(80, 80), Ports(81, 91), Ports(443, 443))
    (text,) = texts(Rule(protocol="tcp", dst_ports=ports))
    assert "th dport @p-80-95.443" in text


def test_a_list_of_ports_is_a_set_named_after_it():
    rule = Rule(
        protocol="tcp", src_ports=(Ports(1, 9),), dst_ports=(Ports(80, 80), Ports(443, 443))
    )
    assert policy_compile.port_sets(Rules(outbound=(rule,))) == {
        "p-80.443": Set("inet_service", frozenset({"80", "443"}))
    }
    (text,) = texts(rule)
    assert "th sport 1-9 th dport @p-80.443" in text


def test_a_long_list_of_ports_has_a_set_with_a_short_name():
    ports = tuple(Ports(number, number) for number in range(1, 2000, 2))
    rule = Rule(protocol="tcp", dst_ports=ports)
    ((name, listed),) = policy_compile.port_sets(Rules(inbound=(rule,))).items()
    assert len(name) < 64
    assert len(listed.elements) == 1000
    assert f"@{name} " in texts(rule)[0]


def test_a_net_of_one_family_is_never_written_for_the_other():
    assert texts(Rule(src_net=IPNetwork("10.65.0.0/24"))) == [
        f"meta nfproto ipv4 ip saddr 10.65.0.0/24 {ALLOW}"
    ]
    assert texts(Rule(dst_net=IPNetwork("fd80::/64"))) == [
        f"meta nfproto ipv6 ip6 daddr fd80::/64 {ALLOW}"
    ]


def test_a_net_of_length_zero_still_binds_the_family():
    assert texts(Rule(src_net=IPNetwork("0.0.0.0/0"))) == [f"meta nfproto ipv4 {ALLOW}"]


def test_a_tag_is_asked_in_the_set_of_each_family():
    four, six = texts(Rule(src_tag="db", protocol="tcp"))
    assert four == f"meta nfproto ipv4 ip saddr @t4-db meta l4proto 6 {ALLOW}"
    assert six == f"meta nfproto ipv6 ip6 saddr @t6-db meta l4proto 6 {ALLOW}"


def test_icmp_is_ipv4_only_and_icmpv6_is_ipv6_only():
    (four,) = texts(Rule(protocol="icmp", icmp_type=8, src_tag="a"))
    assert four.startswith("meta nfproto ipv4")
    assert "icmp type 8" in four
    (six,) = texts(Rule(protocol="icmpv6", icmp_type=128, icmp_code=0))
    assert six.startswith("meta nfproto ipv6")
    assert "icmpv6 type 128 icmpv6 code 0" in six


def test_nets_of_both_families_in_one_rule_match_nothing():
    rule = Rule(src_net=IPNetwork("10.0.0.0/8"), dst_net=IPNetwork("fd80::/64"))
    assert texts(rule) == []


def test_a_profile_without_readable_rules_denies_at_its_position():
    (text,) = policy_compile.profile_rules(None, Direction.INBOUND)
    assert text.startswith("counter goto drop-to")


def test_a_profile_with_empty_rules_passes_on_to_the_next():
    assert policy_compile.profile_rules(Rules(), Direction.INBOUND) == ()


def test_an_endpoint_asks_its_profiles_in_order_and_then_denies():
    accepted = "meta mark & 0x01000000 == 0x01000000 return"
    assert policy_compile.endpoint_rules(("b", "a"), Direction.INBOUND) == (
        "jump pi-b",
        accepted,
        "jump pi-a",
        accepted,
        "goto drop-to",
    )


def test_an_endpoint_without_profiles_denies_everything():
    assert policy_compile.endpoint_rules((), Direction.OUTBOUND) == ("goto drop-from",)
