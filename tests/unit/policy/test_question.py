"""Questions without a port are answered for all ports; words that do not fit are refused."""

import pytest
from netaddr import IPAddress

from calico_ctl.errors import InvalidValue
from calico_ctl.model import keys
from calico_ctl.model.endpoint import EndpointKey
from calico_ctl.model.rule import Ports
from calico_ctl.policy import question
from calico_ctl.policy.explain import End, Views
from calico_ctl.policy.question import Answer, Question
from tests.support import states

OUTSIDE = End(IPAddress("192.0.2.7"))
OPEN = '{"inbound": [{"protocol": "tcp", "dst_ports": [80, "81:90", 443]}]}'


def views(rules: str = OPEN, **more: str) -> Views:
    contents = dict([states.endpoint("a")]) | {keys.profile_rules("web"): rules} | more
    return Views({key: (value, 1) for key, value in contents.items()})


def answers(views: Views, asked: Question, at: int = 0) -> list[Answer]:
    endpoint = views.of("host1").snapshot.endpoints[EndpointKey("host1", "docker", "a", "a")]
    source = OUTSIDE if at == 0 else End(IPAddress("2001:db8::7"))
    return question.answers(views, asked, source, End(endpoint.addresses[at], endpoint))


def test_ports_for_which_it_is_the_same_are_answered_for_together():
    found = answers(views(), question.parse("tcp", None, None))
    assert [(each.ports, each.allowed) for each in found] == [
        (Ports(0, 79), False),
        (Ports(80, 90), True),
        (Ports(91, 442), False),
        (Ports(443, 443), True),
        (Ports(444, 65535), False),
    ]


def test_without_a_protocol_the_everyday_ones_are_asked_about():
    found = answers(views('{"inbound": [{"protocol": "icmp"}]}'), question.parse(None, None, None))
    assert [(each.packet.protocol, each.allowed) for each in found] == [
        (1, True),
        (6, False),
        (17, False),
    ]


def test_a_ping_is_of_the_family_that_the_ends_have():
    (four,) = answers(views(), question.parse("icmp", None, None))
    (six,) = answers(views(), question.parse("icmp", None, None), at=1)
    assert (four.packet.protocol, four.packet.icmp_type) == (1, 8)
    assert (six.packet.protocol, six.packet.icmp_type) == (58, 128)
    assert question.parse("icmpv6", None, None).family == 6


def test_an_address_of_a_pool_that_is_nobodys_is_answered_with_no():
    pool = {"/calico/ipam/v4/pool/192.0.2.0-24": '{"cidr": "192.0.2.0/24"}'}
    v = views('{"outbound": [{}]}', **pool)
    endpoint = v.of("host1").snapshot.endpoints[EndpointKey("host1", "docker", "a", "a")]
    asked = question.parse("tcp", "80", None)
    (answer,) = question.answers(v, asked, End(endpoint.addresses[0], endpoint), OUTSIDE)
    assert all(each.allowed for each in answer.stages)
    assert answer.allowed is False
    assert "no endpoint has 192.0.2.7, an address of pool 192.0.2.0/24" in answer.decided_by


@pytest.mark.parametrize(
    "words",
    [
        ("xyz", None, None),
        ("tcp", "70000", None),
        ("tcp", "-1", None),
        ("tcp", "http", None),
        ("icmp", "8", None),
        ("47", "80", None),
        ("icmp", None, "80"),
        ("tcp", "80", "x"),
    ],
)
def test_words_that_do_not_fit_are_refused(words):
    with pytest.raises(InvalidValue):
        question.parse(*words)


def test_a_type_and_a_code_are_only_for_icmp():
    ping = question.parse("icmp", None, None)
    asked = question.with_icmp(ping, "3", "1")
    assert (asked.icmp_type, asked.icmp_code) == (3, 1)
    with pytest.raises(InvalidValue, match="only with protocol icmp"):
        question.with_icmp(question.parse("tcp", None, None), "3", None)
    with pytest.raises(InvalidValue, match="ICMP type"):
        question.with_icmp(ping, "256", None)
