"""The only place that knows docopt: a usage text and words in, checked words out."""

import re
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
        value = self._values[name]
        assert isinstance(value, str), f"{name} may be absent: ask for it as optional"  # noqa: S101
        return value

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


def parse(usage: str | None, argv: Sequence[str]) -> Words:
    """Fit a command line to a usage text; raise UsageError, or HelpWanted for `--help`."""
    # Imported here: a command line that names no command needs no parser.
    import docopt

    text = (usage or "").strip()
    if any(word in {"-h", "--help"} for word in argv):
        raise HelpWanted(text)
    try:
        values = docopt.docopt(text, list(argv), default_help=False)
    except docopt.DocoptExit as error:
        reason = _unknown_option(text, argv) or _missing_value(error)
        raise UsageError(
            f"error: {reason or 'these words do not form a command'}\n\n{_usage_section(text)}",
            hint=f"`calicoctl {argv[0]} --help` says more",
        ) from error
    return Words(values)


def _unknown_option(text: str, argv: Sequence[str]) -> str:
    """Say which option the text does not know; docopt itself only prints the usage."""
    known = set(re.findall(r"--[a-z0-9-]+", text))
    for word in argv:
        name = word.partition("=")[0]
        if name.startswith("--") and not any(each.startswith(name) for each in known):
            return f"there is no option `{name}`{_closest(name, known)}"
    return ""


def _closest(name: str, known: set[str]) -> str:
    from difflib import get_close_matches

    close = get_close_matches(name, sorted(known), 1)
    return f" (did you mean `{close[0]}`?)" if close else ""


def _missing_value(error: SystemExit) -> str:
    """Return docopt's own words if they are about the value of an option, such as `--at=<N>`."""
    first = str(error.code).partition("\n")[0]
    found = re.match(r"(-\S+) (requires argument|must not have an argument)", first)
    if found is None:
        return ""
    return (
        f"`{found[1]}` needs a value" if "requires" in found[2] else f"`{found[1]}` takes no value"
    )


def _usage_section(text: str) -> str:
    lines = text.splitlines()
    start = next((at for at, line in enumerate(lines) if line.startswith("Usage:")), 0)
    end = next((at for at in range(start, len(lines)) if not lines[at].strip()), len(lines))
    return "\n".join(lines[start:end])
