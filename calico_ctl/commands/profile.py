"""Decide what the members of a profile may do.

Usage:
  calicoctl profile show [--detailed] [--output=<FORM>]
  calicoctl profile add <PROFILE>
  calicoctl profile remove <PROFILE> [--no-check]
  calicoctl profile <PROFILE> tag show [--output=<FORM>]
  calicoctl profile <PROFILE> tag (add|remove) <TAG>
  calicoctl profile <PROFILE> rule add (inbound|outbound) [--at=<POSITION>] <RULE>...
  calicoctl profile <PROFILE> rule remove (inbound|outbound) (--at=<POSITION>|<RULE>...)
  calicoctl profile <PROFILE> rule show [--counters] [--output=<FORM>]
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
  is not counted. Counts begin anew whenever the profile changes, or somebody changed its rules in
  the kernel; a restart of the policy agent keeps them. A packet that no rule matched is no
  profile's: see `endpoint show --counters`.

Options:
  --detailed       Show the members too.
  --counters       Show beside each rule how many packets and bytes it matched.
  --no-check       Remove the profile although endpoints have it; they lose what it allowed.
  --at=<POSITION>  Place of the rule, from 1; 0 is the first place too. Without it: the end.
  --output=<FORM>  How to show it: table, json, yaml, or name for the names alone (rules have none).
  -h --help        Show this text.

Examples:
  calicoctl profile add web
  calicoctl profile web rule add inbound allow tcp to ports 80
  calicoctl profile web rule add inbound --at=1 deny from cidr 10.65.0.0/16
  calicoctl profile web rule remove inbound allow tcp to ports 80
  calicoctl profile web rule json | calicoctl profile web rule update
  calicoctl profile show --detailed --output=json
  sudo calicoctl profile web rule show --counters
"""

from collections.abc import Sequence

from calico_ctl import usage
from calico_ctl.commands import output, tables
from calico_ctl.commands.output import Form, Listing
from calico_ctl.console import Console
from calico_ctl.datastore import endpoints, profiles
from calico_ctl.datastore.entries import Problem
from calico_ctl.errors import AlreadyExists, Conflict, ExitCode, NotFound
from calico_ctl.model import names
from calico_ctl.model.endpoint import Endpoint
from calico_ctl.usage import Words
from calico_ctl.workload.platform import Platform

_DETAILED = ("Name", "Host", "Orchestrator ID", "Workload ID", "Endpoint ID", "State")

Members = dict[str, list[Endpoint]]


def run(argv: Sequence[str], platform: Platform, console: Console) -> ExitCode:
    """Carry out one of the profile commands."""
    words = usage.parse(__doc__, argv)
    if words.flag("rule"):
        # with the language of rules, which only these commands speak
        from calico_ctl.commands import profile_rules

        name = names.parse_profile_name(words.text("<PROFILE>"))
        profile_rules.run(name, words, platform, console)
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
    form = output.form(words)
    listed = sorted(profiles.names(platform.store), key=tables.natural)
    members: Members = {}
    if words.flag("--detailed") and form is not Form.NAME:
        members = _members(listed, platform, console)

    def table() -> None:
        if words.flag("--detailed"):
            console.table(_DETAILED, [row for name in listed for row in _rows(name, members)])
        else:
            console.table(["Name"], [[name] for name in listed])

    items: Sequence[dict[str, object]] = ()
    if form in {Form.JSON, Form.YAML}:
        items = _items(platform, console)
    if words.flag("--detailed"):
        items = [{**item, "members": _member_items(str(item["name"]), members)} for item in items]
    output.show(console, form, Listing("profile", items, listed), table)


def _members(listed: Sequence[str], platform: Platform, console: Console) -> Members:
    """Return the endpoints that have each profile, in the order in which they are shown."""
    present, problems = endpoints.all(platform.store)
    tables.warn(console, problems)
    members: Members = {name: [] for name in listed}
    for each in sorted(present, key=tables.endpoint_order):
        for name in each.profiles:
            members.get(name, []).append(each)
    return members


def _items(platform: Platform, console: Console) -> list[dict[str, object]]:
    from calico_ctl.model import manifest

    present, problems = profiles.all(platform.store)
    tables.warn(console, problems)
    ordered = sorted(present, key=lambda each: tables.natural(each.name))
    return [manifest.profile_item(each) for each in ordered]


def _rows(name: str, members: Members) -> list[tuple[str, ...]]:
    rows: list[tuple[str, ...]] = [
        (name, *each.key, each.state.value) for each in members.get(name, ())
    ]
    return rows or [(name, *["None"] * 5)]


def _member_items(name: str, members: Members) -> list[dict[str, object]]:
    return [tables.endpoint_reference(each) for each in members.get(name, ())]


def _add(words: Words, platform: Platform, console: Console) -> None:
    name = names.parse_profile_name(words.text("<PROFILE>"))
    try:
        profiles.create(platform.store, name)
    except AlreadyExists:
        console.result(f"Profile {name} already exists.")
        return
    console.result(f"Created profile {name}")
    used, problems = _users(name, platform)
    tables.warn(console, problems)
    if used:
        console.say(f"warning: these had profile {name} before and have it again: {used}")


def _remove(words: Words, platform: Platform, console: Console) -> None:
    name = names.parse_profile_name(words.text("<PROFILE>"))
    if not words.flag("--no-check"):
        used, _ = _users(name, platform)
        if used:
            raise Conflict(
                f"profile {name} is in use by {used}",
                hint="take it from them first, or add --no-check",
            )
    profiles.remove(platform.store, name)
    console.result(f"Deleted profile {name}")
    # Somebody may have given it to an endpoint since, and with --no-check nobody has looked yet.
    used, problems = _users(name, platform)
    tables.warn(console, problems)
    if used:
        console.say(f"warning: these still have profile {name}, which allows nothing now: {used}")


def _users(name: str, platform: Platform) -> tuple[str, list[Problem]]:
    """Return which endpoints have a profile, and the keys that may say so but cannot be read."""
    found, problems = endpoints.having_profile(platform.store, name)
    ordered = sorted(found, key=tables.endpoint_order)
    return tables.some([f"{each.key.host}/{each.key.id}" for each in ordered]), problems


def _tag(words: Words, platform: Platform, console: Console) -> None:
    name = names.parse_profile_name(words.text("<PROFILE>"))
    if words.flag("show"):
        _show_tags(name, words, platform, console)
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


def _show_tags(name: str, words: Words, platform: Platform, console: Console) -> None:
    form = output.form(words)
    tags = sorted(profiles.read(platform.store, name).tags, key=tables.natural)

    def table() -> None:
        for tag in tags:
            console.result(tag)

    items = [{"profile": name, "name": tag} for tag in tags]
    output.show(console, form, Listing("tag", items, tags), table)
