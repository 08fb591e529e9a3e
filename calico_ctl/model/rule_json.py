"""A rule as a JSON object, in the user guide's words."""

import re
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import cast

from netaddr import IPNetwork

from calico_ctl.errors import InvalidValue
from calico_ctl.model import address, names
from calico_ctl.model.rule import (
    ICMP_PROTOCOLS,
    NAMED_PROTOCOLS,
    PORT_PROTOCOLS,
    Action,
    Ports,
    Rule,
    Rules,
)

JsonObject = dict[str, object]

LARGEST_PORT = 65535
LARGEST_ICMP = 255

_SHAPES = (("inbound", "outbound"), ("inbound_rules", "outbound_rules"))
_PORT_PROTOCOL_NUMBERS = {"6": "tcp", "17": "udp", "132": "sctp", "136": "udplite"}
_ICMP_PROTOCOL_NUMBERS = {"1": "icmp", "58": "icmpv6"}
_NAMES_OF_NUMBERS = _PORT_PROTOCOL_NUMBERS | _ICMP_PROTOCOL_NUMBERS
_PROTOCOL_FAMILIES = {"icmp": 4, "icmpv6": 6}
_ACTIONS = {action.value: action for action in Action}
_WITH_PORTS_OR_ANY = (None, *PORT_PROTOCOLS)

# Profiles name the same few nets and ports again and again: each is read once and shared.
_parse_net = lru_cache(maxsize=1024)(address.parse_network)


def from_object(value: Mapping[str, object]) -> Rules:
    """Read both lists, in the guide's shape or the historical one; a missing list is empty."""
    shape = _SHAPES[1] if any(name in value for name in _SHAPES[1]) else _SHAPES[0]
    unknown = set(value) - set(shape) - {"id"}
    if unknown:
        raise InvalidValue("field of the rules", min(unknown), f"only {shape[0]} and {shape[1]}")
    inbound, outbound = (_rules(name, value.get(name)) for name in shape)
    return Rules(inbound, outbound)


def to_object(rules: Rules) -> JsonObject:
    """Write both lists in the guide's shape."""
    return {
        "inbound": [rule_to_object(rule) for rule in rules.inbound],
        "outbound": [rule_to_object(rule) for rule in rules.outbound],
    }


def rule_to_object(rule: Rule) -> JsonObject:
    """Write one rule; criteria that match everything are left out, the action never is."""
    fields: dict[str, object | None] = {
        "action": rule.action.value,
        "protocol": _number_or_text(rule.protocol),
        "src_tag": rule.src_tag,
        "src_net": rule.src_net and str(rule.src_net),
        "src_ports": [_port_to_json(ports) for ports in rule.src_ports] or None,
        "dst_tag": rule.dst_tag,
        "dst_net": rule.dst_net and str(rule.dst_net),
        "dst_ports": [_port_to_json(ports) for ports in rule.dst_ports] or None,
        "icmp_type": rule.icmp_type,
        "icmp_code": rule.icmp_code,
    }
    return {name: value for name, value in fields.items() if value is not None}


def rule_from_object(value: object) -> Rule:
    """Read one rule. A field that is null counts as absent; an unknown one is an error.

    An unknown field is refused because leaving a criterion out would make the rule match more.
    """
    if not isinstance(value, dict):
        raise InvalidValue("rule", value, "a JSON object")
    fields = {name: item for name, item in value.items() if item is not None}
    unknown = fields.keys() - _READERS.keys()
    if unknown:
        raise InvalidValue("field", min(unknown), f"one of {', '.join(_READERS)}")
    parsed = {name: _READERS[name](name, item) for name, item in fields.items()}
    # Each reader returns what its field of Rule holds; a mapping cannot say so field by field.
    rule = Rule(**cast("dict[str, object]", parsed))  # type: ignore[arg-type]
    return check(rule)


def field_at_fault(value: Mapping[str, object]) -> str | None:
    """Return the first field of a refused rule that is wrong by itself; None: they do not fit."""
    for name, item in value.items():
        try:
            _READERS[name](name, item)
        except (KeyError, InvalidValue):
            return name
    return None


def check(rule: Rule) -> Rule:
    """Return the rule if its criteria fit together; raise InvalidValue otherwise."""
    if rule.src_ports or rule.dst_ports:
        _require("ports", rule.protocol, _WITH_PORTS_OR_ANY)
    if rule.icmp_type is not None:
        _require("icmp_type", rule.protocol, ICMP_PROTOCOLS)
    if rule.icmp_code is not None and rule.icmp_type is None:
        raise InvalidValue("icmp_code", rule.icmp_code, "an icmp_type beside it")
    if rule.src_net is None and rule.dst_net is None:
        return rule
    nets = [net for net in (rule.src_net, rule.dst_net) if net is not None]
    if len(nets) == 2 and nets[0].version != nets[1].version:
        raise InvalidValue("dst_net", str(rule.dst_net), "the family of src_net")
    protocol_family = _PROTOCOL_FAMILIES.get(rule.protocol or "")
    for net in nets:
        if protocol_family not in {None, net.version}:
            raise InvalidValue("net", str(net), f"the family of protocol {rule.protocol}")
    return rule


