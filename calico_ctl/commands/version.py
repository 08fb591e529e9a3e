"""Print the version of calicoctl.

Usage:
  calicoctl version

Options:
  -h --help  Show this text.

Examples:
  calicoctl version
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from calico_ctl import __version__, usage
from calico_ctl.console import Console
from calico_ctl.errors import ExitCode

if TYPE_CHECKING:
    # It brings netaddr along, and this command is to answer at once.
    from calico_ctl.workload.platform import Platform


def run(argv: Sequence[str], _platform: "Platform", console: Console) -> ExitCode:
    """Print it."""
    usage.parse(__doc__, argv)
    console.result(__version__)
    return ExitCode.OK
