"""What would have to change for a packet that was denied to be allowed: the least of it.

A proposed rule names the peer by a tag that it carries, where there is one: that goes on to be
right when the peer's address changes.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from netaddr import IPAddress, IPNetwork

from calico_ctl.model import rule_text
from calico_ctl.model.rule import Action, Direction, Ports, Rule, Rules
from calico_ctl.policy.rules_asked import protocol_name
from calico_ctl.policy.verdict import Packet


@dataclass(frozen=True, slots=True)
class NewRule:
    """A rule that allows the packet; `position` is its place from 1, None: behind the last."""

    profile: str
    direction: Direction
    rule: Rule
    position: int | None = None

    def command(self) -> str:
        """Write the command that adds it."""
        place = "" if self.position is None else f" --at={self.position}"
        written = rule_text.format_rule(self.rule)
        return f"calicoctl profile {self.profile} rule add {self.direction}{place} {written}"

    def applied(self, rules: Rules) -> Rules:
        """Return the rules of the profile with this one among them."""
        present = rules.of(self.direction)
        at = len(present) if self.position is None else self.position - 1
        changed = (*present[:at], self.rule, *present[at:])
        if self.direction is Direction.INBOUND:
            return Rules(changed, rules.outbound)
        return Rules(rules.inbound, changed)


def allowing(direction: Direction, packet: Packet, peer_tags: Sequence[str]) -> Rule:
    """Return a rule for exactly this: the protocol, its port or ICMP type, and the peer."""
    inbound = direction is Direction.INBOUND
    peer = packet.src if inbound else packet.dst
    tag = peer_tags[0] if peer_tags else None
    net = None if tag is not None else _only(peer)
    ports = () if packet.dst_port is None else (Ports(packet.dst_port, packet.dst_port),)
    return Rule(
        action=Action.ALLOW,
        protocol=protocol_name(packet.protocol),
        src_tag=tag if inbound else None,
        src_net=net if inbound else None,
        dst_tag=None if inbound else tag,
        dst_net=None if inbound else net,
        dst_ports=ports,
        icmp_type=packet.icmp_type,
    )


def _only(ip: IPAddress) -> IPNetwork:
    return IPNetwork(ip)
