"""An independent reader of requests that accepts only their one canonical form.

It shares nothing with the proxy's own reading of HTTP: what the proxy sends to the engine has to be
read here as exactly the requests that the proxy has looked at.
"""

import re
from dataclasses import dataclass

_LINE = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+) ([\x21-\x7e]+) HTTP/1\.1\Z")
_FIELD = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+): ((?:[^\s\0](?:[^\n\r\0]*[^\s\0])?)?)\Z")
_SIZE = re.compile(rb"[0-9a-f]+\Z")


class NotCanonical(Exception):
    """These bytes could be read in more than one way, or in none."""


@dataclass(frozen=True)
class Seen:
    """A whole request."""

    method: str
    target: bytes
    fields: tuple[tuple[bytes, bytes], ...]
    body: bytes
    trailers: tuple[tuple[bytes, bytes], ...] = ()

    def has(self, name: bytes) -> bool:
        return any(key.lower() == name for key, _ in self.fields)


class Reader:
    """Takes bytes as they come, gives requests as they are whole."""

    def __init__(self) -> None:
        self._data = b""

    def feed(self, data: bytes) -> list[Seen]:
        """Add bytes; return the requests that are whole now. Raises NotCanonical."""
        self._data += data
        seen = []
        while (found := self._next()) is not None:
            seen.append(found)
        return seen

    def begun(self) -> tuple[str, bytes] | None:
        """Method and target of a request whose head is there and whose body is not."""
        if b"\r\n\r\n" not in self._data:
            return None
        method, target, _ = _head(self._data.split(b"\r\n\r\n", 1)[0])
        return method, target

    @property
    def rest(self) -> bytes:
        """What is no whole request yet."""
        return self._data

    def _next(self) -> Seen | None:
        head, end, rest = self._data.partition(b"\r\n\r\n")
        if not end:
            return None
        method, target, fields = _head(head)
        lengths = [value for key, value in fields if key.lower() == b"content-length"]
        codings = [value for key, value in fields if key.lower() == b"transfer-encoding"]
        if len(lengths) + len(codings) > 1:
            raise NotCanonical(head)
        if codings:
            if codings != [b"chunked"]:
                raise NotCanonical(head)
            return self._chunked(method, target, fields, rest)
        if lengths and not lengths[0].isdigit():
            raise NotCanonical(head)
        length = int(lengths[0]) if lengths else 0
        if len(rest) < length:
            return None
        self._data = rest[length:]
        return Seen(method, target, fields, rest[:length])

    def _chunked(
        self, method: str, target: bytes, fields: tuple[tuple[bytes, bytes], ...], rest: bytes
    ) -> Seen | None:
        body = b""
        while (chunk := _chunk(rest)) is not None:
            piece, rest = chunk
            body += piece
            if not piece:
                break
        else:
            return None
        if rest.startswith(b"\r\n"):
            self._data = rest[2:]
            return Seen(method, target, fields, body)
        trailers, end, left = rest.partition(b"\r\n\r\n")
        if not end:
            return None
        self._data = left
        return Seen(method, target, fields, body, _fields(trailers.split(b"\r\n")))


def _chunk(data: bytes) -> tuple[bytes, bytes] | None:
    """Return a chunk's contents and what follows it; the last chunk has no contents."""
    line, end, rest = data.partition(b"\r\n")
    if not end:
        return None
    if not _SIZE.match(line):
        raise NotCanonical(line)
    size = int(line, 16)
    if size == 0:
        return b"", rest
    if len(rest) < size + 2:
        return None
    if rest[size : size + 2] != b"\r\n":
        raise NotCanonical(rest)
    return rest[:size], rest[size + 2 :]


def _head(head: bytes) -> tuple[str, bytes, tuple[tuple[bytes, bytes], ...]]:
    first, *lines = head.split(b"\r\n")
    line = _LINE.match(first)
    if line is None:
        raise NotCanonical(first)
    return line[1].decode(), line[2], _fields(lines)


def _fields(lines: list[bytes]) -> tuple[tuple[bytes, bytes], ...]:
    found = [_FIELD.match(line) for line in lines if line]
    if not all(found):
        raise NotCanonical(lines)
    return tuple((each[1], each[2]) for each in found if each)
