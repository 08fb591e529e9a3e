"""Why the table `inet calico` dropped a packet, told by the rules that the packet came through.

The kernel tells which rules of which chains took part (`dataplane.trace`). Chains are named after
whose they are, and in a chain of a profile each rule has its number as comment; of the chains that
are the same on every host, the place of the rule says what it is for.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from calico_ctl.model.rule import Direction
from calico_ctl.policy import compile as policy_compile
from calico_ctl.policy import layout
from calico_ctl.policy.verdict import Packet

_ENDS = {"drop-from", "drop-to", "drop-spoofed"}
_INBOUND = {"drop-to", "disp-to"}


class Why(StrEnum):
    """Why a packet was dropped; the word that the JSON output has."""

    RULE = "rule"
    NO_RULE = "no_rule"
    NO_PROFILE = "no_profile"
    UNREADABLE = "unreadable_profile"
    SPOOFED = "spoofed"
    UNKNOWN_INTERFACE = "unknown_interface"
    ROUTER_ONLY = "router_only"
    WRONG_MAC = "wrong_mac"
    INVALID = "invalid"
    NOT_SYN = "no_connection"
    TO_HOST = "to_host"
    OTHER_FIREWALL = "other_firewall"
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class Step:
    """A rule that did something: its chain, place (from 0; -1: not known) and comment.

    It is none of our table's if `table` is another one.
    """

    table: str
    chain: str
    place: int = -1
    comment: str = ""


@dataclass(frozen=True, slots=True)
class Reason:
    """Why, and what of that is a rule's: `profile` and its number, else empty and 0."""

    why: Why
    message: str
    profile: str = ""
    position: int = 0
    inbound: bool | None = None


@dataclass(frozen=True, slots=True)
class Drop:
    """A packet that was dropped: of which interface of ours, in which direction, and why.

    The interface is empty where it is none of ours.
    """

    interface: str
    direction: Direction
    packet: Packet
    reason: Reason


@dataclass(frozen=True, slots=True)
class Seen:
    """What was seen since the last look; `missed`: there was more than could be told.

    `tableless`: there is no table of ours, so nothing of ours is dropped.
    """

    drops: Sequence[Drop]
    missed: bool = False
    tableless: bool = False


def reason(steps: Sequence[Step], ours: str) -> Reason:
    """Say why a packet was dropped that came through these rules, of which the last dropped it."""
    last = steps[-1]
    if last.table != ours:
        return Reason(
            Why.OTHER_FIREWALL,
            f"another firewall dropped it: table {last.table}, chain {last.chain}",
        )
    deciding = next((each for each in reversed(steps) if each.chain not in _ENDS), last)
    inbound = {each.chain for each in (deciding, last)} & _INBOUND
    return _of_chain(deciding, bool(inbound))


def _of_chain(step: Step, inbound: bool) -> Reason:
    kind, _, name = step.chain.partition("-")
    if kind in {"pi", "po"}:
        return _of_profile(step, name, Direction.INBOUND if kind == "pi" else Direction.OUTBOUND)
    if kind in {"t", "f"}:
        return _of_list(step.chain, Direction.INBOUND if kind == "t" else Direction.OUTBOUND)
    if step.chain in {"disp-from", "disp-to"}:
        return Reason(Why.UNKNOWN_INTERFACE, _UNKNOWN, inbound=inbound)
    if step.chain == layout.TO_HOST_CHAIN and step.place == 0:
        message = f"{layout.TO_HOST_SETTING} drops what containers send to their host itself"
        return Reason(Why.TO_HOST, message, inbound=False)
    if step.chain == "raw-pre":
        message = "spoofed: the source is not an address of this interface's endpoint"
        return Reason(Why.SPOOFED, message, inbound=False)
    return _of_static(step)


_UNKNOWN = "no active endpoint of this host has this interface"


def unknown_interface() -> Reason:
    """Return the reason for whatever comes from an interface of ours that is no endpoint's."""
    return Reason(Why.UNKNOWN_INTERFACE, _UNKNOWN, inbound=False)


def _of_profile(step: Step, profile: str, direction: Direction) -> Reason:
    inbound = direction is Direction.INBOUND
    if not step.comment.isdecimal():
        message = f"profile {profile} has no rules that can be read"
        return Reason(Why.UNREADABLE, message, profile, inbound=inbound)
    number = int(step.comment)
    message = f"{direction} rule {number} of profile {profile} denies it"
    return Reason(Why.RULE, message, profile, number, inbound)


def _of_list(chain: str, direction: Direction) -> Reason:
    inbound = direction is Direction.INBOUND
    if chain == policy_compile.endpoint_chain((), direction):
        return Reason(Why.NO_PROFILE, "the endpoint has no profile", inbound=inbound)
    name = chain.partition("-")[2]
    whose = "any of its profiles" if name.startswith("/") else f"profile {name}"
    return Reason(Why.NO_RULE, f"no {direction} rule of {whose} matches", inbound=inbound)


def _of_static(step: Step) -> Reason:
    chain = layout.static_chains().get(step.chain)
    text = ""
    if chain is not None and 0 <= step.place < len(chain.rules):
        text = chain.rules[step.place]
    if text.startswith("ct state invalid"):
        return Reason(Why.INVALID, "it belongs to no connection and begins none (invalid)")
    if text.startswith("tcp flags"):
        message = "it belongs to no connection that was allowed, and is no first packet of one"
        return Reason(Why.NOT_SYN, message)
    if step.chain == "check-first":
        return _of_first(text)
    if step.chain in layout.tunnel_chains():
        message = "only hosts of the cluster send VXLAN or IP-in-IP to its hosts"
        return Reason(Why.OTHER, message, inbound=False)
    if text.endswith(("goto drop-from", "goto drop-to")) or step.chain == layout.TO_HOST_CHAIN:
        return Reason(Why.NO_RULE, "no profile allows it", inbound=text.endswith("drop-to"))
    return Reason(Why.OTHER, f"dropped in chain {step.chain}")


def _of_first(text: str) -> Reason:
    if text.startswith("udp"):
        return Reason(Why.ROUTER_ONLY, "no container may answer as a DHCP server", inbound=False)
    if text.startswith("icmpv6"):
        return Reason(Why.ROUTER_ONLY, "no container may speak as a router", inbound=False)
    message = "spoofed: the MAC is not that of this interface's endpoint"
    return Reason(Why.WRONG_MAC, message, inbound=False)
