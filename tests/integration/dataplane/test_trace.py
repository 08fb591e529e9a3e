"""Packets that the real table drops are told with the interface, the profile and the reason."""

import json
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import replace

import pytest
from netaddr import IPAddress

from calico_ctl.dataplane import watch_table
from calico_ctl.dataplane.trace import TracedDrops
from calico_ctl.errors import NotFound
from calico_ctl.model import codec, keys
from calico_ctl.model.endpoint import State
from calico_ctl.policy.dropped import Drop, Why
from calico_ctl.policy.verdict import ICMP, ICMPV6, TCP, UDP, Packet
from tests.support import packets
from tests.support.netns import NetNs
from tests.support.packets import ADDRESSES, HOST, HOST_ADDRESS, OUTSIDE, Wire

pytestmark = pytest.mark.integration

A, B, C, D = (ADDRESSES[name][4][0] for name in ("calia", "calib", "calic", "calid"))
A6, B6 = (ADDRESSES[name][6][0] for name in ("calia", "calib"))
WORLD = IPAddress("198.51.100.7")
FALSE = IPAddress("10.65.0.77")

RULES = {
    "web": {"inbound": [{"src_tag": "x"}, {"action": "deny", "dst_ports": [81]}]},
    "open": {"inbound": [{"dst_ports": [80]}], "outbound": [{}]},
    "closed": {"outbound": [{"action": "deny", "protocol": "udp"}, {"protocol": "tcp"}]},
}
CLUSTER = {
    **packets.endpoint("calia", "open", "web"),
    **packets.endpoint("calib", "closed"),
    **packets.endpoint("calic"),
    **{keys.profile_rules(name): json.dumps(rules) for name, rules in RULES.items()},
}


@pytest.fixture(scope="module")
def wire() -> Iterator[Wire]:
    with packets.laid() as wire:
        yield wire


@pytest.fixture
def watch(wire: Wire) -> Iterator[TracedDrops]:
    wire.install(CLUSTER)
    with wire.host.entered(), closing(TracedDrops()) as watch:
        yield watch


def tcp(src: IPAddress, dst: IPAddress, port: int) -> Packet:
    return Packet(src, dst, TCP, 5000, port)


def sent(
    wire: Wire, watch: TracedDrops, packet: Packet, source: str, target: str, mac: str | None = None
) -> list[Drop]:
    """Send a packet; return what is told. Nothing has to be waited for: it is told on its way."""
    watch.wait(0)
    passed = wire.passes(packet, source, target, mac)
    seen = watch.wait(0)
    assert not seen.missed
    assert passed == (not seen.drops), seen
    assert all(each.packet == packet for each in seen.drops)
    return list(seen.drops)


PING6 = Packet(B6, A6, ICMPV6, icmp_type=128, icmp_code=0)
PONG = Packet(WORLD, A, ICMP, icmp_type=0, icmp_code=0)
TO_HOST = Packet(B, HOST_ADDRESS[4], UDP, 1, 80)


