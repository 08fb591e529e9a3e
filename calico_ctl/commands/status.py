"""Say how this host's node is, and what is wrong.

Usage:
  calicoctl status [--wait=<TIME>] [--output=<FORM>]

Asks Docker, etcd and BIRD, and changes nothing. Whoever does not answer is named; the others are
shown all the same. What the services say of themselves is what they last wrote to etcd: up to half
a minute old, and gone a minute after they end; root is told by the policy agent itself how it is
now. BIRD is asked through Docker, which takes root or membership of the group of Docker's socket.

All that is wrong is said again at the end, on stderr, with what to try. Exit code 0: everything
could be asked and is well. A BGP session that is not established, a policy agent of another version
and containers that have to be left alone are warned of, and change no exit code.

Options:
  --wait=<TIME>    Wait so long for all to be well, such as 30s or 2m, and show how it is then.
                   `--wait` alone waits for a minute.
  --output=<FORM>  How to show it: table, json, yaml, or name for the names of what is not well.
  -h --help        Show this text.

Examples:
  calicoctl status
  ETCD_AUTHORITY=10.99.0.1:2379 calicoctl status
  calicoctl status --wait=30s
  calicoctl status --output=json
"""

from collections.abc import Sequence
from functools import partial

from calico_ctl import usage
from calico_ctl.commands import output, status_item, status_text
from calico_ctl.commands.output import Listing
from calico_ctl.console import Console
from calico_ctl.errors import CalicoError, ExitCode
from calico_ctl.model import duration
from calico_ctl.workload import health
from calico_ctl.workload.complaints import Complaint, complaints
from calico_ctl.workload.health import Health
from calico_ctl.workload.platform import Platform

A_MINUTE = "1m"
LOOK_SECONDS = 1.0
"""How often to look again while waiting."""


def run(argv: Sequence[str], platform: Platform, console: Console) -> ExitCode:
    """Look, show what was found, then say what is wrong with it."""
    words = usage.parse(__doc__, _with_time(argv))
    form, time = output.form(words), words.optional("--wait")
    patience = 0.0 if time is None else duration.parse(time, "--wait")
    found, wrong = _look(platform, patience, console)
    listing = Listing(
        "status", [status_item.item(found, wrong)], list(dict.fromkeys(each.part for each in wrong))
    )
    output.show(console, form, listing, partial(status_text.show, found, console))
    for each in wrong:
        if each.grave:
            console.error(CalicoError(each.what, each.hint))
        else:
            console.say(f"warning: {each.what}")
            console.say(f"hint: {each.hint}")
    return ExitCode.FAILED if _is_grave(wrong) else ExitCode.OK


def _with_time(argv: Sequence[str]) -> list[str]:
    """Give a `--wait` that has no time its minute: docopt knows no value that may be left out."""
    return [
        f"--wait={A_MINUTE}" if word == "--wait" and following.startswith("-") else word
        for word, following in zip(argv, [*argv[1:], "-"], strict=True)
    ]


def _look(
    platform: Platform, patience: float, console: Console
) -> tuple[Health, Sequence[Complaint]]:
    """Look until all is well, or the time is over."""
    ends, told = platform.clock.monotonic() + patience, ""
    while True:
        found = health.look(platform)
        wrong = complaints(found)
        left = ends - platform.clock.monotonic()
        if not _is_grave(wrong) or left <= 0:
            return found, wrong
        first = next(each.what for each in wrong if each.grave)
        if first != told:
            console.say(f"waiting: {first}")
            told = first
        platform.clock.sleep(min(LOOK_SECONDS, left))


def _is_grave(wrong: Sequence[Complaint]) -> bool:
    return any(each.grave for each in wrong)
