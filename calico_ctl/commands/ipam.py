"""Look after the addresses that are given out.

Usage:
  calicoctl ipam info <IP> [--output=<FORM>]
  calicoctl ipam release <IP> [--wait=<TIME>]
  calicoctl ipam check [--fix] [--wait=<TIME>] [--output=<FORM>]

`info` says who has an address. `release` frees one that no endpoint has. `check` compares claims,
blocks, handles and endpoints of all hosts; it ends with 1 if anything stays wrong.

Options:
  --fix            Repair what can be repaired without doubt.
  --wait=<TIME>    How long an address has to be without an endpoint before it counts as lost: a
                   container that is just being created has none yet [default: 10s].
  --output=<FORM>  How to show it: table, json, yaml, or name for addresses and keys alone.
  -h --help        Show this text.

Examples:
  calicoctl ipam info 192.168.1.5
  calicoctl ipam release 192.168.1.5
  calicoctl ipam check --fix
"""

from collections.abc import Sequence

from netaddr import IPAddress

from calico_ctl import usage
from calico_ctl.commands import output, tables
from calico_ctl.commands.output import Form, Listing
from calico_ctl.console import Console
from calico_ctl.errors import ExitCode
from calico_ctl.model import address, duration
from calico_ctl.usage import Words
from calico_ctl.workload import address_repair
from calico_ctl.workload.address_repair import Assignment, Outcome
from calico_ctl.workload.platform import Platform

LONGEST_WAIT = 3600.0


def run(argv: Sequence[str], platform: Platform, console: Console) -> ExitCode:
    """Carry out one of the ipam commands."""
    words = usage.parse(__doc__, argv)
    if words.flag("check"):
        return _check(words, platform, console)
    ip = address.parse_address(words.text("<IP>"))
    if words.flag("info"):
        _info(ip, output.form(words), platform, console)
    else:
        _release(ip, _wait(words), platform, console)
    return ExitCode.OK


def _info(ip: IPAddress, form: Form, platform: Platform, console: Console) -> None:
    item = _assignment_item(address_repair.assignment(platform.store, ip))
    rows = [(name.replace("_", " "), _cell(value)) for name, value in item.items()]
    listing = Listing("address", [item], [str(ip)])
    output.show(console, form, listing, lambda: console.table(["Field", "Value"], rows))


def _release(ip: IPAddress, pause: float, platform: Platform, console: Console) -> None:
    owner = address_repair.require_released(platform.store, ip)
    _say_wait(pause, console)
    address_repair.release(platform, ip, owner, pause)
    console.result(f"address {ip} is free")


def _check(words: Words, platform: Platform, console: Console) -> ExitCode:
    form, pause = output.form(words), _wait(words)
    found = address_repair.suspected(platform)
    if found:
        _say_wait(pause, console)
        found = address_repair.confirmed(platform, found, pause)
    if words.flag("--fix"):
        outcomes = address_repair.repair(platform, found)
    else:
        outcomes = [Outcome(finding) for finding in found]
    listing = Listing(
        "finding",
        [_outcome_item(each) for each in outcomes],
        list(dict.fromkeys(each.finding.subject for each in outcomes)),
    )
    output.show(console, form, listing, lambda: _show_outcomes(outcomes, console))
    if any(each.finding.repair and not each.fixed and not each.failure for each in outcomes):
        console.say("hint: `calicoctl ipam check --fix` repairs what can be repaired")
    return ExitCode.OK if all(each.fixed for each in outcomes) else ExitCode.FAILED


def _show_outcomes(outcomes: Sequence[Outcome], console: Console) -> None:
    if not outcomes:
        console.result("nothing is wrong with the addresses")
        return
    console.table(
        ["Problem", "Where", "What", "State"],
        [
            (each.finding.kind, each.finding.subject, each.finding.message, _state(each))
            for each in outcomes
        ],
    )
    for hint in dict.fromkeys(each.finding.hint for each in outcomes if each.finding.hint):
        console.say(f"hint: {hint}")


def _state(outcome: Outcome) -> str:
    if outcome.fixed:
        return "fixed"
    return f"not fixed: {outcome.failure}" if outcome.failure else "found"


def _outcome_item(outcome: Outcome) -> dict[str, object]:
    finding = outcome.finding
    return {
        "kind": str(finding.kind),
        "subject": finding.subject,
        "message": finding.message,
        "hint": finding.hint,
        "repairable": finding.repair is not None,
        "fixed": outcome.fixed,
        "failure": outcome.failure,
    }


def _assignment_item(found: Assignment) -> dict[str, object]:
    return {
        "address": str(found.ip),
        "hostname": found.owner.host,
        "handle": found.owner.id,
        "endpoints": [tables.endpoint_reference(each) for each in found.endpoints],
        "block": str(found.block),
        "affinity": found.affinity,
        "pool": None if found.pool is None else str(found.pool),
    }


def _cell(value: object) -> str:
    """Write a field for a table: an endpoint in a line of its own, nothing as nothing."""
    if isinstance(value, list):
        return "\n".join(
            f"{each['endpoint']} ({each['orchestrator']} {each['workload']} on {each['hostname']},"
            f" {each['state']})"
            for each in value
        )
    return "" if value is None else str(value)


def _wait(words: Words) -> float:
    return duration.parse(words.text("--wait"), "--wait", LONGEST_WAIT)


def _say_wait(pause: float, console: Console) -> None:
    if pause:
        console.say(f"looking again in {pause:g} s: a container may just be in creation")
