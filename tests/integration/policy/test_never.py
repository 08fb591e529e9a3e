"""What no container may send, whatever its profiles allow, in real packets."""

from collections.abc import Iterator

import pytest
from netaddr import IPAddress

from calico_ctl.model.address import FAMILIES
from calico_ctl.policy.verdict import ICMPV6, TCP, UDP, Packet
from tests.support import packets, states
from tests.support.packets import ADDRESSES, HOST, MAC, OUTSIDE, STRANGE_MAC, Wire, endpoint

MINE, PEER, UNKNOWN = packets.CONTAINERS[:3]
ANYWHERE = {4: IPAddress("192.0.2.7"), 6: IPAddress("2001:db8::7")}
ROUTER_ADVERT, REDIRECT = 134, 137
ALL_NODES = IPAddress("ff02::1")


@pytest.fixture(scope="module")
def wire() -> Iterator[Wire]:
    with packets.laid() as wire:
        allow_everything = states.profile("open", '{"inbound": [{}], "outbound": [{}]}')
        wire.install(allow_everything | endpoint(MINE, "open") | endpoint(PEER, "open"))
        yield wire


def of(container: str, family: int) -> IPAddress:
    return ADDRESSES[container][4 if family == 4 else 6][0]


@pytest.mark.parametrize("family", FAMILIES)
def test_everything_else_passes(wire: Wire, family: int) -> None:
    for target in (PEER, OUTSIDE):
        dst = of(PEER, family) if target == PEER else ANYWHERE[family]
        assert wire.passes(Packet(of(MINE, family), dst, TCP, 1000, 80), MINE, target)
        assert wire.passes(Packet(of(MINE, family), dst, UDP, 68, 67), MINE, target)


@pytest.mark.parametrize("family", FAMILIES)
def test_the_address_of_another(wire: Wire, family: int) -> None:
    for src in (of(PEER, family), ANYWHERE[family]):
        packet = Packet(src, ANYWHERE[family], UDP, 1000, 1000)
        assert not wire.passes(packet, MINE, OUTSIDE)
        assert not wire.passes(Packet(src, of(PEER, family), TCP, 1000, 80), MINE, PEER)


@pytest.mark.parametrize("family", FAMILIES)
def test_its_own_address_with_another_mac(wire: Wire, family: int) -> None:
    packet = Packet(of(MINE, family), of(PEER, family), TCP, 1000, 80)
    assert wire.passes(packet, MINE, PEER, mac=MAC[MINE])
    for mac in (STRANGE_MAC, MAC[PEER]):
        assert not wire.passes(packet, MINE, PEER, mac=mac)


def test_router_advertisements_and_redirects(wire: Wire) -> None:
    for icmp_type in (ROUTER_ADVERT, REDIRECT):
        for target, dst in ((PEER, of(PEER, 6)), (HOST, packets.link_local(MINE))):
            packet = Packet(of(MINE, 6), dst, ICMPV6, icmp_type=icmp_type, icmp_code=0)
            assert not wire.passes(packet, MINE, target)


@pytest.mark.parametrize(("family", "server", "client"), [(4, 67, 68), (6, 547, 546)])
def test_what_a_dhcp_server_answers(wire: Wire, family: int, server: int, client: int) -> None:
    packet = Packet(of(MINE, family), of(PEER, family), UDP, server, client)
    assert not wire.passes(packet, MINE, PEER)


@pytest.mark.parametrize("family", FAMILIES)
def test_anything_from_or_to_an_interface_that_no_endpoint_owns(wire: Wire, family: int) -> None:
    unknown, peer = of(UNKNOWN, family), of(PEER, family)
    assert not wire.passes(Packet(unknown, peer, TCP, 1000, 80), UNKNOWN, PEER)
    assert not wire.passes(Packet(unknown, ANYWHERE[family], TCP, 1000, 80), UNKNOWN, OUTSIDE)
    assert not wire.passes(Packet(peer, unknown, TCP, 1000, 80), PEER, UNKNOWN)
