"""One rule, one profile, one list of profiles to nft rule texts.

Families: a rule that names a net, an ICMP protocol or a tag is written once per family that it can
match and not at all for the other; a rule that names none of them is written once for both. A net
of one family never matches the other.

Marks: a profile says yes by setting ALLOWED and returning. Silence is not consent: the endpoint's
chain drops whatever comes back from all profiles without that mark.

Endpoints with the same list of profiles share their two chains. Most endpoints have lists that
others have too, so a host with a thousand endpoints has hardly more chains than one with ten.
"""

import hashlib
from collections.abc import Iterable, Sequence
from functools import lru_cache

from netaddr import IPNetwork

from calico_ctl.model import address
from calico_ctl.model.address import FAMILIES, Family
from calico_ctl.model.rule import Action, Direction, Ports, Rule, Rules
from calico_ctl.policy.ruleset import Set

ALLOWED = "0x01000000"
"""Mark bit: some profile of this endpoint has allowed the packet."""

ACCEPTED = "0x02000000"
"""Mark bit: all our policy has accepted the packet; Docker's own filter is told by it."""

TCP_OR_UDP = "tcp-or-udp"
"""The set of the protocols that a rule with ports, but no protocol, matches."""

IS_ALLOWED = f"meta mark & {ALLOWED} == {ALLOWED}"
IS_NOT_ALLOWED = f"meta mark & {ALLOWED} != {ALLOWED}"

CLEAR_MARKS = "meta mark set meta mark & 0xfcffffff"

_LONGEST_PLAIN_NAME = 64
_ADDRESS = {4: "ip", 6: "ip6"}
_ICMP_FAMILY: dict[str, Family] = {"icmp": 4, "icmpv6": 6}


def tag_set(tag: str, family: Family) -> str:
    """Name the set that holds a tag's addresses of one family."""
    return f"t{family}-{tag}"


def profile_chain(profile: str, direction: Direction) -> str:
    """Name the chain of a profile's rules of one direction."""
    return f"{'pi' if direction is Direction.INBOUND else 'po'}-{profile}"


def endpoint_chain(profiles: Sequence[str], direction: Direction) -> str:
    """Name the chain that a packet to or from an endpoint with these profiles goes through.

    A list of several is named by its digest; `/` keeps that apart from every profile's name.
    """
    if len(profiles) == 1:
        listed = profiles[0]
    else:
        listed = "/" + hashlib.sha256("/".join(profiles).encode()).hexdigest()[:24]
    return f"{'t' if direction is Direction.INBOUND else 'f'}-{listed}"


def port_sets(rules: Rules) -> dict[str, Set]:
    """Return the sets of ports that the rules look up, by name.

    They are named after what is in them and shared by all rules with the same list: a set inside a
    rule (`dport { 80, 443 }`) has to be numbered by the kernel, which compares it with all others,
    and with some thousand of those the table takes seconds to load.
    """
    sets = {}
    for rule in rules.inbound + rules.outbound:
        for ports in (rule.src_ports, rule.dst_ports):
            if len(ports) > 1 and len(listed := _merged(ports)) > 1:
                interval = any("-" in each for each in listed)
                sets[_port_set(listed)] = Set("inet_service", frozenset(listed), interval)
    return sets


def profile_rules(rules: Rules | None, direction: Direction) -> tuple[str, ...]:
    """Write a profile's chain; rules that are missing or unreadable deny everything.

    The comment of each text is the number of its rule, so that counters find their rule again.
    """
    if rules is None:
        return (f'counter {deny(direction)} comment "profile without readable rules"',)
    return tuple(
        f'{text} comment "{number}"'
        for number, rule in enumerate(rules.of(direction), start=1)
        for text in rule_texts(rule, direction)
    )


def endpoint_rules(profiles: Iterable[str], direction: Direction) -> tuple[str, ...]:
    """Write the chain of a list of profiles: ask them in order, then deny."""
    texts = []
    for profile in profiles:
        texts.append(f"jump {profile_chain(profile, direction)}")
        texts.append(f"{IS_ALLOWED} return")
    return (*texts, deny(direction))


