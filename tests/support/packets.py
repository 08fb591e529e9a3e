"""One host with containers and a world outside, for asking the kernel about single packets.

`Wire` is the host `states.HOST` in a network namespace of its own. Each container is a namespace at
the end of a veth named cali…; the world outside (other hosts, everybody else) is one more, at the
end of a veth with another name. None of them has an address: a socket that takes every frame stands
for each, so they answer nothing, and `Wire.passes` says whether a packet made it.
"""

import contextlib
import itertools
import os
import socket
import struct
from collections.abc import Iterator

from netaddr import IPAddress

from calico_ctl.dataplane.table import KernelTable
from calico_ctl.model import address, codec, keys
from calico_ctl.model.address import FAMILIES, Family
from calico_ctl.model.endpoint import Endpoint, EndpointKey, State
from calico_ctl.policy import verdict
from calico_ctl.policy.verdict import ICMP, ICMPV6, SCTP, TCP, UDP, UDPLITE, Packet
from tests.support import command, states
from tests.support.netns import NetNs, private_netns

HOST = states.HOST
"""As a source or target: the host itself."""

OUTSIDE = "up0"
"""As a source or target: whoever is neither the host nor on it."""

CONTAINERS = ("calia", "calib", "calic", "calid")
"""As a source or target: the container at the end of this interface of the host."""

ADDRESSES: dict[str, dict[Family, tuple[IPAddress, ...]]] = {
    name: {
        4: (IPAddress(f"10.65.0.{number}"), IPAddress(f"10.65.0.{number + 4}")),
        6: (IPAddress(f"fd80::{number}"), IPAddress(f"fd80::{number + 4}")),
    }
    for number, name in enumerate(CONTAINERS, 1)
}
"""The addresses that the host routes to each container."""

HOST_ADDRESS: dict[Family, IPAddress] = {4: IPAddress("10.99.0.1"), 6: IPAddress("fd99::1")}

MAC = {name: f"02:00:00:00:00:{number:02x}" for number, name in enumerate(CONTAINERS, 1)}
"""The hardware address of each container's own interface."""

STRANGE_MAC = "02:00:00:00:00:99"

GRE, UNASSIGNED = 47, 253
PROTOCOLS = (ICMP, TCP, UDP, GRE, ICMPV6, SCTP, UDPLITE, UNASSIGNED)
"""The host listens for these: with others, no packet would be seen there."""

ROUTER_SOLICITATION, NEIGHBOUR_SOLICITATION, NEIGHBOUR_ADVERTISEMENT = 133, 135, 136
NEIGHBOUR_DISCOVERY = (ROUTER_SOLICITATION, NEIGHBOUR_SOLICITATION, NEIGHBOUR_ADVERTISEMENT)

ALL_ROUTERS = IPAddress("ff02::2")
DHCPV6_SERVERS = IPAddress("ff02::1:2")

_NEXT_HOP: dict[Family, str] = {4: "10.99.0.2", 6: "fd99::2"}
_OUTSIDE_MAC = "02:00:00:00:00:fe"
_HOST_MAC = {name: f"02:00:00:00:01:{at:02x}" for at, name in enumerate((*CONTAINERS, OUTSIDE))}
_HOST_SETTINGS = (
    "net.ipv4.ip_forward=1",
    "net.ipv6.conf.all.forwarding=1",
    # the higher one of `all` and the interface's own counts
    "net.ipv4.conf.all.rp_filter=0",
    "net.ipv4.conf.default.rp_filter=0",
    "net.ipv6.conf.default.accept_dad=0",
)

# conntrack checks UDP-Lite as if it were UDP and would call every right checksum invalid
_TAKE_UDPLITE = "net.netfilter.nf_conntrack_checksum=0"

_EVERY_FRAME, _FOR_EXPERIMENTS = 0x0003, 0x88B5
_ETHERTYPE: dict[Family, int] = {4: 0x0800, 6: 0x86DD}
_ETHERNET_LENGTH = 14
_CHECKSUM_AT = {ICMP: 2, TCP: 16, UDP: 6, ICMPV6: 2, UDPLITE: 6}
_SOL_PACKET, _IGNORE_OUTGOING = 263, 23
_NETFILTER, _DELETE_FLOWS, _REQUEST_AND_ACK = 12, (1 << 8) | 2, 5
_PATIENCE = 5


