"""The only place that talks to the terminal. Results go to stdout; everything else to stderr.

Messages start in lower case and end without a full stop. A reader who goes away (`| head`) must
not stop a command halfway through its work: what it would have printed is then dropped, quietly.
"""

import os
import sys
from collections.abc import Iterable, Sequence
from typing import TextIO

from calico_ctl.errors import CalicoError, InvalidValue, PrivilegeRequired, UsageError


class Console:
    """The terminal of one command."""

    def __init__(self, user_id: int) -> None:
        """Know who runs the command: 0 is root."""
        self._user_id = user_id

    def result(self, text: str) -> None:
        """Print what the user asked for."""
        try:
            print(text, flush=True)
        except BrokenPipeError:
            _silence(sys.stdout)
        except OSError as error:
            _silence(sys.stdout)
            raise CalicoError(f"cannot write the output ({error.strerror})") from error

    def table(self, headings: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
        """Print a table; a cell may have several lines. Nothing is cut."""
        from prettytable import PrettyTable

        table = PrettyTable(list(headings))
        table.align = "l"
        for row in rows:
            table.add_row(list(row))
        self.result(str(table))

    def say(self, text: str) -> None:
        """Print progress or a warning."""
        try:
            print(text, file=sys.stderr, flush=True)
        except OSError:
            _silence(sys.stderr)

    def error(self, error: CalicoError) -> None:
        """Print what failed and what to try."""
        self.say(error.message if isinstance(error, UsageError) else f"error: {error.message}")
        if error.hint:
            self.say(f"hint: {error.hint}")

    def read_input(self, what: str) -> str:
        """Return all of stdin; a person at a terminal is told what is expected."""
        if sys.stdin.isatty():
            self.say(f"type {what}, then Ctrl-D")
        try:
            return sys.stdin.read()
        except UnicodeDecodeError as error:
            raise InvalidValue("input", error.object[:40], f"{what} in UTF-8") from error

    def require_root(self, command: str) -> None:
        """Raise PrivilegeRequired unless root runs the command."""
        if self._user_id != 0:
            raise PrivilegeRequired(f"`{command}` must be run as root", hint="try it with sudo")


def _silence(stream: TextIO) -> None:
    """Let a stream that cannot be written to go nowhere, so that nobody stumbles over it again."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, stream.fileno())
    os.close(nowhere)
