"""nftables as netlink messages: operations on our table, and listings of what it holds.

Numbers are from linux/netfilter/nfnetlink.h and nf_tables.h. All integers are big-endian.
"""

import errno
import re
import socket
import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import singledispatch

from netaddr import IPNetwork

from calico_ctl.dataplane import nft_rules
from calico_ctl.dataplane.netlink import (
    ACK,
    CREATE,
    KernelRefused,
    Netlink,
    attribute,
    attributes,
    each_attribute,
    name,
    nested,
    text,
)
from calico_ctl.dataplane.nft_rules import Values
from calico_ctl.policy.operations import (
    AddChain,
    AddElements,
    AddMap,
    AddRule,
    AddSet,
    AddTable,
    AddVerdicts,
    Delete,
    DeleteElements,
    DeleteTable,
    DeleteVerdicts,
    Flush,
    Operation,
)
from calico_ctl.policy.ruleset import TABLE, Names

GROUP_NFTABLES = 7
"""The multicast group that is told of every change of any table."""

SUBSYSTEM = 10 << 8
NEW_GENERATION = SUBSYSTEM | 15

FAMILIES = {"inet": 1, "ip": 2, "arp": 3, "bridge": 7, "ip6": 10}

_NEW_TABLE, _GET_TABLE, _DELETE_TABLE = SUBSYSTEM | 0, SUBSYSTEM | 1, SUBSYSTEM | 2
_NEW_CHAIN, _GET_CHAIN, _DELETE_CHAIN = SUBSYSTEM | 3, SUBSYSTEM | 4, SUBSYSTEM | 5
_NEW_RULE, _GET_RULE, _DELETE_RULE = SUBSYSTEM | 6, SUBSYSTEM | 7, SUBSYSTEM | 8
_NEW_SET, _GET_SET, _DELETE_SET = SUBSYSTEM | 9, SUBSYSTEM | 10, SUBSYSTEM | 11
_NEW_ELEMENT, _GET_ELEMENT, _DELETE_ELEMENT = SUBSYSTEM | 12, SUBSYSTEM | 13, SUBSYSTEM | 14
_BATCH_BEGIN, _BATCH_END = 16, 17
_APPEND = 0x800

_FAMILY_NAME, _TABLE_NAME = TABLE.split()
_ANONYMOUS, _CONSTANT, _INTERVAL, _MAP = 0x1, 0x2, 0x4, 0x8
_INTERVAL_END = 0x1
_VERDICT_TYPE = 0xFFFFFF00
_PER_MESSAGE = 500
"""Elements in one message: the length of their list has 16 bits."""

# NFTA_SET_ELEM_KEY, _DATA, _FLAGS, _EXPR
_KEY, _DATA, _FLAGS, _EXPRESSION = 1, 2, 3, 7
_LIST = 3
"""NFTA_SET_ELEM_LIST_ELEMENTS"""

# nft's number for a type, and its length in bytes
_TYPES = {
    "ipv4_addr": (7, 4),
    "ipv6_addr": (8, 16),
    "ether_addr": (9, 6),
    "inet_proto": (12, 1),
    "inet_service": (13, 2),
    "icmp_type": (14, 1),
    "icmpv6_type": (29, 1),
    "icmp_code": (32, 1),
    "icmpv6_code": (33, 1),
    "ifname": (41, 16),
}
_TYPE_BITS = 6
_HOOKS = {"prerouting": 0, "input": 1, "forward": 2, "output": 3, "postrouting": 4}
_PRIORITIES = {"raw": -300, "filter": 0, "srcnat": 100}
_HOOK = re.compile(r"(\w+) hook (\w+) priority (\w+)(?: - (\d+))?")

_COUNTER = (attribute(1, name("counter")), nested(2))
"""A counting expression: NFTA_EXPR_NAME, NFTA_EXPR_DATA."""

Message = tuple[int, int, bytes]
"""Kind, flags, body."""


@dataclass(slots=True)
class _Batch:
    """A transaction while it is written; sets inside rules are numbered within it."""

    messages: list[Message] = field(default_factory=list)
    sets: int = 0

    def next_set(self) -> int:
        self.sets += 1
        return self.sets

    def add(self, kind: int, flags: int, *attributes: bytes) -> None:
        self.messages.append((kind, flags, _HEADER + _OURS + b"".join(attributes)))


