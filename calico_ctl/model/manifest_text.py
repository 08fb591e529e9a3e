"""The text of a manifest file ⇄ its documents, in YAML or in JSON.

A file may hold many documents: YAML's are separated by `---`, JSON's follow one another. What has a
name that ends neither in .json nor in .yaml or .yml is JSON if it begins with `{"`, and YAML else.
"""

import json
import re
from collections.abc import Iterator
from typing import NoReturn

from calico_ctl.errors import InvalidValue

_YAML_NAMES = (".yaml", ".yml")
_JSON_NAMES = (".json",)
SUFFIXES = _YAML_NAMES + _JSON_NAMES

_BEGINS_AS_JSON = re.compile(r'\s*\{\s*"')
_SPACE = re.compile(r"[ \t\r\n]*")


def documents(text: str, name: str) -> list[object]:
    """Return the value of each document of a file; an empty one is None. Raises InvalidValue."""
    text = text.removeprefix("\ufeff")
    return list(_json(text)) if _is_json(text, name.lower()) else _yaml(text)


def in_yaml(values: list[dict[str, object]]) -> str:
    """Write documents as YAML, in the order given."""
    from calico_ctl.model import yaml_text

    return "---\n".join(yaml_text.write(value) for value in values)


def _is_json(text: str, name: str) -> bool:
    if name.endswith(SUFFIXES):
        return name.endswith(_JSON_NAMES)
    return _BEGINS_AS_JSON.match(text) is not None


def _yaml(text: str) -> list[object]:
    # Imported here: who has JSON does not pay for it.
    from calico_ctl.model import yaml_text

    return list(yaml_text.read(text))


def _json(text: str) -> Iterator[object]:
    at = _after_space(text, 0)
    while at < len(text):
        value, at = _json_value(text, at)
        yield value
        at = _after_space(text, at)


def _json_value(text: str, at: int) -> tuple[object, int]:
    try:
        return _JSON.raw_decode(text, at)
    except json.JSONDecodeError as error:
        shown = text.splitlines()[error.lineno - 1 :][:1]
        what = f"JSON on line {error.lineno},"
        raise InvalidValue(what, "".join(shown), f"well-formed JSON ({error.msg})") from error
    except ValueError as error:
        raise InvalidValue("JSON", text[at : at + 200], f"JSON without {error}") from error
    except RecursionError as error:
        raise InvalidValue(
            "JSON", text[at : at + 200], "JSON that is less deeply nested"
        ) from error


def _after_space(text: str, at: int) -> int:
    found = _SPACE.match(text, at)
    return at if found is None else found.end()


def _each_key_once(pairs: list[tuple[str, object]]) -> dict[str, object]:
    value = dict(pairs)
    if len(value) < len(pairs):
        seen: set[str] = set()
        twice = next(name for name, _ in pairs if name in seen or seen.add(name))  # type: ignore[func-returns-value]
        message = f"the key {twice!r} twice in one object"
        raise ValueError(message)
    return value


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(name)


_JSON = json.JSONDecoder(object_pairs_hook=_each_key_once, parse_constant=_refuse_constant)
