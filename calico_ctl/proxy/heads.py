"""Where a message's head ends, and lists of header fields."""

import re
from collections.abc import Iterable

HEAD_LIMIT = 256 * 1024
"""Bytes of a request's line and headers that are accepted."""

Fields = list[tuple[bytes, bytes]]
"""Names as they were written, and values."""

# The parser of heads, h11, ends a head at the same places, so nothing is left over there.
_BLANK_LINE = re.compile(rb"\n\r?\n")


def end(text: bytes | bytearray, start: int = 0) -> int | None:
    """Return where the head at the beginning ends, or None if it is not all there.

    `start` says how far it was searched before; the search goes on a little before that.
    """
    for empty in (b"\n", b"\r\n"):
        if text.startswith(empty):
            return len(empty)
    found = _BLANK_LINE.search(text, max(0, start - 2))
    return found.end() if found else None


def values(fields: Iterable[tuple[bytes, bytes]], name: bytes) -> list[str]:
    """Return all values of the field `name` (lower case) as text, in order."""
    return [value.decode("latin-1") for key, value in fields if key.lower() == name]


def words(fields: Iterable[tuple[bytes, bytes]], name: bytes) -> set[str]:
    """Return the comma-separated words of the field `name` (lower case), in lower case."""
    return {word.strip().lower() for value in values(fields, name) for word in value.split(",")} - {
        ""
    }


def without(fields: Fields, *names: bytes) -> Fields:
    """Return the fields but those of these names (lower case)."""
    return [(key, value) for key, value in fields if key.lower() not in names]


def with_length(fields: Fields, length: int) -> Fields:
    """Return the fields with a Content-Length, where the length was told before in any way."""
    told = {b"content-length", b"transfer-encoding"}
    changed: Fields = []
    placed = False
    for key, value in without(fields, b"trailer"):
        if key.lower() not in told:
            changed.append((key, value))
        elif not placed:
            changed.append((b"Content-Length", b"%d" % length))
            placed = True
    return changed if placed else [*changed, (b"Content-Length", b"%d" % length)]
