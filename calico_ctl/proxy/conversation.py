"""One client's whole conversation with the engine: events in, commands out, nothing else.

The story is told by generators: they read like blocking code, and wherever they say `yield` they
wait for the next event. One request is under way at a time, and one engine connection serves one
client connection, so order, pipelining and the connections' lives mirror each other. What is not
ours passes as it comes; for what is ours a request or an answer is held until a question about it
has its answer.
"""

import json
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import TypeVar, cast

from calico_ctl.errors import CalicoError, DockerError
from calico_ctl.model.wish import Wish
from calico_ctl.proxy import answers, calls, events, heads, relay, rewrite
from calico_ctl.proxy.body_end import Broken
from calico_ctl.proxy.calls import Call, Kind
from calico_ctl.proxy.client_side import Refused, Request
from calico_ctl.proxy.edge import Edge
from calico_ctl.proxy.engine_side import Exchange, Head
from calico_ctl.proxy.events import Command, Event
from calico_ctl.proxy.lines import Lines, Over, Story
from calico_ctl.proxy.relay import Kept, Plan
from calico_ctl.proxy.rewrite import FindEndpoint

T = TypeVar("T")

HTTP2_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
CREATE_LIMIT = 16 * 1024 * 1024
SMALL_BODY = 64 * 1024
"""Bytes of a body that are read at once; reading longer ones takes milliseconds, and memory."""
HEAD_SECONDS = 30.0
CREATE_SECONDS = 60.0

_FIRST_WITHOUT_HOST_CONFIG = (1, 24)


