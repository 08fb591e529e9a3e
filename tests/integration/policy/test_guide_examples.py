"""Every example of the orchestrator guide does to real packets what the guide says of it.

etcd holds the guide's own characters; where the guide lost a quote there is a test with and one
without it.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from netaddr import IPAddress

from calico_ctl.model import keys
from calico_ctl.model.address import FAMILIES, Family
from calico_ctl.policy.verdict import ICMP, ICMPV6, TCP, UDP, Packet
from tests.support import packets
from tests.support.packets import ADDRESSES, OUTSIDE, Wire, endpoint

MINE, PEER, STRANGER = packets.CONTAINERS[:3]
WORLD = {4: IPAddress("192.0.2.7"), 6: IPAddress("2001:db8::7")}

FIRST_PROFILE = """{
  "inbound": [{"src_ports": [80], "action": "allow"},
              {"action": "deny"}],
  "outbound": [{"action": "allow"}]
}"""
"""As the guide means it; in the guide there is no quote behind `deny`."""

LOGGER_RULE = '{"src_tag": "logger", "protocol": "tcp", "dst_ports": [3224], "action": "allow"}'


@dataclass(frozen=True)
class Sender:
    """Sends single packets between containers and the world, and says which arrive."""

    wire: Wire
    family: Family

    def tcp(self, source: str, target: str, src_port: int = 4000, dst_port: int = 4000) -> bool:
        return self._send(source, target, TCP, src_port=src_port, dst_port=dst_port)

    def udp(self, source: str, target: str, src_port: int = 4000, dst_port: int = 4000) -> bool:
        return self._send(source, target, UDP, src_port=src_port, dst_port=dst_port)

    def ping(self, source: str, target: str) -> bool:
        protocol, request = (ICMP, 8) if self.family == 4 else (ICMPV6, 128)
        return self._send(source, target, protocol, icmp_type=request, icmp_code=0)

    def anything(self, source: str, target: str) -> bool:
        ways = (self.tcp, self.udp, self.ping)
        return any(way(source, target) for way in ways)

    def everything(self, source: str, target: str) -> bool:
        ways = (self.tcp, self.udp, self.ping)
        return all(way(source, target) for way in ways)

    def _send(self, source: str, target: str, protocol: int, **rest: int) -> bool:
        packet = Packet(self._address(source), self._address(target), protocol, **rest)
        return self.wire.passes(packet, source, target)

    def _address(self, place: str) -> IPAddress:
        return WORLD[self.family] if place == OUTSIDE else ADDRESSES[place][self.family][0]


@pytest.fixture(scope="module")
def wire() -> Iterator[Wire]:
    with packets.laid() as wire:
        yield wire


@pytest.fixture(params=FAMILIES, ids=["IPv4", "IPv6"])
def send(wire: Wire, request: pytest.FixtureRequest) -> Sender:
    return Sender(wire, request.param)


def profile(name: str, text: str, tags: str = "[]") -> dict[str, str]:
    return {keys.profile_rules(name): text, keys.profile_tags(name): tags}


def inbound(*rules: str) -> str:
    return f'{{"inbound": [{", ".join(rules)}], "outbound": [{{"action": "allow"}}]}}'


def outbound(*rules: str) -> str:
    return f'{{"inbound": [{{"action": "allow"}}], "outbound": [{", ".join(rules)}]}}'


OPEN = profile("open", inbound("{}"))


def test_the_first_profile_lets_in_what_comes_from_port_80_and_blocks_the_rest(
    wire: Wire, send: Sender
) -> None:
    wire.install(profile("web", FIRST_PROFILE) | endpoint(MINE, "web"))
    assert send.tcp(OUTSIDE, MINE, src_port=80)
    assert send.udp(OUTSIDE, MINE, src_port=80)
    assert not send.tcp(OUTSIDE, MINE, src_port=81)
    # the guide says "incoming traffic on port 80", but its rule is about the sender's port
    assert not send.tcp(OUTSIDE, MINE, dst_port=80)
    assert not send.anything(OUTSIDE, MINE)


def test_the_first_profile_lets_everything_out(wire: Wire, send: Sender) -> None:
    wire.install(profile("web", FIRST_PROFILE) | endpoint(MINE, "web"))
    assert send.everything(MINE, OUTSIDE)


def test_the_first_profile_as_the_guide_mistypes_it_is_closed(wire: Wire, send: Sender) -> None:
    mistyped = FIRST_PROFILE.replace('"deny"', '"deny')
    wire.install(profile("web", mistyped) | endpoint(MINE, "web"))
    assert not send.tcp(OUTSIDE, MINE, src_port=80)
    assert not send.anything(OUTSIDE, MINE)
    assert not send.anything(MINE, OUTSIDE)


def test_a_list_of_ports_and_ranges_allows_them_when_no_action_is_given(
    wire: Wire, send: Sender
) -> None:
    rules = inbound('{"protocol": "tcp", "src_ports": [1234, "2048:4000"]}')
    wire.install(profile("web", rules) | endpoint(MINE, "web"))
    assert all(send.tcp(OUTSIDE, MINE, src_port=port) for port in (1234, 2048, 3000, 4000))
    assert not any(send.tcp(OUTSIDE, MINE, src_port=port) for port in (1233, 2047, 4001))
    assert not send.udp(OUTSIDE, MINE, src_port=1234)


@pytest.mark.parametrize("send", [4], indirect=True)
def test_src_net_lets_in_all_traffic_from_the_subnet(wire: Wire, send: Sender) -> None:
    rules = inbound('{"src_net": "10.65.0.0/24", "action": "allow"}')
    wire.install(OPEN | profile("web", rules) | endpoint(MINE, "web") | endpoint(PEER, "open"))
    assert send.everything(PEER, MINE)
    assert not send.anything(OUTSIDE, MINE)


@pytest.mark.parametrize("send", [6], indirect=True)
def test_src_net_of_ipv4_lets_no_ipv6_in(wire: Wire, send: Sender) -> None:
    rules = inbound('{"src_net": "10.65.0.0/24", "action": "allow"}')
    wire.install(OPEN | profile("web", rules) | endpoint(MINE, "web") | endpoint(PEER, "open"))
    assert not send.anything(PEER, MINE)


def test_dst_tag_lets_out_all_traffic_to_endpoints_with_the_tag(wire: Wire, send: Sender) -> None:
    wire.install(
        OPEN
        | profile("web", outbound('{"dst_tag": "database", "action": "allow"}'))
        | profile("database", inbound("{}"), '["database"]')
        | endpoint(MINE, "web")
        | endpoint(PEER, "database")
        | endpoint(STRANGER, "open")
    )
    assert send.everything(MINE, PEER)
    assert not send.anything(MINE, STRANGER)
    assert not send.anything(MINE, OUTSIDE)


def test_a_deny_blocks_tcp_to_port_80_and_nothing_else(wire: Wire, send: Sender) -> None:
    denied = '{"protocol": "tcp", "dst_ports": [80], "action": "deny"}'
    wire.install(profile("web", outbound(denied, "{}")) | endpoint(MINE, "web"))
    assert not send.tcp(MINE, OUTSIDE, dst_port=80)
    assert send.tcp(MINE, OUTSIDE, dst_port=81)
    assert send.tcp(MINE, OUTSIDE, src_port=80)
    assert send.udp(MINE, OUTSIDE, dst_port=80)
    assert send.ping(MINE, OUTSIDE)


@pytest.mark.parametrize("tags", ['["logger"]', "[logger]"], ids=["as meant", "as the shell does"])
@pytest.mark.parametrize("client", ["web", "database"])
def test_whoever_has_the_tag_logger_reaches_the_logging_service_at_its_port(
    wire: Wire, send: Sender, client: str, tags: str
) -> None:
    wire.install(
        OPEN
        | profile("logging", inbound(LOGGER_RULE))
        | profile(client, inbound("{}"), tags)
        | endpoint(MINE, "logging")
        | endpoint(PEER, client)
        | endpoint(STRANGER, "open")
    )
    assert send.tcp(PEER, MINE, dst_port=3224)
    assert not send.udp(PEER, MINE, dst_port=3224)
    assert not send.tcp(PEER, MINE, dst_port=3225)
    assert not send.ping(PEER, MINE)
    assert not send.tcp(STRANGER, MINE, dst_port=3224)
    assert not send.tcp(OUTSIDE, MINE, dst_port=3224)


def test_an_endpoint_is_closed_until_its_profile_id_is_rewritten(wire: Wire, send: Sender) -> None:
    """The guide's eight fields in the guide's order, with this harness's name and addresses."""
    fields = {
        "ipv6_gateway": "fd99::1",
        "state": "active",
        "name": MINE,
        "ipv4_gateway": None,
        "ipv6_nets": [f"{ADDRESSES[MINE][6][0]}/128"],
        "profile_id": None,
        "mac": packets.MAC[MINE],
        "ipv4_nets": [f"{ADDRESSES[MINE][4][0]}/32"],
    }
    (key,) = endpoint(MINE)
    web = profile("web", inbound("{}"))
    wire.install(web | {key: json.dumps(fields)})
    assert not send.anything(OUTSIDE, MINE)
    assert not send.anything(MINE, OUTSIDE)
    wire.install(web | {key: json.dumps(fields | {"profile_id": "web"})})
    assert send.everything(OUTSIDE, MINE)
    assert send.everything(MINE, OUTSIDE)
