"""Show and change the endpoints of all hosts.

Usage:
  calicoctl endpoint show [--host=<HOSTNAME>] [--orchestrator=<ORCHESTRATOR_ID>]
                          [--workload=<WORKLOAD_ID>] [--endpoint=<ENDPOINT_ID>]
                          [--detailed | --counters]
  calicoctl endpoint <ENDPOINT_ID> profile (append|remove|set) [--host=<HOSTNAME>]
                          [--orchestrator=<ORCHESTRATOR_ID>] [--workload=<WORKLOAD_ID>]
                          [<PROFILES>...]
  calicoctl endpoint <ENDPOINT_ID> profile show [--host=<HOSTNAME>]
                          [--orchestrator=<ORCHESTRATOR_ID>] [--workload=<WORKLOAD_ID>]

Options:
  --host=<HOSTNAME>                 Only endpoints of this host.
  --orchestrator=<ORCHESTRATOR_ID>  Only endpoints of this orchestrator, such as docker.
  --workload=<WORKLOAD_ID>          Only endpoints of this workload, such as a container's full id.
  --endpoint=<ENDPOINT_ID>          Only this endpoint.
  --detailed                        A line for each endpoint instead of one for each host.
  --counters                        A line for each endpoint of this host: how many packets from it
                                    and to it the policy dropped, and how many as spoofed (a source
                                    that is not its own, or a router's messages). Needs root.
                                    Counts begin anew when the policy agent starts or mends its
                                    table; `-` stands where the kernel counts nothing, because it
                                    lets nothing of that interface through.
  -h --help                         Show this text.

Examples:
  calicoctl endpoint show --detailed
  calicoctl endpoint show --host=node1 --orchestrator=docker --detailed
  sudo calicoctl endpoint show --counters
  calicoctl endpoint 1d9e9624cdb711e499bf08002737b14f profile set web logger
  calicoctl endpoint 1d9e9624cdb711e499bf08002737b14f profile show
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from calico_ctl import usage
from calico_ctl.commands import tables
from calico_ctl.console import Console
from calico_ctl.errors import ExitCode, InvalidValue, UsageError
from calico_ctl.model import names
from calico_ctl.model.count import Drops
from calico_ctl.model.endpoint import Endpoint, State
from calico_ctl.usage import Words
from calico_ctl.workload import membership
from calico_ctl.workload.membership import Filter
from calico_ctl.workload.platform import Platform

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
        profiles = tuple(names.parse_profile_name(text) for text in words.texts("<PROFILES>"))
        wanted, verb = _filter(words, "<ENDPOINT_ID>"), words.chosen(*membership.VERBS)
        console.result(membership.change(platform.store, wanted, verb, profiles))
    return ExitCode.OK


def _show(words: Words, platform: Platform, console: Console) -> None:
    if words.flag("--counters"):
        _show_counters(words, platform, console)
        return
    found, problems = membership.find(platform.store, _filter(words, "--endpoint"))
    tables.warn(console, problems)
    if words.flag("--detailed"):
        tables.show_endpoints(console, found)
        return
    headings = ("Hostname", "Orchestrator ID", "Number of Workloads", "Number of Endpoints")
    console.table(headings, _summary(found))


def _show_counters(words: Words, platform: Platform, console: Console) -> None:
    wanted = _filter(words, "--endpoint")
    if wanted.host not in {None, platform.hostname}:
        raise UsageError(
            f"error: --counters shows what this host, {platform.hostname}, has counted",
            hint=f"run it on {wanted.host}",
        )
    console.require_root("calicoctl endpoint show --counters")
    found, problems = membership.find(platform.store, replace(wanted, host=platform.hostname))
    tables.warn(console, problems)
    drops = platform.counters.drops()
    ordered = sorted(found, key=lambda each: each.key)
    rows = [_counted(each, drops.get(each.name)) for each in ordered]
    console.table(_COUNTED, tables.numbers_right(_COUNTED, rows))
    active = [each for each in ordered if each.state is State.ACTIVE]
    if cut_off := [each.key.id for each in active if each.name not in drops]:
        console.say(f"warning: this host lets nothing through of {', '.join(cut_off)}")
        console.say("hint: `calicoctl status` shows how the policy agent is")


def _counted(endpoint: Endpoint, drops: Drops | None) -> tuple[int | str, ...]:
    key = endpoint.key
    counts = ("-",) * 3 if drops is None else (drops.sent, drops.received, drops.spoofed)
    return (key.workload, key.id, endpoint.name, *counts)


def _show_profiles(words: Words, platform: Platform, console: Console) -> None:
    endpoint = membership.find_one(platform.store, _filter(words, "<ENDPOINT_ID>"))
    if endpoint.profiles:
        console.table(["Name"], [[name] for name in sorted(endpoint.profiles, key=tables.natural)])
    else:
        console.result(f"Endpoint {endpoint.key.id} has no profiles.")


def _summary(found: list[Endpoint]) -> list[tuple[str, ...]]:
    endpoints = Counter((each.key.host, each.key.orchestrator) for each in found)
    distinct = {(each.key.host, each.key.orchestrator, each.key.workload) for each in found}
    workloads = Counter((host, orchestrator) for host, orchestrator, _ in distinct)
    return [
        (*place, str(workloads[place]), str(endpoints[place]))
        for place in sorted(endpoints, key=lambda place: [tables.natural(part) for part in place])
    ]


def _filter(words: Words, endpoint: str) -> Filter:
    return Filter(
        host=_part(words, "--host"),
        orchestrator=_part(words, "--orchestrator"),
        workload=_part(words, "--workload"),
        endpoint=_part(words, endpoint),
    )


def _part(words: Words, name: str) -> str | None:
    """Return a part of a key, which as such is neither empty nor a path."""
    text = words.optional(name)
    if text is not None and (text in {"", ".", ".."} or "/" in text):
        raise InvalidValue(name, text, "a name without /, as `calicoctl endpoint show` lists it")
    return text
