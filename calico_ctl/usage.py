"""The only place that knows docopt: a usage text and words in, checked words out."""

from collections.abc import Mapping, Sequence

from calico_ctl.errors import CalicoError, ExitCode, UsageError


class HelpWanted(CalicoError):
    """The user asked for the usage text, which `message` holds; not a failure."""

    exit_code = ExitCode.OK


class Words:
    """The words of one command line, as its usage text names them."""

    def __init__(self, values: Mapping[str, object]) -> None:
        """Take what docopt made of them."""
        self._values = values

    def flag(self, name: str) -> bool:
        """Say whether a command word or an option without a value is there."""
        return bool(self._values[name])

    def text(self, name: str) -> str:
        """Return an argument that is there or has a default."""
        return str(self._values[name])

    def optional(self, name: str) -> str | None:
        """Return an argument, or None if it is not there."""
        value = self._values[name]
        return None if value is None else str(value)

    def texts(self, name: str) -> list[str]:
        """Return an argument that may be there several times."""
        values = self._values[name]
        return [str(value) for value in values] if isinstance(values, list) else []

    def chosen(self, *names: str) -> str:
        """Return which of several command words is there."""
        return next(name for name in names if self._values[name])


def parse(usage: str | None, argv: Sequence[str], *, options_first: bool = False) -> Words:
    """Fit a command line to a usage text; raise UsageError, or HelpWanted for `--help`.

    With `options_first` everything after the first positional word is positional.
    """
    # Imported here: a frozen binary that only prints its version need not have it.
    import docopt

    text = usage or ""
    if not options_first and any(word in {"-h", "--help"} for word in argv):
        raise HelpWanted(text.strip())
    try:
        values = docopt.docopt(text, list(argv), default_help=False, options_first=options_first)
    except docopt.DocoptExit as error:
        raise UsageError(_usage_section(text), hint="--help says more") from error
    return Words(values)


def _usage_section(text: str) -> str:
    lines = text.splitlines()
    start = next((at for at, line in enumerate(lines) if line.startswith("Usage:")), 0)
    end = next((at for at in range(start, len(lines)) if not lines[at].strip()), len(lines))
    return "\n".join(lines[start:end])
