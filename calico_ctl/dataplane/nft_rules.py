"""Rule texts to the kernel's expressions: the part of nft's language that `policy` writes.

Why not libnftables: before each change it asks the kernel for every chain and set of the table.
With a thousand profiles in use one changed rule then takes 20 ms and a rebuild five seconds; from
here they take 0.3 ms and 0.2 s (decision 9). Its language is kept, because people and tests read
it, and `nft list` is the judge: what the kernel makes of our expressions lists as the text says.

A rule is a row of expressions that work on registers: load a field, compare it, decide. A field of
a protocol may only be loaded after that protocol was asked for; what a rule has asked for already
is not asked twice. Numbers are from linux/netfilter/nf_tables.h; fields of packets are big-endian,
marks and states of connections in the byte order of the machine.

Expressions are written byte for byte as the kernel lists them: with all attributes that it shows,
in its order, and without marking those that nest. So a rule that is there can be told from another.
"""

import re
import struct
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import cache, lru_cache

from netaddr import IPNetwork

from calico_ctl.dataplane.netlink import attribute, name

EQUAL, NOT_EQUAL, AT_MOST, AT_LEAST = 0, 1, 3, 5

DROP, ACCEPT, JUMP, GOTO, RETURN = 0, 1, -3, -4, -5

_LINK, _NETWORK, _TRANSPORT = 0, 1, 2
_MARK, _IN_NAME, _OUT_NAME, _IN_TYPE, _NFPROTO, _L4PROTO = 3, 6, 7, 8, 15, 16
_ETHERNET = 1
_NAME_LENGTH = 16
_SECOND = 2
"""NFT_REG_2: registers have 16 bytes, like the name of an interface, and lie behind each other."""

_PROTOCOLS = {"icmp": 1, "tcp": 6, "udp": 17, "icmpv6": 58}
_NFPROTOS = {"ipv4": 2, "ipv6": 10}
_NFPROTO_OF = {"ip": "ipv4", "ip6": "ipv6", "icmp": "ipv4", "icmpv6": "ipv6"}
# offset and length of source and destination address
_ADDRESSES = {
    ("ip", "saddr"): (12, 4),
    ("ip", "daddr"): (16, 4),
    ("ip6", "saddr"): (8, 16),
    ("ip6", "daddr"): (24, 16),
}
_ICMPV6_TYPES = {
    "mld-listener-query": 130,
    "mld-listener-report": 131,
    "mld-listener-done": 132,
    "nd-router-solicit": 133,
    "nd-router-advert": 134,
    "nd-neighbor-solicit": 135,
    "nd-neighbor-advert": 136,
    "nd-redirect": 137,
    "router-renumbering": 138,
    "mld2-listener-report": 143,
}
_CT_STATES = {"invalid": 1, "established": 2, "related": 4, "new": 8}
_TCP_FLAGS = {"fin": 1, "syn": 2, "rst": 4, "ack": 16}
_VERDICTS = {"drop": DROP, "accept": ACCEPT, "jump": JUMP, "goto": GOTO, "return": RETURN}


@dataclass(frozen=True, slots=True)
class Values:
    """An anonymous set: what a rule compares a field with if it is more than one value.

    `type` is nft's name of the field's type; `ranges` are pairs of first and last value.
    """

    type: str
    ranges: tuple[tuple[int, int], ...]

    @property
    def interval(self) -> bool:
        """Say whether some range has more than one value."""
        return any(first != last for first, last in self.ranges)


@dataclass(frozen=True, slots=True)
class Compiled:
    """A rule: its expressions in order; where a `Values` stands, its set is to be looked up."""

    parts: tuple[bytes | Values, ...]
    comment: str

    @property
    def listed(self) -> bytes | None:
        """How the kernel lists it, before anything is counted; None if a set is inside."""
        try:
            return b"".join(self.parts)  # type: ignore[arg-type]
        except TypeError:
            return None


@dataclass(slots=True)
class _Writing:
    """What a statement adds to a rule, and what the rule has asked the packet for already."""

    asked: set[str]
    parts: list[bytes | Values] = field(default_factory=list)

    def add(self, *expressions: bytes | Values) -> None:
        self.parts += expressions

    def ask_nfproto(self, protocol: str) -> None:
        """Make sure that the packet is of an IP version."""
        if protocol not in self.asked:
            self.asked.add(protocol)
            self.add(_meta(_NFPROTO), _compare(EQUAL, bytes([_NFPROTOS[protocol]])))

    def ask_transport(self, number: int) -> None:
        """Make sure that the packet is of a transport protocol."""
        if f"transport {number}" not in self.asked:
            self.asked.add(f"transport {number}")
            self.add(_meta(_L4PROTO), _compare(EQUAL, bytes([number])))


