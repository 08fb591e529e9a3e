"""Who is asked about a packet, what each says, and what would have to change."""

import json

from netaddr import IPAddress

from calico_ctl.model import keys
from calico_ctl.model.endpoint import EndpointKey, State
from calico_ctl.model.rule import Direction
from calico_ctl.policy import explain
from calico_ctl.policy.explain import End, Stage, Views, Why
from calico_ctl.policy.verdict import ICMP, ICMPV6, TCP, UDP, Packet
from tests.support import states

RULES = keys.profile_rules
ALLOW_ALL = '{"inbound": [{}], "outbound": [{}]}'
HOST1, HOST2 = IPAddress("10.99.0.1"), IPAddress("10.99.0.2")
OUTSIDE = End(IPAddress("192.0.2.7"))


def views(*parts: dict[str, str] | tuple[str, str]) -> Views:
    contents: dict[str, str] = {}
    for part in parts:
        contents |= part if isinstance(part, dict) else dict([part])
    return Views({key: (value, 1) for key, value in contents.items()})


def end(views: Views, name: str, host: str = "host1") -> End:
    key = EndpointKey(host, "docker", name, name)
    endpoint = views.of(host).snapshot.endpoints[key]
    return End(endpoint.addresses[0], endpoint)


def ask(views: Views, source: End, target: End, port: int = 80) -> list[Stage]:
    return explain.explain(views, source, target, Packet(source.ip, target.ip, TCP, 5000, port))


def only(stages: list[Stage]) -> Stage:
    (stage,) = stages
    return stage


def test_both_ends_are_asked_each_on_its_host_also_behind_a_denial():
    v = views(
        states.endpoint("a", profiles=("none",)),
        states.endpoint("b", host="host2"),
        {RULES("none"): "{}", RULES("web"): "{}"},
    )
    stages = ask(v, end(v, "a"), end(v, "b", "host2"))
    assert [(s.hostname, s.direction, s.allowed, s.why) for s in stages] == [
        ("host1", Direction.OUTBOUND, False, Why.NO_RULE),
        ("host2", Direction.INBOUND, False, Why.NO_RULE),
    ]


def test_the_deciding_rule_is_named_with_those_before_it_and_why_they_did_not_match():
    rules = json.dumps({"inbound": [{"src_tag": "x"}, {"protocol": "udp"}, {"dst_ports": [80]}]})
    v = views(states.endpoint("a"), {RULES("web"): rules})
    stage = only(ask(v, OUTSIDE, end(v, "a")))
    assert (stage.allowed, stage.profile, stage.position, stage.why) == (True, "web", 3, Why.RULE)
    assert [(each.position, each.because) for each in stage.unmatched] == [
        (1, ("192.0.2.7 does not carry tag x",)),
        (2, ("it is tcp, not udp",)),
    ]
    assert stage.new_rule is None
    assert stage.advice == ""


def test_a_tag_is_said_to_be_carried_by_the_profiles_that_give_it():
    v = views(
        states.endpoint("a"),
        states.endpoint("b", host="host2", profiles=("app", "client")),
        states.profile("app", ALLOW_ALL, "other"),
        states.profile("client", ALLOW_ALL, "client"),
        {RULES("web"): '{"inbound": [{"src_tag": "nobody"}, {"src_tag": "client"}]}'},
    )
    stage = ask(v, end(v, "b", "host2"), end(v, "a"))[1]
    assert [(each.tag, each.through) for each in stage.memberships] == [
        ("nobody", ()),
        ("client", ("client",)),
    ]


def test_the_remedy_names_the_peer_by_its_tag_or_else_by_its_address():
    v = views(
        states.endpoint("a"),
        states.endpoint("b", host="host2", profiles=("client",)),
        states.profile("client", ALLOW_ALL, "client"),
        {RULES("web"): "{}"},
    )
    assert ask(v, end(v, "b", "host2"), end(v, "a"))[1].advice == (
        "calicoctl profile web rule add inbound allow tcp from tag client to ports 80"
    )
    assert only(ask(v, OUTSIDE, end(v, "a"))).advice == (
        "calicoctl profile web rule add inbound allow tcp from cidr 192.0.2.7/32 to ports 80"
    )
    assert only(ask(v, end(v, "a"), OUTSIDE)).advice == (
        "calicoctl profile web rule add outbound allow tcp to ports 80 cidr 192.0.2.7/32"
    )


def test_the_remedy_for_a_deny_rule_stands_before_it():
    v = views(
        states.endpoint("a"),
        {RULES("web"): '{"inbound": [{"protocol": "udp"}, {"action": "deny"}]}'},
    )
    stage = only(ask(v, OUTSIDE, end(v, "a")))
    assert (stage.allowed, stage.position) == (False, 2)
    assert "rule add inbound --at=2 allow tcp" in stage.advice


