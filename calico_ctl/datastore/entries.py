"""What every noun does with keys: decode a value naming its key, and change it without losing one.

A change is read, apply, compare-and-swap, and again if somebody was faster. Each round at least
one writer gets through, so the bound is only there to end a fault, not a crowd.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from calico_ctl.datastore.store import Entry, Store
from calico_ctl.errors import AlreadyExists, Conflict, InvalidValue, NotFound

_T = TypeVar("_T")

ATTEMPTS = 100


@dataclass(frozen=True, slots=True)
class Problem:
    """A key whose value cannot be used, and why."""

    key: str
    reason: str


def decode(entry: Entry, parse: Callable[[str], _T]) -> _T:
    """Return what the entry's value means; InvalidValue names the key."""
    try:
        return parse(entry.value or "")
    except InvalidValue as error:
        what = f"{error.what} under {entry.key}:"
        raise InvalidValue(what, error.value, error.expected) from error


def edit(store: Store, key: str, change: Callable[[Entry], str]) -> Entry:
    """Replace the value under a key by what `change` makes of it; nothing is lost meanwhile.

    Writes nothing if the value stays the same. Raises NotFound if there is no such key.
    """
    for _ in range(ATTEMPTS):
        seen = store.get(key)
        if seen is None or seen.is_directory:
            raise NotFound(f"{key} does not exist")
        wanted = change(seen)
        if wanted == seen.value:
            return seen
        try:
            return store.swap(seen, wanted)
        except Conflict:
            continue
    raise gave_up(key)


def assign(store: Store, key: str, value: str) -> bool:
    """Make a key have a value, whatever it had; say whether that was a change."""
    for _ in range(ATTEMPTS):
        seen = store.get(key)
        if seen is not None and seen.value == value:
            return False
        try:
            store.create(key, value) if seen is None else store.swap(seen, value)
        except (AlreadyExists, Conflict):
            continue
        return True
    raise gave_up(key)


def ensure(store: Store, key: str, value: str | None) -> bool:
    """Create a key, or a directory if `value` is None, unless it is there; say whether it was."""
    if store.get(key) is not None:
        return False
    try:
        store.create(key, value)
    except AlreadyExists:
        return False
    return True


def directories(store: Store, directory: str) -> list[str]:
    """Return the names of the directories right below a directory, sorted."""
    depth = directory.count("/") + 1
    found = (each.key for each in store.tree(directory).entries if each.is_directory)
    return sorted(key.rpartition("/")[2] for key in found if key.count("/") == depth)


def delete_if_empty(store: Store, directory: str) -> bool:
    """Delete a directory that has nothing in it; say whether it is gone."""
    try:
        store.delete(directory, seen=Entry(directory, None, 0))
    except Conflict:
        return False
    return True


def gave_up(key: str) -> Conflict:
    """Return the error for a key that others keep changing."""
    return Conflict(f"{key} is changed by others all the time", hint="try again")