def parse_protocol(text: str) -> str:
    """Return the protocol's name, or its number as text where it has none here."""
    lowered = text.lower()
    if lowered in NAMED_PROTOCOLS:
        return lowered
    if re.fullmatch(r"[1-9][0-9]{0,2}", text) and int(text) <= 255:
        return _NAMES_OF_NUMBERS.get(text, text)
    accepted = ", ".join(NAMED_PROTOCOLS)
    raise InvalidValue("protocol", text, f"{accepted}, or a number from 1 to 255")


@lru_cache(maxsize=1024)
def parse_ports(text: str) -> Ports:
    """Read `80` or `2048:4000`; raise InvalidValue otherwise."""
    first, colon, last = text.partition(":")
    ports = Ports(_port(first, text), _port(last if colon else first, text))
    if ports.first > ports.last:
        raise InvalidValue("port range", text, "the lower port first")
    return ports


def format_ports(ports: Ports) -> str:
    """Write `80` or `2048:4000`."""
    return str(ports.first) if ports.first == ports.last else f"{ports.first}:{ports.last}"


def _require(what: str, protocol: str | None, accepted: tuple[str | None, ...]) -> None:
    if protocol not in accepted:
        listed = " or ".join(name for name in accepted if name)
        raise InvalidValue("protocol", protocol or "(none)", f"{listed} where {what} is given")


def _rules(name: str, value: object) -> tuple[Rule, ...]:
    if value is None:
        return ()
    if not isinstance(value, list):
        raise InvalidValue(name, value, "a list of rules")
    return tuple(_numbered(name, number, item) for number, item in enumerate(value, 1))


def _numbered(name: str, number: int, value: object) -> Rule:
    try:
        return rule_from_object(value)
    except InvalidValue as error:
        what = f"{error.what} of {name.removesuffix('_rules')} rule {number},"
        raise InvalidValue(what, error.value, error.expected) from error


def _read_action(_name: str, value: object) -> Action:
    if not isinstance(value, str) or value not in _ACTIONS:
        raise InvalidValue("action", value, "'allow' or 'deny'")
    return _ACTIONS[value]


def _read_protocol(_name: str, value: object) -> str:
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise InvalidValue("protocol", value, "a name or a number from 1 to 255")
    return parse_protocol(str(value))


def _read_tag(name: str, value: object) -> str:
    if not isinstance(value, str):
        raise InvalidValue(name, value, "the name of a tag")
    return names.parse_tag(value)


def _read_net(name: str, value: object) -> IPNetwork:
    if not isinstance(value, str):
        raise InvalidValue(name, value, "a CIDR such as 10.65.0.0/24")
    return _parse_net(value, name)


def _read_ports(name: str, value: object) -> tuple[Ports, ...]:
    if not isinstance(value, list) or not value:
        raise InvalidValue(name, value, 'a list of ports such as [80, "2048:4000"]')
    return tuple([_read_port(name, item) for item in value])


def _read_port(name: str, item: object) -> Ports:
    if isinstance(item, bool) or not isinstance(item, str | int):
        raise InvalidValue(name, item, 'a port such as 80 or a range such as "2048:4000"')
    return parse_ports(str(item))


def _read_icmp(name: str, value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= LARGEST_ICMP:
        raise InvalidValue(name, value, "a number from 0 to 255")
    return value


_READERS: Mapping[str, Callable[[str, object], object]] = {
    "action": _read_action,
    "protocol": _read_protocol,
    "src_tag": _read_tag,
    "src_net": _read_net,
    "src_ports": _read_ports,
    "dst_tag": _read_tag,
    "dst_net": _read_net,
    "dst_ports": _read_ports,
    "icmp_type": _read_icmp,
    "icmp_code": _read_icmp,
}


def _port(text: str, whole: str) -> int:
    if not (text.isascii() and text.isdigit()) or len(text) > 5 or int(text) > LARGEST_PORT:
        raise InvalidValue("port", whole, f"0 to {LARGEST_PORT}, or a range such as 2048:4000")
    return int(text)


def _port_to_json(ports: Ports) -> int | str:
    return ports.first if ports.first == ports.last else format_ports(ports)


def _number_or_text(protocol: str | None) -> int | str | None:
    return int(protocol) if protocol is not None and protocol.isdigit() else protocol
