"""What rules and profiles mean, sentence by sentence of the user guide."""

from collections.abc import Mapping
from dataclasses import replace

import pytest
from netaddr import IPAddress, IPNetwork

from calico_ctl.model import codec
from calico_ctl.model.rule import Action, Direction, Ports, Rule, Rules, default_rules
from calico_ctl.policy import verdict
from calico_ctl.policy.verdict import ICMP, ICMPV6, SCTP, TCP, UDP, UDPLITE, Decision, Packet

IN, OUT = Direction.INBOUND, Direction.OUTBOUND
ALLOW, DENY = Rule(), Rule(Action.DENY)
WEB, DATABASE = "10.65.0.1", "10.65.0.2"
TAGS = {"web": [WEB, "fd80::1"], "database": [DATABASE, "fd80::2"], "logger": [WEB]}


def packet(
    src: str = WEB, dst: str = DATABASE, protocol: int = TCP, ports: tuple[int, int] = (4000, 80)
) -> Packet:
    whole = Packet(IPAddress(src), IPAddress(dst), protocol)
    if protocol in (TCP, UDP, SCTP, UDPLITE):
        whole = replace(whole, src_port=ports[0], dst_port=ports[1])
    return whole


def ping(src: str = WEB, dst: str = DATABASE, icmp_type: int = 8, icmp_code: int = 0) -> Packet:
    protocol = ICMPV6 if ":" in src else ICMP
    return Packet(
        IPAddress(src), IPAddress(dst), protocol, icmp_type=icmp_type, icmp_code=icmp_code
    )


def carries(tag: str, ip: IPAddress) -> bool:
    return str(ip) in TAGS.get(tag, [])


def matches(rule: Rule, each: Packet) -> bool:
    return verdict.matches(rule, each, carries)


def ask(
    profiles: Mapping[str, Rules | None], each: Packet | None = None, direction: Direction = IN
) -> Decision:
    return verdict.ask(list(profiles), profiles.get, direction, each or packet(), carries)


def guide(text: str) -> Rule:
    return codec.decode_rules(f'{{"inbound": [{text}]}}').inbound[0]


# -- one rule -------------------------------------------------------------------------------------


@pytest.mark.parametrize("each", [packet(), ping(), packet("fd80::1", "fd80::2", 253)])
def test_a_rule_without_criteria_matches_everything(each):
    assert matches(ALLOW, each)


ONE_CRITERION = {
    "protocol": (Rule(protocol="udp"), packet(protocol=UDP), packet()),
    "source net": (Rule(src_net=IPNetwork("10.65.0.0/31")), packet(), packet(src="10.65.0.2")),
    "target net": (Rule(dst_net=IPNetwork("10.65.0.2/31")), packet(), packet(dst="10.65.0.1")),
    "source tag": (Rule(src_tag="web"), packet(), packet(DATABASE, WEB)),
    "target tag": (Rule(dst_tag="database"), packet(), packet(DATABASE, WEB)),
    "source port": (
        Rule(src_ports=(Ports(80, 80),)),
        packet(ports=(80, 4000)),
        packet(ports=(4000, 80)),
    ),
    "target port": (
        Rule(dst_ports=(Ports(80, 80),)),
        packet(ports=(4000, 80)),
        packet(ports=(80, 4000)),
    ),
    "icmp type": (Rule(protocol="icmp", icmp_type=8), ping(), ping(icmp_type=13)),
    "icmp code": (
        Rule(protocol="icmp", icmp_type=3, icmp_code=4),
        ping(icmp_type=3, icmp_code=4),
        ping(icmp_type=3, icmp_code=1),
    ),
}


@pytest.mark.parametrize(("rule", "fits", "other"), ONE_CRITERION.values(), ids=ONE_CRITERION)
def test_a_criterion_lets_through_what_has_it_and_nothing_else(rule, fits, other):
    assert matches(rule, fits)
    assert not matches(rule, other)


STRICT = Rule(
    protocol="tcp",
    src_tag="web",
    src_net=IPNetwork("10.65.0.0/24"),
    src_ports=(Ports(4000, 4000),),
    dst_tag="database",
    dst_net=IPNetwork("10.65.0.0/24"),
    dst_ports=(Ports(80, 80),),
)


