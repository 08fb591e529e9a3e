"""What is asked about two ends: a protocol, and one port or all of them; and the answers.

Where no port is given, ports that no rule tells apart are answered for together.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from calico_ctl.errors import InvalidValue
from calico_ctl.model import address, rule_json
from calico_ctl.model.address import Family
from calico_ctl.model.pool import Pool
from calico_ctl.model.rule import ICMP_PROTOCOLS, PORT_PROTOCOLS, Direction, Ports, Rule, Rules
from calico_ctl.policy import explain, port_ranges
from calico_ctl.policy.explain import End, Stage, Views
from calico_ctl.policy.rules_asked import PROTOCOL_NAMES
from calico_ctl.policy.verdict import ICMP, ICMPV6, Packet

SOURCE_PORT = 50000
"""Where a connection comes from if nobody says; clients have one from a high range."""

_ECHO: dict[Family, int] = {4: 8, 6: 128}
_NUMBERS = {name: number for number, name in PROTOCOL_NAMES.items()}
_EVERYDAY = ("icmp", "tcp", "udp")


@dataclass(frozen=True, slots=True)
class Question:
    """What a person asks. `protocol` is as rules name it; None: all that is in everyday use."""

    protocol: str | None = None
    port: int | None = None
    src_port: int = SOURCE_PORT
    icmp_type: int | None = None
    icmp_code: int | None = None

    @property
    def family(self) -> Family | None:
        """The only family that the question can be about; None for either.

        `icmp` asks for the ICMP of whatever family the ends have: that is what `ping` does.
        """
        return 6 if self.protocol == "icmpv6" else None


@dataclass(frozen=True, slots=True)
class Answer:
    """What became of a packet. `ports` are those for which it is the same; None: it has none.

    `nobody` says why nobody would get it although nothing forbids it; empty if that is not known.
    """

    packet: Packet
    source: End
    target: End
    stages: tuple[Stage, ...]
    ports: Ports | None = None
    nobody: str = ""

    @property
    def allowed(self) -> bool:
        """Whether everybody who was asked allows it, and there is somebody to get it."""
        return not self.nobody and all(each.allowed for each in self.stages)

    @property
    def decided_by(self) -> str:
        """Say who decided: whoever was the first to deny it, or else everybody."""
        denied = [each.reason for each in self.stages if not each.allowed]
        if denied or self.nobody:
            return denied[0] if denied else self.nobody
        return "; ".join(each.reason for each in self.stages) or "no policy is asked"


def parse(protocol: str | None, port: str | None, src_port: str | None) -> Question:
    """Read the words of a question; raise InvalidValue for those that do not fit together."""
    if protocol is None:
        return Question(src_port=_port("source port", src_port, SOURCE_PORT))
    name = rule_json.parse_protocol(protocol)
    for what, text in (("port", port), ("source port", src_port)):
        if text is not None and name not in PORT_PROTOCOLS:
            hint = "no port; --icmp-type=<TYPE> says which message" * (name in ICMP_PROTOCOLS)
            raise InvalidValue(what, text, hint or f"no port: {name} has none")
    number = None if port is None else _port("port", port, 0)
    return Question(name, number, _port("source port", src_port, SOURCE_PORT))


def with_icmp(question: Question, icmp_type: str | None, icmp_code: str | None) -> Question:
    """Return the question about a type and code of ICMP; raise InvalidValue."""
    for what, text in (("ICMP type", icmp_type), ("ICMP code", icmp_code)):
        if text is not None and question.protocol not in ICMP_PROTOCOLS:
            raise InvalidValue(what, text, "it only with protocol icmp or icmpv6")
    return replace(
        question,
        icmp_type=_number("ICMP type", icmp_type, rule_json.LARGEST_ICMP),
        icmp_code=_number("ICMP code", icmp_code, rule_json.LARGEST_ICMP),
    )


def answers(views: Views, question: Question, source: End, target: End) -> list[Answer]:
    """Answer a question: one answer, or one for each protocol and range of ports that differs."""
    protocols = _EVERYDAY if question.protocol is None else (question.protocol,)
    nobody = _nobody(views, target)
    found: list[Answer] = []
    for protocol in protocols:
        for packet, ports in _packets(views, replace(question, protocol=protocol), source, target):
            stages = tuple(explain.explain(views, source, target, packet))
            found.append(Answer(packet, source, target, stages, ports, nobody))
    return _merged(found)


def in_pool(views: Views, end: End) -> Pool | None:
    """Return the pool in which an address lies that is nobody's."""
    if end.endpoint is not None or end.hostname:
        return None
    pools = views.snapshot.pools.values()
    return next((pool for pool in pools if pool.contains(end.ip)), None)


