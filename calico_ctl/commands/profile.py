"""Decide what the members of a profile may do.

Usage:
  calicoctl profile show [--detailed]
  calicoctl profile add <PROFILE>
  calicoctl profile remove <PROFILE> [--no-check]
  calicoctl profile <PROFILE> tag show
  calicoctl profile <PROFILE> tag (add|remove) <TAG>
  calicoctl profile <PROFILE> rule add (inbound|outbound) [--at=<POSITION>] <RULE>...
  calicoctl profile <PROFILE> rule remove (inbound|outbound) (--at=<POSITION>|<RULE>...)
  calicoctl profile <PROFILE> rule show [--counters]
  calicoctl profile <PROFILE> rule json
  calicoctl profile <PROFILE> rule update

Rules:
  (allow|deny) [<PROTOCOL> [type <TYPE> [code <CODE>]]]
               [from [ports <PORTS>] [tag <TAG>] [cidr <CIDR>]]
               [to   [ports <PORTS>] [tag <TAG>] [cidr <CIDR>]]
  All that is given has to match; the first rule that matches decides. What no rule matches is
  left to the endpoint's next profile, and after the last one it is denied. <PROTOCOL> is tcp,
  udp, sctp, udplite, icmp, icmpv6 or a number; `type` goes with the ICMP ones. <PORTS> is a list
  such as 80,8000:8080, for TCP and UDP if no protocol is given.

Counters:
  What each rule matched on this host, for all endpoints that have the profile; needs root. Rules
  are asked about packets that begin something: what belongs to a connection that was let through
  is not counted. Counts begin anew whenever the profile changes, and when the policy agent starts
  or mends its table. A packet that no rule matched is no profile's: see `endpoint show --counters`.

Options:
  --detailed       Show the members too.
  --counters       Show beside each rule how many packets and bytes it matched.
  --no-check       Remove the profile although endpoints have it; they lose what it allowed.
  --at=<POSITION>  Place of the rule, from 1; 0 is the first place too. Without it: the end.
  -h --help        Show this text.

Examples:
  calicoctl profile add web
  calicoctl profile web rule add inbound allow tcp to ports 80
  calicoctl profile web rule add inbound --at=1 deny from cidr 10.65.0.0/16
  calicoctl profile web rule remove inbound allow tcp to ports 80
  calicoctl profile web rule json | calicoctl profile web rule update
  sudo calicoctl profile web rule show --counters
"""

import json
from collections.abc import Sequence
from functools import partial

from calico_ctl import usage
from calico_ctl.commands import tables
from calico_ctl.console import Console
from calico_ctl.datastore import endpoints, profiles
from calico_ctl.errors import AlreadyExists, Conflict, ExitCode, InvalidValue, NotFound
from calico_ctl.model import codec, names, rule_edit, rule_json, rule_text
from calico_ctl.model.endpoint import Endpoint
from calico_ctl.model.rule import Direction, Rules
from calico_ctl.usage import Words
from calico_ctl.workload import counted
from calico_ctl.workload.platform import Platform

_COUNTED = ("No.", "Packets", "Bytes", "Rule")


def run(argv: Sequence[str], platform: Platform, console: Console) -> ExitCode:
    """Carry out one of the profile commands."""
    words = usage.parse(__doc__, argv)
    if words.flag("rule"):
        _rule(words, platform, console)
    elif words.flag("tag"):
        _tag(words, platform, console)
    elif words.flag("show"):
        _show(words, platform, console)
    elif words.flag("add"):
        _add(words, platform, console)
    else:
        _remove(words, platform, console)
    return ExitCode.OK


def _show(words: Words, platform: Platform, console: Console) -> None:
    listed = sorted(profiles.names(platform.store), key=tables.natural)
    if not words.flag("--detailed"):
        console.table(["Name"], [[name] for name in listed])
        return
    members, problems = endpoints.all(platform.store)
    tables.warn(console, problems)
    headings = ("Name", "Host", "Orchestrator ID", "Workload ID", "Endpoint ID", "State")
    rows = []
    for name in listed:
        present = sorted((each for each in members if name in each.profiles), key=_key)
        rows += [_member_row(name, each) for each in present] or [(name, *["None"] * 5)]
    console.table(headings, rows)


