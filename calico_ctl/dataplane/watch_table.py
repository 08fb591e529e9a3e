"""A table of its own, for as long as somebody looks, that has the kernel tell a packet's way.

It sets `nftrace` on packets of our interfaces that may be dropped, and decides nothing. Nothing in
`inet calico` changes for it, so nobody who does not look pays anything. What belongs to a known
connection is not traced, and of the rest a limited number each second.

The table has an owner: when the socket that made it closes, however the process ends, the kernel
removes it. A kernel before 5.12 knows no owners; there the table stays if the process is killed,
and the next one that looks removes it.
"""

import errno
import os
import re
import struct
from collections.abc import Iterator, Sequence, Set

from calico_ctl.dataplane import nfnetlink, nft_rules
from calico_ctl.dataplane.netlink import (
    ACK,
    CREATE,
    NETFILTER,
    KernelRefused,
    Netlink,
    attribute,
    attributes,
    each_attribute,
    name,
    nested,
    text,
)
from calico_ctl.host import namespaces
from calico_ctl.model.names import INTERFACE_PREFIX

PREFIX = "calico_watch_"
RATE = 500
"""Packets traced in a second, at each of three places; more than that are only counted."""

_SECONDS = 1

OWNER = 0x2
"""NFT_TABLE_F_OWNER"""

_FAMILY = nfnetlink.FAMILIES["inet"]
_NEW_TABLE, _GET_TABLE, _DELETE_TABLE = (nfnetlink.SUBSYSTEM | number for number in (0, 1, 2))
_NEW_CHAIN = nfnetlink.SUBSYSTEM | 3
_NEW_RULE, _GET_RULE = nfnetlink.SUBSYSTEM | 6, nfnetlink.SUBSYSTEM | 7
_NEW_SET, _NEW_ELEMENT, _DELETE_ELEMENT = (nfnetlink.SUBSYSTEM | number for number in (9, 12, 14))
_BATCH_BEGIN, _BATCH_END, _APPEND = 16, 17, 0x800
_HEADER = nfnetlink.header(_FAMILY)
_EDGE = nfnetlink.header(0, nfnetlink.SUBSYSTEM >> 8)

_OURS = f'"{INTERFACE_PREFIX}*"'
_PREROUTING, _INPUT, _FORWARD = 0, 1, 2
# just before our own chains: raw, and filter - 5
_BEFORE_RAW, _BEFORE_FILTER = -310, -6
_IN_NAME, _NFTRACE = 6, 12
_SET = "let-through"
_PER_MESSAGE = 500
# what `fib saddr . iif oif missing` asks: NFT_FIB_RESULT_OIF; NFTA_FIB_F_SADDR, _IIF, _PRESENT
_RESULT_INTERFACE, _SOURCE_AND_INTERFACE = 1, 0x1 | 0x8 | 0x20

_NEEDS = (
    "the kernel has to have nf_tables with fib and limit (CONFIG_NFT_FIB_INET, CONFIG_NFT_LIMIT)"
)
_KNOWN = "ct state established,related return"
_CHAINS: dict[str, tuple[int, int, tuple[str, ...]]] = {
    # An interface that nothing is let through of, or a source that it has no route to: conntrack
    # has not seen the packet yet, so this is how the many that are right are told from the others.
    "spoofed": (
        _PREROUTING,
        _BEFORE_RAW,
        (
            f"iifname != {_OURS} return",
            "UNKNOWN LIMIT TRACE return",
            "FIB LIMIT TRACE",
        ),
    ),
    "forwarded": (
        _FORWARD,
        _BEFORE_FILTER,
        (f"iifname != {_OURS} oifname != {_OURS} return", _KNOWN, "LIMIT TRACE return", "counter"),
    ),
    "to_host": (
        _INPUT,
        _BEFORE_FILTER,
        (f"iifname != {_OURS} return", _KNOWN, "LIMIT TRACE return", "counter"),
    ),
}
"""Hook, priority and rules of each chain. Words in capitals are statements that only stand here."""


class WatchTable:
    """The table, there until `close`."""

    def __init__(self) -> None:
        """Make it, and remove what processes that were killed left. Raises KernelRefused."""
        self.name = f"{PREFIX}{os.getpid()}"
        self._kernel = Netlink(NETFILTER)
        self._let_through: frozenset[str] = frozenset()
        try:
            remove_abandoned(self._kernel)
            self._make()
        except BaseException:
            self._kernel.close()
            raise

    def close(self) -> None:
        """Remove it; no error if somebody else has."""
        with self._kernel:
            _delete(self._kernel, self.name)

    def let_through(self, interfaces: Set[str]) -> None:
        """Say which interfaces of ours are some endpoint's; of others all packets are traced."""
        changes = []
        for kind, flags, names in (
            (_NEW_ELEMENT, CREATE, interfaces - self._let_through),
            (_DELETE_ELEMENT, 0, self._let_through - interfaces),
        ):
            for some in _pieces(sorted(names)):
                elements = (
                    nested(1, nested(1, attribute(1, each))) for each in map(_interface, some)
                )
                body = _table(self.name) + attribute(2, name(_SET)) + nested(3, *elements)
                changes.append((kind, flags, body))
        if changes:
            _transact(self._kernel, changes)
            self._let_through = frozenset(interfaces)

    def passed_over(self) -> int:
        """Return how many packets were not traced because there were too many."""
        return sum(
            _packets(expression)
            for body in self._kernel.dump("list rules", _GET_RULE, _table(self.name))
            if text((found := attributes(body, 4))[1]) == self.name
            for _, expression in each_attribute(found.get(4, b""))
        )

    def _make(self) -> None:
        try:
            _transact(self._kernel, _messages(self.name, OWNER))
        except KernelRefused as error:
            if error.number != errno.EOPNOTSUPP:
                error.hint = _NEEDS
                raise
            _transact(self._kernel, _messages(self.name, 0))


