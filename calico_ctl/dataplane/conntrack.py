"""The kernel's table of known connections, by ctnetlink.

A host may know 100,000 connections and more, and a question is about a few addresses. The whole
table is listed, piece by piece, and an entry is looked at only as long as it takes to see that it
is none of ours: 4 µs, most of them the kernel's. The kernel could choose (CTA_FILTER, since Linux
5.8), but walks through the table once for each address in each of four places: with 60,000 entries
that takes 75 ms an address, and listing them all 240 ms for any number of addresses.

Numbers come from linux/netfilter/nfnetlink_conntrack.h; they are big-endian.
"""

import errno
import socket
import struct
from collections.abc import Collection, Iterable, Iterator, Mapping, Set
from dataclasses import dataclass, field

from netaddr import IPAddress

from calico_ctl.dataplane import netlink
from calico_ctl.dataplane.netlink import KernelRefused, Netlink, attribute, attributes, nested

_SUBSYSTEM = 1 << 8
_GET = _SUBSYSTEM | 1
_DELETE = _SUBSYSTEM | 2

_ORIGINAL, _REPLY, _STATUS, _ID, _ZONE = 1, 2, 3, 12, 18
_TUPLE_IP, _TUPLE_PROTOCOL = 1, 2
_SOURCE_PORT = 2
# CTA_PROTO_ICMP_TYPE and _CODE, CTA_PROTO_ICMPV6_TYPE and _CODE, by protocol number
_ICMP = {1: (5, 6), 58: (8, 9)}
_PROTOCOL_NUMBER = 1
# CTA_IP_V4_SRC, CTA_IP_V6_SRC by family
_SOURCE: Mapping[int, int] = {socket.AF_INET: 1, socket.AF_INET6: 3}
_EXPECTED = 1

_LENGTH = struct.Struct("=H")
_PORT = struct.Struct(">H")


@dataclass(frozen=True, slots=True)
class Flow:
    """A connection by the first packet of it that our forward chain saw.

    So where addresses are translated, `src` is whom it really came from and `dst` whom it really
    went to: the source of the original direction and the source of the replies. The same goes for
    the ports, which protocols without ports have not; `icmp_type` and `icmp_code` are those of an
    ICMP or ICMPv6 request. `expected` connections belong to another one (IPS_EXPECTED), such as
    the second one of FTP. `identity` are the attributes that name exactly this entry.
    """

    src: IPAddress
    dst: IPAddress
    protocol: int
    src_port: int | None
    dst_port: int | None
    icmp_type: int | None
    icmp_code: int | None
    expected: bool
    identity: bytes = field(repr=False)


class Conntrack:
    """The table of this thread's network namespace. Use from one thread."""

    def __init__(self) -> None:
        """Open the way to the kernel."""
        self._kernel = Netlink(netlink.NETFILTER)

    def close(self) -> None:
        """Leave the table as it is."""
        self._kernel.close()

    def flows(self, addresses: Collection[IPAddress]) -> Iterator[list[Flow]]:
        """Yield, in pieces, the connections in which one of the addresses takes part.

        Takes part: it is the source or the destination of either direction. A kernel without
        connection tracking knows no connections.
        """
        if not addresses:
            return
        wanted = {ip.packed for ip in addresses}
        question = _header(_family_of(wanted))
        # A socket of its own: between the pieces the caller may delete, or stop to listen.
        with Netlink(netlink.NETFILTER) as kernel:
            try:
                for part in kernel.parts("list the known connections", _GET, question):
                    found = [parse_flow(body) for body in part if takes_part(body, wanted)]
                    if found:
                        yield found
            except KernelRefused as error:
                # What nfnetlink says to a question about something that is not loaded.
                if error.number != errno.EINVAL:
                    raise

    def delete(self, flow: Flow) -> bool:
        """Have the kernel forget a connection; False if it has gone already.

        A newer connection of the same tuple stays if its id is another. The kernel makes the id of
        the tuple and of the entry's place in memory (nf_ct_get_id), so one that was made at once
        in the place of the old one is not told from it; then its next packet is judged as new.
        """
        family = socket.AF_INET if flow.src.version == 4 else socket.AF_INET6
        try:
            self._kernel.ask("forget a connection", _DELETE, 0, _header(family) + flow.identity)
        except KernelRefused as error:
            if error.number != errno.ENOENT:
                raise
            return False
        return True

    def forget(self, addresses: Collection[IPAddress]) -> int:
        """Have the kernel forget all connections of the addresses; return how many there were.

        Whoever gets an address next must not inherit its connections.
        """
        return sum(self.delete(flow) for part in self.flows(addresses) for flow in part)


def takes_part(body: bytes, wanted: Set[bytes]) -> bool:
    """Say whether one of the addresses is in an entry's tuples, by a look at where they are.

    The kernel writes (ctnetlink_fill_info, always in this order): struct nfgenmsg, the original
    tuple, the reply's; each begins with the two addresses.
    """
    width = 4 if body[0] == socket.AF_INET else 16
    reply = 16 + ((_LENGTH.unpack_from(body, 4)[0] + 3) & ~3)
    return (
        body[16 : 16 + width] in wanted
        or body[20 + width : 20 + 2 * width] in wanted
        or body[reply : reply + width] in wanted
        or body[reply + 4 + width : reply + 4 + 2 * width] in wanted
    )


def parse_flow(body: bytes) -> Flow:
    """Read an entry of the table."""
    found = attributes(body, 4)
    source, ports = _tuple(found[_ORIGINAL], body[0])
    target, reply_ports = _tuple(found[_REPLY], body[0])
    protocol = ports[_PROTOCOL_NUMBER][0]
    kind, code = _ICMP.get(protocol, (0, 0))
    identity = nested(_ORIGINAL, found[_ORIGINAL])
    for each in (_ZONE, _ID):
        if each in found:
            identity += attribute(each, found[each])
    return Flow(
        src=source,
        dst=target,
        protocol=protocol,
        src_port=_port(ports),
        dst_port=_port(reply_ports),
        icmp_type=ports[kind][0] if kind in ports else None,
        icmp_code=ports[code][0] if code in ports else None,
        expected=bool(found[_STATUS][3] & _EXPECTED),
        identity=identity,
    )


def _tuple(value: bytes, family: int) -> tuple[IPAddress, dict[int, bytes]]:
    """Return the source address of one direction and what its protocol says."""
    parts = attributes(value)
    source = attributes(parts[_TUPLE_IP])[_SOURCE[family]]
    ip = IPAddress(int.from_bytes(source, "big"), 4 if family == socket.AF_INET else 6)
    return ip, attributes(parts[_TUPLE_PROTOCOL])


def _port(protocol: dict[int, bytes]) -> int | None:
    if _SOURCE_PORT not in protocol:
        return None
    port: int = _PORT.unpack(protocol[_SOURCE_PORT])[0]
    return port


def _family_of(wanted: Iterable[bytes]) -> int:
    """Return the one family of all addresses, or that of any."""
    families = {socket.AF_INET if len(each) == 4 else socket.AF_INET6 for each in wanted}
    return families.pop() if len(families) == 1 else socket.AF_UNSPEC


def _header(family: int) -> bytes:
    """Write what every nfnetlink message begins with (struct nfgenmsg)."""
    return bytes([family, 0, 0, 0])