def compile_rule(text: str) -> Compiled:
    """Return the expressions of a rule; raise ValueError for what is not of our language."""
    body, _, comment = text.partition(' comment "')
    return Compiled(_compile(body), comment.removesuffix('"'))


@lru_cache(1024)
def _compile(text: str) -> tuple[bytes | Values, ...]:
    parts: tuple[bytes | Values, ...] = ()
    asked: frozenset[str] = frozenset()
    at = 0
    while at < len(text):
        found = _STATEMENT.match(text, at)
        if found is None or found.lastgroup is None:
            message = f"not a rule of ours: {text[at:]!r}"
            raise ValueError(message)
        more, asked = _statement(found.lastgroup, found[0], asked)
        parts += more
        at = found.end()
    return parts


@lru_cache(4096)
def _statement(
    kind: str, text: str, asked: frozenset[str]
) -> tuple[tuple[bytes | Values, ...], frozenset[str]]:
    writing = _Writing(set(asked))
    _WRITERS[kind](writing, text.split())
    return tuple(writing.parts), frozenset(writing.asked)


def lookup(set_name: str, set_id: int = 0, *, inverted: bool = False) -> bytes:
    """Write the expression that looks register 1 up in a set (of this transaction, by its id)."""
    which = _number(4, set_id) if set_id else b""
    return expression(
        "lookup", attribute(1, name(set_name)), _number(2, 1), which, _number(5, int(inverted))
    )


def uncounted(listed: bytes) -> bytes:
    """Return a rule's expressions as listed, but with counters that have counted nothing."""
    return _COUNTED.sub(_COUNTER, listed)


def expression(kind: str, *attributes: bytes) -> bytes:
    """Write one expression of a list: NFTA_LIST_ELEM with NFTA_EXPR_NAME, NFTA_EXPR_DATA."""
    return attribute(1, attribute(1, name(kind)) + attribute(2, b"".join(attributes)))


def verdict(code: int, chain: str = "") -> bytes:
    """Write a verdict: NFTA_DATA_VERDICT with NFTA_VERDICT_CODE and NFTA_VERDICT_CHAIN."""
    target = attribute(2, name(chain)) if chain else b""
    return attribute(2, attribute(1, struct.pack(">i", code)) + target)


def parse_verdict(words: Sequence[str]) -> bytes:
    """Write the verdict that reads `drop`, `goto <chain>`, …"""
    return verdict(_VERDICTS[words[0]], *words[1:])


def merged(ranges: Iterable[tuple[int, int]]) -> tuple[tuple[int, int], ...]:
    """Return the ranges in order, those that overlap or touch as one."""
    joined: list[tuple[int, int]] = []
    for first, last in sorted(ranges):
        if joined and first <= joined[-1][1] + 1:
            joined[-1] = (joined[-1][0], max(last, joined[-1][1]))
        else:
            joined.append((first, last))
    return tuple(joined)


@cache
def _number(kind: int, value: int) -> bytes:
    return attribute(kind, struct.pack(">I", value))


@cache
def _meta(key: int, register: int = 1) -> bytes:
    return expression("meta", _number(2, key), _number(1, register))


@cache
def _payload(base: int, offset: int, length: int, register: int = 1) -> bytes:
    return expression(
        "payload", _number(1, register), _number(2, base), _number(3, offset), _number(4, length)
    )


@lru_cache(1024)
def _compare(how: int, value: bytes) -> bytes:
    return expression("cmp", _number(1, 1), _number(2, how), attribute(3, attribute(1, value)))


@lru_cache(1024)
def _bitwise(mask: bytes, xor: bytes) -> bytes:
    return expression(
        "bitwise",
        _number(1, 1),
        _number(2, 1),
        _number(3, len(mask)),
        _number(6, 0),
        attribute(4, attribute(1, mask)),
        attribute(5, attribute(1, xor)),
    )


_Writer = Callable[[_Writing, Sequence[str]], None]


def _nfproto(rule: _Writing, words: Sequence[str]) -> None:
    rule.ask_nfproto(words[2])


def _l4proto(rule: _Writing, words: Sequence[str]) -> None:
    if words[2].startswith("@"):
        rule.add(_meta(_L4PROTO), lookup(words[2][1:]))
    else:
        rule.ask_transport(int(words[2]))


