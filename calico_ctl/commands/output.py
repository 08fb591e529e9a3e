"""The forms in which every `show` gives what it found: a table, JSON, YAML, or names only.

JSON and YAML are one object, `{"schema": 1, "kind": ..., "items": [...]}`. Fields may be added to
items within a schema; none is renamed, removed or given another meaning. Nothing else is on stdout.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from enum import StrEnum
from typing import NamedTuple

from calico_ctl.console import Console
from calico_ctl.errors import InvalidValue
from calico_ctl.usage import Words

SCHEMA = 1


class Form(StrEnum):
    """How a listing is written; the value is what `--output=` takes."""

    TABLE = "table"
    JSON = "json"
    YAML = "yaml"
    NAME = "name"


class Listing(NamedTuple):
    """What a `show` found, as data.

    `kind` says in one word what the items are (`profile`). Each item is a mapping of JSON values,
    its fields in the order of reading. `names` are what the other commands call the items.
    """

    kind: str
    items: Sequence[Mapping[str, object]]
    names: Sequence[str]


def form(words: Words) -> Form:
    """Return what `--output` asks for, a table if it is not there; raise InvalidValue."""
    text = words.optional("--output")
    if text is None:
        return Form.TABLE
    if text not in set(Form):
        raise InvalidValue("--output", text, ", ".join(Form))
    return Form(text)


def show(console: Console, chosen: Form, listing: Listing, table: Callable[[], None]) -> None:
    """Print a listing in the form chosen; `table` prints it for people."""
    match chosen:
        case Form.TABLE:
            table()
        case Form.NAME:
            for name in listing.names:
                console.result(name)
        case Form.JSON:
            console.result(in_json(listing))
        case Form.YAML:
            # Imported here: only who asks for YAML pays for it.
            from calico_ctl.model import yaml_text

            console.result(yaml_text.write(as_object(listing)).rstrip("\n"))


def in_json(listing: Listing) -> str:
    """Return the object as JSON, each item on a line of its own.

    The library indents with its slow encoder, which takes seconds for tens of thousands of items.
    """
    head, tail = json.dumps(as_object(listing) | {"items": []}, indent=2).rsplit("[]", 1)
    encode = json.JSONEncoder().encode
    lines = ",\n".join([f"    {encode(item)}" for item in listing.items])
    return f"{head}[\n{lines}\n  ]{tail}" if lines else f"{head}[]{tail}"


def as_object(listing: Listing) -> dict[str, object]:
    """Return the listing as the one object that JSON and YAML show."""
    return {"schema": SCHEMA, "kind": listing.kind, "items": list(listing.items)}