def is_masqueraded(views: Views, source: End, target: End) -> bool:
    """Say whether packets between endpoints of two hosts leave with the sender's host's address."""
    ends = (source.endpoint, target.endpoint)
    if ends[0] is None or ends[1] is None or ends[0].key.host == ends[1].key.host:
        return False
    pools = views.snapshot.pools.values()
    return not any(pool.contains(target.ip) for pool in pools) and any(
        pool.masquerade and pool.contains(source.ip) for pool in pools
    )


def _nobody(views: Views, target: End) -> str:
    pool = in_pool(views, target)
    if pool is None:
        return ""
    return f"no endpoint has {target.ip}, an address of pool {pool.cidr}: nobody would answer"


def _packets(
    views: Views, question: Question, source: End, target: End
) -> Iterator[tuple[Packet, Ports | None]]:
    src, dst, name = source.ip, target.ip, question.protocol or ""
    if name in ICMP_PROTOCOLS:
        family = address.family(src)
        kind = _ECHO[family] if question.icmp_type is None else question.icmp_type
        number, code = (ICMP if family == 4 else ICMPV6), question.icmp_code or 0
        yield Packet(src, dst, number, icmp_type=kind, icmp_code=code), None
        return
    number = _NUMBERS.get(name) or int(name)
    if name not in PORT_PROTOCOLS:
        yield Packet(src, dst, number), None
        return
    ranges: Sequence[Ports]
    if question.port is not None:
        ranges = [Ports(question.port, question.port)]
    else:
        ranges = port_ranges.alike(_rules(views, source, target))
    for each in ranges:
        yield Packet(src, dst, number, question.src_port, each.first), each


def _rules(views: Views, source: End, target: End) -> list[Rule]:
    """Return all rules that may be asked on the way."""
    found: list[Rule] = []
    for end, direction in ((source, Direction.OUTBOUND), (target, Direction.INBOUND)):
        if end.endpoint is None:
            continue
        rules = views.of(end.endpoint.key.host).snapshot.rules
        for profile in end.endpoint.profiles:
            found += rules.get(profile, Rules()).of(direction)
    return found


def _merged(answers: Sequence[Answer]) -> list[Answer]:
    """Put neighbouring ranges of ports together for which everybody says the same."""
    merged: list[Answer] = []
    for each in answers:
        before = merged[-1] if merged else None
        if before is not None and _same(before, each) and before.ports and each.ports:
            ports = Ports(before.ports.first, each.ports.last)
            merged[-1] = replace(before, ports=ports)
        else:
            merged.append(each)
    return merged


def _same(one: Answer, other: Answer) -> bool:
    said = [
        [(stage.allowed, stage.why, stage.profile, stage.position) for stage in each.stages]
        for each in (one, other)
    ]
    return one.packet.protocol == other.packet.protocol and said[0] == said[1]


def _port(what: str, text: str | None, default: int) -> int:
    number = _number(what, text, rule_json.LARGEST_PORT)
    return default if number is None else number


def _number(what: str, text: str | None, largest: int) -> int | None:
    if text is None:
        return None
    if not (text.isascii() and text.isdigit()) or len(text) > 5 or int(text) > largest:
        raise InvalidValue(what, text, f"a number from 0 to {largest}")
    return int(text)