def _address(rule: _Writing, words: Sequence[str]) -> None:
    protocol, side, *rest = words
    rule.ask_nfproto(_NFPROTO_OF[protocol])
    rule.add(_payload(_NETWORK, *_ADDRESSES[protocol, side]))
    if rest[-1].startswith("@"):
        rule.add(lookup(rest[-1][1:], inverted=rest[0] == "!="))
        return
    # Without its version netaddr tries the other one, and the error that it keeps keeps frames.
    net = IPNetwork(rest[-1], version=6 if protocol == "ip6" else 4)
    mask = net.netmask.packed
    if net.prefixlen < 8 * len(mask):
        rule.add(_bitwise(mask, bytes(len(mask))))
    rule.add(_compare(EQUAL, net.network.packed))


def _hop_limit(rule: _Writing, words: Sequence[str]) -> None:
    rule.ask_nfproto("ipv6")
    rule.add(_payload(_NETWORK, 7, 1), _compare(EQUAL, bytes([int(words[2])])))


def _ports(rule: _Writing, words: Sequence[str]) -> None:
    protocol, side, *rest = words
    if protocol in _PROTOCOLS:
        rule.ask_transport(_PROTOCOLS[protocol])
    rule.add(_payload(_TRANSPORT, 0 if side == "sport" else 2, 2))
    if rest[0].startswith("@"):
        rule.add(lookup(rest[0][1:]))
        return
    _one_of(rule, "inet_service", _ranges(rest, {}), 2)


def _icmp(rule: _Writing, words: Sequence[str]) -> None:
    protocol, what, *rest = words
    rule.ask_nfproto(_NFPROTO_OF[protocol])
    rule.ask_transport(_PROTOCOLS[protocol])
    rule.add(_payload(_TRANSPORT, 0 if what == "type" else 1, 1))
    _one_of(rule, f"{protocol}_{what}", _ranges(rest, _ICMPV6_TYPES), 1)


def _tcp_flags(rule: _Writing, words: Sequence[str]) -> None:
    flags = re.findall("|".join(_TCP_FLAGS), " ".join(words))
    asked, wanted = sum(_TCP_FLAGS[each] for each in flags[:-1]), _TCP_FLAGS[flags[-1]]
    rule.ask_transport(_PROTOCOLS["tcp"])
    rule.add(
        _payload(_TRANSPORT, 13, 1),
        _bitwise(bytes([asked]), b"\0"),
        _compare(NOT_EQUAL, bytes([wanted])),
    )


def _interface(rule: _Writing, words: Sequence[str]) -> None:
    which, *rest = words
    rule.add(_meta(_IN_NAME if which == "iifname" else _OUT_NAME))
    target = rest[-1]
    if rest[0] == "vmap":
        to_verdict = _number(3, 0)
        map_name = attribute(1, name(target[1:]))
        rule.add(expression("lookup", map_name, _number(2, 1), to_verdict, _number(5, 0)))
    elif target.startswith("@"):
        rule.add(lookup(target[1:]))
    else:
        wanted = target.strip('"').encode()
        # A whole name is compared with all 16 bytes of its field, the beginning of one with fewer.
        wanted = wanted[:-1] if wanted.endswith(b"*") else wanted.ljust(_NAME_LENGTH, b"\0")
        rule.add(_compare(NOT_EQUAL if rest[0] == "!=" else EQUAL, wanted))


def _binding(rule: _Writing, words: Sequence[str]) -> None:
    """Look an interface up together with a source: they lie in registers behind each other."""
    protocol = words[2]
    if protocol == "ether":
        rule.add(_meta(_IN_TYPE), _compare(EQUAL, struct.pack("=H", _ETHERNET)))
        source = _payload(_LINK, 6, 6, _SECOND)
    else:
        rule.ask_nfproto(_NFPROTO_OF[protocol])
        source = _payload(_NETWORK, *_ADDRESSES[protocol, "saddr"], _SECOND)
    rule.add(_meta(_IN_NAME), source, lookup(words[-1][1:]))


def _ct_state(rule: _Writing, words: Sequence[str]) -> None:
    bits = sum(_CT_STATES[state] for state in words[2].split(","))
    load = expression("ct", _number(1, 1), _number(2, 0))
    rule.add(load, _bitwise(struct.pack("=I", bits), bytes(4)), _compare(NOT_EQUAL, bytes(4)))


