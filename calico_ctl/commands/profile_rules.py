"""The rules of a profile, as `calicoctl profile <PROFILE> rule ...` shows and changes them."""

import json
from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING

from calico_ctl.commands import output, tables
from calico_ctl.commands.output import Form, Listing
from calico_ctl.console import Console
from calico_ctl.datastore import profiles
from calico_ctl.errors import InvalidValue
from calico_ctl.model import codec, rule_edit, rule_json, rule_text
from calico_ctl.model.rule import Direction, Rule, Rules
from calico_ctl.usage import Words
from calico_ctl.workload.platform import Platform

if TYPE_CHECKING:
    from calico_ctl.workload.counted import CountedRule

_COUNTED = ("No.", "Packets", "Bytes", "Rule")


def run(name: str, words: Words, platform: Platform, console: Console) -> None:
    """Carry out one of the commands on the rules of profile `name`."""
    if words.flag("--counters"):
        _show_counted(name, words, platform, console)
    elif words.flag("show"):
        _show(name, words, platform, console)
    elif words.flag("json"):
        console.result(_exchanged(name, profiles.read(platform.store, name).rules))
    elif words.flag("update"):
        rules = _read_update(name, console.read_input("the rules as JSON"))
        profiles.replace_rules(platform.store, name, rules)
    elif words.flag("add"):
        _add(words, name, platform, console)
    else:
        _remove(words, name, platform)


def _add(words: Words, name: str, platform: Platform, console: Console) -> None:
    direction = Direction(words.chosen(*Direction))
    position = _position(words)
    rule = rule_text.parse(words.texts("<RULE>"))
    was_there = False

    def insert(rules: Rules) -> Rules:
        nonlocal was_there
        was_there = rule in rules.of(direction)
        return rule_edit.insert(rules, direction, rule, position)

    profiles.edit_rules(platform.store, name, insert)
    if was_there:
        console.say(f"profile {name} has this {direction} rule already; nothing was changed")


def _remove(words: Words, name: str, platform: Platform) -> None:
    direction = Direction(words.chosen(*Direction))
    position = _position(words)
    if position is None:
        rule = rule_text.parse(words.texts("<RULE>"))
        take_out = partial(rule_edit.remove, direction=direction, rule=rule)
    else:
        take_out = partial(rule_edit.remove_at, direction=direction, position=position)
    profiles.edit_rules(platform.store, name, take_out)


def _position(words: Words) -> int | None:
    text = words.optional("--at")
    return None if text is None else rule_edit.parse_position(text)


def _show(name: str, words: Words, platform: Platform, console: Console) -> None:
    form = _form(words)
    rules = profiles.read(platform.store, name).rules

    def table() -> None:
        for direction in Direction:
            console.result(f"{direction.capitalize()} rules:")
            for number, rule in enumerate(rules.of(direction), start=1):
                console.result(f" {number:3d} {rule_text.format_rule(rule)}")

    items = [
        _item(name, direction, number, rule)
        for direction in Direction
        for number, rule in enumerate(rules.of(direction), start=1)
    ]
    output.show(console, form, Listing("rule", items, ()), table)


def _show_counted(name: str, words: Words, platform: Platform, console: Console) -> None:
    # Imported here: it brings the compiler of rules, which only counts need.
    from calico_ctl.workload import counted

    form = _form(words)
    console.require_root("calicoctl profile rule show --counters")
    found = counted.of_profile(platform, name)
    items = [
        _item(name, direction, number, each.rule)
        | {"packets": each.count.packets, "bytes": each.count.bytes}
        for direction in Direction
        for number, each in enumerate(found[direction], start=1)
    ]
    listing = Listing("rule", items, ())
    output.show(console, form, listing, lambda: _counted_tables(found, console))
    if doubt := counted.doubt(platform):
        console.say(f"warning: {doubt}")


def _counted_tables(found: Mapping[Direction, Sequence["CountedRule"]], console: Console) -> None:
    for direction in Direction:
        console.result(f"{direction.capitalize()} rules:")
        rows = [
            (number, each.count.packets, each.count.bytes, rule_text.format_rule(each.rule))
            for number, each in enumerate(found[direction], start=1)
        ]
        console.table(_COUNTED, tables.numbers_right(_COUNTED, rows))


def _form(words: Words) -> Form:
    form = output.form(words)
    if form is Form.NAME:
        raise InvalidValue("--output", form.value, "table, json or yaml: rules have no names")
    return form


def _item(profile: str, direction: Direction, number: int, rule: Rule) -> dict[str, object]:
    """Return a rule as data: where it stands, what it is in words, and its criteria."""
    where = {"profile": profile, "direction": direction.value, "position": number}
    return where | {"text": rule_text.format_rule(rule)} | rule_json.rule_to_object(rule)


def _exchanged(name: str, rules: Rules) -> str:
    """Write rules in the historical shape, which scripts exchange."""
    written = rule_json.to_object(rules)
    shape = {
        "id": name,
        "inbound_rules": written["inbound"],
        "outbound_rules": written["outbound"],
    }
    return json.dumps(shape, indent=2)


def _read_update(name: str, text: str) -> Rules:
    rules = codec.decode_rules(text)
    written = json.loads(text, object_pairs_hook=_each_once)
    if written.get("id", name) != name:
        raise InvalidValue("id of the rules", written["id"], f"{name}, the profile to be updated")
    if not {"inbound", "outbound"} <= {key.removesuffix("_rules") for key in written}:
        raise InvalidValue("rules", text, "both lists, inbound and outbound")
    return rules


def _each_once(fields: Sequence[tuple[str, object]]) -> dict[str, object]:
    """Make an object of its fields; of two of one name, nobody knows which is meant."""
    found: dict[str, object] = {}
    for name, value in fields:
        if name in found:
            raise InvalidValue("rules", name, "each field of an object only once")
        found[name] = value
    return found
