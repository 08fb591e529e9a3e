"""nftables as netlink messages: operations on our table, and listings of what it holds.

Numbers are from linux/netfilter/nfnetlink.h and nf_tables.h. All integers are big-endian.
"""

import errno
import itertools
import re
import socket
import struct
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import lru_cache, partial, singledispatch
from operator import itemgetter

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
from calico_ctl.model.address import Family
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
from calico_ctl.policy.ruleset import TABLE, Chain, Names

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
_GET_GENERATION = SUBSYSTEM | 16
_BATCH_BEGIN, _BATCH_END = 16, 17
_APPEND = 0x800

_FAMILY_NAME, _TABLE_NAME = TABLE.split()
_ANONYMOUS, _CONSTANT, _INTERVAL, _MAP = 0x1, 0x2, 0x4, 0x8
_INTERVAL_END = 0x1
_VERDICT_TYPE = 0xFFFFFF00
_TEMPLATE = "__set%d"
"""How the kernel names the sets inside rules."""

_LONGEST_LINE = 200
_PER_MESSAGE = 500
"""Elements in one message: the length of their list has 16 bits."""

_NO_CHAIN = Chain(())
_HANDLES = (3, 6)
"""NFTA_RULE_HANDLE, _POSITION"""

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
ADDRESSES = {"ipv4_addr": socket.AF_INET, "ipv6_addr": socket.AF_INET6}
"""The types of addresses, and of which family they are."""
_HOOKS = {"prerouting": 0, "input": 1, "forward": 2, "output": 3, "postrouting": 4}
_PRIORITIES = {"raw": -300, "filter": 0, "srcnat": 100}
_HOOK = re.compile(r"(\w+) hook (\w+) priority (\w+)(?: - (\d+))?")

_COUNTER = (attribute(1, name("counter")), nested(2))
"""A counting expression: NFTA_EXPR_NAME, NFTA_EXPR_DATA."""

Message = tuple[int, int, bytes]
"""Kind, flags, body."""

_Number = Iterator[int]
"""Gives each set of a transaction a number of its own."""


def header(family: int, resource: int = 0) -> bytes:
    """Write the four bytes that every nfnetlink message begins with (struct nfgenmsg)."""
    return struct.pack(">BBH", family, 0, resource)


_HEADER = header(FAMILIES[_FAMILY_NAME])
_OUR_TABLE = attribute(1, name(_TABLE_NAME))
_OURS = _HEADER + _OUR_TABLE
"""How every message about our table begins: its name is the first attribute of each kind."""

_EDGE = header(0, SUBSYSTEM >> 8)


def apply(kernel: Netlink, operations: Sequence[Operation]) -> None:
    """Carry out operations as one transaction: all of them, or none.

    Raises KernelRefused with the line of the one that the kernel refused.
    """

    def what(place: int) -> str:
        # Place 0 is the begin of the batch. Counted no further than that: it writes all anew.
        counted = (itertools.repeat(op, n) for op, n in _lengths(operations))
        places = itertools.chain([""], itertools.chain.from_iterable(counted))
        line = str(next(itertools.islice(places, place, None), "")) or "change the table"
        return line if len(line) <= _LONGEST_LINE else f"{line[:_LONGEST_LINE]}…"

    if operations:
        kernel.send_all(what, _transaction(operations))


def _transaction(operations: Iterable[Operation]) -> Iterator[Message]:
    """Write the messages; the last asks for an answer, which comes behind all refusals."""
    yield _BATCH_BEGIN, 0, _EDGE
    held: Message | None = None
    for each in _messages(operations):
        if held is not None:
            yield held
        held = each
    if held is not None:
        kind, flags, body = held
        yield kind, flags | ACK, body
    yield _BATCH_END, 0, _EDGE


def _messages(operations: Iterable[Operation]) -> Iterator[Message]:
    numbers = itertools.count(1)
    for operation in operations:
        for kind, flags, body in _write(operation, numbers):
            yield kind, flags, _OURS + body


def _lengths(operations: Iterable[Operation]) -> Iterator[tuple[Operation, int]]:
    """Count the messages of each operation."""
    numbers = itertools.count(1)
    for operation in operations:
        yield operation, sum(1 for _ in _write(operation, numbers))