@pytest.mark.parametrize(
    ("packet", "way", "whose", "reason"),
    [
        (tcp(B, A, 81), ("calib", "calia"), "calia", (Why.RULE, "web", 2)),
        (tcp(B, A, 82), ("calib", "calia"), "calia", (Why.NO_RULE, "", 0)),
        (tcp(WORLD, A, 82), (OUTSIDE, "calia"), "calia", (Why.NO_RULE, "", 0)),
        (Packet(B, A, UDP, 1, 80), ("calib", "calia"), "calib", (Why.RULE, "closed", 1)),
        (PING6, ("calib", "calia"), "calib", (Why.NO_RULE, "", 0)),
        (tcp(A, C, 80), ("calia", "calic"), "calic", (Why.NO_PROFILE, "", 0)),
        (tcp(C, A, 80), ("calic", "calia"), "calic", (Why.NO_PROFILE, "", 0)),
        (tcp(FALSE, A, 80), ("calib", "calia"), "calib", (Why.SPOOFED, "", 0)),
        (tcp(A, B, 80), ("calib", "calia"), "calib", (Why.SPOOFED, "", 0)),
        (tcp(D, A, 80), ("calid", "calia"), "calid", (Why.UNKNOWN_INTERFACE, "", 0)),
        (tcp(WORLD, D, 80), (OUTSIDE, "calid"), "calid", (Why.UNKNOWN_INTERFACE, "", 0)),
        (Packet(A, WORLD, UDP, 67, 68), ("calia", OUTSIDE), "calia", (Why.ROUTER_ONLY, "", 0)),
        (tcp(A, HOST_ADDRESS[4], 80), ("calib", HOST), "calib", (Why.SPOOFED, "", 0)),
        (TO_HOST, ("calib", HOST), "calib", (Why.RULE, "closed", 1)),
        (PONG, (OUTSIDE, "calia"), "calia", (Why.INVALID, "", 0)),
    ],
)
def test_a_dropped_packet_is_told_with_whose_it_was_and_why(
    wire, watch, packet, way, whose, reason
):
    (drop,) = sent(wire, watch, packet, *way)
    assert drop.interface == whose
    assert (drop.reason.why, drop.reason.profile, drop.reason.position) == reason
    assert drop.direction.value == ("inbound" if whose == way[1] else "outbound")


@pytest.mark.parametrize(
    ("packet", "source", "target"),
    [
        (tcp(B, A, 80), "calib", "calia"),
        (tcp(WORLD, A, 80), OUTSIDE, "calia"),
        (tcp(A, WORLD, 80), "calia", OUTSIDE),
        (tcp(A, HOST_ADDRESS[4], 80), "calia", HOST),
        (tcp(HOST_ADDRESS[4], C, 80), HOST, "calic"),
    ],
)
def test_what_passes_is_not_told(wire, watch, packet, source, target):
    assert sent(wire, watch, packet, source, target) == []


def test_a_false_mac_is_told(wire, watch):
    (drop,) = sent(wire, watch, tcp(A, WORLD, 80), "calia", OUTSIDE, packets.STRANGE_MAC)
    assert drop.reason.why is Why.WRONG_MAC


def test_rules_that_change_meanwhile_are_known_by_their_new_numbers(wire, watch):
    assert sent(wire, watch, tcp(B, A, 81), "calib", "calia")[0].reason.position == 2
    rules = {"inbound": [{"action": "deny", "src_net": f"{B}/32"}]}
    wire.install(CLUSTER | {keys.profile_rules("web"): json.dumps(rules)})
    drop = sent(wire, watch, tcp(B, A, 81), "calib", "calia")[0]
    assert drop.reason.message == "inbound rule 1 of profile web denies it"


def test_a_table_that_is_made_anew_meanwhile_counts_its_rules_from_1_again(wire, watch):
    denied = [{"action": "deny", "protocol": "tcp", "dst_ports": [81 + n]} for n in range(8)]
    contents = CLUSTER | {keys.profile_rules("web"): json.dumps({"inbound": denied})}
    wire.install(contents)
    wire.lose_table()
    assert sent(wire, watch, tcp(B, A, 84), "calib", "calia")[0].reason.position == 4
    # With more rules before those of web, the number that a rule of web had is another one's.
    longer = {"inbound": [{"dst_ports": [80]}] * 3, "outbound": [{}] * 2}
    wire.install(contents | {keys.profile_rules("open"): json.dumps(longer)})
    wire.lose_table()
    assert sent(wire, watch, tcp(B, A, 82), "calib", "calia")[0].reason.position == 2
    assert sent(wire, watch, tcp(B, A, 84), "calib", "calia")[0].reason.position == 4