def header(family: int, resource: int = 0) -> bytes:
    """Write the four bytes that every nfnetlink message begins with (struct nfgenmsg)."""
    return struct.pack(">BBH", family, 0, resource)


_HEADER = header(FAMILIES[_FAMILY_NAME])
_OURS = attribute(1, name(_TABLE_NAME))
"""The name of our table; the first attribute of every message is just that."""


def apply(kernel: Netlink, operations: Iterable[Operation]) -> None:
    """Carry out operations as one transaction: all of them, or none.

    Raises KernelRefused with the line of the one that the kernel refused.
    """
    batch = _Batch()
    belongs: list[Operation] = []
    for operation in operations:
        _write(operation, batch)
        belongs += [operation] * (len(batch.messages) - len(belongs))
    if not batch.messages:
        return
    kind, flags, body = batch.messages[-1]
    edge = header(0, SUBSYSTEM >> 8)
    messages = [
        (_BATCH_BEGIN, 0, edge),
        *batch.messages[:-1],
        (kind, flags | ACK, body),
        (_BATCH_END, 0, edge),
    ]

    def what(number: int) -> str:
        line = str(belongs[number - 1]) if 0 < number <= len(belongs) else "begin a transaction"
        return line if len(line) <= 200 else f"{line[:200]}…"

    kernel.send_all(what, messages)


def names(kernel: Netlink) -> Names | None:
    """Return the names of what our table holds, or None if there is no such table."""
    tables = kernel.dump("list tables", _GET_TABLE, _HEADER)
    if _TABLE_NAME not in {text(attributes(body, 4)[1]) for body in tables}:
        return None
    chains: set[str] = set()
    sets: set[str] = set()
    maps: set[str] = set()
    # Not every kernel lists of one table only, so the name of the table (1) is looked at.
    for body in kernel.dump("list chains", _GET_CHAIN, _HEADER + _OURS):
        found = attributes(body, 4)
        if text(found[1]) == _TABLE_NAME:
            chains.add(text(found[3]))  # NFTA_CHAIN_NAME
    for body in kernel.dump("list sets", _GET_SET, _HEADER + _OURS):
        found = attributes(body, 4)
        flags = int.from_bytes(found.get(3, b""), "big")  # NFTA_SET_FLAGS
        if text(found[1]) == _TABLE_NAME and not flags & _ANONYMOUS:
            (maps if flags & _MAP else sets).add(text(found[2]))  # NFTA_SET_NAME
    return Names(frozenset(chains), frozenset(sets), frozenset(maps))


def interfaces(kernel: Netlink, set_name: str) -> frozenset[str]:
    """Return the interfaces that a set or map of ours holds; none if it does not exist."""
    return frozenset(text(found[_KEY][4:]) for found in _elements_of(kernel, set_name))


def family_name(number: int) -> str:
    """Name an address family as nft does."""
    return next((each for each, value in FAMILIES.items() if value == number), str(number))


def encode(kind: str, element: str) -> bytes:
    """Write an element as the kernel holds it; each part of a concatenation fills up 4 bytes."""
    kinds, parts = kind.split(" . "), element.split(" . ")
    if len(kinds) == 1:
        return _ENCODERS[kind](element)
    encoded = [_ENCODERS[each](part) for each, part in zip(kinds, parts, strict=True)]
    return b"".join(part + bytes(-len(part) % 4) for part in encoded)


def _elements_of(kernel: Netlink, set_name: str) -> Iterator[dict[int, bytes]]:
    try:
        bodies = kernel.dump("list a set", _GET_ELEMENT, _HEADER + _OURS + _named(set_name))
    except KernelRefused as error:
        if error.number != errno.ENOENT:
            raise
        return
    for body in bodies:
        for _, element in each_attribute(attributes(body, 4).get(_LIST, b"")):
            yield attributes(element)


@singledispatch
def _write(operation: Operation, batch: _Batch) -> None:
    raise NotImplementedError(operation)


@_write.register
def _(_operation: AddTable, batch: _Batch) -> None:
    batch.add(_NEW_TABLE, CREATE, attribute(2, bytes(4)))


@_write.register
def _(_operation: DeleteTable, batch: _Batch) -> None:
    batch.add(_DELETE_TABLE, 0)


