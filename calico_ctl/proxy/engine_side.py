"""One request as the engine gets it, and the engine's answer, watched from beside.

The request is written by h11, so the engine sees no other framing than h11's. The answer's bytes
are passed on as they are; they are looked at only to know its head and where it ends.
"""

from dataclasses import dataclass

import h11

from calico_ctl.proxy import heads
from calico_ctl.proxy.body_end import BodyEnd, Broken, Chunked, Counted, UntilClose
from calico_ctl.proxy.client_side import Request
from calico_ctl.proxy.heads import Fields

_HEAD_LIMIT = 1024 * 1024
_SWITCHING = 101
_BODILESS = {204, 304}


@dataclass(frozen=True, slots=True)
class Head:
    """The head of an answer; `raw` is it as it came. `status` is below 200 for those before it."""

    raw: bytes
    status: int
    reason: bytes
    fields: Fields
    is_http10: bool

    @property
    def succeeded(self) -> bool:
        """Whether the engine did what it was asked for."""
        return 200 <= self.status < 300

    @property
    def closes(self) -> bool:
        """Whether the engine ends the connection after this answer."""
        return self.is_http10 or "close" in heads.words(self.fields, b"connection")

    @property
    def is_framed(self) -> bool:
        """Whether the head tells how long the body is."""
        return any(heads.values(self.fields, name) for name in _FRAMING)

    def values(self, name: bytes) -> list[str]:
        """Return the values of the field `name` (lower case)."""
        return heads.values(self.fields, name)


@dataclass(frozen=True, slots=True)
class Body:
    """A piece of an answer's body, as it came; `decoded` only if that was asked for."""

    raw: bytes
    decoded: bytes = b""


_FRAMING = (b"content-length", b"transfer-encoding")


class Exchange:
    """A request on its way to the engine, and its answer on the way back."""

    def __init__(self, request: Request, *, decodes: bool = False) -> None:
        """Have sent nothing yet; `decodes` asks for the answer's contents beside its bytes."""
        self._request = request
        self._decodes = decodes
        self._connection = h11.Connection(h11.CLIENT)
        self._waiting = bytearray()
        self._searched = 0
        self._body: BodyEnd | None = None
        self.head: Head | None = None
        self.surplus = b""
        self.is_answered = False

    def request_head(self) -> bytes:
        """Return the bytes of the request's line and headers."""
        fields = self._request.fields
        if not self._request.values(b"host"):
            fields = [(b"Host", b"docker"), *fields]  # HTTP/1.1 demands one, HTTP/1.0 did not
        request = h11.Request(
            method=self._request.method, target=self._request.target, headers=fields
        )
        return self._sent(request)

    def request_data(self, data: bytes) -> bytes:
        """Return the bytes that carry a piece of the request's body, which may be empty."""
        return self._sent(h11.Data(data)) if data else b""

    def request_end(self, trailers: Fields) -> bytes:
        """Return the bytes that end the request."""
        return self._sent(h11.EndOfMessage(headers=trailers))

    def feed(self, data: bytes) -> list[Head | Body]:
        """Take bytes of the engine, return what they are; `surplus` is what follows the answer.

        Several heads may come before the answer's own, which is then in `head`; after one with
        status 101 everything is surplus. Raises Broken if the bytes are no answer.
        """
        parts: list[Head | Body] = []
        while data and not self.is_answered:
            if self._body is None:
                head, data = self._take_head(data)
                if head is not None:
                    parts.append(head)
                continue
            used = self._body.advance(data)
            raw = data if used == len(data) else data[:used]
            parts.append(Body(raw, self._body.decoded(raw) if self._decodes else b""))
            data = data[used:]
            self.is_answered = self._body.is_over
        self.surplus += data
        return parts

    def closed(self) -> None:
        """Take the end of the engine's bytes; it may be what ends the answer."""
        if self._body is not None and self._body.closed():
            self.is_answered = True

    def _sent(self, event: h11.Request | h11.Data | h11.EndOfMessage) -> bytes:
        return self._connection.send(event)

    def _take_head(self, data: bytes) -> tuple[Head | None, bytes]:
        self._waiting += data
        length = heads.end(self._waiting, self._searched)
        if (length or len(self._waiting)) > _HEAD_LIMIT:
            raise Broken("the head of the engine's answer does not end")
        if length is None:
            self._searched = len(self._waiting)
            return None, b""
        raw, rest = bytes(self._waiting[:length]), bytes(self._waiting[length:])
        self._waiting.clear()
        self._searched = 0
        head = self._parsed(raw)
        self._begin(head)
        return head, rest

    def _parsed(self, raw: bytes) -> Head:
        self._connection.receive_data(raw)
        try:
            event = self._connection.next_event()
        except h11.RemoteProtocolError as error:
            raise Broken(f"the engine's answer is malformed: {error}") from error
        if not isinstance(event, h11.InformationalResponse | h11.Response):
            raise Broken("the engine's answer is malformed")
        return Head(
            raw=raw,
            status=event.status_code,
            reason=bytes(event.reason),
            fields=[(bytes(name), bytes(value)) for name, value in event.headers.raw_items()],
            is_http10=event.http_version < b"1.1",
        )

    def _begin(self, head: Head) -> None:
        """Look forward to the body of a head, if one follows."""
        if head.status < 200:
            self.is_answered = head.status == _SWITCHING
            return
        self.head = head
        self._body = self._body_of(head)
        self.is_answered = self._body.is_over

    def _body_of(self, head: Head) -> BodyEnd:
        if head.status in _BODILESS or self._request.method == "HEAD":
            return Counted(0)
        if head.values(b"transfer-encoding"):
            return Chunked(decodes=self._decodes)
        lengths = head.values(b"content-length")
        return Counted(int(lengths[0])) if lengths else UntilClose()