def generation(kernel: Netlink) -> int:
    """Return the number of the last transaction that anybody made in this network namespace."""
    answer = kernel.get("number its transactions", _GET_GENERATION, _HEADER)
    return int.from_bytes(attributes(answer, 4)[1], "big")  # NFTA_GEN_ID


def weight(operations: Iterable[Operation]) -> int:
    """Say of how many rules, elements and other objects operations are."""
    return sum(
        len(each.elements)
        if isinstance(each, AddElements | DeleteElements)
        else len(each.pairs)
        if isinstance(each, AddVerdicts | DeleteVerdicts)
        else 1
        for each in operations
    )


def exists(kernel: Netlink) -> bool:
    """Say whether there is a table of ours."""
    tables = kernel.dump("list tables", _GET_TABLE, _HEADER)
    return _TABLE_NAME in {text(attributes(body, 4)[1]) for body in tables}


def names(kernel: Netlink) -> Names | None:
    """Return the names of what our table holds, or None if there is no such table."""
    if not exists(kernel):
        return None
    chains: set[str] = set()
    sets: set[str] = set()
    maps: set[str] = set()
    # Not every kernel lists of one table only, so the name of the table (1) is looked at.
    for body in kernel.dump("list chains", _GET_CHAIN, _OURS):
        found = attributes(body, 4)
        if text(found[1]) == _TABLE_NAME:
            chains.add(text(found[3]))  # NFTA_CHAIN_NAME
    for body in kernel.dump("list sets", _GET_SET, _OURS):
        found = attributes(body, 4)
        flags = int.from_bytes(found.get(3, b""), "big")  # NFTA_SET_FLAGS
        if text(found[1]) == _TABLE_NAME and not flags & _ANONYMOUS:
            (maps if flags & _MAP else sets).add(text(found[2]))  # NFTA_SET_NAME
    return Names(frozenset(chains), frozenset(sets), frozenset(maps))


def interfaces(kernel: Netlink, set_name: str) -> frozenset[str]:
    """Return the interfaces that a set or map of ours holds; none if it does not exist."""
    return frozenset(text(found[_KEY][4:]) for found in elements_of(kernel, set_name))


def family_name(number: int) -> str:
    """Name an address family as nft does."""
    return next((each for each, value in FAMILIES.items() if value == number), str(number))


def encode(kind: str, element: str) -> bytes:
    """Write an element as the kernel holds it; each part of a concatenation fills up 4 bytes."""
    return next(_encoded(kind, [element]))


def _encoded(kind: str, elements: Iterable[str]) -> Iterator[bytes]:
    encoders = [_ENCODERS[each] for each in kind.split(" . ")]
    if len(encoders) == 1:
        return map(encoders[0], elements)
    return (
        b"".join(
            _filled_up(encoder(part))
            for encoder, part in zip(encoders, element.split(" . "), strict=True)
        )
        for element in elements
    )


def _filled_up(part: bytes) -> bytes:
    return part + bytes(-len(part) % 4)


def rules_of(kernel: Netlink, chain: str) -> Iterator[dict[int, bytes]]:
    """Yield the attributes of each rule of a chain of ours, in order; none if it does not exist."""
    for body in kernel.dump("list a chain", _GET_RULE, _OURS + _named(chain)):
        found = attributes(body, 4)
        # as in `names`: NFTA_RULE_TABLE, NFTA_RULE_CHAIN
        if (text(found[1]), text(found[2])) == (_TABLE_NAME, chain):
            yield found


def chains_as(kernel: Netlink, wanted: Mapping[str, Chain]) -> frozenset[str]:
    """Return which chains of ours hold just these rules, in this order.

    Those with a set inside a rule are not among them: its values are listed elsewhere. Nor is one
    that this kernel lists otherwise than we write it.
    """
    same: dict[str, bool] = {}
    try:
        for chain, rules in itertools.groupby(_rules(kernel), key=itemgetter(0)):
            listed = [nft_rules.uncounted(rule) for _, rule in rules]
            content = wanted.get(chain, _NO_CHAIN)
            same[chain] = chain not in same and listed == [_listed(each) for each in content.rules]
    except KernelRefused as error:
        if error.number != errno.EINTR:
            raise
        # Somebody changes rules just now, so nobody knows.
        return frozenset()
    return frozenset(
        chain for chain, content in wanted.items() if same.get(chain, not content.rules)
    )


