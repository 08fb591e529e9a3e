"""Say whether this machine can be a Calico node, and what to do if not.

Usage:
  calicoctl checksystem [--fix] [--libnetwork] [--output=<FORM>]

What the kernel has to be able to do is tried in a network namespace that is thrown away. Nothing
of this machine is changed, but the kernel may load modules for what is tried.

All that is wrong is said again at the end, on stderr, with what to try. Exit code 0: this machine
can be a node; a warning, of what only some need, changes nothing of that. Needs root.

Options:
  --fix            Put right what can be without harm: load modules, set forwarding and the
                   reverse-path filter. Settings last until the next boot.
  --libnetwork     Not available yet.
  --output=<FORM>  table, json, yaml or name (the names of the checks) [default: table].
  -h --help        Show this text.

Examples:
  calicoctl checksystem
  calicoctl checksystem --fix
  calicoctl checksystem --output=json
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from calico_ctl import usage
from calico_ctl.commands import output
from calico_ctl.commands.output import Listing
from calico_ctl.console import Console
from calico_ctl.errors import CalicoError, ExitCode

if TYPE_CHECKING:
    from calico_ctl.diagnostics.check import Result
    from calico_ctl.diagnostics.platform import Platform

_HEADINGS = ("Check", "What a node needs", "Result")


def run(argv: Sequence[str], platform: "Platform", console: Console) -> ExitCode:
    """Carry out every check, show what came of it, then say what is wrong."""
    words = usage.parse(__doc__, argv)
    form = output.form(words)
    if words.flag("--libnetwork"):
        raise CalicoError(
            "checks for the libnetwork plugin are not available yet",
            hint="leave out --libnetwork: containers get their network through calico-node's own"
            " Docker API, or by `calicoctl container add`",
        )
    console.require_root("calicoctl checksystem")
    # Imported here: who only wants help, or is no root, need not wait for it.
    from calico_ctl.diagnostics import check, system

    results = list(check.run(system.checks(platform), fix=words.flag("--fix")))
    output.show(console, form, _listing(results), lambda: _table(results, console))
    for each in results:
        _say(each, console)
    failed = any(each.outcome is check.Outcome.FAILED for each in results)
    return ExitCode.FAILED if failed else ExitCode.OK


def _listing(results: "Sequence[Result]") -> Listing:
    items = [
        {
            "name": each.check,
            "about": each.about,
            "result": each.outcome.value,
            "complaint": None if each.complaint is None else each.complaint.what,
            "hint": None if each.complaint is None else each.complaint.hint,
        }
        for each in results
    ]
    return Listing("check", items, [each.check for each in results])


def _table(results: "Sequence[Result]", console: Console) -> None:
    console.table(_HEADINGS, [(each.check, each.about, each.outcome.value) for each in results])


def _say(result: "Result", console: Console) -> None:
    complaint = result.complaint
    if complaint is None:
        return
    if result.fixed:
        console.say(f"fixed: {complaint.what}")
    elif complaint.grave:
        console.error(CalicoError(complaint.what, complaint.hint))
    else:
        console.say(f"warning: {complaint.what}")
        console.say(f"hint: {complaint.hint}")