def _set_mark(rule: _Writing, words: Sequence[str]) -> None:
    bits = int(words[-1], 16)
    mask, xor = (bits, 0) if words[-2] == "&" else (bits ^ 0xFFFFFFFF, bits)
    store = expression("meta", _number(2, _MARK), _number(3, 1))
    rule.add(_meta(_MARK), _bitwise(struct.pack("=I", mask), struct.pack("=I", xor)), store)


def _test_mark(rule: _Writing, words: Sequence[str]) -> None:
    mask, wanted = (struct.pack("=I", int(word, 16)) for word in (words[3], words[5]))
    how = EQUAL if words[4] == "==" else NOT_EQUAL
    rule.add(_meta(_MARK), _bitwise(mask, bytes(4)), _compare(how, wanted))


def _count(rule: _Writing, _words: Sequence[str]) -> None:
    rule.add(_COUNTER)


def _masquerade(rule: _Writing, _words: Sequence[str]) -> None:
    rule.add(expression("masq"))


def _decide(rule: _Writing, words: Sequence[str]) -> None:
    rule.add(expression("immediate", _number(1, 0), attribute(2, parse_verdict(words))))


def _one_of(rule: _Writing, kind: str, ranges: tuple[tuple[int, int], ...], length: int) -> None:
    (first, last), *others = ranges
    if others:
        rule.add(Values(kind, ranges))
    elif first == last:
        rule.add(_compare(EQUAL, first.to_bytes(length, "big")))
    else:
        rule.add(
            _compare(AT_LEAST, first.to_bytes(length, "big")),
            _compare(AT_MOST, last.to_bytes(length, "big")),
        )


def _ranges(words: Sequence[str], names: dict[str, int]) -> tuple[tuple[int, int], ...]:
    """Read `80`, `80-90` or `{ 80, 85-90 }`, where a value may be one of some names."""
    listed = [word.rstrip(",") for word in words if word not in {"{", "}"}]
    if words[0] != "{" and len(listed) != 1:
        message = f"not a value of ours: {' '.join(words)!r}"
        raise ValueError(message)
    ranges = []
    for each in listed:
        first, dash, last = ("", "", "") if each in names else each.partition("-")
        start = names[each] if each in names else int(first)
        ranges.append((start, int(last) if dash else start))
    return tuple(ranges)


def _counter_of(number: bytes) -> bytes:
    """Write a counter: NFTA_COUNTER_BYTES, NFTA_COUNTER_PACKETS."""
    return expression("counter", attribute(1, number), attribute(2, number))


_COUNTER = _counter_of(bytes(8))
_COUNTED = re.compile(re.escape(_counter_of(b"_number_")).replace(b"_number_", rb".{8}"), re.DOTALL)

_VALUE = r"(?:\{[^}]*\}|@\S+|[\w-]+)"
_GRAMMAR: dict[str, tuple[str, _Writer]] = {
    "nfproto": (r"meta nfproto ipv[46]", _nfproto),
    "l4proto": (r"meta l4proto (?:@\S+|\d+)", _l4proto),
    "address": (r"ip6? [sd]addr (?:!= )?(?:@\S+|[\da-fA-F.:/]+)", _address),
    "hop_limit": (r"ip6 hoplimit \d+", _hop_limit),
    "ports": (rf"(?:th|tcp|udp) [sd]port {_VALUE}", _ports),
    "icmp": (rf"icmp(?:v6)? (?:type|code) {_VALUE}", _icmp),
    "tcp_flags": (r"tcp flags & \([\w |]+\) != \w+", _tcp_flags),
    "binding": (r"iifname \. (?:ether|ip6?) saddr @\S+", _binding),
    "interface": (r'[io]ifname (?:vmap |!= )?(?:@\S+|"[\w.-]+\*?")', _interface),
    "ct_state": (r"ct state [\w,]+", _ct_state),
    "set_mark": (r"meta mark set meta mark [|&] 0x[\da-f]+", _set_mark),
    "test_mark": (r"meta mark & 0x[\da-f]+ [!=]= 0x[\da-f]+", _test_mark),
    "counter": (r"counter", _count),
    "masquerade": (r"masquerade", _masquerade),
    "decide": (r"(?:jump|goto) \S+|drop|accept|return", _decide),
}
_STATEMENT = re.compile(
    "|".join(rf"(?P<{kind}>(?:{pattern})(?: |$))" for kind, (pattern, _) in _GRAMMAR.items())
)
_WRITERS = {kind: writer for kind, (_, writer) in _GRAMMAR.items()}
