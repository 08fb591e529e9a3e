"""Packets that the kernel dropped and told about on their way (nftables tracing).

Every rule that does something with a traced packet is a message: its table, chain and handle, what
it decided, and an id by which the messages of a packet belong together. The first of each base
chain holds the packet's headers and interfaces. Ids come again with later packets; so with each
such first message a packet begins anew, which loses nothing: what drops a packet is in the same
base chain as why.

Numbers are from linux/netfilter/nf_tables.h; they are big-endian.
"""

import socket
import struct
import time
from collections import OrderedDict
from contextlib import ExitStack, closing
from dataclasses import dataclass, field

from netaddr import IPAddress

from calico_ctl.dataplane import counters, nfnetlink
from calico_ctl.dataplane.netlink import NETFILTER, Message, Netlink, attributes, text
from calico_ctl.dataplane.nft_rules import DROP
from calico_ctl.dataplane.watch_table import WatchTable
from calico_ctl.errors import NotFound
from calico_ctl.model.names import INTERFACE_PREFIX
from calico_ctl.model.rule import Direction
from calico_ctl.policy import dropped, layout
from calico_ctl.policy.dropped import Drop, Seen, Step, Why
from calico_ctl.policy.ruleset import TABLE
from calico_ctl.policy.verdict import ICMP, ICMPV6, SCTP, TCP, UDP, UDPLITE, Packet

_GROUP_TRACE = 9
_TRACE = nfnetlink.SUBSYSTEM | 17
_BUFFER = 8 << 20
_KEPT = 4096
"""So many packets may be on their way at once; most of them will turn out to be accepted."""

_LOOK_SECONDS = 1.0
_AT_ONCE = 1000
"""So many messages are read before what they tell is passed on."""

# NFTA_TRACE_*
_TABLE, _CHAIN, _RULE_HANDLE, _KIND, _VERDICT, _ID = 1, 2, 3, 4, 5, 6
_NETWORK_HEADER, _TRANSPORT_HEADER, _IN, _OUT, _POLICY = 8, 9, 10, 12, 16
_KIND_POLICY, _KIND_RULE = 1, 3
_WITH_PORTS = {TCP, UDP, SCTP, UDPLITE}


@dataclass(slots=True)
class Traced:
    """A packet on its way through one base chain: the rules (table, chain, handle) so far."""

    packet: Packet
    in_interface: str
    out_interface: str
    rules: list[tuple[str, str, int]] = field(default_factory=list)


class TracedDrops:
    """Implements `workload.platform.DropWatch` for this network namespace."""

    def __init__(self) -> None:
        """Have packets traced. Raises NotFound if there is no table of ours, or KernelRefused."""
        self._ways = Ways()
        self._looked: float | None = None
        self._tableless = False
        with ExitStack() as opened:
            self._news = opened.enter_context(Netlink(NETFILTER, [_GROUP_TRACE], _BUFFER))
            self._rules = opened.enter_context(closing(_Rules()))
            self._table = opened.enter_context(closing(WatchTable()))
            self._opened = opened.pop_all()

    def close(self) -> None:
        """Have nothing traced any more."""
        self._opened.close()

    def passed_over(self) -> int:
        """Return how many packets were not looked at because there were too many."""
        return self._table.passed_over()

    def wait(self, seconds: float) -> Seen:
        """Wait until something is told, at most so long; return what was dropped of it."""
        self._look()
        finished: list[Traced] = []
        messages: list[Message] | None = []
        # Each rule is a read of its own: what is there already belongs together.
        for number in range(_AT_ONCE):
            messages = self._news.news(0 if number else seconds)
            if not messages:
                break
            taken = map(self._ways.take, messages)
            finished += [each for each in taken if each is not None]
        if finished:
            self._rules.look()
        drops = [self._rules.explained(each) for each in finished]
        return Seen(drops, missed=messages is None, tableless=self._tableless)

    def _look(self) -> None:
        """See now and then whether there is a table of ours, and whom it lets through.

        Of those the kernel need not be suspicious.
        """
        now = time.monotonic()
        if self._looked is None or now - self._looked >= _LOOK_SECONDS:
            self._looked = now
            self._tableless = not self._rules.exist()
            self._table.let_through(self._rules.let_through())


