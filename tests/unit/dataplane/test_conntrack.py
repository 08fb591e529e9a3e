"""Entries of the kernel's table of connections, read from bytes."""

import struct

import pytest
from netaddr import IPAddress

from calico_ctl.dataplane import conntrack
from calico_ctl.dataplane.conntrack import Flow
from calico_ctl.dataplane.netlink import attribute, nested

# IPCTNL_MSG_CT_NEW as Linux 6.18 wrote it: TCP 10.1.157.106:41298 → 10.200.0.1:80
ENTRY = bytes.fromhex(
    "02000000"
    "34000180"
    "14000180080001000a019d6a080002000ac80001"
    "1c000280050001000600000006000200a15200000600030000500000"
    "34000280"
    "14000180080001000ac80001080002000a019d6a"
    "1c0002800500010006000000060002000050000006000300a1520000"
    "0800030000000008080008000000000008000c00f98b2c50"
)
IDENTITY = ENTRY[4:56] + ENTRY[-8:]
IPV4 = ("10.0.0.1", "10.0.0.2", "10.0.0.3", "10.0.0.4")
IPV6 = ("fd80::1", "fd80::2", "fd80::3", "fd80::4")


def entry(addresses: tuple[str, ...], protocol: bytes, more: bytes = b"") -> bytes:
    """Source and target, source and target of the replies; what the protocol says of both."""
    packed = [IPAddress(each).packed for each in addresses]
    family, first = (2, 1) if len(packed[0]) == 4 else (10, 3)

    def direction(kind: int, source: bytes, target: bytes) -> bytes:
        ip = nested(1, attribute(first, source), attribute(first + 1, target))
        return nested(kind, ip, nested(2, protocol))

    return (
        bytes([family, 0, 0, 0])
        + direction(1, *packed[:2])
        + direction(2, *packed[2:])
        + attribute(3, struct.pack(">I", 8))
        + more
    )


def test_an_entry_is_read():
    source, target = IPAddress("10.1.157.106"), IPAddress("10.200.0.1")
    flow = conntrack.parse_flow(ENTRY)
    assert flow == Flow(source, target, 6, 41298, 80, None, None, False, IDENTITY)


def test_a_translated_connection_ends_where_the_replies_come_from():
    flow = conntrack.parse_flow(entry(IPV4, attribute(1, b"\x2f")))
    assert (str(flow.src), str(flow.dst)) == ("10.0.0.1", "10.0.0.3")
    assert (flow.protocol, flow.src_port, flow.dst_port) == (47, None, None)


def test_a_connection_that_was_expected_and_is_of_a_zone_is_read():
    status, zone = attribute(3, struct.pack(">I", 9)), attribute(18, b"\0\5")
    flow = conntrack.parse_flow(entry(IPV6, attribute(1, b"\x11"), status + zone))
    assert flow.expected
    assert flow.identity.endswith(zone)


@pytest.mark.parametrize("addresses", [IPV4, IPV6])
@pytest.mark.parametrize("place", range(4))
@pytest.mark.parametrize("protocol", [attribute(1, b"\x2f"), attribute(1, b"\6") * 3])
def test_an_address_takes_part_in_any_of_four_places(addresses, place, protocol):
    body = entry(addresses, protocol)
    assert conntrack.takes_part(body, {IPAddress(addresses[place]).packed})


@pytest.mark.parametrize("addresses", [IPV4, IPV6])
def test_an_address_takes_no_part_in_any_other_place(addresses):
    other = IPAddress("10.0.0.9").packed
    body = entry(addresses, attribute(1, b"\6"), attribute(4, other * 8))
    assert not conntrack.takes_part(body, {other, IPAddress("fd80::9").packed})
