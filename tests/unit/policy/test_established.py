"""Which established connections a changed policy still allows, by whom it asks."""

import json

import pytest
from netaddr import IPAddress

from calico_ctl.policy.established import Judge
from calico_ctl.policy.verdict import Packet
from tests.support.states import desired, endpoint, profile

HOST = IPAddress("10.99.0.1")
A, B, ELSEWHERE = (IPAddress(text) for text in ("10.65.0.97", "10.65.0.98", "192.0.2.1"))
TO_HOST = "/calico/config/DefaultEndpointToHostAction"


def judge(contents: dict[str, str]) -> Judge:
    host = desired(contents)
    host.take()
    return Judge(host, {HOST})


def rules(inbound: list[object], outbound: list[object]) -> str:
    return json.dumps({"inbound": inbound, "outbound": outbound})


def tcp(src: IPAddress, dst: IPAddress, port: int = 80) -> Packet:
    return Packet(src, dst, 6, 40000, port)


OPEN = profile("open", rules([{}], [{}]), "open")
SENDS = profile("sends", rules([], [{}]), "sends")
SERVES = profile("serves", rules([{"src_tag": "sends", "protocol": "tcp"}], []), "serves")
PAIR = dict([endpoint("a", profiles=("sends",)), endpoint("b", profiles=("serves",))])


def test_the_senders_outbound_and_the_receivers_inbound_rules_are_asked():
    policy = judge(PAIR | SENDS | SERVES)
    assert policy.allows(tcp(A, B))
    assert not policy.allows(tcp(B, A))
    assert not policy.allows(Packet(A, B, 17, 40000, 80))


def test_of_a_connection_with_somebody_elsewhere_only_our_side_is_asked():
    policy = judge(PAIR | SENDS | SERVES)
    assert policy.allows(tcp(A, ELSEWHERE))
    assert not policy.allows(tcp(ELSEWHERE, A))
    assert not policy.allows(tcp(ELSEWHERE, B))


def test_connections_that_are_not_of_our_endpoints_are_none_of_our_business():
    assert judge(PAIR).allows(tcp(ELSEWHERE, IPAddress("192.0.2.2")))


def test_the_host_may_always_reach_its_endpoints():
    assert judge(PAIR).allows(tcp(HOST, B))


def test_an_endpoint_without_profile_may_nothing():
    assert not judge(dict([endpoint("a", profiles=())])).allows(tcp(A, ELSEWHERE))


@pytest.mark.parametrize(
    ("setting", "port", "allowed"),
    [
        ("RETURN", 22, True),
        ("ACCEPT", 22, True),
        ("DROP", 22, False),
        ("DROP", 53, True),
        ("nonsense", 22, False),
    ],
)
def test_what_goes_to_the_host_is_a_setting(setting: str, port: int, allowed: bool):
    policy = judge(PAIR | SENDS | {TO_HOST: setting})
    assert policy.allows(tcp(A, HOST, port)) is allowed


def test_what_goes_to_the_host_asks_the_senders_rules():
    policy = judge(PAIR | SERVES)
    assert not policy.allows(tcp(B, HOST, 22))
    assert policy.allows(tcp(B, HOST, 53))
    assert policy.allows(Packet(B, HOST, 17, 68, 67))
    assert not policy.allows(Packet(B, HOST, 17, 67, 68))
