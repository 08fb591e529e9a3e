"""Headers of packets, as far as the kernel tells them."""

from netaddr import IPAddress

from calico_ctl.dataplane import trace
from calico_ctl.policy.verdict import ICMPV6, TCP, Packet

FOUR = bytes.fromhex("450000280000000040060000") + IPAddress("10.65.0.1").packed
FOUR += IPAddress("10.65.0.2").packed
SIX = bytes.fromhex("6000000000083a40") + IPAddress("fd80::1").packed + IPAddress("fd80::2").packed


def test_addresses_ports_and_icmp_types_are_read():
    ends = IPAddress("10.65.0.1"), IPAddress("10.65.0.2")
    assert trace.parse_packet(FOUR, b"\x13\x88\x00\x50") == Packet(*ends, TCP, 5000, 80)
    six = IPAddress("fd80::1"), IPAddress("fd80::2")
    expected = Packet(*six, ICMPV6, icmp_type=128, icmp_code=1)
    assert trace.parse_packet(SIX, b"\x80\x01") == expected


def test_what_is_cut_off_is_not_known():
    ends = IPAddress("10.65.0.1"), IPAddress("10.65.0.2")
    assert trace.parse_packet(FOUR, b"") == Packet(*ends, TCP)
