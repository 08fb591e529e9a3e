"""Show and change the endpoints of all hosts.

Usage:
  calicoctl endpoint show [--host=<HOSTNAME>] [--orchestrator=<ORCHESTRATOR_ID>]
                          [--workload=<WORKLOAD_ID>] [--endpoint=<ENDPOINT_ID>]
                          [--detailed | --counters] [--output=<FORM>]
  calicoctl endpoint <ENDPOINT_ID> profile (append|remove|set) [--host=<HOSTNAME>]
                          [--orchestrator=<ORCHESTRATOR_ID>] [--workload=<WORKLOAD_ID>]
                          [<PROFILES>...]
  calicoctl endpoint <ENDPOINT_ID> profile show [--host=<HOSTNAME>]
                          [--orchestrator=<ORCHESTRATOR_ID>] [--workload=<WORKLOAD_ID>]
                          [--output=<FORM>]

Arguments:
  <ENDPOINT_ID>  An endpoint's id, or anything else that it is called by: one of its addresses, its
                 interface on the host, a container of this host by its name, a container's id, the
                 beginning of an id (four characters at least), or the absolute path of a network
                 namespace's file.

Options:
  --host=<HOSTNAME>                 Only endpoints of this host.
  --orchestrator=<ORCHESTRATOR_ID>  Only endpoints of this orchestrator, such as docker.
  --workload=<WORKLOAD_ID>          Only endpoints of this workload, such as a container's full id.
  --endpoint=<ENDPOINT_ID>          Only endpoints that are called so.
  --detailed                        A line for each endpoint instead of one for each host.
  --counters                        A line for each endpoint of this host: how many packets from it
                                    and to it the policy dropped, and how many as spoofed (a source
                                    that is not its own, or a router's messages). Needs root.
                                    A restart of the policy agent keeps the counts; `-` stands
                                    where the kernel counts nothing, because it lets nothing of
                                    that interface through.
  --output=<FORM>                   How to show them: table, json, yaml, or name for the ids (of
                                    `profile show`: the names of the profiles) alone.
  -h --help                         Show this text.

Examples:
  calicoctl endpoint show --detailed
  calicoctl endpoint show --host=node1 --orchestrator=docker --detailed
  calicoctl endpoint show --endpoint=192.168.1.5 --detailed --output=json
  sudo calicoctl endpoint show --counters
  calicoctl endpoint web profile append logger
  calicoctl endpoint 1d9e9624cdb711e499bf08002737b14f profile set web logger
  calicoctl endpoint 1d9e9624 profile show
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from calico_ctl import usage
from calico_ctl.commands import output, tables
from calico_ctl.commands.output import Form, Listing
from calico_ctl.console import Console
from calico_ctl.errors import ExitCode, InvalidValue, UsageError
from calico_ctl.model import names
from calico_ctl.model.endpoint import Endpoint, ShownEndpoint, State
from calico_ctl.usage import Words
from calico_ctl.workload import endpoint_word, which_endpoint
from calico_ctl.workload.platform import Platform
from calico_ctl.workload.which_endpoint import Filter

if TYPE_CHECKING:
    from calico_ctl.model.count import Drops

_SUMMARY = ("Hostname", "Orchestrator ID", "Number of Workloads", "Number of Endpoints")
_COUNTED = (
    "Workload ID",
    "Endpoint ID",
    "Interface",
    "Dropped from it",
    "Dropped to it",
    "Spoofed",
)


def run(argv: Sequence[str], platform: Platform, console: Console) -> ExitCode:
    """Carry out one of the endpoint commands."""
    words = usage.parse(__doc__, argv)
    if not words.flag("profile"):
        _show(words, platform, console)
    elif words.flag("show"):
        _show_profiles(words, platform, console)
    else:
        _change_profiles(words, platform, console)
    return ExitCode.OK


def _show(words: Words, platform: Platform, console: Console) -> None:
    form, wanted = output.form(words), _filter(words, "--endpoint")
    if words.flag("--counters"):
        _show_counters(form, wanted, platform, console)
        return
    found, problems = which_endpoint.find_shown(platform, wanted)
    tables.warn(console, problems)
    if wanted.word is not None and not found:
        console.say(f"there is no {wanted}")
    if words.flag("--detailed") or form is Form.NAME:
        tables.show_endpoints(console, form, found)
    else:
        _show_summary(form, found, console)


def _show_summary(form: Form, found: Sequence[ShownEndpoint], console: Console) -> None:
    summary = _summary(found)
    items = [
        {
            "hostname": hostname,
            "orchestrator": orchestrator,
            "workloads": workloads,
            "endpoints": endpoints,
        }
        for hostname, orchestrator, workloads, endpoints in summary
    ]
    rows = [(host, orchestrator, str(w), str(e)) for host, orchestrator, w, e in summary]
    listing = Listing("endpoint_summary", items, ())
    output.show(console, form, listing, lambda: console.table(_SUMMARY, rows))


def _show_counters(form: Form, wanted: Filter, platform: Platform, console: Console) -> None:
    if wanted.host not in {None, platform.hostname}:
        raise UsageError(
            f"error: --counters shows what this host, {platform.hostname}, has counted",
            hint=f"run it on {wanted.host}",
        )
    console.require_root("calicoctl endpoint show --counters")
    found, problems = which_endpoint.find(platform, wanted._replace(host=platform.hostname))
    tables.warn(console, problems)
    drops = platform.counters.drops()
    ordered = sorted(found, key=tables.endpoint_order)
    items = [tables.identified(each) | _counts(each, drops) for each in ordered]
    listing = Listing("endpoint_counters", items, [each.key.id for each in ordered])
    rows = [_counted(each, drops.get(each.name)) for each in ordered]
    output.show(
        console,
        form,
        listing,
        lambda: console.table(_COUNTED, tables.numbers_right(_COUNTED, rows)),
    )
    active = [each for each in ordered if each.state is State.ACTIVE]
    if cut_off := [each.key.id for each in active if each.name not in drops]:
        console.say(f"warning: this host lets nothing through of {tables.some(cut_off)}")
        console.say("hint: `calicoctl status` shows how the policy agent is")


def _counted(endpoint: Endpoint, drops: "Drops | None") -> tuple[int | str, ...]:
    key = endpoint.key
    counts = ("-",) * 3 if drops is None else (drops.sent, drops.received, drops.spoofed)
    return (key.workload, key.id, endpoint.name, *counts)


def _counts(endpoint: Endpoint, drops: "Mapping[str, Drops]") -> dict[str, object]:
    """Return the counts as data; null where the kernel counts nothing."""
    found = drops.get(endpoint.name)
    return {
        "interface": endpoint.name,
        "dropped_from": found and found.sent,
        "dropped_to": found and found.received,
        "spoofed": found and found.spoofed,
    }


def _change_profiles(words: Words, platform: Platform, console: Console) -> None:
    # Who looks at endpoints needs nothing of what profiles are.
    from calico_ctl.workload import membership

    profiles = tuple(names.parse_profile_name(text) for text in words.texts("<PROFILES>"))
    wanted, verb = _filter(words, "<ENDPOINT_ID>"), words.chosen(*membership.VERBS)
    console.result(membership.change(platform, wanted, verb, profiles))


def _show_profiles(words: Words, platform: Platform, console: Console) -> None:
    form = output.form(words)
    endpoint = which_endpoint.find_one(platform, _filter(words, "<ENDPOINT_ID>"))
    ordered = sorted(endpoint.profiles, key=tables.natural)

    def table() -> None:
        if ordered:
            console.table(["Name"], [[name] for name in ordered])
        else:
            console.result(f"Endpoint {endpoint.key.id} has no profiles.")

    # As data they are in the order in which they are asked, which is what decides.
    items = [{"endpoint": endpoint.key.id, "name": name} for name in endpoint.profiles]
    output.show(console, form, Listing("endpoint_profile", items, endpoint.profiles), table)


def _summary(found: Sequence[ShownEndpoint]) -> list[tuple[str, str, int, int]]:
    endpoints = Counter((each.key.host, each.key.orchestrator) for each in found)
    distinct = {(each.key.host, each.key.orchestrator, each.key.workload) for each in found}
    workloads = Counter((host, orchestrator) for host, orchestrator, _ in distinct)
    return [
        (*place, workloads[place], endpoints[place])
        for place in sorted(endpoints, key=lambda place: [tables.natural(part) for part in place])
    ]


def _filter(words: Words, endpoint: str) -> Filter:
    word = words.optional(endpoint)
    return Filter(
        host=_part(words, "--host"),
        orchestrator=_part(words, "--orchestrator"),
        workload=_part(words, "--workload"),
        word=None if word is None else endpoint_word.parse(word, endpoint),
    )


def _part(words: Words, name: str) -> str | None:
    """Return a part of a key, which as such is neither empty nor a path."""
    text = words.optional(name)
    if text is not None and (text in {"", ".", ".."} or "/" in text):
        raise InvalidValue(name, text, "a name without /, as `calicoctl endpoint show` lists it")
    return text