@pytest.mark.parametrize(
    "changed",
    [
        {"protocol": UDP},
        {"src": IPAddress("10.65.0.3")},
        {"src": IPAddress("10.66.0.1")},
        {"src_port": 4001},
        {"dst": IPAddress("10.65.0.3")},
        {"dst": IPAddress("10.66.0.2")},
        {"dst_port": 81},
    ],
    ids=str,
)
def test_criteria_are_anded(changed):
    assert matches(STRICT, packet())
    assert not matches(STRICT, replace(packet(), **changed))


@pytest.mark.parametrize(
    ("name", "number"),
    [
        ("tcp", TCP),
        ("udp", UDP),
        ("sctp", SCTP),
        ("udplite", UDPLITE),
        ("47", 47),
        ("253", 253),
    ],
)
def test_a_protocol_is_meant_in_both_families(name, number):
    for each in (packet(protocol=number), packet("fd80::1", "fd80::2", number)):
        assert matches(Rule(protocol=name), each)
        assert not matches(Rule(protocol=name), replace(each, protocol=99))


@pytest.mark.parametrize("name", ["icmp", "1"])
def test_icmp_is_of_ipv4_only(name):
    assert matches(Rule(protocol=name), ping())
    assert not matches(Rule(protocol=name), packet("fd80::1", "fd80::2", ICMP))
    assert not matches(Rule(protocol=name), ping("fd80::1", "fd80::2", 128))


@pytest.mark.parametrize("name", ["icmpv6", "58"])
def test_icmpv6_is_of_ipv6_only(name):
    assert matches(Rule(protocol=name), ping("fd80::1", "fd80::2", 128))
    assert not matches(Rule(protocol=name), packet(protocol=ICMPV6))
    assert not matches(Rule(protocol=name), ping())


def test_every_icmp_type_can_be_named():
    assert matches(Rule(protocol="icmp", icmp_type=255), ping(icmp_type=255))
    assert matches(Rule(protocol="icmp", icmp_type=0), ping(icmp_type=0))
    assert not matches(Rule(protocol="icmp", icmp_type=0), ping())


@pytest.mark.parametrize(
    ("net", "inside", "outside"),
    [
        ("0.0.0.0/0", "203.0.113.9", "2001:db8::9"),
        ("::/0", "2001:db8::9", "203.0.113.9"),
        ("::/0", "::a41:1", WEB),
        ("10.65.0.1/32", "10.65.0.1", "10.65.0.2"),
        ("fd80::1/128", "fd80::1", "fd80::2"),
        ("10.65.0.0/24", "10.65.0.255", "10.65.1.0"),
        ("10.65.0.0/24", "10.65.0.0", "10.64.255.255"),
        ("fd80::/64", "fd80::ffff:ffff:ffff:ffff", "fd80:0:0:1::"),
    ],
)
def test_a_net_holds_its_addresses_and_never_one_of_the_other_family(net, inside, outside):
    source, target = Rule(src_net=IPNetwork(net)), Rule(dst_net=IPNetwork(net))
    assert matches(source, packet(inside, inside))
    assert matches(target, packet(inside, inside))
    assert not matches(source, packet(outside, outside))
    assert not matches(target, packet(outside, outside))


RANGES = (Ports(80, 80), Ports(1000, 2000), Ports(1500, 3000), Ports(65535, 65535))


@pytest.mark.parametrize("port", [80, 1000, 1500, 2000, 2500, 3000, 65535])
def test_each_port_and_range_of_a_list_counts_with_both_ends(port):
    assert matches(Rule(dst_ports=RANGES), packet(ports=(1, port)))
    assert matches(Rule(src_ports=RANGES), packet(ports=(port, 1)))


@pytest.mark.parametrize("port", [0, 79, 81, 999, 3001, 65534])
def test_a_port_beside_the_ranges_does_not_match(port):
    assert not matches(Rule(dst_ports=RANGES), packet(ports=(80, port)))
    assert not matches(Rule(src_ports=RANGES), packet(ports=(port, 80)))


