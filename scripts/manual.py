"""The manual, made of the usage texts: man/calicoctl.8 and docs/reference/cli.md.

`scripts/build_man` writes the files. A test makes them too and compares, so they stay current.
"""

import re
import sys
import textwrap
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(CHECKOUT))

from calico_ctl import __version__, usage_text  # noqa: E402 - found from the checkout
from calico_ctl.commands import COMMANDS  # noqa: E402
from calico_ctl.errors import ExitCode  # noqa: E402
from calico_ctl.main import help_text  # noqa: E402

MAN = CHECKOUT / "man" / "calicoctl.8"
DOCS = CHECKOUT / "docs" / "reference" / "cli.md"

_AS_TYPED = {"Usage", "Examples"}
_EXIT_CODES = {
    ExitCode.OK: "Done, or nothing needed doing.",
    ExitCode.FAILED: "Refused, failed, not found, or not valid.",
    ExitCode.NEEDS_ROOT: "Only root may do that.",
    ExitCode.INTERRUPTED: "Interrupted with Ctrl-C.",
}


@dataclass(frozen=True, slots=True)
class Section:
    """A part of a usage text: lines below a title, or a paragraph, whose title is empty."""

    title: str
    lines: Sequence[str]


def sections(text: str) -> list[Section]:
    """Take a usage text apart at its empty lines and titles."""
    found: list[Section] = []
    for block in re.split(r"\n\s*\n", text.strip("\n")):
        first, *rest = block.splitlines()
        is_titled = first.endswith(":") and bool(rest) and all(line[:1] == " " for line in rest)
        found.append(Section(first[:-1], rest) if is_titled else Section("", [first, *rest]))
    return found


def entries(lines: Sequence[str]) -> list[tuple[str, str]]:
    """Read lines of a term, two spaces, and what is said about it, which may go on below.

    Lines that are not of that form make one entry without a term.
    """
    margin = min(len(line) - len(line.lstrip()) for line in lines)
    found: list[tuple[str, str]] = []
    for line in lines:
        if line[margin] != " ":
            term, _, said = line.strip().partition("  ")
            found.append((term, said.strip()))
        else:
            term, said = found[-1]
            found[-1] = (term, f"{said} {line.strip()}".strip())
    return found


def shown() -> list[str]:
    """Return the names of the commands that the help shows, of which there is a module."""
    return [name for name in COMMANDS if COMMANDS[name].summary and _exists(name)]


def _exists(name: str) -> bool:
    return (CHECKOUT / "calico_ctl" / "commands" / f"{COMMANDS[name].module}.py").exists()


def man() -> str:
    """Return the manual page."""
    head = [
        f'.TH CALICOCTL 8 "" "calicoctl {__version__}" "System Administration"',
        ".\\\" Made by `make man` of the commands' usage texts; do not edit.",
        ".nh",
        ".ad l",
        ".SH NAME",
        f"calicoctl \\- {_roff(_lower(help_text().splitlines()[0].rstrip('.')))}",
        ".SH SYNOPSIS",
        ".B calicoctl",
        r"[\-\-quiet] <command> [<args>...]",
    ]
    body = [line for name in shown() for line in _man_command(name)]
    tail = [
        line
        for section in sections(help_text())
        if section.title not in {"", "Usage", "Commands"}
        for line in (f".SH {_roff(section.title.partition(',')[0].upper())}", *_man_terms(section))
    ]
    codes = [(str(int(code)), said) for code, said in _EXIT_CODES.items()]
    status = [".SH EXIT STATUS", *(line for code in codes for line in _man_entry(*code))]
    also = [".SH SEE ALSO", ".BR docker (1),", ".BR nft (8),", ".BR bird (8)"]
    return "\n".join([*head, ".SH COMMANDS", *body, *tail, *status, *also]) + "\n"


def _man_command(name: str) -> list[str]:
    lines = [f'.SS "calicoctl {name}"']
    for section in sections(usage_text.of(name)):
        if not section.title:
            lines += [".PP", *(_roff(line) for line in section.lines)]
        elif section.title in _AS_TYPED:
            body = [_roff(line) for line in textwrap.dedent("\n".join(section.lines)).splitlines()]
            lines += [".PP", f".B {section.title}:", ".PP", ".RS 4", ".nf", *body, ".fi", ".RE"]
        else:
            lines += [".PP", f".B {section.title}:", *_man_terms(section)]
    return lines


def _man_terms(section: Section) -> list[str]:
    return [line for entry in entries(section.lines) for line in _man_entry(*entry)]


def _man_entry(term: str, said: str) -> list[str]:
    return [".TP", f".B {_roff(term)}", _roff(said)]


def _roff(text: str) -> str:
    """Write a line so that groff shows it as it is."""
    escaped = text.replace("\\", "\\e").replace("-", "\\-")
    plain = "".join(c if c.isascii() else f"\\[u{ord(c):04X}]" for c in escaped)
    return f"\\&{plain}" if plain[:1] in {".", "'"} else plain


def docs() -> str:
    """Return the reference in Markdown."""
    parts = [
        "# calicoctl",
        "<!-- Made by `make docs` of the commands' usage texts; do not edit. -->",
        *_markdown_sections(help_text(), 2),
    ]
    for name in shown():
        parts += [f"## calicoctl {name}", *_markdown_sections(usage_text.of(name), 3)]
    parts += [
        "## Exit codes",
        "\n".join(f"- `{int(code)}`: {said}" for code, said in _EXIT_CODES.items()),
        "More in [exit codes](exit-codes.md); what `--output` gives is in [output](output.md).",
    ]
    return "\n\n".join(parts) + "\n"


def _markdown_sections(text: str, level: int) -> list[str]:
    parts: list[str] = []
    for section in sections(text):
        if not section.title:
            parts.append("\n".join(_markdown(line) for line in section.lines))
        elif section.title in _AS_TYPED:
            body = textwrap.dedent("\n".join(section.lines))
            parts += [f"{'#' * level} {section.title}", f"```sh\n{body}\n```"]
        else:
            listed = [_markdown_entry(*each) for each in entries(section.lines)]
            parts += [f"{'#' * level} {section.title}", "\n".join(listed)]
    return parts


def _markdown_entry(term: str, said: str) -> str:
    text = f"- `{term}`: {_markdown(said)}"
    return textwrap.fill(text, 100, subsequent_indent="  ", break_on_hyphens=False)


def _markdown(text: str) -> str:
    """Write prose so that Markdown shows it as it is; what stands in backquotes is left alone."""
    parts = text.split("`")
    return "`".join(
        part if at % 2 else re.sub(r"([<*])", r"\\\1", part) for at, part in enumerate(parts)
    )


def _lower(text: str) -> str:
    return text[:1].lower() + text[1:]


def main(wanted: Sequence[str]) -> int:
    """Write what is wanted, without a word everything; return the exit code."""
    made: dict[str, tuple[Path, Callable[[], str]]] = {"man": (MAN, man), "docs": (DOCS, docs)}
    if unknown := set(wanted) - set(made):
        print(f"build_man: no such manual: {', '.join(sorted(unknown))}", file=sys.stderr)
        return 1
    for name in wanted or made:
        path, make = made[name]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(make())
        print(path.relative_to(CHECKOUT))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
