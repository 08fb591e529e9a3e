"""Offers the Docker API on a TCP port: sockets and threads around `proxy.conversation`.

What a byte means and what is to be done about it is decided there; here it is done. Each connection
has a task group: its connecting to the engine and its questions run there, and an exception of ours
ends that connection alone. What is asked about workloads is answered elsewhere (`questions`).
Nobody reads faster than the other side takes, so nothing gathers here.
"""

import asyncio
import contextlib
import logging
import socket
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import cast

from calico_ctl.daemons import proxy_settings, questions
from calico_ctl.daemons.proxy_settings import ProxySettings
from calico_ctl.daemons.proxy_side import Side, TlsSide, Transport
from calico_ctl.daemons.questions import Questions, Workloads
from calico_ctl.errors import CalicoError
from calico_ctl.host import allocator, open_files
from calico_ctl.proxy import answers, edge, events
from calico_ctl.proxy.conversation import Conversation
from calico_ctl.proxy.events import Command, Event, Question

__all__ = ["Listening", "ProxySettings", "Workloads", "run"]

log = logging.getLogger(__name__)

_ENGINE_BUFFER = 1024 * 1024
_SO_SNDBUFFORCE = 32
_BACKLOG = 1024
_KEEPALIVE_SECONDS = 30
_CONNECT_SECONDS = 10.0
_LINGER_SECONDS = 0.5
_LOOK_SECONDS = 0.1
_QUEUE_SECONDS = 0.01
_OTHER_FILES = 512

Listening = Callable[[str, int], None]
"""Told once where the proxy listens: address and port."""

Called = Callable[[], None]
"""Told of each call that comes."""


def _do_nothing() -> None:
    """Take back what was never asked for, or count for nobody."""


def run(
    settings: ProxySettings,
    workloads: Workloads,
    stopping: threading.Event,
    listening: Listening = lambda _host, _port: None,
    called: Called = _do_nothing,
) -> None:
    """Serve until `stopping` is set, then end at once, whatever is under way.

    Raises AlreadyExists if somebody else has the port, CalicoError if nobody can listen there or
    the certificates cannot be used.
    """
    allocator.keep_pieces()
    open_files.allow(2 * settings.connection_limit + _OTHER_FILES)
    asyncio.run(_Server(settings, workloads, called).serve(stopping, listening))


class _Stopped(Exception):
    """The service shall end."""


class _Server:
    """The listening socket, and what all connections share."""

    def __init__(self, settings: ProxySettings, workloads: Workloads, called: Called) -> None:
        self.settings = settings
        self.workloads = workloads
        self.called = called
        self.open_connections = 0
        self.tls = proxy_settings.tls_context(settings)
        self.tasks = asyncio.TaskGroup()
        self.questions = Questions(workloads)

    async def serve(self, stopping: threading.Event, listening: Listening) -> None:
        """Accept connections until told to stop."""
        server = await self._bind()
        host, port = server.sockets[0].getsockname()[:2]
        try:
            async with self.tasks:
                await server.start_serving()
                log.info("offering the Docker API on %s port %d", host, port)
                listening(host, port)
                await _until(stopping)
        except* _Stopped:
            log.info("stopped")
        finally:
            server.close()

    async def answer(self, question: Question) -> object:
        """Return the answer to a question; raises DeadlineExceeded if it does not come in time."""
        asked = self.questions.ask(question)
        answer = asyncio.wrap_future(asked)
        try:
            # Not `wait_for`: a TimeoutError of the answer's own is none of ours.
            await asyncio.wait([answer], timeout=questions.seconds(question))
            if answer.done():
                return answer.result()
        finally:
            answer.cancel()
        undone = asyncio.wrap_future(self.questions.give_up(question, asked))
        await asyncio.wait([undone], timeout=questions.UNDO_SECONDS)
        raise questions.too_late(question)

    async def _bind(self) -> asyncio.Server:
        settings = self.settings
        loop = asyncio.get_running_loop()
        try:
            return await loop.create_server(
                lambda: _protocol(_Connection(self).client),
                settings.host,
                settings.port,
                backlog=_BACKLOG,
                start_serving=False,
            )
        except OSError as error:
            raise proxy_settings.cannot_listen(settings, error) from error