def _rules(kernel: Netlink) -> Iterator[tuple[str, bytes]]:
    """Yield chain and listed rule of all rules of ours, a chain's one after the other."""
    for part in kernel.parts("list rules", _GET_RULE, _OURS):
        # In front of the attributes stands another number than in what is sent.
        yield from (
            _chain_and_rule(body) for body in part if body.startswith(_OUR_TABLE, len(_HEADER))
        )


def _chain_and_rule(body: bytes) -> tuple[str, bytes]:
    """Take a listed rule apart: in which chain it is, and its expressions with its comment.

    Of thousands, so only as much is read as has to be. Behind the name of the chain come numbers of
    8 bytes each: the rule's, and that of the one before it (NFTA_RULE_HANDLE, _POSITION).
    """
    at = len(_OURS)
    end = at + int.from_bytes(body[at : at + 2], sys.byteorder)
    start = (end + 3) & ~3
    while body[start + 2] in _HANDLES:
        start += 12
    return text(body[at + 4 : end]), body[start:]


def _listed(rule_text: str) -> bytes | None:
    """Write a rule as the kernel lists it; None if it has a set inside."""
    rule = nft_rules.compile_rule(rule_text)
    return None if rule.listed is None else attribute(4, rule.listed) + _comment(rule.comment)


def elements_of(kernel: Netlink, set_name: str) -> Iterator[dict[int, bytes]]:
    """Yield the attributes of each element of a set or map of ours; none if it does not exist."""
    try:
        bodies = kernel.dump("list a set", _GET_ELEMENT, _OURS + _named(set_name))
    except KernelRefused as error:
        if error.number != errno.ENOENT:
            raise
        return
    for body in bodies:
        for _, element in each_attribute(attributes(body, 4).get(_LIST, b"")):
            yield attributes(element)


def addresses(kernel: Netlink, set_name: str, kind: str) -> frozenset[str] | None:
    """Return the addresses that a set of ours holds; None if it is not a set of just these.

    In a tenth of the time of `elements_of`: a tag may have ten thousand.
    """
    found: set[str] = set()
    shown, size = partial(socket.inet_ntop, ADDRESSES[kind]), _TYPES[kind][1]
    try:
        bodies = kernel.dump("list a set", _GET_ELEMENT, _OURS + _named(set_name))
    except KernelRefused:
        return None
    for body in bodies:
        listed = attributes(body, 4).get(_LIST, b"")
        # All are written alike, and only the address differs, which comes last.
        element = listed[: len(_element(bytes(size)))]
        if not element:
            continue  # the last part of a long list may be empty
        if [list(attributes(each)) for _, each in each_attribute(element)] != [[_KEY]]:
            return None
        before = element[:-size]
        values = [
            listed[at - size : at] for at in range(len(element), len(listed) + 1, len(element))
        ]
        if b"".join(before + value for value in values) != listed:
            return None
        found.update(map(shown, values))
    return frozenset(found)


@singledispatch
def _write(operation: Operation, numbers: _Number) -> Iterable[Message]:
    """Write the messages of an operation, without what they all begin with."""
    # No operation gets here: each kind is registered below, and a new one has to be.
    raise NotImplementedError(operation)


@_write.register
def _(_operation: AddTable, _numbers: _Number) -> Iterable[Message]:
    # NFTA_TABLE_FLAGS is 2
    yield _NEW_TABLE, CREATE, attribute(2, bytes(4))


@_write.register
def _(_operation: DeleteTable, _numbers: _Number) -> Iterable[Message]:
    yield _DELETE_TABLE, 0, b""


@_write.register
def _(operation: AddSet, numbers: _Number) -> Iterable[Message]:
    like = operation.like
    described = _set_of(like.type, _INTERVAL if like.interval else 0, next(numbers))
    # NFTA_SET_EXPR is 17
    counter = nested(17, *_COUNTER) if like.counted else b""
    yield _NEW_SET, CREATE, _named(operation.name) + described + counter


@_write.register
def _(operation: AddMap, numbers: _Number) -> Iterable[Message]:
    described = _set_of("ifname", _MAP, next(numbers))
    # NFTA_SET_DATA_TYPE, NFTA_SET_DATA_LEN
    to_verdict = _number(6, _VERDICT_TYPE) + _number(7, 16)
    yield _NEW_SET, CREATE, _named(operation.name) + described + to_verdict


