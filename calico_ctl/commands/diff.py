"""Show what `calicoctl apply` would change.

Usage:
  calicoctl diff (-f <FILE>)...

Options:
  -f <FILE>   A file, a directory, or - for the standard input, as for `calicoctl apply`.
  -h --help   Show this text.

Exit code:
  0 if nothing would change. 1 if something would, with the differences on the standard output:
  lines with - are in etcd, lines with + in the file. 1 too if the files are wrong, or cannot be
  applied to what is there; then there is an error on the standard error, and no difference.

Examples:
  calicoctl diff -f policy.yaml
  calicoctl export | calicoctl diff -f -
"""

from collections.abc import Sequence

from calico_ctl import usage
from calico_ctl.commands import tables
from calico_ctl.console import Console
from calico_ctl.errors import ExitCode
from calico_ctl.model import keys, manifest_diff
from calico_ctl.model.profile import Profile
from calico_ctl.workload import manifest_files, manifest_plan, manifests
from calico_ctl.workload.manifest_plan import Outcome
from calico_ctl.workload.platform import Platform


def run(argv: Sequence[str], platform: Platform, console: Console) -> ExitCode:
    """Print the differences between etcd and what the files state."""
    words = usage.parse(__doc__, argv)
    stated = manifest_files.read(words.texts("-f"), lambda: console.read_input("YAML or JSON"))
    there, problems = manifests.present(platform.store)
    steps = manifest_plan.plan(there, stated)
    changes = [step for step in steps if step.outcome is not Outcome.UNCHANGED]
    ours = {keys.profile(each.wanted.name) for each in changes if isinstance(each.wanted, Profile)}
    tables.warn(console, [problem for problem in problems if problem.key in ours])
    for step in changes:
        for line in manifest_diff.lines(step.present, step.wanted, step.place):
            console.result(line)
    return ExitCode.FAILED if changes else ExitCode.OK