async def _until(stopping: threading.Event) -> None:
    """Raise _Stopped, which ends everything, as soon as it is set."""
    while not stopping.is_set():
        await asyncio.sleep(_LOOK_SECONDS)
    raise _Stopped


class _Connection:
    """A client's connection, the engine's that belongs to it, and their conversation."""

    __slots__ = (
        "_began",
        "_conversation",
        "_end",
        "_held",
        "_server",
        "_stop_timer",
        "_tasks",
        "client",
        "engine",
    )

    def __init__(self, server: "_Server") -> None:
        self.client: Side = TlsSide(self, server.tls) if server.tls else Side(self)
        self.engine = Side(self)
        self._server = server
        self._conversation: Conversation | None = None
        self._tasks = asyncio.TaskGroup()
        self._end = asyncio.get_running_loop().create_future()
        self._stop_timer: Callable[[], None] = _do_nothing
        self._held = 0
        self._began = 0.0

    def made(self, side: Side, transport: Transport) -> None:
        """Begin, with a client's socket."""
        if side is not self.client:
            return
        settings = self._server.settings
        if self._server.open_connections >= settings.connection_limit:
            side.write(answers.refusal(503, "the proxy has too many connections", closes=True))
            side.close()
            return
        opened = cast(socket.socket, transport.get_extra_info("socket"))
        _keep_alive(opened)
        names = (*settings.allowed_hosts, settings.host, str(opened.getsockname()[0]))
        accepted = edge.edge_of(names, by_any_name=self._server.tls is not None)
        self._conversation = Conversation(
            accepted, self._server.workloads.endpoint, settings.head_seconds
        )
        self._server.open_connections += 1
        self._server.tasks.create_task(self._supervise())

    async def _supervise(self) -> None:
        """Be there as long as the connection is, or a question of it is being answered."""
        try:
            async with self._tasks:
                await self._end
        finally:
            self._server.open_connections -= 1
            self._stop_timer()
            self._free()
            self.client.abort()
            self.engine.abort()

    def heard(self, side: Side, data: bytes) -> None:
        """Take bytes; a tunnel's do not come here."""
        self._happened(
            events.ClientBytes(data) if side is self.client else events.EngineBytes(data)
        )

    def ended(self, side: Side) -> None:
        """Take a half-close."""
        if side.other is None:
            self._happened(events.ClientEof() if side is self.client else events.EngineEof())
            return
        side.other.end()
        if side.other.has_ended:
            side.other.close()
            side.close()

    def lost(self, side: Side) -> None:
        """Take the end of a socket."""
        if side.other is not None:
            side.other.close()
        elif side is self.client:
            self._happened(events.ClientGone())
        elif not side.has_ended:
            self._happened(events.EngineEof())
        self._end_if_over()

    def regulate(self) -> None:
        """Read from each side what the other, or the conversation, can take."""
        talk = self._conversation
        if talk is not None and talk.is_over:
            # What is not read when we close takes our last words along: it is thrown away.
            self.client.read_if(True)
            return
        engine_takes = not self.engine.is_full
        if talk is not None:
            # A client that does not read answers makes no more requests: ours would gather here.
            may_ask = talk.awaits_body or not self.client.is_full
            engine_takes = engine_takes and talk.reads_client and may_ask
        self.client.read_if(engine_takes)
        self.engine.read_if(not self.client.is_full)

    def later(self, seconds: float, action: Callable[[], None]) -> Callable[[], None]:
        """Do something after a while; return what takes that back."""
        return asyncio.get_running_loop().call_later(seconds, action).cancel

    def _happened(self, event: Event) -> None:
        """Have the conversation decide, and do what it says. Never raises."""
        talk = self._conversation
        if talk is None:
            return
        if talk.is_idle:
            self._began = time.monotonic()
        before = talk.calls
        with self._guarded(talk):
            for command in talk.receive(event):
                self._do(command)
        for _ in range(talk.calls - before):
            self._server.called()
        self.regulate()
        self._end_if_over()

    @contextlib.contextmanager
    def _guarded(self, conversation: Conversation) -> Iterator[None]:
        """End this connection, and no other, if there is a mistake of ours in the block."""
        try:
            yield
        except Exception:
            log.exception("a connection to the Docker API failed")
            for command in conversation.fail():
                self._do(command)

    def _do(self, command: Command) -> None:
        match command:
            case events.ToClient(data):
                self.client.write(data)
            case events.ToEngine(data):
                self.engine.write(data)
            case events.HalfCloseEngine():
                self.engine.end()
            case events.OpenEngine():
                self._tasks.create_task(self._open_engine())
            case events.Ask(question) if self._conversation is not None:
                self._tasks.create_task(self._ask(self._conversation, question))
            case _:
                self._do_seldom(command)

    def _do_seldom(self, command: Command) -> None:
        match command:
            case events.StartTimer(seconds):
                self._stop_timer = self.later(seconds, partial(self._happened, events.TimeUp()))
            case events.StopTimer():
                self._stop_timer()
            case events.Free():
                self._free()
            case events.Report(call, decision):
                took = time.monotonic() - self._began
                log.info("%s: %s in %.0f ms", call, decision, took * 1000)
            case events.Tunnel():
                self._become_tunnel()
            case _:
                self._close()

    async def _open_engine(self) -> None:
        settings = self._server.settings
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(_CONNECT_SECONDS):
                opened = await _connect(settings.engine_socket)
                await loop.create_unix_connection(lambda: _protocol(self.engine), sock=opened)
        except OSError as error:  # a TimeoutError is one too
            why = proxy_settings.unreachable_engine(settings, error)
            self._happened(events.EngineRefused(why))
            return
        if self._is_talking():
            self._happened(events.EngineOpened())
        else:
            self.engine.abort()

    async def _ask(self, conversation: Conversation, question: Question) -> None:
        with self._guarded(conversation):
            try:
                done = events.Done(await self._server.answer(question))
            except CalicoError as error:
                done = events.Done(error=error)
            else:
                if isinstance(question, events.Hold):
                    self._held += question.size
            self._happened(done)

    def _free(self) -> None:
        """Give back what is held; a connection that ends holds nothing any more."""
        self._server.questions.free(self._held)
        self._held = 0

    def _become_tunnel(self) -> None:
        """Let the sides pass to each other, and forget what a tunnel does not need."""
        self.client.other, self.engine.other = self.engine, self.client
        self._conversation = None
        if self.client.is_lost:
            self.engine.close()

    def _close(self) -> None:
        """End both; the client's a little later, so that it reads our last words before."""
        self.engine.abort()
        if self.client.has_ended:
            self.client.close()
            return
        self.client.end()
        self.later(_LINGER_SECONDS, self.client.close)

    def _is_talking(self) -> bool:
        return self._conversation is not None and not self._conversation.is_over

    def _end_if_over(self) -> None:
        is_lost = self.client.is_lost and self.engine.is_lost
        if is_lost and not self._is_talking() and not self._end.done():
            self._end.set_result(None)


def _protocol(side: Side) -> asyncio.Protocol:
    """Return a side as what it is for the event loop."""
    return cast(asyncio.Protocol, side)


async def _connect(path: str) -> socket.socket:
    """Connect to a Unix socket; raise OSError if that fails."""
    with contextlib.ExitStack() as undo:
        opened = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        undo.callback(opened.close)
        # It takes several of our pieces then, so that the engine need not wait for us. What the
        # system allows by default is less than one; to take more needs CAP_NET_ADMIN.
        with contextlib.suppress(PermissionError):
            opened.setsockopt(socket.SOL_SOCKET, _SO_SNDBUFFORCE, _ENGINE_BUFFER)
        while True:
            # Not the loop's own: it takes a full queue of the listener's for a connection.
            try:
                opened.connect(path)
            except BlockingIOError:
                await asyncio.sleep(_QUEUE_SECONDS)
            else:
                undo.pop_all()
                return opened


def _keep_alive(opened: socket.socket) -> None:
    """Find out about clients that have gone without a word."""
    opened.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, _KEEPALIVE_SECONDS)
    opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, _KEEPALIVE_SECONDS)
