"""Which rules were asked about a packet before the decision, and why they did not match.

A criterion is held against the packet by `verdict.matches` too, as a rule of nothing else: so what
is said here cannot differ from what decided.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from netaddr import IPAddress, IPNetwork

from calico_ctl.model import rule_json
from calico_ctl.model.rule import Direction, Ports, Rule, Rules
from calico_ctl.policy import verdict
from calico_ctl.policy.verdict import Carries, Decision, Packet

PROTOCOL_NAMES = {
    verdict.ICMP: "icmp",
    verdict.TCP: "tcp",
    verdict.UDP: "udp",
    verdict.ICMPV6: "icmpv6",
    verdict.SCTP: "sctp",
    verdict.UDPLITE: "udplite",
}


@dataclass(frozen=True, slots=True)
class Unmatched:
    """A rule that was asked and did not match; `because` says why, for people."""

    profile: str
    position: int
    rule: Rule
    because: tuple[str, ...]


def before(
    decision: Decision,
    profiles: Sequence[str],
    rules_of: Callable[[str], Rules | None],
    direction: Direction,
    asked: tuple[Packet, Carries],
) -> tuple[Unmatched, ...]:
    """Return the rules that were asked before a decision of `verdict.ask` about the same."""
    packet, carries = asked
    return tuple(
        Unmatched(profile, position, rule, because(rule, packet, carries))
        for profile, position, rule in _in_order(profiles, rules_of, direction, decision)
    )


def because(rule: Rule, packet: Packet, carries: Carries) -> tuple[str, ...]:
    """Say which criteria of a rule do not hold for a packet; nothing if all of them do."""
    return tuple(
        text for part, text in _criteria(rule, packet) if not verdict.matches(part, packet, carries)
    )


def tags_of(rules: Sequence[Rule], packet: Packet) -> tuple[tuple[str, IPAddress], ...]:
    """Return, each once, the tags that rules ask about, with the address they ask it of."""
    found = [
        (tag, ip)
        for rule in rules
        for tag, ip in ((rule.src_tag, packet.src), (rule.dst_tag, packet.dst))
        if tag is not None
    ]
    return tuple(dict.fromkeys(found))


def protocol_name(number: int) -> str:
    """Return a protocol as rules name it."""
    return PROTOCOL_NAMES.get(number, str(number))


def _in_order(
    profiles: Sequence[str],
    rules_of: Callable[[str], Rules | None],
    direction: Direction,
    decision: Decision,
) -> Iterator[tuple[str, int, Rule]]:
    for profile in profiles:
        for position, rule in enumerate((rules_of(profile) or Rules()).of(direction), 1):
            if (profile, position) == (decision.profile, decision.position):
                return
            yield profile, position, rule
        if profile == decision.profile:
            return


def _criteria(rule: Rule, packet: Packet) -> Iterator[tuple[Rule, str]]:
    """Take a rule apart: for each criterion, the rule of only that, and how to say that it fails.

    Ports keep their protocol, without which they would mean TCP and UDP.
    """
    protocol = rule.protocol
    if protocol is not None:
        text = f"it is {protocol_name(packet.protocol)}"
        yield Rule(protocol=protocol), f"{text}, not {protocol}"
    for side, ports, port in (
        ("source port", rule.src_ports, packet.src_port),
        ("port", rule.dst_ports, packet.dst_port),
    ):
        if ports:
            part = (
                Rule(protocol=protocol, src_ports=ports)
                if side == "source port"
                else Rule(protocol=protocol, dst_ports=ports)
            )
            yield part, _wrong_port(side, ports, port)
    yield from _icmp(rule, packet)
    yield from _addresses(rule, packet)


def _icmp(rule: Rule, packet: Packet) -> Iterator[tuple[Rule, str]]:
    if rule.icmp_type is not None:
        text = f"its ICMP type is {_or_none(packet.icmp_type)}, not {rule.icmp_type}"
        yield Rule(icmp_type=rule.icmp_type), text
    if rule.icmp_code is not None:
        text = f"its ICMP code is {_or_none(packet.icmp_code)}, not {rule.icmp_code}"
        yield Rule(icmp_code=rule.icmp_code), text


def _addresses(rule: Rule, packet: Packet) -> Iterator[tuple[Rule, str]]:
    if rule.src_net is not None:
        yield Rule(src_net=rule.src_net), _outside(packet.src, rule.src_net)
    if rule.dst_net is not None:
        yield Rule(dst_net=rule.dst_net), _outside(packet.dst, rule.dst_net)
    if rule.src_tag is not None:
        yield Rule(src_tag=rule.src_tag), f"{packet.src} does not carry tag {rule.src_tag}"
    if rule.dst_tag is not None:
        yield Rule(dst_tag=rule.dst_tag), f"{packet.dst} does not carry tag {rule.dst_tag}"


def _wrong_port(side: str, ports: Sequence[Ports], port: int | None) -> str:
    if port is None:
        return "it has no ports"
    return f"{side} {port} is not in {','.join(rule_json.format_ports(each) for each in ports)}"


def _outside(ip: IPAddress, net: IPNetwork) -> str:
    return f"{ip} is not in {net}"


def _or_none(value: int | None) -> str:
    return "none" if value is None else str(value)
