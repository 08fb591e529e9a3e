"""The only place that talks to the terminal. Results go to stdout; everything else to stderr.

Messages start in lower case and end without a full stop. A reader who goes away (`| head`) must
not stop a command halfway through its work: what it would have printed is then dropped, quietly.
"""

import os
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager

from calico_ctl import table_text
from calico_ctl.errors import CalicoError, InvalidValue, PrivilegeRequired, UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import TextIO

_COLOURS = {"error:": "31", "warning:": "33", "hint:": "36"}
_LOUD = ("error:", "warning:", "hint:")


class Console:
    """The terminal of one command.

    `quiet` leaves out progress and remarks; warnings, errors and hints stay. `colour` allows
    colour where stderr is a terminal.
    """

    def __init__(self, user_id: int, *, quiet: bool = False, colour: bool = False) -> None:
        """Know who runs the command: 0 is root."""
        self._user_id = user_id
        self._quiet = quiet
        self._colour = colour
        self._is_heard = True

    @property
    def is_heard(self) -> bool:
        """Whether somebody reads the results, as far as was noticed: for who has no other end."""
        return self._is_heard

    def result(self, text: str) -> None:
        """Print what the user asked for."""
        try:
            print(text, flush=True)
        except BrokenPipeError:
            self._is_heard = False
            _silence(sys.stdout)
        except OSError as error:
            _silence(sys.stdout)
            raise CalicoError(f"cannot write the output ({error.strerror})") from error

    def table(self, headings: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
        """Print a table; a cell may have several lines. Nothing is cut, on a terminal neither."""
        self.result(table_text.write(headings, rows))

    def say(self, text: str) -> None:
        """Print a remark, or what begins with `warning:`, `error:` or `hint:`."""
        if self._quiet and not text.startswith(_LOUD):
            return
        self._write(f"{self._coloured(text)}\n")

    @contextmanager
    def progress(self) -> "Iterator[Callable[[str], None]]":
        """Give a `say` for work that takes a while; what it is told last is what goes on now.

        On a terminal the line shows the seconds that have gone by; elsewhere it is printed once.
        """
        if self._quiet or not sys.stderr.isatty():
            yield self.say
            return
        # Imported here: it brings threads along.
        from calico_ctl.progress import Progress

        with Progress(self._write) as running:

            def say(text: str) -> None:
                if text.startswith(_LOUD):
                    running.end_line()
                    self.say(text)
                else:
                    running.begin_line(text)

            yield say

    def error(self, error: CalicoError) -> None:
        """Print what failed and what to try."""
        self.say(error.message if isinstance(error, UsageError) else f"error: {error.message}")
        if error.hint:
            self.say(f"hint: {error.hint}")

    def read_input(self, what: str) -> str:
        """Return all of stdin; a person at a terminal is told what is expected."""
        # Imported here: few commands read anything.
        from calico_ctl.host.text_files import LARGEST, too_large

        if sys.stdin.isatty():
            self.say(f"type {what}, then Ctrl-D")
        try:
            text = sys.stdin.read(LARGEST + 1)
        except UnicodeDecodeError as error:
            raise InvalidValue("input", error.object[:40], f"{what} in UTF-8") from error
        if len(text) > LARGEST:
            raise too_large("stdin")
        return text

    def require_root(self, command: str) -> None:
        """Raise PrivilegeRequired unless root runs the command."""
        if self._user_id != 0:
            raise PrivilegeRequired(f"`{command}` must be run as root", hint="try it with sudo")

    def _coloured(self, text: str) -> str:
        head, colon, rest = text.partition(":")
        code = _COLOURS.get(head + colon)
        if code is None or not self._colour or not sys.stderr.isatty():
            return text
        return f"\x1b[{code}m{head}:\x1b[0m{rest}"

    def _write(self, text: str) -> None:
        """Write to stderr as it is."""
        try:
            print(text, end="", file=sys.stderr, flush=True)
        except OSError:
            _silence(sys.stderr)


def _silence(stream: "TextIO") -> None:
    """Let a stream that cannot be written to go nowhere, so that nobody stumbles over it again."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, stream.fileno())
    os.close(nowhere)