def test_a_table_that_has_gone_is_missed_and_seen_again(wire, watch, monkeypatch):
    monkeypatch.setattr("calico_ctl.dataplane.trace._LOOK_SECONDS", 0)
    assert not watch.wait(0).tableless
    wire.host.run(["nft", "delete", "table", "inet", "calico"])
    try:
        assert watch.wait(0).tableless
    finally:
        wire.lose_table()
    assert not watch.wait(0).tableless


def test_an_unreadable_profile_and_a_setting_that_closes_the_host_are_told(wire, watch):
    wire.install(
        CLUSTER
        | {
            keys.profile_rules("web"): "{",
            keys.global_config("DefaultEndpointToHostAction"): "DROP",
        }
    )
    drop = sent(wire, watch, tcp(B, A, 81), "calib", "calia")[0]
    assert (drop.reason.why, drop.reason.profile) == (Why.UNREADABLE, "web")
    drop = sent(wire, watch, tcp(A, HOST_ADDRESS[4], 80), "calia", HOST)[0]
    assert drop.reason.why is Why.TO_HOST


def test_what_another_firewall_drops_is_told_with_its_table(wire, watch):
    chain = "chain guard { type filter hook forward priority 10; policy drop; }"
    wire.host.run(["nft", "-f", "-"], stdin=f"table ip theirs {{\n{chain}\n}}\n")
    try:
        (drop,) = sent(wire, watch, tcp(B, A, 80), "calib", "calia")
    finally:
        wire.host.run(["nft", "delete", "table", "ip", "theirs"])
    assert drop.reason.why is Why.OTHER_FIREWALL
    assert "table ip theirs, chain guard" in drop.reason.message


def test_an_endpoint_that_goes_meanwhile_makes_its_interface_unknown(wire, watch, monkeypatch):
    monkeypatch.setattr("calico_ctl.dataplane.trace._LOOK_SECONDS", 0)
    (key, value), *_ = packets.endpoint("calib", "closed").items()
    parsed = keys.parse(key)
    assert parsed is not None
    assert parsed.endpoint is not None
    inactive = replace(codec.decode_endpoint(parsed.endpoint, value), state=State.INACTIVE)
    wire.install(CLUSTER | {key: codec.encode_endpoint(inactive)})
    (drop,) = sent(wire, watch, tcp(B, A, 80), "calib", "calia")
    assert drop.reason.why is Why.UNKNOWN_INTERFACE


def test_of_too_many_some_are_only_counted(wire, monkeypatch):
    wire.install(CLUSTER)
    monkeypatch.setattr(watch_table, "RATE", 1)
    monkeypatch.setattr(watch_table, "_SECONDS", 86400)
    with wire.host.entered(), closing(TracedDrops()) as watch:
        assert [len(watch_and_send(wire, watch)) for _ in range(3)] == [1, 0, 0]
        assert watch.passed_over() == 2


def watch_and_send(wire: Wire, watch: TracedDrops) -> Sequence[Drop]:
    wire.passes(tcp(WORLD, A, 82), OUTSIDE, "calia")
    return watch.wait(0).drops


def test_of_endpoints_only_what_has_no_right_source_is_traced_before_conntrack(wire, watch):
    watch.wait(0)
    listed = wire.host.run(["nft", "list", "ruleset"]).out.partition("set let-through")[2]
    elements = listed.partition("elements = {")[2].partition("}")[0]
    assert sorted(elements.replace(",", "").split()) == ['"calia"', '"calib"', '"calic"']


def test_nothing_is_left_in_the_kernel(wire):
    wire.install(CLUSTER)
    before = wire.host.run(["nft", "list", "tables"]).out
    with wire.host.entered():
        TracedDrops().close()
    assert wire.host.run(["nft", "list", "tables"]).out == before


def test_without_the_policys_table_there_is_nothing_to_look_at(private_netns: NetNs):
    with pytest.raises(NotFound, match="no nftables table inet calico"):
        TracedDrops()
    assert private_netns.run(["nft", "list", "tables"]).out == ""