class Conversation:
    """The state of one conversation; `receive` is all that happens to it.

    `calls` is how many requests have come so far.
    """

    def __init__(
        self, edge: Edge, endpoint: FindEndpoint, head_seconds: float = HEAD_SECONDS
    ) -> None:
        """Accept whom `edge` accepts; `endpoint` finds the endpoint of a full container id.

        A request's head has to come within `head_seconds` of its first byte.
        """
        self.is_over = False
        self.calls = 0
        self._edge = edge
        self._endpoint = endpoint
        self._head_seconds = head_seconds
        self._holds = False
        self._lines = Lines()
        self._story = self._tell()
        next(self._story)

    @property
    def reads_client(self) -> bool:
        """Whether more bytes of the client are of use now; if not, they shall wait."""
        return not self.is_over and self._lines.reads_client

    @property
    def is_idle(self) -> bool:
        """Whether no request is under way; the head of one may be."""
        return self._lines.is_idle

    @property
    def awaits_body(self) -> bool:
        """Whether a request is under way whose body is not all there."""
        return not self._lines.requests.is_complete

    def receive(self, event: Event) -> list[Command]:
        """Return what shall be done about an event, in this order."""
        if self.is_over:
            return []
        self._lines.commands = []
        try:
            self._story.send(event)
        except StopIteration:
            self.is_over = True
        return self._lines.commands

    def fail(self) -> list[Command]:
        """Return how to end after an exception of ours: with an answer if there is none yet."""
        self.is_over = True
        self._lines.commands = []
        self._refuse_for_good(500, "the proxy failed on this request; its log says more")
        self._lines.do(events.Close())
        return self._lines.commands

    def _tell(self) -> Story[None]:
        lines = self._lines
        try:
            yield from self._recognise_http2()
            while True:
                yield from self._exchange((yield from self._next_request()))
        except Refused as refused:
            self._refuse_for_good(refused.status, refused.message)
        except Broken as broken:
            if not lines.is_idle:
                self._refuse_for_good(502, str(broken))
        except Over:
            pass
        if not lines.is_tunnel:
            lines.do(events.Close())

    def _recognise_http2(self) -> Story[None]:
        """Newer clients speak HTTP/2 to the engine: nothing is ours there."""
        lines = self._lines
        is_http2 = yield from lines.patiently(
            lambda: lines.requests.begins_with(HTTP2_PREFACE), self._head_seconds
        )
        if not is_http2:
            return
        if (yield from lines.open_engine()) is None:
            lines.become_tunnel(b"")
        raise Over

    def _next_request(self) -> Story[Request]:
        lines = self._lines
        lines.is_idle, lines.is_bound, lines.is_answering = True, False, False
        lines.exchange = None
        if lines.is_client_gone:
            raise Over
        request = yield from lines.patiently(lines.requests.head, self._head_seconds)
        lines.is_idle = False
        self.calls += 1
        return request

    def _exchange(self, request: Request) -> Story[None]:
        if refusal := self._edge.refusal(request):
            raise Refused(403, refusal)
        call = calls.classify(request.method, request.target)
        if call.kind not in {Kind.ATTACH, Kind.OTHER}:
            # The answer has to be seen, and in HTTP/2 it would not be. Nobody has to switch.
            fields = heads.without(request.fields, b"upgrade", b"http2-settings")
            request = replace(request, fields=fields)
        try:
            yield from self._serve(request, call)
        except CalicoError as error:
            status, message = answers.status_of(error), answers.message_of(error)
            self._report(request, f"{status}: {answers.loggable(error)}")
            yield from self._refuse(request, status, message)
        if self._holds:
            self._holds = False
            self._lines.do(events.Free())
        if self._lines.exchange:
            yield from relay.settle(self._lines, self._lines.exchange)
        if request.is_http10:
            raise Over

    def _serve(self, request: Request, call: Call) -> Story[None]:
        match call.kind:
            case Kind.CREATE:
                yield from self._create(request)
            case Kind.START | Kind.RESTART:
                yield from self._start(request, call)
            case Kind.REMOVE:
                yield from self._remove(request, call)
            case Kind.INSPECT | Kind.LIST:
                yield from self._show(request, call)
            case Kind.JOIN:
                yield from self._join(request)
            case Kind.ATTACH | Kind.OTHER:
                plan = Plan(may_hijack=call.kind is Kind.ATTACH)
                yield from self._pass(request, plan)

    def _create(self, request: Request) -> Story[None]:
        """Take the network out of Docker's hands, if Calico's is wished."""
        body = yield from self._whole_body(request)
        asked = yield from self._computed(rewrite.wish_of_create, body)
        # We have said ourselves that the body may come.
        request = replace(request, fields=heads.without(request.fields, b"expect"))
        if asked is None:
            yield from self._pass(request, Plan(), body)
            return
        yield from self._lines.ask(events.Check(asked))
        changed = yield from self._computed(rewrite.without_network, body)
        request = replace(request, fields=heads.with_length(request.fields, len(changed)))
        self._lines.requests.trailers = []
        kept = yield from self._pass(request, _HOLD, changed)
        if kept:
            yield from self._reserve(request, kept, asked)

    def _reserve(self, request: Request, kept: Kept, asked: Wish) -> Story[None]:
        container_id = _id_in(kept.body)
        yield from self._lines.ask(events.Reserve(container_id, asked))
        self._report(request, f"reserved the addresses of {container_id}")
        kept.release()

    def _start(self, request: Request, call: Call) -> Story[None]:
        body = None
        if self._may_set_network(call):
            request, body = yield from self._start_without_network(request, call)
        container_id = yield from self._identify(call.name)
        if container_id is not None:
            # Nothing is started that would only be stopped again.
            yield from self._lines.ask(events.AwaitAgent(container_id, call.kind is Kind.START))
        kept = yield from self._pass(request, _HOLD, body)
        if kept:
            # It may have become ours only just before its start, or by it.
            container_id = container_id or (yield from self._find(call.name))
            if container_id is not None:
                yield from self._lines.ask(events.Connect(container_id))
            kept.release()

    def _may_set_network(self, call: Call) -> bool:
        """Whether the body of a start request could replace what create has said of the network."""
        is_old = call.version is None or call.version < _FIRST_WITHOUT_HOST_CONFIG
        return call.kind is Kind.START and is_old and not self._lines.requests.is_complete

    def _start_without_network(self, request: Request, call: Call) -> Story[tuple[Request, bytes]]:
        """Read the HostConfig that old clients send once more; it sets no network for ours."""
        body = yield from self._whole_body(request)
        request = replace(request, fields=heads.without(request.fields, b"expect"))
        sets = yield from self._computed(rewrite.sets_host_config, body)
        if not sets or not (yield from self._wishes(call.name)):
            return request, body
        changed = yield from self._computed(rewrite.start_without_network, body)
        self._lines.requests.trailers = []
        fields = heads.with_length(request.fields, len(changed))
        return replace(request, fields=fields), changed

    def _remove(self, request: Request, call: Call) -> Story[None]:
        """Release what the container had; the engine's word counts whether that works or not."""
        container_id = yield from self._identify(call.name)
        kept = yield from self._pass(request, _HOLD if container_id else Plan())
        if kept is None or container_id is None:
            return
        try:
            yield from self._lines.ask(events.Release(container_id))
            self._report(request, f"released the addresses of {container_id}")
        except CalicoError as error:
            self._report(request, f"removed, but not released: {answers.loggable(error)}")
        kept.release()

    def _join(self, request: Request) -> Story[None]:
        """Let a container of ours join a network of Docker's in vain.

        The engine refuses, because its network is `none`. But clients that make a container first
        and its networks then (compose) have asked for what create would have overridden.
        """
        body = yield from self._whole_body(request)
        request = replace(request, fields=heads.without(request.fields, b"expect"))
        kept = yield from self._pass(request, _UNLESS_DONE, body)
        if kept is None:
            return
        container_id = None
        if _NO_OTHER_NETWORK in kept.body:
            name = yield from self._computed(rewrite.container_that_joins, body)
            container_id = (yield from self._identify(name)) if name else None
        if container_id is None:
            kept.release()
            return
        self._report(request, f"{container_id} stays without a network of Docker's")
        fields = heads.without(kept.head.fields, b"content-type")
        kept.outlet.send_edited(replace(kept.head, status=200, reason=b"OK", fields=fields), b"")

    def _identify(self, name: str) -> Story[str | None]:
        try:
            return (yield from self._find(name))
        except CalicoError:
            return None

    def _find(self, name: str) -> Story[str | None]:
        container_id = yield from self._lines.ask(events.Identify(name))
        return container_id if isinstance(container_id, str) else None

    def _wishes(self, name: str) -> Story[bool]:
        try:
            return bool((yield from self._lines.ask(events.Wishes(name))))
        except CalicoError:
            return False

    def _show(self, request: Request, call: Call) -> Story[None]:
        """Have the answer show the addresses of containers of ours."""
        fields = heads.without(request.fields, b"accept-encoding")
        kept = yield from self._pass(replace(request, fields=fields), _EDIT)
        if kept is None:
            return
        edit = rewrite.inspected if call.kind is Kind.INSPECT else rewrite.listed
        before = kept.body
        after = yield from self._computed(
            lambda body: edit(body, call.version, self._endpoint), before
        )
        if after == before:
            kept.release()
        else:
            kept.outlet.send_edited(kept.head, after)

    def _whole_body(self, request: Request) -> Story[bytes]:
        lines = self._lines
        if request.expects_continue:
            lines.do(events.ToClient(answers.CONTINUE))
        whole = bytearray()

        def is_told() -> bool | None:
            whole.extend(lines.requests.body())
            return lines.requests.is_complete or len(whole) > SMALL_BODY or None

        def complete() -> bytes | None:
            whole.extend(lines.requests.body())
            if len(whole) > CREATE_LIMIT:
                raise _too_long()
            return bytes(whole) if lines.requests.is_complete else None

        yield from lines.patiently(is_told, CREATE_SECONDS)
        if not lines.requests.is_complete:
            yield from self._hold(request)
        return (yield from lines.patiently(complete, CREATE_SECONDS))

    def _hold(self, request: Request) -> Story[None]:
        """Wait for room for all of a long body: with some of each, none would become complete."""
        length = request.values(b"content-length")
        size = int(length[0]) if length else CREATE_LIMIT
        if size > CREATE_LIMIT:
            raise _too_long()
        try:
            yield from self._lines.ask(events.Hold(size))
        except CalicoError as error:
            self._report(request, f"503: {answers.loggable(error)}")
            raise Refused(503, answers.message_of(error)) from error
        self._holds = True

    def _pass(self, request: Request, plan: Plan, body: bytes | None = None) -> Story[Kept | None]:
        """Send a request on, with `body` if it was read already; see `relay.relay`."""
        lines = self._lines
        if (why := (yield from lines.open_engine())) is not None:
            yield from self._refuse(request, 502, why)
            return None
        exchange = Exchange(request, decodes=request.is_http10 or plan.reads)
        lines.exchange = exchange
        lines.is_bound = plan.is_held
        sent = exchange.request_head()
        if body is not None:
            sent += exchange.request_data(body) + exchange.request_end(lines.requests.trailers)
        lines.to_engine(sent)
        return (yield from relay.relay(lines, request, exchange, plan))

    def _computed(self, function: Callable[[bytes], T], body: bytes) -> Story[T]:
        """Return what a function says to a body, without keeping other conversations waiting."""
        if len(body) <= SMALL_BODY:
            return function(body)
        return cast(T, (yield from self._lines.ask(events.Compute(partial(function, body)))))

    def _refuse(self, request: Request, status: int, message: str) -> Story[None]:
        """Answer in the engine's stead; the conversation goes on, if the client can tell how."""
        lines = self._lines
        is_unsure = request.expects_continue and not lines.requests.is_complete
        is_last = lines.exchange is not None and relay.closes(lines.exchange)
        closes = is_unsure or is_last or request.is_http10
        lines.to_client(
            answers.refusal(status, message, closes=closes, bodiless=request.method == "HEAD")
        )
        if closes:
            raise Over
        if lines.exchange is None:
            yield from relay.skip_body(lines)

    def _refuse_for_good(self, status: int, message: str) -> None:
        """Answer and end; if an answer has begun, its end says that something is wrong."""
        if not self._lines.is_answering:
            self._lines.to_client(answers.refusal(status, message, closes=True))

    def _report(self, request: Request, decision: str) -> None:
        self._lines.do(events.Report(f"{request.method} {request.path}", decision))


def _too_long() -> Refused:
    return Refused(413, f"the body of this request is longer than {CREATE_LIMIT} bytes")


def _succeeded(head: Head) -> bool:
    return head.succeeded


def _is_plain(head: Head) -> bool:
    return head.status == 200 and not head.values(b"content-encoding")


def _failed(head: Head) -> bool:
    return head.status >= 400


_NO_OTHER_NETWORK = b"private (none) mode"
"""What the engine says of a container whose network is `none` (ErrConflictNoNetwork in moby)."""

_UNLESS_DONE = Plan(keeps=_failed, is_held=True, reads=True)
_HOLD = Plan(keeps=_succeeded, is_held=True, reads=True)
_EDIT = Plan(keeps=_is_plain, reads=True)


def _id_in(body: bytes) -> str:
    """Return the container's id from the engine's answer to a create request."""
    try:
        answer = json.loads(body)
    except ValueError:
        answer = None
    container_id = answer.get("Id") if isinstance(answer, dict) else None
    if not isinstance(container_id, str) or not container_id:
        raise DockerError("the Docker Engine created a container and did not tell its id")
    return container_id
