"""The only place that prints. Results go to stdout; everything else to stderr."""

import sys
from collections.abc import Iterable, Sequence

from calico_ctl.errors import CalicoError, PrivilegeRequired, UsageError


class Console:
    """The terminal of one command."""

    def __init__(self, user_id: int) -> None:
        """Know who runs the command: 0 is root."""
        self._user_id = user_id

    def result(self, text: str) -> None:
        """Print what the user asked for."""
        print(text)

    def table(self, headings: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
        """Print a table; a cell may have several lines. Nothing is cut."""
        from prettytable import PrettyTable

        table = PrettyTable(list(headings))
        table.align = "l"
        for row in rows:
            table.add_row(list(row))
        print(table)

    def say(self, text: str) -> None:
        """Print progress or a warning."""
        print(text, file=sys.stderr, flush=True)

    def error(self, error: CalicoError) -> None:
        """Print what failed and what to try."""
        self.say(error.message if isinstance(error, UsageError) else f"error: {error.message}")
        if error.hint:
            self.say(f"hint: {error.hint}")

    def require_root(self, command: str) -> None:
        """Raise PrivilegeRequired unless root runs the command."""
        if self._user_id != 0:
            raise PrivilegeRequired(f"`{command}` must be run as root", hint="try it with sudo")