@_write.register
def _(operation: AddSet, batch: _Batch) -> None:
    like = operation.like
    flags = _INTERVAL if like.interval else 0
    counter = nested(17, *_COUNTER) if like.counted else b""
    batch.add(
        _NEW_SET,
        CREATE,
        _named(operation.name),
        *_set_of(like.type, flags, batch.next_set()),
        counter,
    )


@_write.register
def _(operation: AddMap, batch: _Batch) -> None:
    to_verdict = (_number(6, _VERDICT_TYPE), _number(7, 16))
    batch.add(
        _NEW_SET,
        CREATE,
        _named(operation.name),
        *_set_of("ifname", _MAP, batch.next_set()),
        *to_verdict,
    )


@_write.register
def _(operation: AddChain, batch: _Batch) -> None:
    # Attributes: NFTA_CHAIN_NAME, _HOOK with number and priority, _POLICY, _TYPE.
    hook: tuple[bytes, ...] = ()
    if found := _HOOK.fullmatch(operation.hook):
        kind, where, priority, minus = found.groups()
        value = struct.pack(">i", _PRIORITIES[priority] - int(minus or 0))
        hook = (
            nested(4, _number(1, _HOOKS[where]), attribute(2, value)),
            _number(5, nft_rules.ACCEPT),
            attribute(7, name(kind)),
        )
    batch.add(_NEW_CHAIN, CREATE, attribute(3, name(operation.name)), *hook)


@_write.register
def _(operation: AddRule, batch: _Batch) -> None:
    rule = nft_rules.compile_rule(operation.text)
    expressions = [
        _anonymous_set(part, batch) if isinstance(part, Values) else part for part in rule.parts
    ]
    # NFTA_RULE_CHAIN, _EXPRESSIONS, _USERDATA; the comment is libnftnl's type 0
    comment = rule.comment.encode() + b"\0"
    batch.add(
        _NEW_RULE,
        CREATE | _APPEND,
        attribute(2, name(operation.chain)),
        nested(4, *expressions),
        attribute(7, bytes([0, len(comment)]) + comment) if rule.comment else b"",
    )


@_write.register
def _(operation: AddElements, batch: _Batch) -> None:
    like = operation.like
    counter = nested(_EXPRESSION, *_COUNTER) if like.counted else b""
    if like.interval:
        ranges = _ranges(like.type, operation.elements)
        _add_elements(operation.name, list(_intervals(ranges, _TYPES[like.type][1])), batch)
        return
    elements = [_key(encode(like.type, each)) + counter for each in operation.elements]
    _add_elements(operation.name, elements, batch)


@_write.register
def _(operation: DeleteElements, batch: _Batch) -> None:
    elements = [_key(encode(operation.like.type, each)) for each in operation.elements]
    _in_messages(_DELETE_ELEMENT, 0, _named(operation.name), elements, batch)


@_write.register
def _(operation: AddVerdicts, batch: _Batch) -> None:
    elements = [
        _key(encode("ifname", key)) + nested(_DATA, nft_rules.parse_verdict(verdict.split()))
        for key, verdict in operation.pairs
    ]
    _add_elements(operation.name, elements, batch)


@_write.register
def _(operation: DeleteVerdicts, batch: _Batch) -> None:
    elements = [_key(encode("ifname", key)) for key, _ in operation.pairs]
    _in_messages(_DELETE_ELEMENT, 0, _named(operation.name), elements, batch)


@_write.register
def _(operation: Flush, batch: _Batch) -> None:
    # Without saying which, all rules of a chain and all elements of a set are meant.
    kind = _DELETE_RULE if operation.kind == "chain" else _DELETE_ELEMENT
    batch.add(kind, 0, _named(operation.name))


@_write.register
def _(operation: Delete, batch: _Batch) -> None:
    if operation.kind == "chain":
        batch.add(_DELETE_CHAIN, 0, attribute(3, name(operation.name)))
    else:
        batch.add(_DELETE_SET, 0, _named(operation.name))


