"""What is said in etcd's v3 API over JSON: requests as objects, answers as entries and events.

Keys and values are base64, 64-bit numbers are text, and what is zero or empty is left out.

v3 knows no directories. A key below another one makes a directory of that, and so does a *marker*:
the directory's own name with a slash behind, and an empty value. It is what an empty directory is
made of.
"""

import json
from binascii import a2b_base64, b2a_base64
from collections.abc import Iterable, Mapping, Sequence
from operator import attrgetter
from typing import Any

from calico_ctl.datastore.store import Entry, Event

Object = dict[str, Any]

# Of google.rpc.Code.
TIMED_OUT = 4
DENIED = 7
OUT_OF_RANGE = 11
UNAVAILABLE = 14
UNAUTHENTICATED = 16

AFTER_SLASH = "0"
"""The character that follows it."""


def coded(text: str) -> str:
    """Return a key or a value as JSON has it."""
    return b2a_base64(text.encode(), newline=False).decode()


def after(key: str) -> str:
    """Return the first key that can follow one, both as JSON has them. Raises ValueError."""
    return b2a_base64(a2b_base64(key) + b"\0", newline=False).decode()


def between(start: str, end: str) -> Object:
    """Return the range of all keys from `start` on that are before `end`."""
    return {"key": coded(start), "range_end": coded(end)}


def below(directory: str) -> Object:
    """Return the range of all keys below a directory, its marker among them."""
    base = directory.rstrip("/")
    return between(f"{base}/", base + AFTER_SLASH)


def around(directory: str) -> Object:
    """Return the range of a key and of all below it; some others are in it too: see `concerns`."""
    base = directory.rstrip("/")
    return between(base or "/", base + AFTER_SLASH)


def concerns(key: str, directory: str) -> bool:
    """Say whether a key is that one, or below it."""
    return key == directory or key.startswith(directory.rstrip("/") + "/")


def whether(key: str) -> Sequence[Object]:
    """Return the operations that look for a key, and for anything below it."""
    return [
        looking(key),
        {"request_range": {**below(key), "limit": "1", "keys_only": True}},
    ]


def looking(key: str) -> Object:
    """Return the operation that looks for a key."""
    return {"request_range": {"key": coded(key)}}


def parents(key: str) -> Sequence[str]:
    """Return the directories that a key is in, but for the one at the top.

    A user who may do all below that one need not have a right to look at it itself.
    """
    parts = key.split("/")
    return ["/".join(parts[:end]) for end in range(3, len(parts))]


def absent(*ranges: Object) -> list[Object]:
    """Return the conditions that there is nothing in some ranges."""
    return [{**each, "target": "CREATE", "create_revision": "0"} for each in ranges]


def unchanged(seen: Entry) -> Object:
    """Return the condition that a key is as it was seen."""
    revision = str(seen.revision)
    return {"key": coded(seen.key), "target": "MOD", "mod_revision": revision}


def placeable(key: str) -> list[Object]:
    """Return the conditions that a key may have a value: it and its parents are not the other."""
    return absent(below(key), *({"key": coded(each)} for each in parents(key)))


def putting(key: str, value: str, lease: str = "") -> Object:
    """Return the operation that writes a key."""
    put = {"key": coded(key), "value": coded(value)}
    return {"request_put": {**put, "lease": lease} if lease else put}


def deleting(*ranges: Object) -> list[Object]:
    """Return the operations that delete all in some ranges."""
    return [{"request_delete_range": each} for each in ranges]


def entry(found: Mapping[str, Any]) -> Entry:
    """Return a key and its value, from what etcd says about it."""
    return Entry(
        a2b_base64(found["key"]).decode(errors="replace"),
        a2b_base64(found.get("value", "")).decode(errors="replace"),
        int(found["mod_revision"]),
    )


def read(text: str) -> Object:
    """Return an answer in which each key with its value is an Entry. Raises ValueError.

    They become that as they are parsed: of a large answer all objects would be too much at once.
    """

    def take(found: Object) -> Entry | Object:
        return entry(found) if "mod_revision" in found else found

    return _object(json.loads(text, object_hook=take))


def read_leaves(text: str) -> Object:
    """Return an answer about a range, in which `kvs` is key → (value, revision) without markers.

    To read thousands of keys it takes two thirds of what `read` does. Raises ValueError or KeyError
    if it is no such answer.
    """
    said = _object(json.loads(text))
    said["kvs"] = {
        key: (
            a2b_base64(found.get("value", "")).decode(errors="replace"),
            int(found["mod_revision"]),
        )
        for found in said.get("kvs", ())
        if not (key := a2b_base64(found["key"]).decode(errors="replace")).endswith("/")
    }
    return said


def found_in(response: Mapping[str, Any]) -> Sequence[Entry]:
    """Return the entries of an answer about one range, also of one of a transaction's."""
    entries: Sequence[Entry] = response.get("response_range", response).get("kvs", ())
    return entries


def deleted_in(said: Mapping[str, Any]) -> int:
    """Return how many keys a transaction has deleted."""
    ranges = (each.get("response_delete_range", {}) for each in said.get("responses", ()))
    return sum(int(each.get("deleted", 0)) for each in ranges)


def tree(found: Iterable[Entry], directory: str) -> Sequence[Entry]:
    """Return all that is below a directory, in order, from the keys in it, which are in order."""
    base = directory.rstrip("/")
    known: set[str] = {base}
    entries: list[Entry] = []
    for each in found:
        parent, _, name = each.key.rpartition("/")
        if name:
            entries.append(each)
        while parent not in known and len(parent) > len(base):
            known.add(parent)
            entries.append(Entry(parent, None, each.revision))
            parent = parent.rpartition("/")[0]
    entries.sort(key=attrgetter("key"))
    return tuple(entries)


def events(listed: Iterable[Mapping[str, Any]], directory: str) -> list[Event]:
    """Return what happened to a directory and below it.

    A marker that goes is not told: there may be other keys below its directory.
    """
    changes = []
    for each in listed:
        changed, deleted = each["kv"], each.get("type") == "DELETE"
        key = changed.key.removesuffix("/")
        is_marker = key != changed.key
        if not concerns(key, directory) or (is_marker and deleted):
            continue
        value = None if is_marker or deleted else changed.value
        changes.append(Event(key, value, changed.revision, deleted))
    return changes


def trouble(said: Mapping[str, Any]) -> tuple[int, str] | None:
    """Return code and message of an error, also of one in the middle of a watch; None: it is none.

    Its form depends on the release of the gateway in etcd.
    """
    error = said.get("error")
    detail: Mapping[str, Any] = error if isinstance(error, dict) else said
    code = detail.get("code", detail.get("grpc_code"))
    if not isinstance(code, int):
        return None
    message = str(detail.get("message") or detail.get("error") or "")
    return code, message.removeprefix("etcdserver: ")


def _object(said: object) -> Object:
    if not isinstance(said, dict):
        raise ValueError("no JSON object")  # noqa: TRY004 - it is said to be no answer of etcd
    return said