def test_a_list_of_ports_may_be_long():
    many = Rule(dst_ports=tuple(Ports(port, port) for port in range(1000, 1100)))
    assert matches(many, packet(ports=(1, 1099)))
    assert not matches(many, packet(ports=(1, 1100)))


@pytest.mark.parametrize("rule", [Rule(src_ports=RANGES), Rule(dst_ports=RANGES)])
def test_ports_without_a_protocol_mean_tcp_and_udp(rule):
    assert matches(rule, packet(protocol=TCP, ports=(80, 80)))
    assert matches(rule, packet(protocol=UDP, ports=(80, 80)))
    assert not matches(rule, packet(protocol=SCTP, ports=(80, 80)))
    assert not matches(rule, packet(protocol=UDPLITE, ports=(80, 80)))
    assert not matches(rule, ping())
    assert not matches(rule, packet(protocol=253))


@pytest.mark.parametrize(("name", "number"), [("sctp", SCTP), ("udplite", UDPLITE)])
def test_ports_of_other_protocols_can_be_asked_for_by_name(name, number):
    rule = Rule(protocol=name, dst_ports=(Ports(80, 80),))
    assert matches(rule, packet(protocol=number))
    assert not matches(rule, packet(protocol=number, ports=(80, 81)))
    assert not matches(rule, packet())


def test_a_tag_that_nobody_carries_matches_nothing():
    assert not matches(Rule(src_tag="nobody"), packet())
    assert not matches(Rule(dst_tag="nobody"), packet())


def test_a_tag_is_carried_by_addresses_of_both_families():
    assert matches(Rule(src_tag="web", dst_tag="database"), packet("fd80::1", "fd80::2"))


# -- profiles -------------------------------------------------------------------------------------


def test_the_first_rule_that_matches_decides():
    first_deny = Rules(inbound=(Rule(protocol="udp"), DENY, ALLOW))
    assert ask({"web": first_deny}) == Decision(
        False, "web", 2, "inbound rule 2 of profile web denies it"
    )
    first_allow = Rules(inbound=(ALLOW, DENY))
    assert ask({"web": first_allow}) == Decision(
        True, "web", 1, "inbound rule 1 of profile web allows it"
    )


@pytest.mark.parametrize("direction", [IN, OUT])
def test_only_the_rules_of_the_direction_are_asked(direction):
    rules = Rules(inbound=(ALLOW,), outbound=(DENY,))
    decision = ask({"web": rules}, direction=direction)
    assert decision.allowed == (direction is IN)
    assert decision.reason.startswith(direction)


def test_profiles_are_asked_in_their_order():
    allow, deny = Rules(inbound=(ALLOW,)), Rules(inbound=(DENY,))
    assert ask({"web": allow, "db": deny}).profile == "web"
    assert ask({"web": allow, "db": deny}).allowed
    assert ask({"db": deny, "web": allow}).profile == "db"
    assert not ask({"db": deny, "web": allow}).allowed


@pytest.mark.parametrize("direction", [IN, OUT])
def test_without_a_profile_nothing_is_allowed(direction):
    decision = ask({}, direction=direction)
    assert decision == Decision(False, "", 0, "no profile, so nothing is allowed")


@pytest.mark.parametrize("direction", [IN, OUT])
def test_what_no_rule_matches_is_denied(direction):
    decision = ask({"web": Rules(), "db": Rules()}, direction=direction)
    assert decision == Decision(False, "", 0, f"no {direction} rule of web, db matches")


def test_a_profile_without_rules_for_it_leaves_the_packet_to_the_next():
    assert ask({"empty": Rules(), "web": Rules(inbound=(ALLOW,))}).profile == "web"
    udp_only = Rules(inbound=(Rule(protocol="udp"),))
    assert ask({"udp": udp_only, "web": Rules(inbound=(ALLOW,))}).allowed


