"""Make profiles and pools as a file says.

Usage:
  calicoctl apply (-f <FILE>)... [--dry-run]

Files:
  YAML or JSON, one document for each profile or pool, as `calicoctl export` writes them; -f may
  be there several times. A directory stands for its files *.yaml, *.yml and *.json.
  A document says all about its thing: rules that are in etcd only are removed. What no document
  names stays as it is. Pools are added, never changed; `calicoctl pool remove` removes one.

  All files are checked before anything is written. If writing fails halfway, what was not
  finished is named; the same command again finishes it. Whatever was done already is `unchanged`.

Options:
  -f <FILE>   A file, a directory, or - for the standard input.
  --dry-run   Check, and print what would be done, but write nothing.
  -h --help   Show this text.

Examples:
  calicoctl apply -f policy.yaml
  calicoctl apply -f pools.yaml -f profiles/ --dry-run
  calicoctl export profile web | calicoctl apply -f -
"""

from collections.abc import Sequence

from calico_ctl import usage
from calico_ctl.console import Console
from calico_ctl.errors import ExitCode
from calico_ctl.workload import manifest_files, manifest_plan, manifests
from calico_ctl.workload.manifest_plan import Step
from calico_ctl.workload.platform import Platform


def run(argv: Sequence[str], platform: Platform, console: Console) -> ExitCode:
    """Write what the files state."""
    words = usage.parse(__doc__, argv)
    stated = manifest_files.read(words.texts("-f"), lambda: console.read_input("YAML or JSON"))
    if not stated:
        console.say("there is nothing to apply: no document states a profile or a pool")
        return ExitCode.OK
    there, _ = manifests.present(platform.store)
    steps = manifest_plan.plan(there, stated)
    if words.flag("--dry-run"):
        for step in steps:
            console.result(f"{step} (dry run)")
        return ExitCode.OK

    def show(step: Step) -> None:
        console.result(str(step))

    manifests.carry_out(platform.store, there, steps, show)
    return ExitCode.OK
