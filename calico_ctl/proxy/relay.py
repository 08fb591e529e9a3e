"""One request to the engine and its answer back: streamed as they come, or the answer kept."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace

from calico_ctl.proxy import answers, events, heads
from calico_ctl.proxy.body_end import Broken
from calico_ctl.proxy.client_side import Request, Requests
from calico_ctl.proxy.engine_side import Body, Exchange, Head
from calico_ctl.proxy.lines import Lines, Over, Story

KEPT_LIMIT = 64 * 1024 * 1024
"""Bytes of an answer that are kept; a longer one passes as it comes."""

SKIP_LIMIT = 256 * 1024
"""Bytes of a request that are read although it has its answer already."""

_SWITCHING = 101
_FINAL = 200
_RAW_STREAMS = {
    "application/vnd.docker.raw-stream",
    "application/vnd.docker.multiplexed-stream",
}


class Outlet:
    """Where an answer goes to the client, in the client's version of HTTP."""

    def __init__(self, lines: Lines, request: Request) -> None:
        """Answer this request."""
        self._lines = lines
        self._writer = answers.Http10Answer(request.method) if request.is_http10 else None

    def send(self, part: Head | Body) -> None:
        """Send a part of the engine's answer as it came, or as HTTP/1.0 knows it."""
        if isinstance(part, Body):
            self._lines.to_client(self._writer.data(part.decoded) if self._writer else part.raw)
        elif part.status >= _FINAL:
            self._lines.to_client(self._writer.head(part) if self._writer else part.raw)
        elif part.status == _SWITCHING:
            self._lines.to_client(part.raw)
        else:
            self._send_word(part)

    def _send_word(self, head: Head) -> None:
        """Send what comes before the answer; HTTP/1.0 has no such words."""
        if self._writer is None:
            self._lines.do(events.ToClient(head.raw))

    def send_edited(self, head: Head, body: bytes) -> None:
        """Send an answer with another body."""
        if self._writer is None:
            self._lines.to_client(answers.with_body(head, body))
            return
        fields = heads.with_length(head.fields, len(body))
        self._lines.to_client(self._writer.head(replace(head, fields=fields)))
        self._lines.to_client(self._writer.data(body))


@dataclass(slots=True)
class Kept:
    """An answer that the client does not have yet."""

    outlet: Outlet
    head: Head
    parts: list[Head | Body] = field(default_factory=list)
    size: int = 0

    @property
    def body(self) -> bytes:
        """The contents, decoded."""
        return b"".join(part.decoded for part in self.parts if isinstance(part, Body))

    def add(self, part: Head | Body) -> None:
        """Keep a part more."""
        self.parts.append(part)
        self.size += len(part.raw)

    def release(self) -> None:
        """Send it all as it came."""
        for part in self.parts:
            self.outlet.send(part)


@dataclass(frozen=True, slots=True)
class Plan:
    """How one answer is treated.

    `keeps` decides on the answer's head. What is kept for a question that has to be asked
    (`is_held`) must not pass before; what is kept to be edited may, if it is too long. `reads` has
    the contents decoded.
    """

    keeps: Callable[[Head], bool] = lambda _head: False
    is_held: bool = False
    reads: bool = False
    may_hijack: bool = False


def relay(lines: Lines, request: Request, exchange: Exchange, plan: Plan) -> Story[Kept | None]:
    """Pass the rest of a request whose head was sent, and the answer.

    Returns the answer if it is to be kept, else None when the client has it all. Raises Over if
    the connection ends or becomes a tunnel meanwhile, Broken if the engine's answer is none.
    """
    answer = _Answer(Outlet(lines, request), request, plan)
    while True:
        pass_body(lines, exchange)
        lines.pass_on_eof()
        yield from lines.wait()
        parts, lines.parts = lines.parts, []
        for part in parts:
            answer.take(part)
        if answer.is_tunnel:
            lines.become_tunnel(exchange.surplus)
        if exchange.is_answered:
            return answer.kept
        if lines.engine_eof:
            answer.break_off()
            raise Over


def pass_body(lines: Lines, exchange: Exchange) -> None:
    """Pass what is there of the request's body, and its end; Refused if it breaks its framing."""
    if not lines.requests.is_complete:
        lines.to_engine(_more_of(lines.requests, exchange))


def _more_of(requests: Requests, exchange: Exchange) -> bytes:
    passed = exchange.request_data(requests.body())
    return passed + exchange.request_end(requests.trailers) if requests.is_complete else passed


def settle(lines: Lines, exchange: Exchange) -> Story[None]:
    """Come to the end of an exchange that is answered, so that the next can begin.

    Raises Over if none can: the engine ends the connection, or has said more than it was asked.
    """
    while not lines.requests.is_complete and not lines.engine_eof and not closes(exchange):
        pass_body(lines, exchange)
        lines.pass_on_eof()
        if not lines.requests.is_complete:
            yield from lines.wait()
    if lines.engine_eof or closes(exchange):
        raise Over


def skip_body(lines: Lines) -> Story[None]:
    """Read the rest of a request that was answered without it; Over if that is too much."""
    skipped = len(lines.requests.body())
    while not lines.requests.is_complete:
        if lines.client_eof or skipped > SKIP_LIMIT:
            raise Over
        yield from lines.wait()
        skipped += len(lines.requests.body())


def closes(exchange: Exchange) -> bool:
    """Whether nothing can follow on the engine's connection after this exchange."""
    return bool(exchange.surplus) or exchange.head is None or exchange.head.closes


class _Answer:
    """What becomes of the parts of one answer."""

    def __init__(self, outlet: Outlet, request: Request, plan: Plan) -> None:
        self.kept: Kept | None = None
        self.is_tunnel = False
        self._outlet = outlet
        self._request = request
        self._plan = plan

    def take(self, part: Head | Body) -> None:
        """Send it, or keep it."""
        if isinstance(part, Head):
            self._take_head(part)
        if self.kept is None:
            self._outlet.send(part)
            return
        self.kept.add(part)
        if self.kept.size > KEPT_LIMIT:
            if self._plan.is_held:
                raise Broken("the engine's answer is too long")
            self.break_off()

    def break_off(self) -> None:
        """Send what was kept after all."""
        if self.kept:
            self.kept.release()
            self.kept = None

    def _take_head(self, head: Head) -> None:
        if head.status == _SWITCHING:
            if not self._request.wants_upgrade:
                raise Broken("the engine switched to a protocol that nobody asked for")
            self.is_tunnel = True
        elif self._is_hijack(head):
            self.is_tunnel = True
        elif head.status >= _FINAL and self._plan.keeps(head):
            self.kept = Kept(self._outlet, head)

    def _is_hijack(self, head: Head) -> bool:
        """Whether a raw stream follows that nobody asked for: so did clients before API 1.20."""
        return (
            self._plan.may_hijack
            and not self._request.wants_upgrade
            and head.status == 200
            and not head.is_framed
            and bool(_RAW_STREAMS & heads.words(head.fields, b"content-type"))
        )
