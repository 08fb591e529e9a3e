"""Documents that are run: what a page tells to type is typed, and what it shows has to be answered.

    ```console
    host1$ sudo calicoctl profile add web      a line with a prompt is typed on that host,
    Profile web added                          what follows up to the next prompt is its answer
    ```

A block of ```sh is typed on the first host as a whole; a block of ```text right after it is its
answer. In an answer `...` stands for any text, and a line of it for any lines; how many spaces
there are between words, and dashes in the border of a table, does not count, and remarks on stderr
may be left out. What is `VARIABLE` may be another each time; what the page tells to type after that
is typed with what it really was. What `NOT_RUN` stands before is left alone. Each host remembers
variables from one step to the next, as a terminal does.
"""

import contextlib
import itertools
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from tests.support import command
from tests.support.host import Host

NOT_RUN = "<!-- not run: "
"""A line that begins so, with the reason, stands before a block that no test runs."""

VARIABLE = re.compile(
    "|".join(
        (
            r"\b[0-9a-f]{32}\b",  # the id of an endpoint
            r"\bdiags-host[0-9]-[0-9]{8}-[0-9]{6}-[0-9a-f]{8}\b",
            r"\bhttp://10\.99\.0\.[0-9]:[0-9]+/[\w-]{32}(?=/)",  # where diags can be downloaded
            r"(?<=`kill )[0-9]+(?=`)",
            r"\b[0-9.]+ (?:B|[KM]iB)(?![\w/])",
            r"\b[0-9]{2}:[0-9]{2}:[0-9]{2}\b",
            r"(?<=[0-9]:)[0-9]{5}(?= ->)",  # the port of who asks
            r"(?<=--vxlan \| )(?:ok|warning)",  # what some kernels have
            r"(?<=--ipip \| )(?:ok|warning)",
        )
    )
)
"""What a page shows as it was once."""

_WORD = r"[\w.-]+"

_SETTLES = 30.0
"""Seconds for BGP to find another host, or for an agent to carry out a change."""
_ASKS = re.compile(r"\b(ping|wget|show|status|explain|inspect|check|route)\b")
"""Commands that only ask: they may be asked again until the answer is as the page says."""
_PROMPT = re.compile(r"(host[0-9])\$ (.*)")
_FENCE = re.compile(r"```(\w*)")
STATE = "/run/document"
"""Where a host keeps its variables; they can be written there before a page is played."""
HOME = "/run/document-home"
"""Where every step is typed: files that it makes there are the host's, and gone with it."""


@dataclass(frozen=True)
class Block:
    """A fenced block: its language, the number of its first line, what is in it."""

    language: str
    number: int
    text: str
    is_run: bool = True


@dataclass(frozen=True)
class Step:
    """What is typed on a host, and what shall be answered; None: nobody cares."""

    place: str
    host: str
    typed: str
    shown: str | None


def blocks(text: str) -> Iterator[Block]:
    """Give the fenced blocks of a page."""
    before, language, began, inside = "", "", 0, list[str]()
    for number, line in enumerate(text.splitlines(), 1):
        fence = _FENCE.fullmatch(line)
        if fence and not began:
            language, began, inside = fence[1], number + 1, []
        elif line == "```":
            yield Block(language, began, "\n".join(inside), not before.startswith(NOT_RUN))
            before, began = "", 0
        elif began:
            inside.append(line)
        elif line.strip():
            before = line


def steps(page: Path) -> list[Step]:
    """Return what a page tells to do, in its order."""
    text = page.read_text()
    found, last = list[Step](), 0
    for block in blocks(text):
        place = f"{page.name}:{block.number}"
        if block.language == "console" and block.is_run:
            found += conversation(block, place)
        elif block.language == "sh" and block.is_run:
            found.append(Step(place, "host1", block.text, None))
            last = block.number + block.text.count("\n") + 4
        elif block.language == "text":
            assert block.number == last, f"{place} is nobody's answer"
            found[-1] = Step(found[-1].place, "host1", found[-1].typed, block.text)
    return found


