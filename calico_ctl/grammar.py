"""What a usage text says, as data: its patterns, and which words may come next.

docopt answers only whether a whole command line fits. To say where one stops fitting, to complete
one that is being typed, and to test each form of each command, one must follow it word by word:
`after` gives what is left of a pattern when a word has been taken from its front. Options may
stand anywhere, so they are taken out of the line first, by `scan`.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from itertools import product

_PROGRAM = "calicoctl"
_TOKENS = re.compile(r"\s+|(\S*<.*?>)")
_BRACKETS = re.compile(r"([\[\]\(\)\|]|\.\.\.)")


@dataclass(frozen=True, slots=True)
class Option:
    """An option: how it may be written, and the name of its value if it takes one."""

    names: tuple[str, ...]
    value: str = ""

    @property
    def name(self) -> str:
        """Its full name."""
        return self.names[-1]

    def __str__(self) -> str:
        if not self.value:
            return self.name
        return f"{self.name}{'=' if self.name.startswith('--') else ' '}{self.value}"


@dataclass(frozen=True, slots=True)
class Word:
    """A word of a command that is typed as it stands."""

    text: str

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True, slots=True)
class Argument:
    """A word of the user's own, such as `<PROFILE>`."""

    name: str

    def __str__(self) -> str:
        return self.name


class Kind(Enum):
    """How the parts of a group belong together."""

    ALL = "all"
    ONE = "one"
    MAYBE = "maybe"
    MANY = "many"


@dataclass(frozen=True, slots=True)
class Group:
    """Parts that belong together."""

    kind: Kind
    parts: tuple["Node", ...]


Leaf = Word | Argument
Node = Word | Argument | Option | Group


@dataclass(frozen=True, slots=True)
class Pattern:
    """One form of a command: its lines in the usage text, and what they mean."""

    source: str
    node: Node


@dataclass(frozen=True, slots=True)
class Grammar:
    """Everything that a usage text allows."""

    patterns: tuple[Pattern, ...]
    options: tuple[Option, ...]

    def option(self, name: str) -> list[Option]:
        """Return the options that a name may mean: the one it is, else those that it begins."""
        exact = [each for each in self.options if name in each.names]
        if exact or not name.startswith("--"):
            return exact
        return [each for each in self.options if each.name.startswith(name)]


@dataclass(frozen=True, slots=True)
class Trouble:
    """An option that cannot be understood: `word` as typed, and the option if there is one."""

    word: str
    what: str
    option: Option | None = None


@dataclass(frozen=True, slots=True)
class Scanned:
    """A command line, its options apart from its other words; or the first trouble with them."""

    words: tuple[str, ...]
    given: tuple[tuple[Option, str], ...]
    trouble: Trouble | None = None


UNKNOWN = "unknown"
AMBIGUOUS = "ambiguous"
WANTS_VALUE = "wants a value"
TAKES_NO_VALUE = "takes no value"


def section(text: str, title: str) -> list[str]:
    """Return the lines below a title of a usage text, up to the next empty line."""
    lines = text.splitlines()
    start = next((at for at, line in enumerate(lines) if line.strip() == title), len(lines))
    end = next((at for at in range(start, len(lines)) if not lines[at].strip()), len(lines))
    return lines[start + 1 : end]


def read(text: str) -> Grammar:
    """Read a usage text in docopt's language."""
    described = [
        _described(line) for line in section(text, "Options:") if line.lstrip().startswith("-")
    ]
    options = {name: option for option in described for name in option.names}
    patterns = tuple(
        Pattern(source, _Reader(source, options).pattern()) for source in _sources(text)
    )
    return Grammar(patterns, tuple(dict.fromkeys(options.values())))


def _sources(text: str) -> list[str]:
    """Return each form with its continuation lines."""
    sources: list[str] = []
    for line in section(text, "Usage:"):
        if line.split()[0] == _PROGRAM:
            sources.append(line)
        else:
            sources[-1] += f"\n{line}"
    return sources