class Wire:
    """The network, laid out. Use from the thread that made it, as long as it is pinned: `laid`."""

    def __init__(self, host: NetNs, far: dict[str, NetNs], stack: contextlib.ExitStack) -> None:
        _lay(host, far)
        self.host = host
        keep = stack.enter_context
        self._count = itertools.count(1)
        self._inner: dict[str, socket.socket] = {}
        for name, namespace in far.items():
            with namespace.entered():
                self._inner[name] = keep(_frames("eth0", _EVERY_FRAME))
        with host.entered():
            self._outer = {name: keep(_frames(name, _FOR_EXPERIMENTS)) for name in far}
            self._ears = {(f, each): keep(_ear(f, each)) for f in FAMILIES for each in PROTOCOLS}
            self._mouths = {family: keep(_mouth(family)) for family in FAMILIES}
            self._flows = keep(socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _NETFILTER))
            self._table = keep(contextlib.closing(KernelTable()))
        # the table asks conntrack, and only with that come its settings
        self._contents: dict[str, str] = {}
        self._desired = states.desired({})
        self._desired.take()
        self._table.rebuild(self._desired.table())
        host.run(["sysctl", "-qw", _TAKE_UDPLITE])
        for name in far:
            self._await_carrier(name)

    def install(self, contents: dict[str, str]) -> None:
        """Let etcd hold this now; the host gets its table as from a running agent, in one step."""
        self._table.take(states.walk(self._desired, self._contents, contents))
        self._contents = contents

    def lose_table(self) -> None:
        """Delete the table, as another firewall's start does, and make it anew as an agent does."""
        self._table.delete()
        self._table.rebuild(self._desired.table())

    def passes(self, packet: Packet, source: str, target: str, mac: str | None = None) -> bool:
        """Send the first packet of a flow; say whether it got there.

        `mac` is the sender's hardware address, if the frame shall not have the true one.

        No clock decides that a packet was dropped. A veth puts each frame into a queue of the CPU
        that sends it (it has no NAPI and nothing here steers frames to other CPUs); that queue is
        first in, first out, and the host takes a packet through its whole stack, up to the queue
        of the next veth, before it takes the next frame. This thread is pinned to one CPU. So when
        a marker that was sent behind the packet is seen on the host's side of the first veth, the
        packet has been through the host; and when another marker, sent only then from the host's
        side of the last veth, is seen at the far end, the packet is there or never will be.
        """
        body = _body(packet, next(self._count))
        self._drain(target, packet)
        if source == HOST:
            datagram = _ip_header(packet, body) + body
            self._mouths[_family(packet)].sendto(datagram, (str(packet.dst), 0))
        else:
            frame = _ethernet_header(packet, source, mac) + _ip_header(packet, body) + body
            self._inner[source].send(frame)
            self._seen_before_marker(self._inner[source], self._outer[source])
        arrived = self._bodies_at(target, packet)
        self._forget_flows()
        return body in arrived

    def _bodies_at(self, target: str, packet: Packet) -> list[bytes]:
        if target == HOST:
            heard = _waiting(self._ear_for(packet))
            return [_without_ip_header(each) if packet.src.version == 4 else each for each in heard]
        frames = self._seen_before_marker(self._outer[target], self._inner[target])
        return [_without_ip_header(frame[_ETHERNET_LENGTH:]) for frame in frames]

    def _seen_before_marker(self, back: socket.socket, front: socket.socket) -> list[bytes]:
        """Send a frame that no protocol takes; return what the other end saw before it."""
        marker = _marker(next(self._count))
        back.send(marker)
        seen = []
        try:
            while (frame := front.recv(2000)) != marker:
                seen.append(frame)
        except BlockingIOError as error:
            raise command.TimedOutError("a frame that nothing can drop did not come") from error
        return seen

    def _drain(self, target: str, packet: Packet) -> None:
        """Take away what the host said to a container meanwhile, so that no buffer runs full."""
        _waiting(self._ear_for(packet) if target == HOST else self._inner[target])

    def _ear_for(self, packet: Packet) -> socket.socket:
        return self._ears[_family(packet), packet.protocol]

    def _forget_flows(self) -> None:
        """Empty the host's conntrack table: the next packet is a first one again."""
        message = struct.pack("=IHHIIBBH", 20, _DELETE_FLOWS, _REQUEST_AND_ACK, 0, 0, 0, 0, 0)
        self._flows.send(message)
        error = struct.unpack_from("=i", self._flows.recv(2000), 16)[0]
        assert error == 0, os.strerror(-error)

    def _await_carrier(self, name: str) -> None:
        # the end that was set up first learns only later, from a work queue, that it has a carrier
        def both_ways() -> bool:
            inner, outer = self._inner[name], self._outer[name]
            return _crosses(inner, outer) and _crosses(outer, inner)

        command.wait_until(both_ways, _PATIENCE, f"{name} passes frames")


