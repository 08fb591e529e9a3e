"""JSON as text, read the way Docker reads it: with Go's encoding/json.

Docker's clients may write JSON in more ways than one. Go finds a field by its name in any case
(with the Unicode folding of K and S), takes the last of several members of that name, and merges
them if they are objects. So a dict does not tell what Docker will do; a list of members does. Each
member keeps its own text, and an object is put together again from texts: what nobody touched
stays as it was, big integers, odd floats and invalid UTF-8 included.

Text is UTF-8 with `surrogateescape`, so that every body can be read and written again.
"""

import json
import re
from collections.abc import Iterable, Mapping
from typing import NamedTuple, NoReturn

from calico_ctl.errors import InvalidValue

VALUE_LIMIT = 300_000
"""Values in a request's body. Who exposes all ports of TCP and UDP needs 262,140 of them."""


class Malformed(ValueError):
    """Text that is no JSON, or not of the kind that was asked for; Docker refuses it too."""


class Member(NamedTuple):
    """One member of an object.

    `key` is the name as Go reads it; `raw_key` and `raw` are the texts of name and value; `value`
    is what the value means. Numbers in it are floats, for the curious: their text is in `raw`.
    A tuple, because a body may have very many, and a dataclass takes four times as long.
    """

    key: str
    raw_key: str
    raw: str
    value: object

    def is_named(self, name: str) -> bool:
        """Tell whether Go reads this member into the field of that name."""
        return self.key == name or fold(self.key) == fold(name)


class Element(NamedTuple):
    """One element of an array: `text[start:end]`, and what it means."""

    start: int
    end: int
    value: object


def decode(body: bytes) -> str:
    """Return a body's text; invalid UTF-8 survives."""
    return body.decode("utf-8", "surrogateescape")


def decode_request(body: bytes) -> str:
    """Return the text of a request's body, of one that can be read without harm.

    Each value takes hundreds of bytes while it is read, also one of two. Raises InvalidValue if
    there may be more of them than VALUE_LIMIT; commas and brackets in strings count too.
    """
    count = sum(map(body.count, (b",", b"{", b"[")))
    if count > VALUE_LIMIT:
        raise InvalidValue("number of values in the request body", count, f"at most {VALUE_LIMIT}")
    return decode(body)


def encode(text: str) -> bytes:
    """Return the bytes of a text that `decode` gave."""
    return text.encode("utf-8", "surrogateescape")


def member(name: str, raw: str) -> Member:
    """Return a member that is not there yet; the name is plain ASCII."""
    return Member(name, f'"{name}"', raw, _value(raw, 0)[0])


def read_object(text: str) -> tuple[list[Member], str]:
    """Return the members of the object at the beginning of the text, and the text after it.

    Raises Malformed, or InvalidValue if it is nested too deeply to be read.
    """
    at = _expect(text, 0, "{")
    members: list[Member] = []
    while (end := _end(text, at, "}")) is None:
        if members:
            at = _expect(text, at, ",")
        found, at = _read_member(text, at)
        members.append(found)
    return members, text[end:]


def read_array(text: str) -> list[Element]:
    """Return the elements of an array; what follows it is not looked at.

    Raises Malformed, or InvalidValue if it is nested too deeply to be read.
    """
    at = _expect(text, 0, "[")
    elements: list[Element] = []
    while _end(text, at, "]") is None:
        if elements:
            at = _expect(text, at, ",")
        value, end = _value(text, at)
        elements.append(Element(at, end, value))
        at = end
    return elements


def write_object(members: Iterable[Member]) -> str:
    """Return the text of an object that has these members, in this order."""
    return "{" + ",".join(f"{each.raw_key}:{each.raw}" for each in members) + "}"


def encode_object(members: Iterable[Member], further: Mapping[str, bytes], rest: str) -> bytes:
    """Return the bytes of an object with these members and `further` ones, and of what follows it.

    There may be very many, or a very long one: no second text of it all is made on the way.
    """
    written = bytearray(b"{")
    for each in members:
        written += encode(each.raw_key) + b":"
        written += encode(each.raw)
        written += b","
    for name, raw in further.items():
        written += f'"{name}":'.encode()
        written += raw
        written += b","
    if len(written) > 1:
        written.pop()
    written += b"}"
    written += encode(rest)
    return bytes(written)


def fold(name: str) -> str:
    """Return what names of the same field have in common."""
    return name.translate(_FOLDING)


def as_go_reads(text: str) -> str:
    """Return a string with U+FFFD for each invalid byte and for half of a surrogate pair."""
    return text if text.isascii() else _SURROGATE.sub("\ufffd", text)


_SPACE = r"[ \t\n\r]*"
_SIGNS = {sign: re.compile(f"{_SPACE}{re.escape(sign)}{_SPACE}") for sign in "{[:,]}"}
_CLOSING = re.compile(rf"{_SPACE}([\]}}])")
_SURROGATE = re.compile("[\ud800-\udfff]")
# Upper and lower case of ASCII, and the two others that fold to ASCII: long s and Kelvin's sign.
_FOLDING = str.maketrans("ABCDEFGHIJKLMNOPQRSTUVWXYZ\u017f\u212a", "abcdefghijklmnopqrstuvwxyzsk")


def _no_constant(name: str) -> NoReturn:
    raise Malformed(f"{name} is no JSON")


# Python reads NaN and Infinity, Go does not. An integer may have more digits than int() takes.
_DECODER = json.JSONDecoder(parse_int=float, parse_constant=_no_constant)


def _read_member(text: str, start: int) -> tuple[Member, int]:
    """Return the member at `start`, and where it ends."""
    key, end = _value(text, start)
    if not isinstance(key, str):
        raise Malformed(f"no name at {start}")
    begin = _expect(text, end, ":")
    value, after = _value(text, begin)
    return Member(as_go_reads(key), text[start:end], text[begin:after], value), after


def _value(text: str, start: int) -> tuple[object, int]:
    """Return the value that begins exactly at `start`, and where it ends."""
    try:
        return _DECODER.raw_decode(text, start)
    except RecursionError:
        raise InvalidValue("request body", "(JSON)", "values nested less deeply") from None
    except ValueError as error:
        raise Malformed(str(error)) from error


def _expect(text: str, at: int, sign: str) -> int:
    """Return where the next thing begins after that sign; space may be around it."""
    found = _SIGNS[sign].match(text, at)
    if found is None:
        raise Malformed(f"no {sign} at {at}")
    return found.end()


def _end(text: str, at: int, sign: str) -> int | None:
    """Return where the text goes on after the closing sign, if that is what comes."""
    if text.startswith(sign, at):
        return at + 1
    found = _CLOSING.match(text, at)
    return found.end() if found and found[1] == sign else None
