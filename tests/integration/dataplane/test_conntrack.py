"""Known connections of an address: as our rules saw them, and gone when it changes hands."""

import contextlib
import socket
import struct
from collections.abc import Iterator
from dataclasses import replace

import pytest
from netaddr import IPAddress

from calico_ctl.dataplane import conntrack, netlink
from calico_ctl.dataplane.conntrack import Conntrack, Flow
from calico_ctl.dataplane.netlink import CREATE, Netlink, attribute, nested
from tests.support.netns import NetNs, private_netns

pytestmark = pytest.mark.integration

ONE, NINE = IPAddress("10.0.0.1"), IPAddress("10.0.0.9")


@pytest.fixture
def host() -> Iterator[NetNs]:
    with private_netns() as namespace, namespace.entered():
        yield namespace


@pytest.fixture
def table(host: NetNs) -> Iterator[Conntrack]:
    with contextlib.closing(Conntrack()) as table:
        yield table


def know(host: NetNs, source: object, target: object, more: str = "") -> None:
    """Have the kernel know a connection."""
    flow = f"conntrack -I -p udp -t 60 --sport 1000 --dport 53 -s {source} -d {target} {more}"
    host.run(flow.split())


def known(host: NetNs) -> str:
    shown = [host.run(["conntrack", "-L", "-f", family]) for family in ("ipv4", "ipv6")]
    return "".join(result.out for result in shown)


def flows(table: Conntrack, *addresses: IPAddress) -> list[Flow]:
    return [flow for part in table.flows(addresses) for flow in part]


def test_connections_from_and_to_an_address_are_forgotten_and_others_stay(host, table):
    for source, target in (
        ("10.0.0.1", "10.0.0.9"),
        ("10.0.0.9", "10.0.0.1"),
        ("10.0.0.2", "10.0.0.9"),
        ("fd80::1", "fd80::9"),
        ("fd80::9", "fd80::1"),
        ("fd80::2", "fd80::9"),
    ):
        know(host, source, target)
    assert table.forget([ONE, IPAddress("fd80::1"), IPAddress("10.0.0.77")]) == 4
    left = known(host)
    assert "src=10.0.0.2" in left
    assert "src=fd80::2" in left
    assert "10.0.0.1 " not in left
    assert "fd80::1 " not in left


@pytest.mark.parametrize("place", ["src", "dst"])
def test_a_connection_that_was_translated_is_forgotten_by_the_inner_address(host, table, place):
    """The address is only in the replies: their source (DNAT) or their target (masqueraded)."""
    others = {"src": "10.0.0.9", "dst": "10.0.0.2"} | {place: "10.0.0.1"}
    replies = f"--reply-src {others['src']} --reply-dst {others['dst']}"
    ports = "--reply-port-src 53 --reply-port-dst 1000"
    know(host, "10.0.0.2", "10.0.0.9", f"{replies} {ports}")
    assert "10.0.0.1" in known(host)
    assert table.forget([IPAddress("10.0.0.77")]) == 0
    assert table.forget([ONE]) == 1
    assert known(host) == ""


def test_no_address_and_an_empty_table_have_no_connections(host, table):
    assert flows(table, ONE) == []
    know(host, ONE, NINE)
    assert list(table.flows([])) == []


def test_a_kernel_that_cannot_track_connections_knows_none(host, table, monkeypatch):
    # This kernel can; what it says of a subsystem that it has not is what the others say.
    monkeypatch.setattr(conntrack, "_GET", 0x0F01)
    assert flows(table, ONE) == []
    assert table.forget([ONE]) == 0


def test_a_connection_is_told_with_what_rules_can_ask_for(host, table):
    know(host, ONE, NINE)
    (flow,) = flows(table, NINE)
    assert replace(flow, identity=b"") == Flow(ONE, NINE, 17, 1000, 53, None, None, False, b"")


@pytest.mark.parametrize(
    ("ping", "protocol", "kind"),
    [
        ("icmp -s 10.0.0.1 -d 10.0.0.9 --icmp-type 8 --icmp-code 0 --icmp-id 7", 1, 8),
        ("icmpv6 -s fd80::1 -d fd80::9 --icmpv6-type 128 --icmpv6-code 0 --icmpv6-id 7", 58, 128),
    ],
)
def test_a_ping_is_told_with_its_type_and_code(host, table, ping, protocol, kind):
    host.run(["conntrack", "-I", "-t", "60", "-p", *ping.split()])
    (flow,) = flows(table, NINE, IPAddress("fd80::9"))
    assert str(flow.dst) in ping
    assert (flow.protocol, flow.icmp_type, flow.icmp_code) == (protocol, kind, 0)
    assert flow.src_port is None
    assert flow.dst_port is None
    assert table.delete(flow) is True
    assert table.delete(flow) is False


def test_a_connection_is_told_apart_from_the_same_one_of_another_zone(host, table):
    know(host, ONE, NINE)
    know(host, ONE, NINE, "--zone 5")
    first, second = flows(table, ONE)
    assert table.delete(second) is True
    assert flows(table, ONE) == [first]
    assert table.delete(first) is True
    assert flows(table, ONE) == []