@contextlib.contextmanager
def laid() -> Iterator[Wire]:
    """A wire; while it is there, this thread runs on one CPU."""
    cpus = os.sched_getaffinity(0)
    with contextlib.ExitStack() as stack:
        stack.callback(os.sched_setaffinity, 0, cpus)
        os.sched_setaffinity(0, {min(cpus)})
        host = stack.enter_context(private_netns())
        far = {name: stack.enter_context(private_netns()) for name in (*CONTAINERS, OUTSIDE)}
        yield Wire(host, far, stack)


def endpoint(container: str, *profiles: str) -> dict[str, str]:
    """The etcd key and value of a container's endpoint, with all its addresses."""
    value = Endpoint(
        key=EndpointKey(HOST, "docker", container, container),
        state=State.ACTIVE,
        name=container,
        mac=MAC[container],
        profiles=profiles,
        addresses=(*ADDRESSES[container][4], *ADDRESSES[container][6]),
    )
    return {keys.endpoint(value.key): codec.encode_endpoint(value)}


def link_local(container: str) -> IPAddress:
    """The host's own link-local address on a container's interface, made of its MAC."""
    octets = bytes.fromhex(_HOST_MAC[container].replace(":", ""))
    low = bytes([octets[0] ^ 2]) + octets[1:3] + b"\xff\xfe" + octets[3:]
    return IPAddress((0xFE80 << 112) | int.from_bytes(low, "big"), 6)


def _lay(host: NetNs, far: dict[str, NetNs]) -> None:
    host.run(["sysctl", "-qw", *_HOST_SETTINGS])
    lines = []
    for name, namespace in far.items():
        namespace.run(["sysctl", "-qw", "net.ipv6.conf.default.disable_ipv6=1"])
        own = f"address {_HOST_MAC[name]}"
        peer = f"peer name eth0 address {_far_mac(name)} netns {namespace.pid}"
        lines += [f"link add {name} {own} type veth {peer}", f"link set {name} up"]
    for family in FAMILIES:
        hop = _NEXT_HOP[family]
        lines += [
            f"addr add {HOST_ADDRESS[family]}/{24 if family == 4 else 64} dev {OUTSIDE}",
            f"neigh add {hop} lladdr {_OUTSIDE_MAC} dev {OUTSIDE} nud permanent",
            f"route add default via {hop} dev {OUTSIDE}",
        ]
    lines += [line for container in CONTAINERS for line in _owned(container)]
    host.run(["ip", "-batch", "-"], stdin="".join(f"{line}\n" for line in lines))
    for container in CONTAINERS:
        # as the agent sets it; without the table this would still refuse an IPv4 address as false
        host.run(["sysctl", "-qw", f"net.ipv4.conf.{container}.rp_filter=1"])
    for namespace in far.values():
        namespace.run(["ip", "link", "set", "eth0", "up"])


def _owned(container: str) -> list[str]:
    """What the agent does about an endpoint besides policy, for each address, whoever has it."""
    lines = []
    for family in FAMILIES:
        for ip in ADDRESSES[container][family]:
            lines.append(f"route add {address.host_network(ip)} dev {container}")
            lines.append(f"neigh add {ip} lladdr {MAC[container]} dev {container} nud permanent")
    return lines


def _far_mac(name: str) -> str:
    return MAC.get(name, _OUTSIDE_MAC)


def _family(packet: Packet) -> Family:
    return address.family(packet.src)


# -- sockets --------------------------------------------------------------------------------------


def _frames(interface: str, kind: int) -> socket.socket:
    """Frames of one kind that come in at an interface. It sends any kind."""
    made = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
    made.setsockopt(_SOL_PACKET, _IGNORE_OUTGOING, 1)
    made.bind((interface, kind))
    # the kernel's time limit, not Python's: that one would make MSG_DONTWAIT wait
    limit = struct.pack("@ll", _PATIENCE, 0)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, limit)
    return made


def _ear(family: Family, protocol: int) -> socket.socket:
    """What the host itself takes in, after its firewall."""
    if family == 4:
        return socket.socket(socket.AF_INET, socket.SOCK_RAW, protocol)
    made = socket.socket(socket.AF_INET6, socket.SOCK_RAW, protocol)
    if protocol == UDP:
        for container in CONTAINERS:
            group = DHCPV6_SERVERS.packed + struct.pack("=I", socket.if_nametoindex(container))
            made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_JOIN_GROUP, group)
    return made


def _mouth(family: Family) -> socket.socket:
    """Sends the host's own datagrams, header and all."""
    inet = socket.AF_INET if family == 4 else socket.AF_INET6
    return socket.socket(inet, socket.SOCK_RAW, socket.IPPROTO_RAW)