def test_a_profile_that_cannot_be_read_denies_what_gets_to_it():
    allow = Rules(inbound=(ALLOW,))
    udp_only = Rules(inbound=(Rule(protocol="udp"),))
    closed = Decision(False, "broken", 0, "profile broken has no rules that can be read")
    assert ask({"broken": None}) == closed
    assert ask({"broken": None, "web": allow}) == closed
    assert ask({"udp": udp_only, "broken": None, "web": allow}) == closed
    assert ask({"web": allow, "broken": None}).allowed


def test_a_direction_that_the_rules_do_not_mention_allows_nothing():
    rules = codec.decode_rules('{"outbound": [{"action": "allow"}]}')
    assert not ask({"web": rules}).allowed
    assert ask({"web": rules}, direction=OUT).allowed


def test_members_of_a_new_profile_may_talk_to_each_other_and_to_anyone():
    rules = default_rules("web")
    assert ask({"web": rules}, packet(src=WEB)).allowed
    assert not ask({"web": rules}, packet(src=DATABASE)).allowed
    assert ask({"web": rules}, packet(), OUT).allowed


# -- the guide's examples -------------------------------------------------------------------------


def test_the_guides_first_profile_lets_in_what_comes_from_port_80_and_lets_out_all():
    rules = codec.decode_rules(
        '{"inbound": [{"src_ports": [80], "action": "allow"}, {"action": "deny"}],'
        ' "outbound": [{"action": "allow"}]}'
    )
    assert ask({"web": rules}, packet(ports=(80, 4000))).position == 1
    assert ask({"web": rules}, packet(protocol=UDP, ports=(80, 4000))).allowed
    assert ask({"web": rules}, packet(ports=(4000, 80))).position == 2
    assert not ask({"web": rules}, packet(ports=(4000, 80))).allowed
    assert not ask({"web": rules}, ping()).allowed
    assert ask({"web": rules}, ping(), OUT).allowed


def test_the_guides_src_net_matches_all_traffic_from_the_subnet():
    rule = guide('{"src_net": "10.65.0.0/24", "action": "allow"}')
    assert matches(rule, packet("10.65.0.77", "192.0.2.1"))
    assert matches(rule, ping("10.65.0.77", "192.0.2.1"))
    assert not matches(rule, packet("10.65.1.1", "10.65.0.77"))
    assert not matches(rule, packet("fd80::1", "fd80::2"))


def test_the_guides_dst_tag_matches_all_traffic_to_endpoints_with_the_tag():
    rule = guide('{"dst_tag": "database", "action": "allow"}')
    assert matches(rule, packet(WEB, DATABASE))
    assert matches(rule, ping(WEB, DATABASE))
    assert not matches(rule, packet(DATABASE, WEB))


def test_the_guides_deny_of_port_80_matches_only_tcp():
    rule = guide('{"protocol": "tcp", "dst_ports": [80], "action": "deny"}')
    assert rule.action is Action.DENY
    assert matches(rule, packet())
    assert not matches(rule, packet(ports=(80, 81)))
    assert not matches(rule, packet(protocol=UDP))


def test_the_guides_logger_is_reached_by_those_with_its_tag_at_its_port():
    text = '{"src_tag": "logger", "protocol": "tcp", "dst_ports": [3224], "action": "allow"}'
    assert matches(guide(text), packet(WEB, DATABASE, ports=(4000, 3224)))
    assert not matches(guide(text), packet(WEB, DATABASE, UDP, (4000, 3224)))
    assert not matches(guide(text), packet(WEB, DATABASE, ports=(4000, 80)))
    assert not matches(guide(text), packet(DATABASE, WEB, ports=(4000, 3224)))


def test_the_guides_rule_of_every_field_matches_by_all_of_them():
    rule = guide(
        '{"protocol": "tcp", "src_tag": "web", "src_net": "10.65.0.0/24",'
        ' "src_ports": [1234, "2048:4000"], "dst_tag": "database", "dst_net": "10.65.0.0/24",'
        ' "dst_ports": [80]}'
    )
    assert rule.action is Action.ALLOW
    assert matches(rule, packet(ports=(1234, 80)))
    assert matches(rule, packet(ports=(2048, 80)))
    assert not matches(rule, packet(ports=(2047, 80)))
