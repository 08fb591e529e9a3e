"""Why a packet may pass or not: everybody who is asked about it on its way, and what each says.

What rules say is `verdict`'s, and who is let through at all is `desired`'s: the same that the agent
makes its table of. Here stands who is asked, on which host, and what happens before any rule is.
The packet is the first one of a connection; the others pass because the first one did.

A step that the host's own firewall, a router or the receiver itself may refuse is none of ours.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum

from netaddr import IPAddress

from calico_ctl.model import address, keys
from calico_ctl.model.endpoint import Endpoint, EndpointKey, State
from calico_ctl.model.rule import Direction, Rule
from calico_ctl.model.snapshot import Snapshot
from calico_ctl.policy import layout, remedy, rules_asked, verdict
from calico_ctl.policy.desired import Desired
from calico_ctl.policy.remedy import NewRule
from calico_ctl.policy.rules_asked import Unmatched
from calico_ctl.policy.verdict import ICMP, ICMPV6, TCP, UDP, Packet

_DNS = 53
_DHCP_QUESTIONS = {(68, 67), (546, 547)}
_DHCP_ANSWERS = {(67, 68), (547, 546)}
_DISCOVERY = {130, 131, 132, 133, 135, 136, 143}
_ROUTERS_WORDS = {134, 137, 138}
_BEGINNINGS = {ICMP: {8, 13, 15, 17}, ICMPV6: {128, 139} | _DISCOVERY | {134}}
"""ICMP types that begin something. Others answer, or report an error about a connection."""

_NO_BEGINNING = "this ICMP type begins nothing: it passes only as part of a connection"


class Why(StrEnum):
    """What decided; the word that the JSON output has."""

    RULE = "rule"
    NO_RULE = "no_rule"
    NO_PROFILE = "no_profile"
    UNREADABLE = "unreadable_profile"
    CLOSED = "endpoint_closed"
    SPOOFED = "spoofed"
    ROUTER_ONLY = "router_only"
    NO_BEGINNING = "invalid"
    TO_HOST = "to_host"
    ALWAYS = "always"


@dataclass(frozen=True, slots=True)
class End:
    """One end: an endpoint, a host itself (`hostname`), or with neither whoever is outside."""

    ip: IPAddress
    endpoint: Endpoint | None = None
    hostname: str = ""


@dataclass(frozen=True, slots=True)
class Membership:
    """Whether an address carries a tag that some rule asked about, and by which profiles."""

    tag: str
    ip: IPAddress
    through: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Stage:
    """One who was asked: about which endpoint, on which host, and what came of it.

    `position` is the number of the rule, 0 if none decided. `advice` and `new_rule` say what would
    have to change; both are empty where it is allowed.
    """

    hostname: str
    endpoint: EndpointKey
    direction: Direction
    allowed: bool
    why: Why
    reason: str
    profile: str = ""
    position: int = 0
    rule: Rule | None = None
    unmatched: tuple[Unmatched, ...] = ()
    memberships: tuple[Membership, ...] = ()
    advice: str = ""
    new_rule: NewRule | None = None


class Views:
    """What each host makes of what etcd holds."""

    def __init__(self, entries: Mapping[str, tuple[str, int]]) -> None:
        """Know all keys with their values and revisions."""
        self._entries = entries
        self._views: dict[str, Desired] = {}

    def of(self, hostname: str) -> Desired:
        """Return the view of a host, with all that it would have in its kernel."""
        if hostname not in self._views:
            view = self._views[hostname] = Desired(hostname)
            view.begin(self._entries)
            view.take()
        return self._views[hostname]

    @property
    def snapshot(self) -> Snapshot:
        """What is the same for all hosts; rules may be missing in it."""
        return (next(iter(self._views.values()), None) or self.of("")).snapshot

    def exists(self, profile: str) -> bool:
        """Say whether there is anything of a profile."""
        directory = keys.profile(profile) + "/"
        return any(key.startswith(directory) for key in self._entries)


def explain(views: Views, source: End, target: End, packet: Packet) -> list[Stage]:
    """Ask everybody on the packet's way, also behind one who denies it.

    Nobody is asked, and the list is empty, where no end is an endpoint or both are the same one.
    """
    ends = (source.endpoint, target.endpoint)
    if ends[0] is not None and ends[1] is not None and ends[0].key == ends[1].key:
        return []
    return list(_stages(_Asking(views, packet, source, target)))


@dataclass(frozen=True, slots=True)
class _Asking:
    views: Views
    packet: Packet
    source: End
    target: End

    def peer(self, direction: Direction) -> End:
        return self.source if direction is Direction.INBOUND else self.target


def _stages(asking: _Asking) -> Iterator[Stage]:
    sender, receiver = asking.source.endpoint, asking.target.endpoint
    if sender is not None:
        yield _sending(asking, sender)
    if receiver is not None:
        yield _receiving(asking, receiver)


def _sending(asking: _Asking, sender: Endpoint) -> Stage:
    """Ask the sender's host."""
    closed = _closed(asking, sender, Direction.OUTBOUND)
    if closed is not None:
        return closed
    why, reason = _never_sent(asking.packet, sender)
    if reason:
        return _refusal(sender, Direction.OUTBOUND, why, reason)
    if asking.target.hostname == sender.key.host:
        return _sending_to_host(asking, sender)
    return _asked(asking, sender, Direction.OUTBOUND)