def _waiting(ear: socket.socket) -> list[bytes]:
    """Return what has come in already."""
    heard = []
    with contextlib.suppress(BlockingIOError):
        while True:
            heard.append(ear.recv(2000, socket.MSG_DONTWAIT))
    return heard


def _crosses(back: socket.socket, front: socket.socket) -> bool:
    marker = _marker(0)
    with contextlib.suppress(OSError):
        back.send(marker)
    return marker in _waiting(front)


# -- bytes ----------------------------------------------------------------------------------------


def _marker(number: int) -> bytes:
    return b"\xff" * 6 + b"\x02" + bytes(5) + struct.pack("!HQ36x", _FOR_EXPERIMENTS, number)


def _ethernet_header(packet: Packet, source: str, mac: str | None) -> bytes:
    texts = (_HOST_MAC[source], mac or _far_mac(source))
    octets = b"".join(bytes.fromhex(text.replace(":", "")) for text in texts)
    return octets + struct.pack("!H", _ETHERTYPE[_family(packet)])


def _ip_header(packet: Packet, body: bytes) -> bytes:
    # only neighbour discovery is believed just from the next hop, and only with 255
    hops = 255 if packet.icmp_type in NEIGHBOUR_DISCOVERY else 64
    ends = packet.src.packed + packet.dst.packed
    if packet.src.version == 6:
        return struct.pack("!IHBB", 6 << 28, len(body), packet.protocol, hops) + ends
    head = struct.pack("!BBHIBBH", 0x45, 0, 20 + len(body), 0, hops, packet.protocol, 0) + ends
    return _with_checksum(head, 10)


def _without_ip_header(datagram: bytes) -> bytes:
    if datagram[:1] and datagram[0] >> 4 == 4:
        return datagram[(datagram[0] & 0x0F) * 4 :]
    return datagram[40:]


def _body(packet: Packet, token: int) -> bytes:
    """What is behind the IP header; the token makes it unlike any other."""
    ports = (packet.src_port, packet.dst_port)
    match packet.protocol:
        case verdict.TCP:
            body = struct.pack("!HHIIBBHHHI", *ports, 1, 0, 5 << 4, 2, 1000, 0, 0, token)
        case verdict.UDP:
            body = struct.pack("!HHHHI", *ports, 12, 0, token)
        case verdict.UDPLITE:
            # a coverage of 0: the checksum is over everything
            body = struct.pack("!HHHHI", *ports, 0, 0, token)
        case verdict.SCTP:
            body = _sctp_init(ports, token)
        case verdict.ICMP | verdict.ICMPV6:
            body = _icmp(packet, token)
        case _:
            # as GRE this is version 0 without options, as any other protocol it means nothing
            body = struct.pack("!HHI", 0, _FOR_EXPERIMENTS, token)
    at = _CHECKSUM_AT.get(packet.protocol)
    return body if at is None else _with_checksum(body, at, _pseudo_header(packet, body))


def _pseudo_header(packet: Packet, body: bytes) -> bytes:
    if packet.protocol == ICMP:
        return b""
    ends = packet.src.packed + packet.dst.packed
    return ends + struct.pack("!II", len(body), packet.protocol)


def _icmp(packet: Packet, token: int) -> bytes:
    head = struct.pack("!BBHI", packet.icmp_type or 0, packet.icmp_code or 0, 0, 0)
    if packet.icmp_type not in NEIGHBOUR_DISCOVERY:
        return head + struct.pack("!I", token)
    target = b"" if packet.icmp_type == ROUTER_SOLICITATION else packet.src.packed
    nonce = struct.pack("!BBHI", 14, 1, 0, token)
    return head + target + nonce


def _sctp_init(ports: tuple[int | None, int | None], token: int) -> bytes:
    head = struct.pack("!HHI", *ports, 0)
    chunk = struct.pack("!BBHIIHHI", 1, 0, 20, token, 1 << 16, 1, 1, token)
    return head + struct.pack("<I", _crc32c(head + bytes(4) + chunk)) + chunk


def _crc32c(octets: bytes) -> int:
    remainder = 0xFFFFFFFF
    for octet in octets:
        remainder ^= octet
        for _ in range(8):
            remainder = remainder >> 1 ^ (0x82F63B78 if remainder & 1 else 0)
    return remainder ^ 0xFFFFFFFF


def _with_checksum(octets: bytes, at: int, pseudo: bytes = b"") -> bytes:
    covered = pseudo + octets
    total = sum(struct.unpack(f"!{len(covered) // 2}H", covered))
    while total > 0xFFFF:
        total = (total & 0xFFFF) + (total >> 16)
    checksum = struct.pack("!H", ~total & 0xFFFF or 0xFFFF)
    return octets[:at] + checksum + octets[at + 2 :]
