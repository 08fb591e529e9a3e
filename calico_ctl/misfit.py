"""Why a command line does not fit its usage text: which word it is, and what was expected there."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from calico_ctl import grammar
from calico_ctl.grammar import Grammar, Node, Option, Pattern, Scanned, Trouble, Word

_PROGRAM = "calicoctl"
_EVERYWHERE = ("--help", "--quiet")
_SHORT_ENOUGH = 8
_DOCKER_API = (
    "containers get their network through calico-node's own Docker API, or by"
    " `calicoctl container add`"
)
_PLAIN_DOCKER = "this calicoctl is for plain Docker hosts"
_FORMER = {
    "--libnetwork": ("is not available yet", _DOCKER_API),
    "--libnetwork-image": ("is not available yet", _DOCKER_API),
    "--kubernetes": ("is no more", _PLAIN_DOCKER),
    "--kube-plugin-version": ("is no more", _PLAIN_DOCKER),
    "--rkt": ("is no more", _PLAIN_DOCKER),
}
"""Options that the historical tool had: what has become of them, and what there is instead."""

_States = Sequence[tuple[Pattern, Node]]


@dataclass(frozen=True, slots=True)
class Misfit:
    """What is wrong in one clause, the lines of the usage text to show, and what to try."""

    reason: str
    usage: str
    hint: str = ""


def explain(allowed: Grammar, argv: Sequence[str]) -> Misfit:
    """Say why a command line does not fit: because of an option by itself, else of its words."""
    scanned = grammar.scan(allowed, argv)
    if scanned.trouble is None:
        return _of_words(allowed, scanned)
    states, _ = _walk(allowed, scanned.words)
    _, hint = _former(scanned.trouble)
    if scanned.trouble.what == grammar.UNKNOWN and not scanned.trouble.word.startswith("--"):
        hint = "a name that begins with `-` comes after `--`"
    return Misfit(_of_option(allowed, scanned.trouble), _usage(allowed, states), hint)


def _of_words(allowed: Grammar, scanned: Scanned) -> Misfit:
    states, taken = _walk(allowed, scanned.words)
    ends = [(pattern, node) for pattern, node in states if grammar.may_end(node)]
    if taken == len(scanned.words) and ends:
        return Misfit(_of_combination(scanned, ends), _usage(allowed, ends))
    meant = _meant(allowed, scanned.words, taken)
    if taken == len(scanned.words):
        reason = f"`{_line(scanned.words)}` needs {_choices(_expected(states))}"
    else:
        reason = _of_word(scanned.words, taken, _expected(states))
    if meant:
        reason += f" (did you mean `{_line(meant)}`?)"
        states, _ = _walk(allowed, meant)
    return Misfit(reason, _usage(allowed, states))


def _walk(allowed: Grammar, words: Sequence[str]) -> tuple[_States, int]:
    """Follow words as far as they fit; return where that leads and how many did."""
    states = grammar.begin(allowed)
    for at, word in enumerate(words):
        found = grammar.follow(states, word)
        if not found:
            return states, at
        states = found
    return states, len(words)


def _expected(states: _States) -> list[str]:
    return list(dict.fromkeys(str(leaf) for _, node in states for leaf in grammar.expected(node)))


def _of_word(words: Sequence[str], at: int, wanted: Sequence[str]) -> str:
    before = _line(words[:at])
    if not wanted:
        return f"`{words[at]}` is one word too many after `{before}`"
    return f"`{words[at]}` does not fit after `{before}`: expected {_choices(wanted)}"


def _former(trouble: Trouble) -> tuple[str, str]:
    """Return what has become of an option that there was once, and a hint; empty: never was."""
    if trouble.what != grammar.UNKNOWN:
        return "", ""
    return _FORMER.get(trouble.word.partition("=")[0], ("", ""))


def _of_option(allowed: Grammar, trouble: Trouble) -> str:
    name = trouble.word.partition("=")[0]
    match trouble.what:
        case grammar.AMBIGUOUS:
            meant = _choices([f"`{each.name}`" for each in allowed.option(name)])
            return f"`{name}` may mean {meant}"
        case grammar.WANTS_VALUE:
            return f"`{name}` needs a value: `{trouble.option}`"
        case grammar.TAKES_NO_VALUE:
            return f"`{name}` takes no value"
        case _:
            became, _ = _former(trouble)
            if became:
                return f"`{name}` {became}"
            known = {each.name for each in allowed.options} | set(_EVERYWHERE)
            close = _close(name, known, 1)
            meant = f" (did you mean `{close[0]}`?)" if close else ""
            return f"there is no option `{name}`{meant}"


def _of_combination(scanned: Scanned, ends: _States) -> str:
    """Say which option does not go with words that fit by themselves."""
    line = _line(scanned.words)
    given = [option for option, _ in scanned.given]
    nodes = [pattern.node for pattern, _ in ends]
    for _, rest in ends:
        if unchosen := grammar.unchosen(rest, given):
            return f"`{line}` needs {_choices(unchosen)}"
    for option in given:
        if not any(option in grammar.options(node) for node in nodes):
            return f"`{option.name}` does not go with `{line}`"
    for node in nodes:
        missing = [str(option) for option in grammar.needed(node) if option not in given]
        if missing:
            return f"`{line}` needs {' and '.join(missing)}"
        if several := _excluding(node, given):
            return f"{' and '.join(several)} exclude each other"
    twice = [option.name for option in given if given.count(option) > 1]
    return f"`{twice[0]}` is there twice" if twice else "these words do not form a command"


def _excluding(node: Node, given: Sequence[Option]) -> list[str]:
    """Return what may not be there together: options, or an option and a word of the user's.

    The words fit; so if an option is given that takes the place of a word, the word is there too.
    """
    for branches in grammar.choices(node):
        found = [each for branch in branches for each in grammar.options(branch) if each in given]
        words = [str(leaf) for branch in branches for leaf in grammar.expected(branch)]
        several = [*(f"`{each.name}`" for each in found), *words[:1]]
        if found and len(several) > 1:
            return several
    return []


def _meant(allowed: Grammar, words: Sequence[str], taken: int) -> Sequence[str]:
    """Return the line with one word mended so that more of it fits; empty if there is none.

    The word at fault may be an earlier one: `container ad web` reads `ad` as a container.
    """
    best: tuple[int, Sequence[str]] = (taken, ())
    for at in range(min(taken, len(words) - 1), 0, -1):
        states, _ = _walk(allowed, words[:at])
        known = {
            leaf.text
            for _, node in states
            for leaf in grammar.expected(node)
            if isinstance(leaf, Word)
        }
        for close in _close(words[at], known - {words[at]}, 2):
            mended = [*words[:at], close, *words[at + 1 :]]
            reached = _reach(allowed, mended)
            if reached > best[0]:
                best = (reached, mended)
    return best[1]


def _close(word: str, known: Iterable[str], count: int) -> list[str]:
    """Return the words that are nearest to one that was mistyped."""
    # Imported here: most command lines fit.
    from difflib import get_close_matches

    return get_close_matches(word, sorted(known), count)


def _reach(allowed: Grammar, words: Sequence[str]) -> int:
    """Return how many words fit, and one more if they are a whole command."""
    states, taken = _walk(allowed, words)
    whole = taken == len(words) and any(grammar.may_end(node) for _, node in states)
    return taken + whole


def _line(words: Iterable[str]) -> str:
    return " ".join([_PROGRAM, *words])


def _choices(names: Sequence[str]) -> str:
    *others, last = names
    return f"{', '.join(others)} or {last}" if others else last


def _usage(allowed: Grammar, states: _States) -> str:
    """Return the usage section; of a long one, only the forms that are nearest."""
    sources = [pattern.source for pattern in allowed.patterns]
    if sum(source.count("\n") + 1 for source in sources) > _SHORT_ENOUGH and states:
        near = {pattern.source for pattern, _ in states}
        sources = [source for source in sources if source in near]
    return "\n".join(["Usage:", *sources])
