"""What Go's encoding/json leaves in a field after it has read members of its name, one by one.

Members of one name are read one after the other into the same field, and each kind of field takes
that in its own way. A value of another kind is an error, after which Docker refuses the whole
request; here it is Malformed.
"""

from collections.abc import Iterable

from calico_ctl.proxy import json_text
from calico_ctl.proxy.json_text import Malformed, Member


def named(members: Iterable[Member], name: str) -> list[Member]:
    """Return the members that Go reads into the field of that name, in order."""
    folded = json_text.fold(name)
    return [each for each in members if json_text.fold(each.key) == folded]


def without(members: Iterable[Member], names: Iterable[str]) -> list[Member]:
    """Return the members that Go reads into none of these fields."""
    folded = set(map(json_text.fold, names))
    return [each for each in members if json_text.fold(each.key) not in folded]


def struct(members: Iterable[Member], name: str) -> list[Member] | None:
    """Return the members of a pointer to a struct: objects merge, null starts anew."""
    found: list[Member] | None = None
    for each in named(members, name):
        if each.value is None:
            found = None
        else:
            found = found or []
            found += json_text.read_object(each.raw)[0]
    return found


def keys(members: Iterable[Member], name: str) -> list[str]:
    """Return the keys of a map: objects merge, null empties it."""
    found: dict[str, object] = {}
    for each in named(members, name):
        if each.value is None:
            found = {}
        elif isinstance(each.value, dict):
            found |= each.value
        else:
            raise Malformed(f"{name} is no object")
    return [json_text.as_go_reads(key) for key in found]


def flag(members: Iterable[Member], name: str) -> bool:
    """Return a boolean: the last counts, null says nothing."""
    found = False
    for each in named(members, name):
        if isinstance(each.value, bool):
            found = each.value
        elif each.value is not None:
            raise Malformed(f"{name} is no boolean")
    return found


def strings(members: Iterable[Member], name: str) -> list[str]:
    """Return a list of strings: the last counts, but a null in it keeps what was at its place.

    Also what a longer list left there before a shorter one came; null and [] forget that.
    """
    places: list[str] = []
    length = 0
    for each in named(members, name):
        if each.value is None or each.value == []:
            places, length = [], 0
        elif isinstance(each.value, list):
            length = len(each.value)
            places += [""] * (length - len(places))
            places[:length] = map(_string, each.value, places)
        else:
            raise Malformed(f"{name} is no list")
    return places[:length]


def _string(value: object, before: str) -> str:
    if value is None:
        return before
    if not isinstance(value, str):
        raise Malformed("no string")
    return json_text.as_go_reads(value)