def _described(line: str) -> Option:
    """Read the beginning of a line that describes an option."""
    head = line.strip().partition("  ")[0]
    parts = re.split(r"[=,\s]+", head)
    names = tuple(part for part in parts if part.startswith("-"))
    values = [part for part in parts if part and not part.startswith("-")]
    return Option(names, values[0] if values else "")


class _Reader:
    """Reads one pattern from left to right."""

    def __init__(self, source: str, options: dict[str, Option]) -> None:
        spaced = _BRACKETS.sub(r" \1 ", source)
        self._tokens = [token for token in _TOKENS.split(spaced) if token][1:]
        self._options = options

    def pattern(self) -> Node:
        return self._either()

    def _either(self) -> Node:
        branches = [self._sequence()]
        while self._tokens[:1] == ["|"]:
            self._tokens.pop(0)
            branches.append(self._sequence())
        return branches[0] if len(branches) == 1 else Group(Kind.ONE, tuple(branches))

    def _sequence(self) -> Node:
        parts: list[Node] = []
        while self._tokens and self._tokens[0] not in {"]", ")", "|"}:
            part = self._atom(self._tokens.pop(0))
            if self._tokens[:1] == ["..."]:
                self._tokens.pop(0)
                part = Group(Kind.MANY, (part,))
            parts.append(part)
        return parts[0] if len(parts) == 1 else Group(Kind.ALL, tuple(parts))

    def _atom(self, word: str) -> Node:
        if word in {"(", "["}:
            inside = self._either()
            self._tokens.pop(0)
            return inside if word == "(" else _maybe(inside)
        if word.startswith("-") and word != "-":
            return self._option(word)
        if word == "options":
            return Group(Kind.ALL, tuple(_maybe(each) for each in self._options.values()))
        is_argument = word.startswith("<") or word.isupper()
        return Argument(word) if is_argument else Word(word)

    def _option(self, token: str) -> Option:
        name, _, value = token.partition("=")
        option = self._options.setdefault(name, Option((name,), value))
        if option.value and not value:
            self._tokens.pop(0)
        return option


def _maybe(node: Node) -> Node:
    """Make a node optional; in docopt's language, each of several in brackets by itself."""
    if isinstance(node, Group) and node.kind is Kind.ALL:
        return Group(Kind.ALL, tuple(Group(Kind.MAYBE, (part,)) for part in node.parts))
    return Group(Kind.MAYBE, (node,))


def after(node: Node, word: str) -> Iterator[Node]:
    """Return what may be left of a node when a word has been taken from its front."""
    if isinstance(node, Group):
        yield from _after_group(node, word)
    elif isinstance(node, Argument) or (isinstance(node, Word) and node.text == word):
        yield _NOTHING


def _after_group(group: Group, word: str) -> Iterator[Node]:
    if group.kind is Kind.ALL:
        yield from _after_all(group.parts, word)
        return
    # Of what may come several times, there may be more.
    more = (Group(Kind.MAYBE, (group,)),) if group.kind is Kind.MANY else ()
    for part in group.parts:
        for rest in after(part, word):
            yield Group(Kind.ALL, (rest, *more)) if more else rest


_NOTHING = Group(Kind.ALL, ())


def _after_all(parts: Sequence[Node], word: str) -> Iterator[Node]:
    for at, part in enumerate(parts):
        for rest in after(part, word):
            yield Group(Kind.ALL, (rest, *parts[at + 1 :]))
        if not may_end(part):
            return


def may_end(node: Node) -> bool:
    """Say whether a node needs no more words, options apart."""
    match node:
        case Word() | Argument():
            return False
        case Option() | Group(Kind.MAYBE):
            return True
        case Group(Kind.ONE):
            return any(may_end(part) for part in node.parts)
        case Group():
            return all(may_end(part) for part in node.parts)


def expected(node: Node) -> list[Leaf]:
    """Return the words and arguments that may come next."""
    match node:
        case Word() | Argument():
            return [node]
        case Option():
            return []
        case Group(Kind.ALL):
            found: list[Leaf] = []
            for part in node.parts:
                found += expected(part)
                if not may_end(part):
                    break
            return found
        case Group():
            return [leaf for part in node.parts for leaf in expected(part)]


