"""YAML as people write it and as we write it: the only place that knows PyYAML.

PyYAML reads YAML 1.1, in which `no` is false, `20:21` is 1221 and `012` is ten. Here a plain word
is what YAML 1.2 makes of it, and only where nothing else can be meant: null, true, false, and whole
numbers as one writes them. Everything else stays the text that it is, dates and `1e3` too. A file
is read event by event, so that no nesting and no alias can make it larger than it looks.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import yaml

from calico_ctl.errors import InvalidValue

DEEPEST = 32
"""So many levels of lists and mappings may be in one another."""

_CONSTANTS: dict[str, bool | None] = dict.fromkeys(("", "~", "null", "Null", "NULL"))
_CONSTANTS |= dict.fromkeys(("true", "True", "TRUE"), True)
_CONSTANTS |= dict.fromkeys(("false", "False", "FALSE"), False)
_WHOLE_NUMBER = re.compile(r"0|-?[1-9][0-9]{0,17}")
_TEXT_TAGS = ("!", "tag:yaml.org,2002:str")
_COLLECTION_TAGS = (None, "!", "tag:yaml.org,2002:map", "tag:yaml.org,2002:seq")

# Several times faster, where PyYAML was built with it. Both give the same events.
_LOADER: type = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def read(text: str, loader: type = _LOADER) -> Iterator[object]:
    """Yield the value of each document; raise InvalidValue naming the line."""
    try:
        text.encode()
        yield from _documents(yaml.parse(text, Loader=loader))
    except UnicodeEncodeError as error:
        raise InvalidValue("YAML", text[error.start : error.end], "text in UTF-8") from error
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise _malformed(text, mark, error.problem or "") from error
    except yaml.YAMLError as error:
        problem = getattr(error, "reason", "") or str(error)
        raise _malformed(text, None, problem) from error


def write(value: object) -> str:
    """Return one document, in block style, keys in the order they have, no line broken."""
    text: str = yaml.dump(
        value, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=float("inf")
    )
    return text


@dataclass(slots=True)
class _List:
    """A list that is being read."""

    items: list[object]

    def wants_key(self) -> bool:
        return False

    def take(self, value: object) -> None:
        self.items.append(value)


@dataclass(slots=True)
class _Mapping:
    """A mapping that is being read; `key` waits for its value."""

    items: dict[str, object]
    key: str | None = None

    def wants_key(self) -> bool:
        return self.key is None

    def take_key(self, event: yaml.Event) -> None:
        if not isinstance(event, yaml.ScalarEvent):
            raise _refused(event, "key", "a list or a mapping", "a word")
        if event.value in self.items:
            raise _refused(event, "key", event.value, "each key of a mapping once")
        self.key = event.value

    def take(self, value: object) -> None:
        if self.key is not None:
            self.items[self.key] = value
        self.key = None


def _documents(events: Iterator[yaml.Event]) -> Iterator[object]:
    outermost = _List([])
    within: list[_List | _Mapping] = [outermost]
    for event in events:
        if isinstance(event, yaml.DocumentEndEvent):
            yield outermost.items.pop()
        elif isinstance(event, yaml.AliasEvent):
            raise _refused(event, "alias", f"*{event.anchor}", "things written out, no aliases")
        elif isinstance(event, yaml.CollectionEndEvent):
            within.pop()
        elif isinstance(event, yaml.NodeEvent):
            _take(event, within)


def _take(event: yaml.NodeEvent, within: list[_List | _Mapping]) -> None:
    into = within[-1]
    if isinstance(into, _Mapping) and into.wants_key():
        into.take_key(event)
    elif isinstance(event, yaml.ScalarEvent):
        into.take(_scalar(event))
    else:
        _require_plain(event, len(within))
        opened = _Mapping({}) if isinstance(event, yaml.MappingStartEvent) else _List([])
        into.take(opened.items)
        within.append(opened)


def _scalar(event: yaml.ScalarEvent) -> object:
    text: str = event.value
    if event.tag is not None and event.tag not in _TEXT_TAGS:
        raise _refused(event, "tag", event.tag, "values without YAML tags")
    if event.tag is not None or not event.implicit[0]:
        return text
    if text in _CONSTANTS:
        return _CONSTANTS[text]
    return int(text) if _WHOLE_NUMBER.fullmatch(text) else text


def _require_plain(event: yaml.NodeEvent, depth: int) -> None:
    if depth > DEEPEST:
        raise _refused(event, "nesting", f"{depth} levels", f"at most {DEEPEST}")
    tag = getattr(event, "tag", None)
    if tag not in _COLLECTION_TAGS:
        raise _refused(event, "tag", tag, "values without YAML tags")


class _Mark(Protocol):
    line: int


def _refused(event: yaml.Event, what: str, value: object, expected: str) -> InvalidValue:
    mark: _Mark | None = event.start_mark
    return InvalidValue(f"{what}{_on_line(mark)}", value, expected)


def _malformed(text: str, mark: _Mark | None, problem: str) -> InvalidValue:
    lines = text.splitlines()
    shown = lines[mark.line] if mark is not None and mark.line < len(lines) else ""
    return InvalidValue(f"YAML{_on_line(mark)}", shown, f"well-formed YAML ({problem})")


def _on_line(mark: _Mark | None) -> str:
    return "" if mark is None else f" on line {mark.line + 1},"


class _Dumper(yaml.SafeDumper):
    """Lists are indented below their key, and no anchors are made of what is there twice."""

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:
        """Begin a level, whatever `indentless` says."""
        super().increase_indent(flow, False)

    def ignore_aliases(self, data: object) -> bool:
        """Write everything out."""
        return True


# PyYAML puts quotes around what YAML 1.1 would not read as text. These are the words that YAML 1.2,
# or a reader of 1.1 stricter than PyYAML, would not.
for _tag, _words, _first in (
    ("bool", r"[yYnN]", "yYnN"),
    ("int", r"0o[0-7]+|0x[0-9a-fA-F]+|[-+]?[0-9]+", "-+0123456789"),
    ("float", r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?", "-+.0123456789"),
):
    _Dumper.add_implicit_resolver(
        f"tag:yaml.org,2002:{_tag}", re.compile(f"(?:{_words})$"), list(_first)
    )
