"""The client's bytes as requests: heads and bodies, or a refusal.

Strict where two readers of the same bytes could see different requests: what is refused here never
reaches the engine, and what is not refused is written anew for it. h11 reads heads and trailers;
each request has a connection of its own there. What came after the request stays for the next.
"""

from dataclasses import dataclass

import h11

from calico_ctl.proxy import heads
from calico_ctl.proxy.heads import Fields
from calico_ctl.proxy.request_body import ChunkedBody, CountedBody, Malformed, RequestBody

_LAST_CHUNK = b"0\r\n"
_FIRST_PRINTABLE = 0x21


class Refused(Exception):
    """The client's bytes are refused; the connection is of no use any more."""

    def __init__(self, status: int, message: str) -> None:
        """Keep the HTTP status and what the client is told."""
        super().__init__(message)
        self.status = status
        self.message = message


@dataclass(frozen=True, slots=True)
class Request:
    """The head of a request; `fields` have their names as they were written."""

    method: str
    target: bytes
    fields: Fields
    is_http10: bool

    @property
    def path(self) -> str:
        """The target without its query, for a log."""
        return self.target.split(b"?", 1)[0].decode("latin-1")

    @property
    def is_chunked(self) -> bool:
        """Whether the length of the body is not told before."""
        return bool(self.values(b"transfer-encoding"))

    @property
    def wants_upgrade(self) -> bool:
        """Whether another protocol is asked for; the engine does not ask for HTTP/1.1 there."""
        return bool(self.values(b"upgrade"))

    @property
    def expects_continue(self) -> bool:
        """Whether the client waits for a word before it sends the body."""
        return "100-continue" in heads.words(self.fields, b"expect") and not self.is_http10

    def values(self, name: bytes) -> list[str]:
        """Return the values of the field `name` (lower case)."""
        return heads.values(self.fields, name)


class Requests:
    """What one client has sent and nobody has taken yet."""

    def __init__(self) -> None:
        """Have nothing yet."""
        self._waiting = bytearray()
        # What came last, if nothing else waits: most pieces of long bodies are never copied.
        self._fresh = b""
        self._searched = 0
        self._connection = h11.Connection(h11.SERVER)
        self._body: RequestBody = CountedBody(0)
        self._in_trailers = False
        self.trailers: Fields = []

    @property
    def pending(self) -> int:
        """How many bytes wait."""
        return len(self._waiting) + len(self._fresh)

    @property
    def is_complete(self) -> bool:
        """Whether all of the current request has been taken."""
        return self._body.is_over and not self._in_trailers

    def feed(self, data: bytes) -> None:
        """Add what came."""
        if self.pending:
            self._gather()
            self._waiting += data
        else:
            self._fresh = data

    def begins_with(self, preface: bytes) -> bool | None:
        """Whether what waits begins so; None if that cannot be told yet."""
        self._gather()
        if self._waiting.startswith(preface):
            return True
        return None if preface.startswith(self._waiting) else False

    def leftover(self) -> bytes:
        """Take all that waits, of whichever request."""
        return self._body.unread + self._take_all()

    def head(self) -> Request | None:
        """Take the next request's head, or return None if it is not all there.

        Raises Refused if it is none, or none that everybody reads alike.
        """
        self._gather()
        if self._waiting and self._waiting[0] < _FIRST_PRINTABLE:
            raise Refused(400, "malformed HTTP request")
        raw = self._take_head()
        return None if raw is None else self._parsed(raw)

    def body(self) -> bytes:
        """Take what is there of the current request's body, decoded; see `is_complete`.

        At the end `trailers` are the fields that followed the body. Raises Refused if the body
        breaks its own framing.
        """
        if self.is_complete or not self.pending:
            return b""
        contents = b"" if self._in_trailers else self._take_contents()
        if self._in_trailers:
            self._take_trailers()
        return contents

    def _take_contents(self) -> bytes:
        data = self._take_all()
        try:
            pieces, used = self._body.take(data)
        except Malformed as error:
            raise Refused(400, f"malformed HTTP request: {error}") from error
        self._in_trailers = isinstance(self._body, ChunkedBody) and self._body.is_over
        if used < len(data):
            self._waiting += memoryview(data)[used:]
        elif len(pieces) == 1 and len(pieces[0]) == used:
            return data
        return b"".join(pieces)

    def _take_trailers(self) -> None:
        raw = self._take_head()
        if raw is None:
            return
        self._connection.receive_data(_LAST_CHUNK + raw)
        event = _next_event(self._connection)
        if not isinstance(event, h11.EndOfMessage):  # pragma: no cover - nothing else ends so
            raise Refused(400, "malformed HTTP request")
        self.trailers = [(bytes(name), bytes(value)) for name, value in event.headers.raw_items()]
        self._in_trailers = False

    def _take_head(self) -> bytes | None:
        """Take fields up to an empty line, if they are there."""
        self._gather()
        length = heads.end(self._waiting, self._searched)
        if (length or len(self._waiting)) > heads.HEAD_LIMIT:
            raise Refused(431, f"the request's headers are longer than {heads.HEAD_LIMIT} bytes")
        if length is None:
            self._searched = len(self._waiting)
            return None
        raw = bytes(self._waiting[:length])
        del self._waiting[:length]
        self._searched = 0
        return raw

    def _parsed(self, raw: bytes) -> Request:
        self._connection = h11.Connection(h11.SERVER)
        self._connection.receive_data(raw)
        event = _next_event(self._connection)
        if not isinstance(event, h11.Request):  # pragma: no cover - a whole head is nothing else
            raise Refused(400, "malformed HTTP request")
        request = Request(
            method=event.method.decode("ascii"),
            target=bytes(event.target),
            fields=[(bytes(name), bytes(value)) for name, value in event.headers.raw_items()],
            is_http10=event.http_version == b"1.0",
        )
        _require_one_reading(request, event.http_version)
        self.trailers = []
        self._body = ChunkedBody() if request.is_chunked else CountedBody(_length(request))
        return request

    def _gather(self) -> None:
        if self._fresh:
            self._waiting += self._fresh
            self._fresh = b""

    def _take_all(self) -> bytes:
        data = self._fresh or bytes(self._waiting)
        self._fresh = b""
        self._waiting.clear()
        return data


def _length(request: Request) -> int:
    lengths = request.values(b"content-length")
    return int(lengths[0]) if lengths else 0


def _require_one_reading(request: Request, version: bytes) -> None:
    if version not in {b"1.0", b"1.1"}:
        raise Refused(505, "only HTTP/1.0 and HTTP/1.1 are spoken here")
    if request.method == "CONNECT":
        raise Refused(400, "the Docker API has no CONNECT")
    if request.is_chunked and (request.is_http10 or request.values(b"content-length")):
        raise Refused(400, "the request tells the length of its body in two ways")


def _next_event(connection: h11.Connection) -> object:
    try:
        return connection.next_event()
    except h11.RemoteProtocolError as error:
        # Without the bytes that h11 shows: they depend on how they came.
        reason = str(error).split(" bytearray(")[0].rstrip(":")
        raise Refused(400, f"malformed HTTP request: {reason}") from error