def _never_sent(packet: Packet, sender: Endpoint) -> tuple[Why, str]:
    """Say why no rule could let a container send this; the reason is empty if one could."""
    if packet.src not in sender.addresses:
        return Why.SPOOFED, f"{packet.src} is not an address of endpoint {sender.key.id}"
    if _begins_nothing(packet):
        return Why.NO_BEGINNING, _NO_BEGINNING
    if packet.protocol == UDP and (packet.src_port, packet.dst_port) in _DHCP_ANSWERS:
        return Why.ROUTER_ONLY, "no container may answer as a DHCP server"
    if packet.protocol == ICMPV6 and packet.icmp_type in _ROUTERS_WORDS:
        return Why.ROUTER_ONLY, "no container may speak as a router"
    return Why.ALWAYS, ""


def _sending_to_host(asking: _Asking, sender: Endpoint) -> Stage:
    """Ask about a packet to the sender's own host."""
    packet, host = asking.packet, sender.key.host
    if _host_always_answers(packet):
        reason = "a host always answers its containers' DNS, DHCP and neighbour discovery"
        return _consent(sender, Direction.OUTBOUND, reason)
    if asking.views.of(host).to_host == "DROP":
        reason = f"{layout.TO_HOST_SETTING} drops what containers send to host {host} itself"
        key = keys.host_config(host, layout.TO_HOST_SETTING)
        advice = f"set it to RETURN: the key {key} in etcd"
        return _refusal(sender, Direction.OUTBOUND, Why.TO_HOST, reason, advice)
    return _asked(asking, sender, Direction.OUTBOUND)


def _receiving(asking: _Asking, receiver: Endpoint) -> Stage:
    """Ask the receiver's host."""
    closed = _closed(asking, receiver, Direction.INBOUND)
    if closed is not None:
        return closed
    if asking.source.hostname == receiver.key.host:
        return _consent(receiver, Direction.INBOUND, "a host may always reach its own containers")
    if _begins_nothing(asking.packet):
        return _refusal(receiver, Direction.INBOUND, Why.NO_BEGINNING, _NO_BEGINNING)
    return _asked(asking, receiver, Direction.INBOUND)


def _asked(asking: _Asking, endpoint: Endpoint, direction: Direction) -> Stage:
    """Ask the endpoint's profiles."""
    view, packet = asking.views.of(endpoint.key.host), asking.packet

    def carries(tag: str, ip: IPAddress) -> bool:
        return view.tags.carries(tag, str(ip), address.family(ip))

    rules_of = view.snapshot.rules.get
    decision = verdict.ask(endpoint.profiles, rules_of, direction, packet, carries)
    unmatched = rules_asked.before(
        decision, endpoint.profiles, rules_of, direction, (packet, carries)
    )
    rule = None
    if decision.position:
        rule = view.snapshot.rules[decision.profile].of(direction)[decision.position - 1]
    asked_rules = [each.rule for each in unmatched] + ([rule] if rule is not None else [])
    stage = Stage(
        hostname=endpoint.key.host,
        endpoint=endpoint.key,
        direction=direction,
        allowed=decision.allowed,
        why=_why(decision, endpoint),
        reason=decision.reason,
        profile=decision.profile,
        position=decision.position,
        rule=rule,
        unmatched=unmatched,
        memberships=tuple(
            Membership(tag, ip, _through(view, tag, ip))
            for tag, ip in rules_asked.tags_of(asked_rules, packet)
        ),
    )
    return stage if decision.allowed else _with_remedy(asking, endpoint, stage)


def _why(decision: verdict.Decision, endpoint: Endpoint) -> Why:
    if decision.position:
        return Why.RULE
    if decision.profile:
        return Why.UNREADABLE
    return Why.NO_RULE if endpoint.profiles else Why.NO_PROFILE