def remove_abandoned(kernel: Netlink) -> list[str]:
    """Remove the tables whose processes have ended; return their names."""
    removed = []
    for body in kernel.dump("list tables", _GET_TABLE, _HEADER):
        table = text(attributes(body, 4)[1])
        found = re.fullmatch(rf"{PREFIX}(\d+)", table)
        if found is None or namespaces.exists(int(found[1])):
            continue
        if _delete(kernel, table):
            removed.append(table)
    return removed


def _delete(kernel: Netlink, table: str) -> bool:
    """Remove a table; say whether it could be."""
    try:
        _transact(kernel, [(_DELETE_TABLE, 0, _table(table))])
    except KernelRefused as error:
        # Gone already, or somebody else's who is not seen from this PID namespace.
        if error.number not in {errno.ENOENT, errno.EPERM}:
            raise
        return False
    return True


_Message = tuple[int, int, bytes]


def _pieces(names: Sequence[str]) -> Iterator[Sequence[str]]:
    for at in range(0, len(names), _PER_MESSAGE):
        yield names[at : at + _PER_MESSAGE]


def _interface(value: str) -> bytes:
    return nfnetlink.encode("ifname", value)


def _transact(kernel: Netlink, messages: list[_Message]) -> None:
    """Send messages as one transaction; the last one asks for an answer."""
    *others, (kind, flags, body) = messages
    whole = [(_BATCH_BEGIN, 0, _EDGE), *others, (kind, flags | ACK, body), (_BATCH_END, 0, _EDGE)]
    kernel.send_all(lambda _place: "have packets traced", whole)


def _messages(table: str, flags: int) -> list[_Message]:
    made = [(_NEW_TABLE, CREATE, _table(table) + _number(2, flags))]
    # names of interfaces: NFTA_SET_FLAGS, _KEY_TYPE, _KEY_LEN, _ID, and for `nft list` _USERDATA
    like = _number(3, 0) + _number(4, 41) + _number(5, 16) + _number(10, 1)
    like += attribute(13, struct.pack("=BBI", 0, 4, 1))
    made.append((_NEW_SET, CREATE, _table(table) + attribute(2, name(_SET)) + like))
    for chain, (hook, priority, rules) in _CHAINS.items():
        place = nested(4, _number(1, hook), attribute(2, struct.pack(">i", priority)))
        kind = _number(5, nft_rules.ACCEPT) + attribute(7, name("filter"))
        body = _table(table) + attribute(3, name(chain)) + place + kind
        made.append((_NEW_CHAIN, CREATE, body))
        for rule in rules:
            body = _table(table) + attribute(2, name(chain)) + nested(4, *_expressions(rule))
            made.append((_NEW_RULE, CREATE | _APPEND, body))
    return made


def _expressions(rule: str) -> Iterator[bytes]:
    for part in re.split(r" ?(UNKNOWN|FIB|LIMIT|TRACE) ?", rule):
        if part == "LIMIT":
            yield _limit()
        elif part in _STATEMENTS:
            yield from _STATEMENTS[part]
        elif part:
            for each in nft_rules.compile_rule(part).parts:
                # No rule here compares with more than one value.
                assert isinstance(each, bytes)  # noqa: S101
                yield each


def _limit() -> bytes:
    """So many packets (not bytes) a second, and as many at once after a pause."""
    rate, burst = _long(1, RATE) + _long(2, _SECONDS), _number(3, RATE) + _number(4, 0)
    return nft_rules.expression("limit", rate, burst)


def _packets(expression: bytes) -> int:
    """Return what an expression has counted, if it counts."""
    parts = attributes(expression)
    if text(parts.get(1, b"")) != "counter":
        return 0
    # NFTA_COUNTER_PACKETS
    return int.from_bytes(attributes(parts[2])[2], "big")


def _table(table: str) -> bytes:
    return _HEADER + attribute(1, name(table))


def _number(kind: int, value: int) -> bytes:
    return attribute(kind, struct.pack(">I", value))


def _long(kind: int, value: int) -> bytes:
    return attribute(kind, struct.pack(">Q", value))


_STATEMENTS = {
    "UNKNOWN": (
        nft_rules.expression("meta", _number(2, _IN_NAME), _number(1, 1)),
        nft_rules.lookup(_SET, inverted=True),
    ),
    "FIB": (
        nft_rules.expression(
            "fib", _number(1, 1), _number(2, _RESULT_INTERFACE), _number(3, _SOURCE_AND_INTERFACE)
        ),
        # missing: no interface, which is 0
        nft_rules.expression(
            "cmp", _number(1, 1), _number(2, nft_rules.EQUAL), nested(3, attribute(1, bytes(4)))
        ),
    ),
    "TRACE": (
        nft_rules.expression("immediate", _number(1, 1), nested(2, attribute(1, bytes([1])))),
        nft_rules.expression("meta", _number(2, _NFTRACE), _number(3, 1)),
    ),
}