def deny(direction: Direction) -> str:
    """Write the end of a packet: where it is dropped, and counted as its endpoint's."""
    return f"goto {'drop-to' if direction is Direction.INBOUND else 'drop-from'}"


def rule_texts(rule: Rule, direction: Direction) -> list[str]:
    """Write one rule: one text, one per family, or none if no packet can match it."""
    allow = f"meta mark set meta mark | {ALLOWED} return"
    verdict = f"counter {allow if rule.action is Action.ALLOW else deny(direction)}"
    transport = _transport(rule)
    if not _needs_family(rule):
        return [" ".join([*transport, verdict])]
    return [
        " ".join([*_addresses(rule, family), *transport, verdict])
        for family in FAMILIES
        if _can_match(rule, family)
    ]


def _needs_family(rule: Rule) -> bool:
    by_address = (rule.src_tag, rule.dst_tag, rule.src_net, rule.dst_net)
    return rule.protocol in _ICMP_FAMILY or any(part is not None for part in by_address)


def _can_match(rule: Rule, family: Family) -> bool:
    if rule.protocol in _ICMP_FAMILY and _ICMP_FAMILY[rule.protocol] != family:
        return False
    nets = (rule.src_net, rule.dst_net)
    return all(net is None or address.family(net) == family for net in nets)


def _addresses(rule: Rule, family: Family) -> list[str]:
    by_side: Sequence[tuple[str, str | None, IPNetwork | None]] = (
        ("saddr", rule.src_tag, rule.src_net),
        ("daddr", rule.dst_tag, rule.dst_net),
    )
    texts = [f"meta nfproto ipv{family}"]
    for side, tag, net in by_side:
        if tag is not None:
            texts.append(f"{_ADDRESS[family]} {side} @{tag_set(tag, family)}")
        if net is not None and net.prefixlen > 0:
            texts.append(f"{_ADDRESS[family]} {side} {net}")
    return texts


def _transport(rule: Rule) -> list[str]:
    texts = []
    if rule.protocol is not None:
        texts.append(f"meta l4proto {_protocol_number(rule.protocol)}")
    elif rule.src_ports or rule.dst_ports:
        texts.append(f"meta l4proto @{TCP_OR_UDP}")
    for field, ports in (("sport", rule.src_ports), ("dport", rule.dst_ports)):
        if ports:
            listed = _merged(ports)
            texts.append(f"th {field} {listed[0] if len(listed) == 1 else f'@{_port_set(listed)}'}")
    if rule.icmp_type is not None:
        texts.append(f"{rule.protocol} type {rule.icmp_type}")
    if rule.icmp_code is not None:
        texts.append(f"{rule.protocol} code {rule.icmp_code}")
    return texts


def _port_set(listed: Sequence[str]) -> str:
    plain = f"p-{'.'.join(listed)}"
    if len(plain) <= _LONGEST_PLAIN_NAME:
        return plain
    return f"p/{hashlib.sha256(plain.encode()).hexdigest()[:24]}"


def _protocol_number(protocol: str) -> str:
    # nft wants the name that /etc/protocols has; a number needs no such file.
    numbers = {"tcp": 6, "udp": 17, "sctp": 132, "udplite": 136, "icmp": 1, "icmpv6": 58}
    return str(numbers.get(protocol, protocol))


@lru_cache(1024)
def _merged(ports: tuple[Ports, ...]) -> tuple[str, ...]:
    """Write the ranges in order, those that overlap or touch as one."""
    merged: list[Ports] = []
    for item in sorted(ports, key=lambda each: each.first):
        if merged and item.first <= merged[-1].last + 1:
            merged[-1] = Ports(merged[-1].first, max(merged[-1].last, item.last))
        else:
            merged.append(item)
    return tuple(
        str(each.first) if each.first == each.last else f"{each.first}-{each.last}"
        for each in merged
    )