def leaves(node: Node) -> Iterator[Word | Argument | Option]:
    """Return all words, arguments and options of a node."""
    if isinstance(node, Group):
        for part in node.parts:
            yield from leaves(part)
    else:
        yield node


def options(node: Node) -> list[Option]:
    """Return the options of a node."""
    return [leaf for leaf in leaves(node) if isinstance(leaf, Option)]


def needed(node: Node) -> list[Option]:
    """Return the options that a node cannot do without."""
    match node:
        case Option():
            return [node]
        case Group(Kind.ALL | Kind.MANY):
            return [option for part in node.parts for option in needed(part)]
        case _:
            return []


def unchosen(node: Node, given: Sequence[Option]) -> list[str]:
    """Return the branches of the first choice in a node that given options do not decide."""
    if not isinstance(node, Group) or node.kind is Kind.MAYBE:
        return []
    if node.kind is not Kind.ONE:
        return next((found for part in node.parts if (found := unchosen(part, given))), [])
    if any(set(options(part)) & set(given) for part in node.parts):
        return []
    return [str(next(leaves(part))) for part in node.parts]


def repeatable(node: Node) -> list[Option]:
    """Return the options that may be there several times."""
    if not isinstance(node, Group):
        return []
    if node.kind is Kind.MANY:
        return options(node)
    return [option for part in node.parts for option in repeatable(part)]


def forms(node: Node) -> list[Node]:
    """Return a node once for each way in which the words of a command can be chosen in it."""
    if not isinstance(node, Group):
        return [node]
    inside = [forms(part) for part in node.parts]
    match node.kind:
        case Kind.ALL:
            return [Group(Kind.ALL, chosen) for chosen in product(*inside)]
        case Kind.ONE:
            return [form for branch in inside for form in branch]
        case Kind.MANY:
            return [Group(Kind.MANY, (form,)) for form in inside[0]]
        case Kind.MAYBE:
            has_words = any(isinstance(leaf, Word) for leaf in leaves(node))
            return [_NOTHING, *inside[0]] if has_words else [node]


def choices(node: Node) -> Iterator[Sequence[Node]]:
    """Return the branches of each choice in a node."""
    if isinstance(node, Group):
        if node.kind is Kind.ONE:
            yield node.parts
        for part in node.parts:
            yield from choices(part)


def scan(grammar: Grammar, argv: Sequence[str]) -> Scanned:
    """Take the options out of a command line, as docopt does: wherever they are, up to a `--`."""
    words: list[str] = []
    given: list[tuple[Option, str]] = []
    rest = list(argv)
    while rest:
        word = rest.pop(0)
        if word == "--":
            words += rest
            break
        if word == "-" or not word.startswith("-"):
            words.append(word)
            continue
        found = _scan_option(grammar, word, rest)
        if isinstance(found, Trouble):
            return Scanned(tuple(words), tuple(given), found)
        given += found
    return Scanned(tuple(words), tuple(given))


def _scan_option(
    grammar: Grammar, word: str, rest: list[str]
) -> list[tuple[Option, str]] | Trouble:
    """Understand one word that begins with `-`; its value may be the next word."""
    if word.startswith("--"):
        name, equals, value = word.partition("=")
    else:
        name, equals, value = word[:2], word[2:], word[2:]
    found = grammar.option(name)
    if len(found) != 1:
        return Trouble(word, AMBIGUOUS if found else UNKNOWN)
    option = found[0]
    if not option.value:
        if not equals:
            return [(option, "")]
        return Trouble(name if word.startswith("--") else word, TAKES_NO_VALUE, option)
    if not equals:
        if not rest or rest[0] == "--":
            return Trouble(name, WANTS_VALUE, option)
        value = rest.pop(0)
    return [(option, value)]


def follow(states: Iterable[tuple[Pattern, Node]], word: str) -> list[tuple[Pattern, Node]]:
    """Return where one can be after a word, of where one could be before it."""
    return [(pattern, rest) for pattern, node in states for rest in after(node, word)]


def begin(grammar: Grammar) -> list[tuple[Pattern, Node]]:
    """Return where one can be before the first word."""
    return [(pattern, pattern.node) for pattern in grammar.patterns]