def test_an_entry_with_another_id_is_a_newer_connection_and_stays(host, table):
    know(host, ONE, NINE)
    (flow,) = flows(table, ONE)
    older = replace(flow, identity=flow.identity[:-1] + bytes([flow.identity[-1] ^ 1]))
    assert table.delete(older) is False
    assert flows(table, ONE) == [flow]
    assert table.delete(flow) is True
    assert flows(table, ONE) == []


def test_a_connection_that_belongs_to_another_one_is_told_as_expected(host, table):
    know(host, ONE, NINE)
    master = udp(14, ONE, NINE, 1000, 53)
    child = udp(1, ONE, NINE, 2000, 54) + udp(2, NINE, ONE, 54, 2000)
    timeout = attribute(7, struct.pack(">I", 60))
    with Netlink(netlink.NETFILTER) as kernel:
        message = bytes([socket.AF_INET, 0, 0, 0]) + child + timeout + master
        kernel.ask("know a connection", 0x100, CREATE, message)
    assert {(flow.src_port, flow.expected) for flow in flows(table, ONE)} == {
        (1000, False),
        (2000, True),
    }


def udp(kind: int, source: IPAddress, target: IPAddress, sport: int, dport: int) -> bytes:
    """A tuple as ctnetlink spells it: CTA_TUPLE_ORIG is 1, _REPLY 2, _MASTER 14."""
    addresses = nested(1, attribute(1, source.packed), attribute(2, target.packed))
    ports = attribute(2, struct.pack(">H", sport)) + attribute(3, struct.pack(">H", dport))
    return nested(kind, addresses, nested(2, attribute(1, bytes([17])), ports))


def test_deleting_while_the_table_is_read_disturbs_nothing(host, table):
    count = 1000
    with Netlink(netlink.NETFILTER) as kernel:
        for port in range(1, count + 1):
            entry = udp(1, ONE, NINE, port, 53) + udp(2, NINE, ONE, 53, port)
            timeout = attribute(7, struct.pack(">I", 60))
            message = bytes([socket.AF_INET, 0, 0, 0]) + entry + timeout
            kernel.ask("know a connection", 0x100, CREATE, message)
    parts = table.flows([ONE])
    first = next(parts)
    assert 0 < len(first) < count
    assert all(table.delete(flow) for flow in first)
    parts.close()
    assert table.forget([NINE]) == count - len(first)
    assert known(host) == ""


def test_a_translated_connection_is_told_as_the_forward_chain_saw_it(host, table):
    """Client → published port of this host → container; a container → masqueraded → client."""
    with private_netns() as client, private_netns() as container:
        wire(host, client, "client", "10.1.0.1", "10.1.0.2")
        wire(host, container, "cali1", "10.2.0.1", "10.2.0.2")
        host.run(["sysctl", "-qw", "net.ipv4.ip_forward=1"])
        host.run(["nft", "-f", "-"], stdin=NAT)
        send(client, 7000, "10.1.0.1", 8080)
        (inward,) = flows(table, IPAddress("10.2.0.2"))
        assert (str(inward.src), inward.src_port) == ("10.1.0.2", 7000)
        assert (str(inward.dst), inward.dst_port) == ("10.2.0.2", 80)
        assert table.delete(inward) is True
        send(container, 7001, "10.1.0.2", 9090)
        (outward,) = flows(table, IPAddress("10.2.0.2"))
        assert (str(outward.src), outward.src_port) == ("10.2.0.2", 7001)
        assert (str(outward.dst), outward.dst_port) == ("10.1.0.2", 9090)
        assert table.forget([IPAddress("10.2.0.2")]) == 1
        assert known(host) == ""


NAT = """
table ip nat {
  chain in { type nat hook prerouting priority -100; udp dport 8080 dnat to 10.2.0.2:80; }
  chain out { type nat hook postrouting priority 100; ip saddr 10.2.0.2 masquerade; }
}
"""


def wire(host: NetNs, other: NetNs, name: str, ours: str, theirs: str) -> None:
    host.run(f"ip link add {name} type veth peer name eth0 netns {other.pid}".split())
    host.run(["ip", "addr", "add", f"{ours}/24", "dev", name])
    host.run(["ip", "link", "set", name, "up"])
    other.run(["ip", "addr", "add", f"{theirs}/24", "dev", "eth0"])
    other.run(["ip", "link", "set", "eth0", "up"])
    other.run(["ip", "route", "add", "default", "via", ours])


def send(namespace: NetNs, source_port: int, target: str, target_port: int) -> None:
    # The answer (nobody listens: port unreachable) says that the packet has been through.
    with namespace.entered(), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.bind(("", source_port))
        sender.connect((target, target_port))
        sender.settimeout(5)
        sender.send(b"x")
        with pytest.raises(ConnectionRefusedError):
            sender.recv(1)