def conversation(block: Block, place: str) -> Iterator[Step]:
    """Give what is typed in a block with prompts, each with its answer."""
    host, typed, shown = "", "", list[str]()
    for line in block.text.splitlines():
        prompt = _PROMPT.fullmatch(line)
        if prompt:
            if host:
                yield Step(place, host, typed, "\n".join(shown))
            host, typed, shown = prompt[1], prompt[2], []
        elif typed.endswith("\\"):
            typed += f"\n{line}"
        else:
            shown.append(line)
    if host:
        yield Step(place, host, typed, "\n".join(shown))


def play(page: Path, hosts: Mapping[str, Host]) -> int:
    """Do what a page says; raise AssertionError where it is wrong. Returns how many steps."""
    return do(steps(page), hosts)


def do(script: Sequence[Step], hosts: Mapping[str, Host]) -> int:
    """Do these steps; raise AssertionError where one is not answered as it shows."""
    really = dict[str, str]()
    for step in script:
        really |= _play(replace(step, typed=_as_it_is(step.typed, really)), hosts[step.host])
    return len(script)


def _as_it_is(typed: str, really: Mapping[str, str]) -> str:
    for shown, found in really.items():
        typed = typed.replace(shown, found)
    return typed


def _play(step: Step, host: Host) -> dict[str, str]:
    """Do a step; return what was in place of each `VARIABLE`."""
    print(f"{host.name}$ {step.typed}", flush=True)
    last = _type(step.typed, host)
    if _as_said(step, last) is None and _ASKS.search(step.typed):

        def answers() -> bool:
            nonlocal last
            last = _type(step.typed, host)
            return _as_said(step, last) is not None

        with contextlib.suppress(command.TimedOutError):
            command.wait_until(answers, _SETTLES, step.place, every=0.2)
    print(last.out + last.err, flush=True)
    really = _as_said(step, last)
    if really is None:
        raise AssertionError(
            f"{step.place}: on {host.name}\n{step.typed}\n"
            f"--- shows\n{step.shown}\n--- but ended with {last.code}:\n{last.out}{last.err}"
        )
    return really


def _type(typed: str, host: Host) -> command.Result:
    """Run lines as in a terminal that has been open all the time; everybody here is root."""
    lines = re.sub(r"\bsudo (-E )?", "", typed)
    script = (
        f"mkdir -p {HOME}; cd {HOME}; set -ae; if [ -e {STATE} ]; then . {STATE}; fi\n"
        f"trap 'code=$?; unset OLDPWD; export -p >{STATE}; exit $code' EXIT\n{lines}\n"
    )
    return host.run(script, check=False, quiet=True, timeout=240)


def _as_said(step: Step, result: command.Result) -> dict[str, str] | None:
    """Return what was in place of each `VARIABLE`; None if it is not as the page says."""
    if result.code != 0 and not (step.shown or "").strip(".\n"):
        return None  # a page that shows no error says that it works
    if step.shown is None:
        return {}
    found = _variables(step.shown, result.out)
    return _variables(step.shown, result.text) if found is None else found


def matches(shown: str, printed: str) -> bool:
    """Say whether an answer is as a page shows it."""
    return _variables(shown, printed) is not None


def _variables(shown: str, printed: str) -> dict[str, str] | None:
    pattern, names = "", list[str]()
    for line in shown.strip().splitlines():
        words = _evened(line)
        pattern += r"(?:.*\n)*" if words == "..." else _any_text(words) + r"\n"
        names += VARIABLE.findall(words)
    answer = "".join(f"{_evened(line)}\n" for line in printed.strip().splitlines())
    found = re.fullmatch(pattern, answer)
    return None if found is None else dict(zip(names, found.groups(), strict=True))


def _evened(line: str) -> str:
    return re.sub(r"-{3,}", "---", " ".join(line.split()))


def _any_text(line: str) -> str:
    """Write a line as a pattern, in which each `VARIABLE` is a group of its own kind."""
    fixed = VARIABLE.split(line)
    ways = [*map(_alike, VARIABLE.findall(line)), ""]
    plain = (".*".join(re.escape(part) for part in each.split("...")) for each in fixed)
    return "".join(itertools.chain.from_iterable(zip(plain, ways, strict=True)))


def _alike(shown: str) -> str:
    """Write the form that what is shown has: words for words, with the same between them."""
    return f"({_WORD.join(map(re.escape, re.split(_WORD, shown)))})"
