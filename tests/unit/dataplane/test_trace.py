"""Headers of packets, as far as the kernel tells them."""

import struct

from netaddr import IPAddress

from calico_ctl.dataplane import nfnetlink, trace
from calico_ctl.dataplane.netlink import Message, attribute, name, nested
from calico_ctl.dataplane.trace import Traced, Ways
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


GOTO, DROP = -4, 0


def told(number: int, chain: str, handle: int, verdict: int = GOTO, header: bytes = b"") -> Message:
    """A rule that did something with a packet; `header` comes with the first of a base chain."""
    body = nfnetlink.header(nfnetlink.FAMILIES["inet"])
    body += attribute(1, name("calico")) + attribute(2, name(chain))
    body += attribute(3, struct.pack(">Q", handle)) + attribute(4, struct.pack(">I", 3))
    body += nested(5, attribute(1, struct.pack(">i", verdict)))
    body += attribute(6, struct.pack(">I", number))
    if header:
        body += attribute(8, header) + attribute(9, b"\x13\x88\x00\x50")
    return Message(nfnetlink.SUBSYSTEM | 17, 0, 0, 0, body)


def taken(*messages: Message) -> list[Traced]:
    ways = Ways()
    return [traced for each in messages if (traced := ways.take(each)) is not None]


def test_the_rules_of_a_packet_are_put_together_whatever_is_told_between():
    (dropped,) = taken(
        told(7, "flt-fwd", 1, header=FOUR),
        told(8, "flt-fwd", 1, header=SIX),
        told(7, "t-web", 2),
        told(8, "t-db", 3),
        told(7, "drop-to", 4, DROP),
    )
    assert dropped.packet.dst_port == 80
    assert [rule[1:] for rule in dropped.rules] == [("flt-fwd", 1), ("t-web", 2), ("drop-to", 4)]


def test_a_packet_begins_anew_with_each_base_chain_and_when_its_number_comes_again():
    (dropped,) = taken(
        told(7, "raw-pre", 1, header=SIX),
        told(7, "flt-fwd", 2, header=FOUR),
        told(7, "flt-fwd", 3, DROP),
        told(7, "drop-to", 4, DROP),
    )
    assert dropped.packet.src == IPAddress("10.65.0.1")
    assert [rule[1:] for rule in dropped.rules] == [("flt-fwd", 2), ("flt-fwd", 3)]


def test_of_many_packets_those_that_were_told_of_first_are_forgotten():
    first, last = 1, trace._KEPT + 1
    begun = [told(number, "flt-fwd", 1, header=FOUR) for number in range(first, last + 1)]
    ended = [told(number, "drop-to", 2, DROP) for number in (first, last)]
    assert len(taken(*begun, *ended)) == 1


def test_what_is_no_trace_is_passed_over():
    other = told(7, "flt-fwd", 1, DROP, header=FOUR)._replace(kind=nfnetlink.NEW_GENERATION)
    assert taken(other) == []
