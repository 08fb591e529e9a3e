"""Where the body of an answer ends, seen from beside its bytes.

h11 knows this too, but takes 30 µs for each chunk, and the engine sends each line of a log as a
chunk; here it is one. Only for answers of the engine: it is no enemy, so this is not strict.
"""

import re

_CHUNK_HEAD = re.compile(rb"[ \t]*(?P<size>[0-9a-fA-F]{1,15})[ \t]*(?:;[^\n]*)?\r?\n")
_LONGEST_LINE = 64 * 1024


class Broken(Exception):
    """The engine's bytes are no HTTP answer."""


class Counted:
    """A body of so many bytes."""

    def __init__(self, length: int) -> None:
        """Wait for `length` bytes, which may be none."""
        self._missing = length
        self.is_over = length == 0

    def advance(self, data: bytes) -> int:
        """Return how many of these bytes, which come next, belong to the body."""
        used = min(len(data), self._missing)
        self._missing -= used
        self.is_over = self._missing == 0
        return used

    def decoded(self, raw: bytes) -> bytes:
        """Return what these bytes, which were advanced over last, stand for."""
        return raw

    def closed(self) -> bool:
        """Whether the body is whole if the connection ends now."""
        return self.is_over


class UntilClose:
    """A body that ends with the connection."""

    is_over = False

    def advance(self, data: bytes) -> int:
        """Return how many of these bytes, which come next, belong to the body: all."""
        return len(data)

    def decoded(self, raw: bytes) -> bytes:
        """Return what these bytes, which were advanced over last, stand for."""
        return raw

    def closed(self) -> bool:
        """Whether the body is whole if the connection ends now: that is how it ends."""
        return True


class Chunked:
    """A body in chunks; `decodes` has their contents kept for `decoded`."""

    def __init__(self, *, decodes: bool) -> None:
        """Wait for the first chunk."""
        self.is_over = False
        self._decodes = decodes
        self._missing = 0
        self._line = b""
        self._in_trailers = False
        self._contents: list[bytes] = []

    def advance(self, data: bytes) -> int:
        """Return how many of these bytes, which come next, belong to the body.

        Raises Broken if they cannot be chunks.
        """
        position, length = 0, len(data)
        while position < length and not self.is_over:
            if self._missing:
                position = self._skip(data, position)
                continue
            newline = data.find(b"\n", position) + 1
            if not newline:
                self._keep(data[position:])
                return length
            self._read(self._line + data[position:newline])
            position = newline
        return position

    def decoded(self, raw: bytes) -> bytes:
        """Return what these bytes, which were advanced over last, stand for."""
        contents = b"".join(self._contents)
        self._contents.clear()
        return contents

    def closed(self) -> bool:
        """Whether the body is whole if the connection ends now."""
        return self.is_over

    def _skip(self, data: bytes, position: int) -> int:
        """Pass over a chunk and the line break after it, which `_missing` counts too."""
        step = min(self._missing, len(data) - position)
        if self._decodes and self._missing > 2:
            self._contents.append(data[position : position + min(step, self._missing - 2)])
        self._missing -= step
        return position + step

    def _keep(self, part: bytes) -> None:
        self._line += part
        if len(self._line) > _LONGEST_LINE:
            raise Broken("a line between two chunks does not end")

    def _read(self, line: bytes) -> None:
        self._line = b""
        if self._in_trailers:
            self.is_over = line in {b"\r\n", b"\n"}
            return
        found = _CHUNK_HEAD.fullmatch(line)
        if found is None:
            raise Broken("a chunk has no size")
        size = int(found["size"], 16)
        self._in_trailers = size == 0
        self._missing = size + 2 if size else 0


BodyEnd = Counted | UntilClose | Chunked