@_write.register
def _(operation: AddChain, _numbers: _Number) -> Iterable[Message]:
    # Attributes: NFTA_CHAIN_NAME, _HOOK with number and priority, _POLICY, _TYPE.
    hook = b""
    if found := _HOOK.fullmatch(operation.hook):
        kind, where, priority, minus = found.groups()
        value = struct.pack(">i", _PRIORITIES[priority] - int(minus or 0))
        hook = nested(4, _number(1, _HOOKS[where]), attribute(2, value))
        hook += _number(5, nft_rules.ACCEPT) + attribute(7, name(kind))
    yield _NEW_CHAIN, CREATE, attribute(3, name(operation.name)) + hook


@_write.register
def _(operation: AddRule, numbers: _Number) -> Iterable[Message]:
    rule = nft_rules.compile_rule(operation.text)
    expressions = rule.listed
    if expressions is None:
        expressions = b""
        for part in rule.parts:
            if isinstance(part, Values):
                number = next(numbers)
                yield from _set_inside(part, number)
                expressions += nft_rules.lookup(_TEMPLATE, number)
            else:
                expressions += part
    # NFTA_RULE_CHAIN, _EXPRESSIONS
    body = _named(operation.chain) + nested(4, expressions) + _comment(rule.comment)
    yield _NEW_RULE, CREATE | _APPEND, body


@lru_cache(1024)
def _comment(text: str) -> bytes:
    """Write the comment of a rule: NFTA_RULE_USERDATA, libnftnl's type 0; nothing without one."""
    comment = text.encode() + b"\0"
    return attribute(7, bytes([0, len(comment)]) + comment) if text else b""


@_write.register
def _(operation: AddElements, _numbers: _Number) -> Iterable[Message]:
    like = operation.like
    kind, flags, which = _NEW_ELEMENT, CREATE, _named(operation.name)
    if like.interval:
        ranges = _ranges(like.type, operation.elements)
        return _lists(kind, flags, which, _intervals(ranges, _TYPES[like.type][1]))
    counter = nested(_EXPRESSION, *_COUNTER) if like.counted else b""
    return _alike(kind, flags, which, _encoded(like.type, operation.elements), counter)


@_write.register
def _(operation: DeleteElements, _numbers: _Number) -> Iterable[Message]:
    values = _encoded(operation.like.type, operation.elements)
    return _alike(_DELETE_ELEMENT, 0, _named(operation.name), values)


@_write.register
def _(operation: AddVerdicts, _numbers: _Number) -> Iterable[Message]:
    elements = (
        _element(encode("ifname", key), nested(_DATA, nft_rules.parse_verdict(verdict.split())))
        for key, verdict in operation.pairs
    )
    return _lists(_NEW_ELEMENT, CREATE, _named(operation.name), elements)


@_write.register
def _(operation: DeleteVerdicts, _numbers: _Number) -> Iterable[Message]:
    interfaces = _encoded("ifname", (key for key, _ in operation.pairs))
    return _alike(_DELETE_ELEMENT, 0, _named(operation.name), interfaces)


@_write.register
def _(operation: Flush, _numbers: _Number) -> Iterable[Message]:
    # Without saying which, all rules of a chain and all elements of a set are meant.
    kind = _DELETE_RULE if operation.kind == "chain" else _DELETE_ELEMENT
    yield kind, 0, _named(operation.name)


@_write.register
def _(operation: Delete, _numbers: _Number) -> Iterable[Message]:
    if operation.kind == "chain":
        yield _DELETE_CHAIN, 0, attribute(3, name(operation.name))
    else:
        yield _DELETE_SET, 0, _named(operation.name)


def _set_inside(values: Values, number: int) -> Iterator[Message]:
    """Write the set that stands inside a rule."""
    template, size = attribute(2, name(_TEMPLATE)), _TYPES[values.type][1]
    flags = _ANONYMOUS | _CONSTANT | (_INTERVAL if values.interval else 0)
    yield _NEW_SET, CREATE, template + _set_of(values.type, flags, number)
    # NFTA_SET_ELEM_LIST_SET_ID is 4
    which = template + _number(4, number)
    if values.interval:
        yield from _lists(_NEW_ELEMENT, CREATE, which, _intervals(values.ranges, size))
    else:
        alike = (first.to_bytes(size, "big") for first, _ in values.ranges)
        yield from _alike(_NEW_ELEMENT, CREATE, which, alike)


