"""HTTP byte by byte: what was sent is exactly what the test says, what came is kept as it came."""

import re
import socket
import time
from dataclasses import dataclass

Address = str | tuple[str, int]
"""The path of a Unix socket, or a TCP address."""

PATIENCE = 60.0
"""Seconds within which each piece has to come."""


class EndedError(AssertionError):
    """The other side ended the connection too early."""


@dataclass(frozen=True)
class Answer:
    """An answer: its head as it came, and its body without chunks' framing."""

    head: bytes
    body: bytes
    trailers: bytes = b""

    @property
    def status(self) -> int:
        return int(self.head.split(b" ", 2)[1])

    def header(self, name: str) -> str | None:
        """Return the first header of that name."""
        found = re.search(rb"(?im)^" + name.encode() + rb":[ \t]*(.*?)\r$", self.head)
        return found and found[1].decode()

    @property
    def undated(self) -> bytes:
        """The head without the moment at which it was written."""
        return re.sub(rb"(?im)^Date:.*?\r\n", b"", self.head)


class Wire:
    """One connection. Everything waits until it is there, but not forever."""

    def __init__(self, address: Address) -> None:
        unix = isinstance(address, str)
        self.socket = socket.socket(socket.AF_UNIX if unix else socket.AF_INET)
        self.socket.settimeout(PATIENCE)
        try:
            self.socket.connect(address)
        except OSError:
            self.socket.close()
            raise
        self._buffer = bytearray()

    def __enter__(self) -> "Wire":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self.socket.close()

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def half_close(self) -> None:
        self.socket.shutdown(socket.SHUT_WR)

    def ask(self, request: str, body: bytes = b"", **headers: str) -> Answer:
        """Send a request such as `GET /info`, and return its answer."""
        self.request(request, body, **headers)
        return self.answer(request.startswith("HEAD "))

    def request(self, request: str, body: bytes = b"", **headers: str) -> None:
        """Send a request; the length of a body is said unless a transfer coding is."""
        headers = {"Host": "localhost", **{k.replace("_", "-"): v for k, v in headers.items()}}
        if body and "Transfer-Encoding" not in headers:
            headers = {
                "Content-Type": "application/json",
                "Content-Length": str(len(body)),
            } | headers
        lines = [f"{request} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items())]
        self.send("\r\n".join([*lines, "", ""]).encode() + body)

    def answer(self, to_head: bool = False) -> Answer:
        """Read one answer to its end; one without a length ends with the connection."""
        answer = self.head()
        head = answer.head
        if to_head or answer.status in {204, 304} or answer.status < 200:
            return answer
        if answer.header("Transfer-Encoding") == "chunked":
            return self._chunked(head)
        length = answer.header("Content-Length")
        return Answer(head, self.rest() if length is None else self.exactly(int(length)))

    def head(self) -> Answer:
        """Read an answer's head."""
        return Answer(self.until(b"\r\n\r\n"), b"")

    def _chunked(self, head: bytes) -> Answer:
        body = bytearray()
        while size := int(self.until(b"\r\n").split(b";")[0], 16):
            body += self.exactly(size + 2)[:-2]
        trailers = b""
        while (line := self.until(b"\r\n")) != b"\r\n":
            trailers += line
        return Answer(head, bytes(body), trailers)

    def until(self, mark: bytes) -> bytes:
        """Return everything up to the mark and with it."""
        while mark not in self._buffer:
            self._more()
        return self._take(self._buffer.index(mark) + len(mark))

    def exactly(self, size: int) -> bytes:
        """Return so many bytes."""
        while len(self._buffer) < size:
            self._more()
        return self._take(size)

    def buffered(self) -> bytes:
        """Return what has come and was not asked for yet."""
        return self._take(len(self._buffer))

    def rest(self) -> bytes:
        """Return everything until the other side has ended."""
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            try:
                self._more()
            except EndedError:
                return self._take(len(self._buffer))
        raise AssertionError("the other side does not end")

    def _take(self, size: int) -> bytes:
        found = bytes(self._buffer[:size])
        del self._buffer[:size]
        return found

    def _more(self) -> None:
        try:
            data = self.socket.recv(262_144)
        except ConnectionResetError:
            data = b""
        if not data:
            raise EndedError(f"the connection ended after {bytes(self._buffer[-200:])!r}")
        self._buffer += data
