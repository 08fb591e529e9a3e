"""One access rule, and the two lists of rules that a profile consists of.

The meaning of every field is the user's guide's: all criteria that are present must match, the
first rule that matches decides, an absent `action` means allow.
"""

from dataclasses import dataclass
from enum import StrEnum

from netaddr import IPNetwork

PORT_PROTOCOLS = ("tcp", "udp", "sctp", "udplite")
"""Protocols that have ports. A rule with ports and no protocol matches the first two."""

ICMP_PROTOCOLS = ("icmp", "icmpv6")

NAMED_PROTOCOLS = PORT_PROTOCOLS + ICMP_PROTOCOLS


class Action(StrEnum):
    """What happens to a packet that a rule matches."""

    ALLOW = "allow"
    DENY = "deny"


class Direction(StrEnum):
    """Seen from the container: to it, or from it."""

    INBOUND = "inbound"
    OUTBOUND = "outbound"


@dataclass(frozen=True, slots=True)
class Ports:
    """A range of ports, both ends included; a single port has equal ends."""

    first: int
    last: int


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule; a criterion that is None (or an empty tuple of ports) matches everything.

    `protocol` is one of NAMED_PROTOCOLS or a number from 1 to 255 as text.
    """

    action: Action = Action.ALLOW
    protocol: str | None = None
    src_tag: str | None = None
    src_net: IPNetwork | None = None
    src_ports: tuple[Ports, ...] = ()
    dst_tag: str | None = None
    dst_net: IPNetwork | None = None
    dst_ports: tuple[Ports, ...] = ()
    icmp_type: int | None = None
    icmp_code: int | None = None


@dataclass(frozen=True, slots=True)
class Rules:
    """The rules of one profile, in the order in which they are asked."""

    inbound: tuple[Rule, ...] = ()
    outbound: tuple[Rule, ...] = ()

    def of(self, direction: Direction) -> tuple[Rule, ...]:
        """Return the rules of one direction."""
        return self.inbound if direction is Direction.INBOUND else self.outbound

    def tags(self) -> frozenset[str]:
        """Return every tag that some rule asks about."""
        rules = self.inbound + self.outbound
        return frozenset(tag for rule in rules for tag in (rule.src_tag, rule.dst_tag) if tag)


def default_rules(profile: str) -> Rules:
    """Return what a new profile starts with: its members may talk to each other and to anyone."""
    return Rules(inbound=(Rule(src_tag=profile),), outbound=(Rule(),))
