"""What a rule means: the decision about the first packet of a flow, and why.

Written from the user guide's words, apart from the compiler to nftables, so that each can be held
against the other. Packets of a flow that was accepted already are not judged by rules.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from netaddr import IPAddress, IPNetwork

from calico_ctl.model.address import Family
from calico_ctl.model.rule import Action, Direction, Ports, Rule, Rules

Carries = Callable[[str, IPAddress], bool]
"""Says whether some endpoint with this address has a profile with this tag."""

ICMP, TCP, UDP, ICMPV6, SCTP, UDPLITE = 1, 6, 17, 58, 132, 136

_NAMED = {
    "icmp": ICMP,
    "tcp": TCP,
    "udp": UDP,
    "icmpv6": ICMPV6,
    "sctp": SCTP,
    "udplite": UDPLITE,
}
_NUMBERS = {str(number): number for number in range(256)} | _NAMED
_ONLY_IN: dict[int, Family] = {ICMP: 4, ICMPV6: 6}
_MEANT_BY_PORTS_ALONE = (TCP, UDP)


@dataclass(frozen=True, slots=True)
class Packet:
    """The first packet of a flow; what its protocol does not have is None."""

    src: IPAddress
    dst: IPAddress
    protocol: int
    src_port: int | None = None
    dst_port: int | None = None
    icmp_type: int | None = None
    icmp_code: int | None = None


@dataclass(frozen=True, slots=True)
class Decision:
    """Whether the packet may pass, who decided it, and the reason for people.

    `profile` is empty if no profile decided; `position` is the rule's, from 1, and 0 if none did.
    """

    allowed: bool
    profile: str
    position: int
    reason: str


def ask(
    profiles: Sequence[str],
    rules_of: Callable[[str], Rules | None],
    direction: Direction,
    packet: Packet,
    carries: Carries,
) -> Decision:
    """Ask an endpoint's profiles in their order; the first rule that matches decides.

    A profile whose rules are not there or cannot be read (None) denies all that gets to it.
    """
    for name in profiles:
        rules = rules_of(name)
        if rules is None:
            return Decision(False, name, 0, f"profile {name} has no rules that can be read")
        for position, rule in enumerate(rules.of(direction), 1):
            if matches(rule, packet, carries):
                return _by_rule(rule, name, direction, position)
    if not profiles:
        return Decision(False, "", 0, "no profile, so nothing is allowed")
    return Decision(False, "", 0, f"no {direction} rule of {', '.join(profiles)} matches")


def matches(rule: Rule, packet: Packet, carries: Carries) -> bool:
    """Say whether every criterion of the rule holds for the packet."""
    return (
        _protocol_matches(rule, packet)
        and _port_matches(rule.src_ports, packet.src_port)
        and _port_matches(rule.dst_ports, packet.dst_port)
        and rule.icmp_type in (None, packet.icmp_type)
        and rule.icmp_code in (None, packet.icmp_code)
        and _net_matches(rule.src_net, packet.src)
        and _net_matches(rule.dst_net, packet.dst)
        and (rule.src_tag is None or carries(rule.src_tag, packet.src))
        and (rule.dst_tag is None or carries(rule.dst_tag, packet.dst))
    )


def _by_rule(rule: Rule, profile: str, direction: Direction, position: int) -> Decision:
    allowed = rule.action is Action.ALLOW
    verb = "allows" if allowed else "denies"
    return Decision(
        allowed, profile, position, f"{direction} rule {position} of profile {profile} {verb} it"
    )


def _protocol_matches(rule: Rule, packet: Packet) -> bool:
    if rule.protocol is None:
        by_ports = rule.src_ports or rule.dst_ports
        return not by_ports or packet.protocol in _MEANT_BY_PORTS_ALONE
    number = _NUMBERS[rule.protocol]
    family = _ONLY_IN.get(number, packet.src.version)
    return number == packet.protocol and family == packet.src.version


def _port_matches(ports: tuple[Ports, ...], port: int | None) -> bool:
    if not ports:
        return True
    return port is not None and any(each.first <= port <= each.last for each in ports)


def _net_matches(net: IPNetwork | None, ip: IPAddress) -> bool:
    if net is None:
        return True
    return net.version == ip.version and net.first <= int(ip) <= net.last
