"""The only place that knows docopt: a usage text and words in, checked words out.

What docopt leaves open is decided here: `-1` is no word but an option that nobody knows; after a
`--` every word stands for itself, also one that begins with `-`; and a line that does not fit is
answered by `misfit`.
"""

from collections.abc import Mapping, Sequence

from calico_ctl.errors import CalicoError, ExitCode, UsageError

# Begins a word that docopt must not take for an option. No word of a command line can hold it.
_PLAIN = "\0"


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
        value = self._values[name]
        assert isinstance(value, str), f"{name} may be absent: ask for it as optional"  # noqa: S101
        return value.removeprefix(_PLAIN)

    def optional(self, name: str) -> str | None:
        """Return an argument, or None if it is not there."""
        value = self._values[name]
        return None if value is None else str(value).removeprefix(_PLAIN)

    def texts(self, name: str) -> list[str]:
        """Return an argument that may be there several times."""
        values = self._values[name]
        if not isinstance(values, list):
            return []
        return [str(value).removeprefix(_PLAIN) for value in values]

    def chosen(self, *names: str) -> str:
        """Return which of several command words is there."""
        return next(name for name in names if self._values[name])


def parse(usage: str | None, argv: Sequence[str]) -> Words:
    """Fit a command line to a usage text; raise UsageError, or HelpWanted for `--help`."""
    # Imported here: who asks for help or the version needs no parser.
    import docopt

    text = (usage or "").strip()
    if asks_for_help(argv):
        raise HelpWanted(text)
    if any(_is_number(word) for word in options_part(argv)):
        _check_options(text, argv)
    try:
        values = docopt.docopt(text, _for_docopt(argv), default_help=False)
    except docopt.DocoptExit as error:
        raise _refused(text, argv) from error
    return Words(values)


def asks_for_help(argv: Sequence[str]) -> bool:
    """Say whether `-h` or `--help` is among the words before a `--`."""
    return any(word in {"-h", "--help"} for word in options_part(argv))


def options_part(argv: Sequence[str]) -> Sequence[str]:
    """Return the words before a `--`: after it nothing is an option."""
    return argv[: argv.index("--")] if "--" in argv else argv


def _for_docopt(argv: Sequence[str]) -> list[str]:
    before = options_part(argv)
    plain = argv[len(before) + 1 :]
    return [*before, *(_PLAIN + word if word.startswith("-") else word for word in plain)]


def _is_number(word: str) -> bool:
    """Say whether docopt takes a word that begins with `-` for a number, not for an option."""
    try:
        float(word)
    except ValueError:
        return False
    return word.startswith("-")


def _check_options(text: str, argv: Sequence[str]) -> None:
    """Raise UsageError if one of the options is unknown; a number may be the value of one."""
    from calico_ctl import grammar

    if grammar.scan(grammar.read(text), argv).trouble is not None:
        raise _refused(text, argv)


def _refused(text: str, argv: Sequence[str]) -> UsageError:
    # Imported here: most command lines fit.
    from calico_ctl import grammar, misfit

    found = misfit.explain(grammar.read(text), argv)
    return UsageError(
        f"error: {found.reason}\n\n{found.usage}",
        hint=found.hint or f"`calicoctl {argv[0]} --help` says more",
    )
