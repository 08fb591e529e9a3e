"""A rule in the words of the command line.

    (allow|deny) [<protocol> [type T [code C]]] [from [ports P] [tag T] [cidr N]] [to ...]

The order of the words is fixed. `ports` is a comma list of `80` or `8000:8080` (`-` is taken for
`:` too). The word `cidr` may be left out. What JSON can say, this can say, and the other way round.
"""

from dataclasses import dataclass

from netaddr import IPNetwork

from calico_ctl.errors import InvalidValue
from calico_ctl.model import address, names, rule_json
from calico_ctl.model.rule import NAMED_PROTOCOLS, Action, Ports, Rule

_KEYWORDS = frozenset({"from", "to", "ports", "tag", "cidr", "type", "code"})


@dataclass(frozen=True, slots=True)
class _Side:
    tag: str | None = None
    net: IPNetwork | None = None
    ports: tuple[Ports, ...] = ()


def parse(words: list[str]) -> Rule:
    """Read a rule; raise InvalidValue naming the word that does not fit."""
    reader = _Words(words)
    action = _parse_action(reader.next("allow or deny"))
    protocol = _parse_protocol(reader)
    icmp_type = _parse_icmp(reader, "type")
    icmp_code = _parse_icmp(reader, "code") if icmp_type is not None else None
    source = _parse_side(reader, "from")
    destination = _parse_side(reader, "to")
    reader.end()
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
    """Write a rule so that `parse` reads it again."""
    words = [rule.action.value]
    if rule.protocol is not None:
        words.append(rule.protocol)
    if rule.icmp_type is not None:
        words += ["type", str(rule.icmp_type)]
    if rule.icmp_code is not None:
        words += ["code", str(rule.icmp_code)]
    words += _format_side("from", _Side(rule.src_tag, rule.src_net, rule.src_ports))
    words += _format_side("to", _Side(rule.dst_tag, rule.dst_net, rule.dst_ports))
    return " ".join(words)


class _Words:
    """The words that are left, with errors that say what could have come."""

    def __init__(self, words: list[str]) -> None:
        self._words = list(words)

    def peek(self) -> str:
        return self._words[0] if self._words else ""

    def take(self, word: str) -> bool:
        if self.peek() != word:
            return False
        self._words.pop(0)
        return True

    def next(self, expected: str) -> str:
        if not self._words:
            raise InvalidValue("rule", "(its end)", expected)
        return self._words.pop(0)

    def end(self) -> None:
        if self._words:
            expected = "the end of the rule, or a word at its place: [protocol] [from ...] [to ...]"
            raise InvalidValue("word of the rule", self._words[0], expected)


def _parse_action(word: str) -> Action:
    if word not in set(Action):
        raise InvalidValue("action", word, "allow or deny")
    return Action(word)


def _parse_protocol(reader: _Words) -> str | None:
    word = reader.peek()
    if word.lower() in NAMED_PROTOCOLS or word.isdigit():
        return rule_json.parse_protocol(reader.next("a protocol"))
    return None


def _parse_icmp(reader: _Words, word: str) -> int | None:
    if not reader.take(word):
        return None
    text = reader.next(f"the ICMP {word}, 0 to 255")
    if not (text.isascii() and text.isdigit()) or int(text) > rule_json.LARGEST_ICMP:
        raise InvalidValue(f"ICMP {word}", text, "a number from 0 to 255")
    return int(text)


def _parse_side(reader: _Words, word: str) -> _Side:
    if not reader.take(word):
        return _Side()
    ports: tuple[Ports, ...] = ()
    if reader.take("ports"):
        text = reader.next("ports such as 80,8000:8080")
        ports = tuple(rule_json.parse_ports(part.replace("-", ":")) for part in text.split(","))
    tag = names.parse_tag(reader.next("a tag")) if reader.take("tag") else None
    return _Side(tag, _parse_net(reader), ports)


def _parse_net(reader: _Words) -> IPNetwork | None:
    bare = reader.peek() not in _KEYWORDS and bool(reader.peek())
    if reader.take("cidr") or bare:
        return address.parse_network(reader.next("a CIDR such as 10.65.0.0/16"))
    return None


def _format_side(word: str, side: _Side) -> list[str]:
    words = []
    if side.ports:
        words += ["ports", ",".join(rule_json.format_ports(ports) for ports in side.ports)]
    if side.tag is not None:
        words += ["tag", side.tag]
    if side.net is not None:
        words += ["cidr", str(side.net)]
    return [word, *words] if words else []