def test_what_hinders_a_profile_from_being_asked_is_said_with_what_to_do():
    broken = '{"inbound": [{"color": "red"}]}'
    v = views(
        states.endpoint("a", profiles=("gone",)),
        states.endpoint("b", profiles=()),
        states.endpoint("c", profiles=("web",)),
        states.endpoint("d", profiles=("bare",)),
        {RULES("web"): broken, keys.profile_tags("bare"): "[]"},
    )
    gone, none, bad, bare = (only(ask(v, OUTSIDE, end(v, name))) for name in "abcd")
    assert (gone.why, gone.reason) == (Why.UNREADABLE, "profile gone does not exist")
    assert "calicoctl profile add gone" in gone.advice
    assert none.why is Why.NO_PROFILE
    assert "calicoctl endpoint b profile append" in none.advice
    assert bad.reason.startswith(
        "the rules of profile web cannot be read: invalid field of inbound rule 1,"
    )
    assert "profile web rule update" in bad.advice
    assert bare.reason.startswith("profile bare has no rules")
    assert not any(each.allowed for each in (gone, none, bad, bare))


def test_an_endpoint_that_its_host_lets_nothing_through_of_says_so():
    v = views(
        states.endpoint("a", state=State.INACTIVE),
        states.endpoint("b", interface="calitwo"),
        states.endpoint("c", interface="calitwo"),
        {RULES("web"): ALLOW_ALL},
    )
    inactive = only(ask(v, OUTSIDE, end(v, "a")))
    assert (inactive.why, inactive.advice) == (Why.CLOSED, "start a")
    assert "is inactive" in inactive.reason
    twice = ask(v, end(v, "b"), end(v, "a"))[0]
    assert twice.why is Why.CLOSED
    assert "endpoint c claims its interface calitwo too" in twice.reason


def test_a_host_may_always_reach_its_own_containers_but_is_asked_about_those_of_others():
    v = views(states.endpoint("a"), {RULES("web"): "{}"})
    own = only(ask(v, End(HOST1, hostname="host1"), end(v, "a")))
    assert (own.allowed, own.why) == (True, Why.ALWAYS)
    other = only(ask(v, End(HOST2, hostname="host2"), end(v, "a")))
    assert (other.allowed, other.why) == (False, Why.NO_RULE)


def test_the_way_to_the_own_host_is_asked_for_by_rules_unless_the_setting_drops():
    setting = keys.host_config("host1", "DefaultEndpointToHostAction")
    host = End(HOST1, hostname="host1")
    v = views(states.endpoint("a"), {RULES("web"): ALLOW_ALL})
    assert only(ask(v, end(v, "a"), host)).why is Why.RULE
    closed = views(states.endpoint("a"), {RULES("web"): ALLOW_ALL, setting: "DROP"})
    stage = only(ask(closed, end(closed, "a"), host))
    assert (stage.allowed, stage.why) == (False, Why.TO_HOST)
    assert setting in stage.advice
    assert only(ask(closed, end(closed, "a"), host, port=53)).why is Why.ALWAYS
    # to another host it is as to anybody
    other = End(HOST2, hostname="host2")
    assert only(ask(closed, end(closed, "a"), other)).why is Why.RULE


def test_no_rule_lets_a_container_use_a_false_source_or_speak_as_a_router_or_dhcp_server():
    v = views(states.endpoint("a"), {RULES("web"): ALLOW_ALL})
    own = end(v, "a")
    false = End(IPAddress("10.65.0.77"), own.endpoint)
    assert only(ask(v, false, OUTSIDE)).why is Why.SPOOFED
    dhcp = Packet(own.ip, OUTSIDE.ip, UDP, 67, 68)
    assert only(explain.explain(v, own, OUTSIDE, dhcp)).why is Why.ROUTER_ONLY
    six = End(own.endpoint.addresses[1], own.endpoint) if own.endpoint else own
    far = End(IPAddress("2001:db8::7"))
    advert = Packet(six.ip, far.ip, ICMPV6, icmp_type=134, icmp_code=0)
    assert only(explain.explain(v, six, far, advert)).why is Why.ROUTER_ONLY


def test_icmp_that_begins_nothing_is_not_asked_about():
    v = views(states.endpoint("a"), {RULES("web"): ALLOW_ALL})
    for kind, allowed in ((8, True), (0, False), (3, False)):
        packet = Packet(OUTSIDE.ip, end(v, "a").ip, ICMP, icmp_type=kind, icmp_code=0)
        stage = only(explain.explain(v, OUTSIDE, end(v, "a"), packet))
        assert stage.allowed is allowed
        assert (stage.why is Why.NO_BEGINNING) is not allowed


def test_nobody_is_asked_between_outsiders_or_of_what_an_endpoint_sends_to_itself():
    v = views(states.endpoint("a"), {RULES("web"): "{}"})
    assert ask(v, OUTSIDE, End(IPAddress("192.0.2.8"))) == []
    assert ask(v, end(v, "a"), end(v, "a")) == []