def _anonymous_set(values: Values, batch: _Batch) -> bytes:
    """Write the set that stands inside a rule; return the expression that looks it up."""
    template, number = name("__set%d"), batch.next_set()
    size = _TYPES[values.type][1]
    flags = _ANONYMOUS | _CONSTANT | (_INTERVAL if values.interval else 0)
    batch.add(_NEW_SET, CREATE, attribute(2, template), *_set_of(values.type, flags, number))
    if values.interval:
        elements = list(_intervals(values.ranges, size))
    else:
        elements = [_key(first.to_bytes(size, "big")) for first, _ in values.ranges]
    # NFTA_SET_ELEM_LIST_SET_ID is 4
    which = attribute(2, template) + _number(4, number)
    _in_messages(_NEW_ELEMENT, CREATE, which, elements, batch)
    return nft_rules.lookup("__set%d", number)


def _set_of(kind: str, flags: int, number: int) -> tuple[bytes, ...]:
    """Write what a set is of: NFTA_SET_FLAGS, _KEY_TYPE, _KEY_LEN, _ID, and _USERDATA.

    The last tells `nft list` that names of interfaces are in the byte order of the machine
    (libnftnl's type 0); without it they are listed as empty.
    """
    type_number = length = 0
    parts = kind.split(" . ")
    for part in parts:
        own, size = _TYPES[part]
        type_number = (type_number << _TYPE_BITS) | own
        length += size if len(parts) == 1 else (size + 3) & ~3
    return (
        _number(3, flags),
        _number(4, type_number),
        _number(5, length),
        _number(10, number),
        attribute(13, struct.pack("=BBI", 0, 4, 1)) if kind == "ifname" else b"",
    )


def _add_elements(set_name: str, elements: list[bytes], batch: _Batch) -> None:
    _in_messages(_NEW_ELEMENT, CREATE, _named(set_name), elements, batch)


def _in_messages(kind: int, flags: int, which: bytes, elements: list[bytes], batch: _Batch) -> None:
    for at in range(0, len(elements), _PER_MESSAGE):
        chunk = elements[at : at + _PER_MESSAGE]
        batch.add(kind, flags, which, nested(_LIST, *(nested(1, each) for each in chunk)))


def _intervals(ranges: Iterable[tuple[int, int]], size: int) -> Iterator[bytes]:
    """Write ranges of values of so many bytes, which neither overlap nor touch, as elements.

    The kernel keeps where each begins and where the gap behind it does; it wants to be told that
    there is a gap before the first.
    """
    for number, (first, last) in enumerate(ranges):
        if number == 0 and first > 0:
            yield _key(bytes(size)) + _number(_FLAGS, _INTERVAL_END)
        yield _key(first.to_bytes(size, "big"))
        if last + 1 < 1 << 8 * size:
            yield _key((last + 1).to_bytes(size, "big")) + _number(_FLAGS, _INTERVAL_END)


def _ranges(kind: str, elements: Iterable[str]) -> tuple[tuple[int, int], ...]:
    """Read networks, or single values and ranges of numbers."""
    if kind in {"ipv4_addr", "ipv6_addr"}:
        networks = (IPNetwork(each) for each in elements)
        return nft_rules.merged((each.first, each.last) for each in networks)
    ends = (each.partition("-") for each in elements)
    return nft_rules.merged((int(first), int(last or first)) for first, _, last in ends)


def _key(value: bytes) -> bytes:
    # NFTA_DATA_VALUE is 1
    return nested(_KEY, attribute(1, value))


def _named(set_or_chain: str) -> bytes:
    """NFTA_SET_NAME, NFTA_SET_ELEM_LIST_SET, NFTA_RULE_CHAIN: all are 2."""
    return attribute(2, name(set_or_chain))


def _number(kind: int, value: int) -> bytes:
    return attribute(kind, struct.pack(">I", value))


def _encode_ipv4(value: str) -> bytes:
    return socket.inet_pton(socket.AF_INET, value)


def _encode_ipv6(value: str) -> bytes:
    return socket.inet_pton(socket.AF_INET6, value)


def _encode_mac(value: str) -> bytes:
    return bytes.fromhex(value.replace(":", ""))


def _encode_interface(value: str) -> bytes:
    return value.strip('"').encode().ljust(16, b"\0")


def _encode_protocol(value: str) -> bytes:
    return bytes([int(value)])


def _encode_port(value: str) -> bytes:
    return struct.pack(">H", int(value))


_ENCODERS = {
    "inet_proto": _encode_protocol,
    "inet_service": _encode_port,
    "ipv4_addr": _encode_ipv4,
    "ipv6_addr": _encode_ipv6,
    "ether_addr": _encode_mac,
    "ifname": _encode_interface,
}