def _add(words: Words, platform: Platform, console: Console) -> None:
    name = names.parse_profile_name(words.text("<PROFILE>"))
    try:
        profiles.create(platform.store, name)
    except AlreadyExists:
        console.result(f"Profile {name} already exists.")
    else:
        console.result(f"Created profile {name}")


def _remove(words: Words, platform: Platform, console: Console) -> None:
    name = names.parse_profile_name(words.text("<PROFILE>"))
    if not words.flag("--no-check"):
        _require_unused(name, platform, console)
    profiles.remove(platform.store, name)
    console.result(f"Deleted profile {name}")


def _require_unused(name: str, platform: Platform, console: Console) -> None:
    members, problems = endpoints.all(platform.store)
    tables.warn(console, problems)
    used = [f"{each.key.host}/{each.key.id}" for each in members if name in each.profiles]
    if used:
        raise Conflict(
            f"profile {name} is in use by {', '.join(sorted(used))}",
            hint="take it from them first, or add --no-check",
        )


def _tag(words: Words, platform: Platform, console: Console) -> None:
    name = names.parse_profile_name(words.text("<PROFILE>"))
    if words.flag("show"):
        for tag in sorted(profiles.read(platform.store, name).tags, key=tables.natural):
            console.result(tag)
        return
    tag = names.parse_tag(words.text("<TAG>"))
    if words.flag("add"):
        profiles.edit_tags(platform.store, name, lambda tags: tags if tag in tags else (*tags, tag))
        console.result(f"Tag {tag} added to profile {name}")
        return

    def remove(tags: tuple[str, ...]) -> tuple[str, ...]:
        if tag not in tags:
            raise NotFound(f"profile {name} has no tag {tag}")
        return tuple(each for each in tags if each != tag)

    profiles.edit_tags(platform.store, name, remove)
    console.result(f"Tag {tag} removed from profile {name}")


def _rule(words: Words, platform: Platform, console: Console) -> None:
    name = names.parse_profile_name(words.text("<PROFILE>"))
    if words.flag("--counters"):
        _show_counted(name, platform, console)
    elif words.flag("show"):
        _show_rules(profiles.read(platform.store, name).rules, console)
    elif words.flag("json"):
        console.result(_exchanged(name, profiles.read(platform.store, name).rules))
    elif words.flag("update"):
        rules = _read_update(name, console.read_input("the rules as JSON"))
        profiles.replace_rules(platform.store, name, rules)
    elif words.flag("add"):
        _add_rule(words, name, platform, console)
    else:
        _remove_rule(words, name, platform)


def _add_rule(words: Words, name: str, platform: Platform, console: Console) -> None:
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


def _remove_rule(words: Words, name: str, platform: Platform) -> None:
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


def _show_rules(rules: Rules, console: Console) -> None:
    for direction in Direction:
        console.result(f"{direction.capitalize()} rules:")
        for number, rule in enumerate(rules.of(direction), start=1):
            console.result(f" {number:3d} {rule_text.format_rule(rule)}")


def _show_counted(name: str, platform: Platform, console: Console) -> None:
    console.require_root("calicoctl profile rule show --counters")
    found = counted.of_profile(platform, name)
    for direction in Direction:
        console.result(f"{direction.capitalize()} rules:")
        rows = [
            (number, each.count.packets, each.count.bytes, rule_text.format_rule(each.rule))
            for number, each in enumerate(found[direction], start=1)
        ]
        console.table(_COUNTED, tables.numbers_right(_COUNTED, rows))
    if doubt := counted.doubt(platform):
        console.say(f"warning: {doubt}")


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
    written = json.loads(text)
    if written.get("id", name) != name:
        raise InvalidValue("id of the rules", written["id"], f"{name}, the profile to be updated")
    if not {"inbound", "outbound"} <= {key.removesuffix("_rules") for key in written}:
        raise InvalidValue("rules", text, "both lists, inbound and outbound")
    return rules


def _member_row(profile: str, endpoint: Endpoint) -> tuple[str, ...]:
    key = endpoint.key
    return (profile, key.host, key.orchestrator, key.workload, key.id, endpoint.state.value)


def _key(endpoint: Endpoint) -> tuple[object, ...]:
    return (tables.natural(endpoint.key.host), endpoint.key)