def _set_of(kind: str, flags: int, number: int) -> bytes:
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
    described = _number(3, flags) + _number(4, type_number) + _number(5, length)
    byte_order = attribute(13, struct.pack("=BBI", 0, 4, 1)) if kind == "ifname" else b""
    return described + _number(10, number) + byte_order


def _lists(kind: int, flags: int, which: bytes, elements: Iterable[bytes]) -> Iterator[Message]:
    for chunk in _chunks(elements):
        yield kind, flags, which + nested(_LIST, *chunk)


def _chunks(values: Iterable[bytes]) -> Iterator[list[bytes]]:
    """Yield as many at a time as go into one message."""
    rest = iter(values)
    while chunk := list(itertools.islice(rest, _PER_MESSAGE)):
        yield chunk


def _element(value: bytes, more: bytes = b"") -> bytes:
    """Write an element of a list: NFTA_LIST_ELEM with NFTA_SET_ELEM_KEY of NFTA_DATA_VALUE."""
    return nested(1, nested(_KEY, attribute(1, value)), more)


def _alike(
    kind: int, flags: int, which: bytes, values: Iterable[bytes], more: bytes = b""
) -> Iterator[Message]:
    """Write elements of one size: only the value differs, so the rest is written once."""
    for chunk in _chunks(values):
        at, size = len(_element(b"")), len(chunk[0])
        empty = _element(bytes(size), more)
        before, after = empty[:at], empty[at + size :]
        listed = before + (after + before).join(chunk) + after
        yield kind, flags, which + nested(_LIST, listed)


def _intervals(ranges: Iterable[tuple[int, int]], size: int) -> Iterator[bytes]:
    """Write ranges of values of so many bytes, which neither overlap nor touch, as elements.

    The kernel keeps where each begins and where the gap behind it does; it wants to be told that
    there is a gap before the first.
    """
    for number, (first, last) in enumerate(ranges):
        if number == 0 and first > 0:
            yield _element(bytes(size), _number(_FLAGS, _INTERVAL_END))
        yield _element(first.to_bytes(size, "big"))
        if last + 1 < 1 << 8 * size:
            yield _element((last + 1).to_bytes(size, "big"), _number(_FLAGS, _INTERVAL_END))


def _ranges(kind: str, elements: Iterable[str]) -> tuple[tuple[int, int], ...]:
    """Read networks, or single values and ranges of numbers."""
    if kind in {"ipv4_addr", "ipv6_addr"}:
        version: Family = 4 if kind == "ipv4_addr" else 6
        networks = (IPNetwork(each, version=version) for each in elements)
        return nft_rules.merged((each.first, each.last) for each in networks)
    ends = (each.partition("-") for each in elements)
    return nft_rules.merged((int(first), int(last or first)) for first, _, last in ends)


@lru_cache(1024)
def _named(set_or_chain: str) -> bytes:
    """NFTA_SET_NAME, NFTA_SET_ELEM_LIST_SET, NFTA_RULE_CHAIN: all are 2."""
    return attribute(2, name(set_or_chain))


def _number(kind: int, value: int) -> bytes:
    return attribute(kind, struct.pack(">I", value))


def _encode_mac(value: str) -> bytes:
    return bytes.fromhex(value.replace(":", ""))


def _encode_interface(value: str) -> bytes:
    return value.strip('"').encode().ljust(16, b"\0")


def _encode_protocol(value: str) -> bytes:
    return bytes([int(value)])


def _encode_port(value: str) -> bytes:
    return struct.pack(">H", int(value))


_Encoder = Callable[[str], bytes]


_ENCODERS: dict[str, _Encoder] = {
    "inet_proto": _encode_protocol,
    "inet_service": _encode_port,
    "ipv4_addr": partial(socket.inet_pton, socket.AF_INET),
    "ipv6_addr": partial(socket.inet_pton, socket.AF_INET6),
    "ether_addr": _encode_mac,
    "ifname": _encode_interface,
}
