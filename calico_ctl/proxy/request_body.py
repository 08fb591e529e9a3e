"""The body of a request out of its framing, strictly: what could be read in two ways is refused.

h11 does this too, but slower than an engine reads the images and build contexts that clients send,
often in small chunks. It still reads what follows the last chunk.
"""

import re

LINE_LIMIT = 16 * 1024
"""Bytes of the line before a chunk that are accepted."""

_CHUNK_HEAD = re.compile(rb"(?P<size>[0-9a-fA-F]{1,16})(?:[ \t]*;[^\r\n\0]*)?\r\n")
_CHUNK_END = b"\r\n"

Pieces = list[memoryview]


class Malformed(Exception):
    """The body breaks its framing."""


class CountedBody:
    """A body of so many bytes."""

    unread = b""
    """What was taken and stands for nothing yet."""

    def __init__(self, length: int) -> None:
        """Wait for `length` bytes, which may be none."""
        self._missing = length

    @property
    def is_over(self) -> bool:
        """Whether all of it was taken."""
        return not self._missing

    def take(self, data: bytes) -> tuple[Pieces, int]:
        """Return the contents of these bytes, which come next, and how many belong to the body."""
        used = min(len(data), self._missing)
        self._missing -= used
        return [memoryview(data)[:used]], used


class ChunkedBody:
    """A body in chunks, up to the line of the last one, which has the size 0."""

    def __init__(self) -> None:
        """Wait for the first chunk."""
        self.is_over = False
        self._missing = 0
        self._end = b""
        self._line = b""

    def take(self, data: bytes) -> tuple[Pieces, int]:
        """Return the contents of these bytes, which come next, and how many belong to the body.

        Raises Malformed if they are no chunks.
        """
        view, pieces, position = memoryview(data), [], 0
        while position < len(data) and not self.is_over:
            if self._missing:
                piece = view[position : position + self._missing]
                pieces.append(piece)
                position += self._pass(len(piece))
            elif self._end:
                position += self._pass_end(data[position : position + len(self._end)])
            else:
                position += self._pass_line(data, position)
        return pieces, position

    @property
    def unread(self) -> bytes:
        """What was taken and stands for nothing yet."""
        return self._line

    def _pass(self, count: int) -> int:
        self._missing -= count
        if not self._missing:
            self._end = _CHUNK_END
        return count

    def _pass_end(self, found: bytes) -> int:
        if not self._end.startswith(found):
            raise Malformed("a chunk is longer than its size")
        self._end = self._end[len(found) :]
        return len(found)

    def _pass_line(self, data: bytes, position: int) -> int:
        newline = data.find(b"\n", position) + 1
        part = data[position : newline or len(data)]
        self._line += part
        if len(self._line) > LINE_LIMIT:
            raise Malformed("the line before a chunk is too long")
        if newline:
            self._read_line()
        return len(part)

    def _read_line(self) -> None:
        head = _CHUNK_HEAD.fullmatch(self._line)
        if head is None:
            raise Malformed("a chunk has no size")
        self._line = b""
        self._missing = int(head["size"], 16)
        self.is_over = not self._missing


RequestBody = CountedBody | ChunkedBody
