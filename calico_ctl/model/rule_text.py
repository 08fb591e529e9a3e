"""A rule as a person types it ⇄ Rule.

    (allow|deny) [<protocol>] [type <N> [code <N>]]
        [from [ports <PORTS>] [tag <TAG>] [cidr <CIDR>]]
        [to   [ports <PORTS>] [tag <TAG>] [cidr <CIDR>]]

The order is fixed. `type` and `code` come after `icmp` or `icmpv6` only. A tag is whatever word
follows `tag`, so one that is called `to` is no trouble. `cidr` may be left out before what is
plainly an address, as old documents do.

The reader walks through the words once. It notes which words it would have taken at the place
where it stands, so an unexpected word can be answered with what could have come there.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from netaddr import IPNetwork

from calico_ctl.errors import InvalidValue
from calico_ctl.model import address, names, rule_json
from calico_ctl.model.rule import ICMP_PROTOCOLS, NAMED_PROTOCOLS, Action, Ports, Rule

_T = TypeVar("_T")

_PROTOCOL_FORM = f"a protocol ({', '.join(NAMED_PROTOCOLS)}, or its number)"


@dataclass(frozen=True, slots=True)
class _Side:
    """What a rule asks of one end of the connection."""

    tag: str | None = None
    net: IPNetwork | None = None
    ports: tuple[Ports, ...] = ()


def parse(words: Sequence[str]) -> Rule:
    """Return the rule that the words spell; raise InvalidValue naming the word that does not fit.

    The words may also come as one, as a quoted rule does.
    """
    reader = _Reader(" ".join(words).split())
    action = reader.action()
    protocol = reader.protocol()
    icmp_type = reader.value("type", _icmp_number) if protocol in ICMP_PROTOCOLS else None
    icmp_code = reader.value("code", _icmp_number) if icmp_type is not None else None
    source = reader.side("from")
    destination = reader.side("to")
    reader.finish()
    return rule_json.check(
        Rule(
            action=action,
            protocol=protocol,
            src_tag=source.tag,
            src_net=source.net,
            src_ports=source.ports,
            dst_tag=destination.tag,
            dst_net=destination.net,
            dst_ports=destination.ports,
            icmp_type=icmp_type,
            icmp_code=icmp_code,
        )
    )


def format_rule(rule: Rule) -> str:
    """Write a rule as `parse` reads it."""
    words = [rule.action.value, *_present("", rule.protocol)]
    words += [*_present("type", rule.icmp_type), *_present("code", rule.icmp_code)]
    words += _format_side("from", _Side(rule.src_tag, rule.src_net, rule.src_ports))
    words += _format_side("to", _Side(rule.dst_tag, rule.dst_net, rule.dst_ports))
    return " ".join(words)


class _Reader:
    """Where we are in the words, and what could have come here."""

    def __init__(self, words: Sequence[str]) -> None:
        """Start at the first word."""
        self._words = words
        self._at = 0
        self._acceptable: list[str] = []

    @property
    def _word(self) -> str | None:
        return self._words[self._at] if self._at < len(self._words) else None

    def action(self) -> Action:
        for action in Action:
            if self._keyword(action.value):
                return action
        raise self._unexpected(self._acceptable)

    def protocol(self) -> str | None:
        word = self._word
        if word is not None and (word.lower() in NAMED_PROTOCOLS or word.isdigit()):
            return rule_json.parse_protocol(self._take())
        self._acceptable.append(_PROTOCOL_FORM)
        return None

    def side(self, keyword: str) -> _Side:
        if not self._keyword(keyword):
            return _Side()
        ports = self.value("ports", _parse_ports)
        tag = self.value("tag", names.parse_tag)
        net = self.value("cidr", address.parse_exact_network)
        if net is None and self._word is not None and re.search("[.:/]", self._word):
            net = address.parse_exact_network(self._take())
        return _Side(tag, net, ports or ())

    def value(self, keyword: str, parse_value: Callable[[str], _T]) -> _T | None:
        """Return what follows a keyword, or None if the keyword is not here."""
        if not self._keyword(keyword):
            return None
        if self._word is None:
            raise InvalidValue("rule", " ".join(self._words), f"a value after '{keyword}'")
        return parse_value(self._take())

    def finish(self) -> None:
        if self._word is not None:
            raise self._unexpected([*self._acceptable, "the end of the rule"])

    def _keyword(self, keyword: str) -> bool:
        if self._word == keyword:
            self._take()
            return True
        self._acceptable.append(f"'{keyword}'")
        return False

    def _take(self) -> str:
        word = self._words[self._at]
        self._at += 1
        self._acceptable = []
        return word

    def _unexpected(self, acceptable: Sequence[str]) -> InvalidValue:
        *first, last = acceptable
        expected = f"{', '.join(first)} or {last}" if first else last
        return InvalidValue(f"word {self._at + 1} of the rule", self._word or "", expected)


def _parse_ports(text: str) -> tuple[Ports, ...]:
    return tuple(rule_json.parse_ports(part.replace("-", ":")) for part in text.split(","))


def _icmp_number(text: str) -> int:
    if not re.fullmatch("[0-9]{1,3}", text) or int(text) > rule_json.LARGEST_ICMP:
        raise InvalidValue(
            "ICMP type or code", text, f"a number from 0 to {rule_json.LARGEST_ICMP}"
        )
    return int(text)


def _format_side(keyword: str, side: _Side) -> list[str]:
    ports = ",".join(rule_json.format_ports(each) for each in side.ports) or None
    words = [*_present("ports", ports), *_present("tag", side.tag), *_present("cidr", side.net)]
    return [keyword, *words] if words else []


def _present(keyword: str, value: object) -> list[str]:
    return [] if value is None else [word for word in (keyword, str(value)) if word]