class Ways:
    """Puts together what is told of each packet."""

    def __init__(self) -> None:
        """Know of no packet."""
        self._packets: OrderedDict[int, Traced] = OrderedDict()

    def take(self, message: Message) -> Traced | None:
        """Take in a message; return the packet if that was its end."""
        if message.kind != _TRACE:
            return None
        found = attributes(message.body, 4)
        number = _number(found[_ID])
        if _NETWORK_HEADER in found:
            self._packets.pop(number, None)
            self._packets[number] = _begun(found)
            if len(self._packets) > _KEPT:
                self._packets.popitem(last=False)
        traced = self._packets.get(number)
        if traced is None:
            return None
        family = nfnetlink.family_name(message.body[0])
        table, chain = f"{family} {text(found[_TABLE])}", text(found.get(_CHAIN, b""))
        kind = _number(found[_KIND])
        if kind == _KIND_RULE:
            traced.rules.append((table, chain, _number(found.get(_RULE_HANDLE, b""))))
        elif kind == _KIND_POLICY:
            traced.rules.append((table, chain, 0))
        return self._packets.pop(number) if _drops(found) else None


class _Rules:
    """What the handles of rules mean.

    A chain that is written anew has new handles; a table that is made anew counts from 1 again.
    """

    def __init__(self) -> None:
        self._kernel = Netlink(NETFILTER)
        self._chains: dict[str, dict[int, tuple[int, str]]] = {}
        self._generation = 0
        if not self.exist():
            self._kernel.close()
            raise NotFound(
                f"this host has no nftables table {TABLE}, so no policy drops anything here",
                hint="`calicoctl status` shows whether calico-node runs; it makes the table",
            )

    def close(self) -> None:
        self._kernel.close()

    def exist(self) -> bool:
        return nfnetlink.exists(self._kernel)

    def look(self) -> None:
        """Forget what is known if somebody has changed any table since."""
        generation = nfnetlink.generation(self._kernel)
        if generation != self._generation:
            self._generation = generation
            self._chains.clear()

    def explained(self, traced: Traced) -> Drop:
        steps = [self._step(*each) for each in traced.rules]
        reason = dropped.reason(steps, TABLE)
        inbound = reason.inbound
        if inbound is None:
            inbound = not traced.in_interface.startswith(INTERFACE_PREFIX)
        interface = traced.out_interface if inbound else traced.in_interface
        if reason.why is Why.SPOOFED and interface not in self.let_through():
            reason = dropped.unknown_interface()
        direction = Direction.INBOUND if inbound else Direction.OUTBOUND
        return Drop(interface, direction, traced.packet, reason)

    def _step(self, table: str, chain: str, handle: int) -> Step:
        if table != TABLE:
            return Step(table, chain)
        if handle not in self._chains.get(chain, {}):
            self._chains[chain] = {
                _number(rule[_RULE_HANDLE]): (place, counters.comment_of(rule.get(7, b"")))
                for place, rule in enumerate(nfnetlink.rules_of(self._kernel, chain))
            }
        place, comment = self._chains[chain].get(handle, (-1, ""))
        return Step(table, chain, place, comment)

    def let_through(self) -> frozenset[str]:
        return nfnetlink.interfaces(self._kernel, layout.DISPATCH[0])


def _begun(found: dict[int, bytes]) -> Traced:
    packet = parse_packet(found[_NETWORK_HEADER], found.get(_TRANSPORT_HEADER, b""))
    return Traced(packet, _interface(found.get(_IN)), _interface(found.get(_OUT)))


def parse_packet(network: bytes, transport: bytes) -> Packet:
    """Read a packet's headers, as far as the kernel told them."""
    if network[0] >> 4 == 4:
        protocol = network[9]
        src, dst = (IPAddress(_number(each), 4) for each in (network[12:16], network[16:20]))
    else:
        protocol = network[6]
        src, dst = (IPAddress(_number(each), 6) for each in (network[8:24], network[24:40]))
    if protocol in _WITH_PORTS and len(transport) >= 4:
        return Packet(src, dst, protocol, *struct.unpack_from(">HH", transport))
    if protocol in {ICMP, ICMPV6} and len(transport) >= 2:
        kind, code = transport[0], transport[1]
        return Packet(src, dst, protocol, icmp_type=kind, icmp_code=code)
    return Packet(src, dst, protocol)


def _drops(found: dict[int, bytes]) -> bool:
    if _number(found[_KIND]) == _KIND_POLICY:
        return _POLICY in found and _number(found[_POLICY]) == DROP
    verdict = attributes(found.get(_VERDICT, b""))
    return 1 in verdict and _number(verdict[1]) == DROP


def _interface(index: bytes | None) -> str:
    """Name an interface by its number; it may have gone meanwhile."""
    if index is None:
        return ""
    try:
        return socket.if_indextoname(_number(index))
    except OSError:
        return ""


def _number(value: bytes) -> int:
    return int.from_bytes(value, "big")
