"""What docs/reference/output.md says of JSON and YAML: the kinds of items, and their fields."""

import re

from tests.support.paths import CHECKOUT

PAGE = CHECKOUT / "docs/reference/output.md"


def fields() -> dict[str, set[str]]:
    """The names of the fields of each kind."""
    found: dict[str, set[str]] = {}
    for part in PAGE.read_text().split("\n### ")[1:]:
        kinds = re.findall(r"`(\w+)`", part.partition("\n")[0])
        names = set(re.findall(r"^\| `(\w+)` ", part, re.MULTILINE))
        found |= dict.fromkeys(kinds, names)
    return found