def _with_remedy(asking: _Asking, endpoint: Endpoint, stage: Stage) -> Stage:
    match stage.why:
        case Why.NO_PROFILE:
            return replace(stage, advice=f"give it one: {_append(endpoint)}")
        case Why.UNREADABLE:
            reason, advice = _unreadable(asking.views, endpoint, stage.profile)
            return replace(stage, reason=reason, advice=advice)
        case _:
            peer = asking.peer(stage.direction)
            tags = _peer_tags(asking.views.of(endpoint.key.host), peer.ip)
            rule = remedy.allowing(stage.direction, asking.packet, tags)
            if stage.why is Why.RULE:
                new = NewRule(stage.profile, stage.direction, rule, stage.position)
            else:
                new = NewRule(endpoint.profiles[0], stage.direction, rule)
            return replace(stage, advice=new.command(), new_rule=new)


def _unreadable(views: Views, endpoint: Endpoint, profile: str) -> tuple[str, str]:
    """Say why nothing can be read of a profile's rules, and what to do about it."""
    key = keys.profile_rules(profile)
    if not views.exists(profile):
        return (
            f"profile {profile} does not exist",
            f"make it: calicoctl profile add {profile}, or take it away:"
            f" calicoctl endpoint {endpoint.key.id} profile remove {profile}",
        )
    update = f"calicoctl profile {profile} rule update"
    problem = views.of(endpoint.key.host).snapshot.problems.get(key)
    if problem is None:
        return f"profile {profile} has no rules: there is no key {key}", f"write them: {update}"
    return f"the rules of profile {profile} cannot be read: {problem}", f"replace them: {update}"


def _append(endpoint: Endpoint) -> str:
    return f"calicoctl endpoint {endpoint.key.id} profile append <PROFILE>"


def _through(view: Desired, tag: str, ip: IPAddress) -> tuple[str, ...]:
    """Return the profiles that give an address a tag, whoever has the address."""
    if not view.tags.carries(tag, str(ip), address.family(ip)):
        return ()
    tags = view.snapshot.tags
    found = [profile for profile in _profiles_of(view, ip) if tag in tags.get(profile, ())]
    return tuple(dict.fromkeys(found))


def _peer_tags(view: Desired, ip: IPAddress) -> tuple[str, ...]:
    """Return the tags of an address, those of its first profile first."""
    tags = view.snapshot.tags
    found = [tag for profile in _profiles_of(view, ip) for tag in tags.get(profile, ())]
    return tuple(dict.fromkeys(found))


def _profiles_of(view: Desired, ip: IPAddress) -> Iterator[str]:
    """Give the profiles of every endpoint that has an address."""
    family, text = address.family(ip), str(ip)
    for member in view.snapshot.members.values():
        if text in member.of_family(family):
            yield from member.profiles


def _closed(asking: _Asking, endpoint: Endpoint, direction: Direction) -> Stage | None:
    """Refuse what is about an endpoint that its host lets nothing through of."""
    key = endpoint.key
    if endpoint.state is not State.ACTIVE:
        reason = f"endpoint {key.id} is {endpoint.state}, so its host lets nothing through"
        return _refusal(endpoint, direction, Why.CLOSED, reason, f"start {key.workload}")
    shut_out = asking.views.of(key.host).shut_out(key)
    if shut_out:
        reason = f"endpoint {key.id} is let nothing through: {shut_out}"
        return _refusal(endpoint, direction, Why.CLOSED, reason)
    return None


def _begins_nothing(packet: Packet) -> bool:
    if packet.protocol not in _BEGINNINGS:
        return False
    return packet.icmp_type not in _BEGINNINGS[packet.protocol]


def _host_always_answers(packet: Packet) -> bool:
    if packet.protocol in {TCP, UDP} and packet.dst_port == _DNS:
        return True
    if packet.protocol == UDP and (packet.src_port, packet.dst_port) in _DHCP_QUESTIONS:
        return True
    return packet.protocol == ICMPV6 and packet.icmp_type in _DISCOVERY


def _refusal(
    endpoint: Endpoint, direction: Direction, why: Why, reason: str, advice: str = ""
) -> Stage:
    host = endpoint.key.host
    return Stage(host, endpoint.key, direction, False, why, reason, advice=advice)


def _consent(endpoint: Endpoint, direction: Direction, reason: str) -> Stage:
    return Stage(endpoint.key.host, endpoint.key, direction, True, Why.ALWAYS, reason)
