"""What docs/reference/output.md says of JSON and YAML: the kinds of items, and their fields."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from tests.support.paths import CHECKOUT

PAGE = CHECKOUT / "docs/reference/output.md"


@dataclass(frozen=True)
class Fields:
    """The fields that each item of a kind has, and those that it may have."""

    always: frozenset[str]
    sometimes: frozenset[str]


def kinds() -> dict[str, Fields]:
    """The kinds that the page describes."""
    found: dict[str, Fields] = {}
    for part in PAGE.read_text().split("\n### ")[1:]:
        name = part.partition("\n")[0].strip("`")
        assert name not in found, f"{PAGE} describes {name} twice"
        rows = re.findall(r"^\| `(\w+)` \| (always|if [^|]+) \|", part, re.MULTILINE)
        always = frozenset(field for field, there in rows if there == "always")
        found[name] = Fields(always, frozenset(field for field, _ in rows) - always)
    return found


def check(kind: str, item: Mapping[str, object]) -> None:
    """Fail unless an item of a kind has the fields that the page gives it."""
    known, fields = kinds(), set(item)
    if kind == "list":
        kind = str(item["kind"])
        fields -= {"kind"}
    missing = known[kind].always - fields
    unknown = fields - known[kind].always - known[kind].sometimes
    assert not missing, f"docs/reference/output.md says that each {kind} has them"
    assert not unknown, f"fields of {kind} that are not in docs/reference/output.md"
