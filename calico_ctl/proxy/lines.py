"""The two lines of one connection, to client and engine: what has come, what shall be done.

Every wait of the conversation is `wait` here, so this is the one place where events are taken.
"""

from collections.abc import Callable, Generator
from typing import TypeVar

from calico_ctl.proxy import events
from calico_ctl.proxy.body_end import Broken
from calico_ctl.proxy.client_side import Refused, Requests
from calico_ctl.proxy.engine_side import Body, Exchange, Head
from calico_ctl.proxy.events import Command, Event, Question
from calico_ctl.proxy.heads import HEAD_LIMIT

T = TypeVar("T")
Story = Generator[None, Event, T]
"""A piece of the conversation: waits for events, returns a T."""

PIPELINE_LIMIT = 64 * 1024
"""Bytes that are taken from a client whose request before them is still under way."""


class Over(Exception):
    """The conversation ends here; there is nothing more to say."""


class Lines:
    """What is known of both lines, and the commands that have gathered.

    `is_bound` says that the engine may have done something about which a question is still to be
    asked: then the story is told to its end even if the client does not listen any more.
    """

    def __init__(self) -> None:
        """Nobody has said anything yet."""
        self.commands: list[Command] = []
        self.requests = Requests()
        self.exchange: Exchange | None = None
        self.parts: list[Head | Body] = []
        self.is_idle = True
        self.is_bound = False
        self.is_answering = False
        self.is_client_gone = False
        self.is_tunnel = False
        self.client_eof = False
        self.engine_eof = False
        self._engine_open = False
        self._half_closed = False
        self._is_timed = False
        self._time_up = False

    @property
    def reads_client(self) -> bool:
        """Whether more bytes of the client are of use now."""
        return self.requests.pending <= (HEAD_LIMIT if self.is_idle else PIPELINE_LIMIT)

    def do(self, command: Command) -> None:
        """Have something done."""
        self.commands.append(command)

    def to_client(self, data: bytes) -> None:
        """Send a part of the answer, which may be empty."""
        if data:
            self.is_answering = True
            self.do(events.ToClient(data))

    def to_engine(self, data: bytes) -> None:
        """Send a part of the request, which may be empty."""
        if data:
            self.do(events.ToEngine(data))

    def wait(self) -> Story[Event]:
        """Wait for the next event, take it, and return it.

        Raises Over if there is nobody left to talk to, Broken if the engine speaks no HTTP.
        """
        event = yield
        match event:
            case events.ClientBytes(data):
                self.requests.feed(data)
            case events.ClientEof():
                self.client_eof = True
            case events.ClientGone():
                self._lose_client()
            case events.EngineBytes(data):
                self._hear_engine(data)
            case events.EngineEof():
                self._lose_engine()
            case events.TimeUp():
                self._time_up = True
            case events.EngineOpened() | events.EngineRefused() | events.Done():
                pass  # who asked for them waits for them
        return event

    def patiently(self, take: Callable[[], T | None], seconds: float) -> Story[T]:
        """Wait until `take` returns something, and return that.

        From the first byte on the client has so many seconds: Refused is raised then. Over is
        raised if one of the two will say no more.
        """
        try:
            while (taken := take()) is None:
                if self.client_eof or self.engine_eof:
                    raise Over
                if self._time_up:
                    raise Refused(408, f"the request did not come within {seconds:.0f} seconds")
                if self.requests.pending or not self.is_idle:
                    self._start_timer(seconds)
                yield from self.wait()
            return taken
        finally:
            self._stop_timer()

    def open_engine(self) -> Story[str | None]:
        """Have a connection to the engine; return why there is none, if there is none.

        Raises Over if there was one and the engine has ended it: the client's ends with it.
        """
        if self.engine_eof:
            raise Over
        if self._engine_open:
            return None
        self.do(events.OpenEngine())
        while True:
            event = yield from self.wait()
            if isinstance(event, events.EngineRefused):
                return event.message
            if isinstance(event, events.EngineOpened):
                self._engine_open = True
                return None

    def ask(self, question: Question) -> Story[object]:
        """Ask, and wait for the result; raises the CalicoError that came instead."""
        self.do(events.Ask(question))
        while True:
            event = yield from self.wait()
            if isinstance(event, events.Done):
                if event.error is not None:
                    raise event.error
                return event.result

    def pass_on_eof(self) -> None:
        """Tell the engine that the client sends no more, once it has all that the client sent."""
        if self.client_eof and not self._half_closed and not self.requests.pending:
            self._half_closed = True
            self.do(events.HalfCloseEngine())

    def become_tunnel(self, surplus: bytes) -> None:
        """Pass on what both have sent already, `surplus` by the engine, and step aside.

        Raises Over.
        """
        self.to_engine(self.requests.leftover())
        self.to_client(surplus)
        self.pass_on_eof()
        self.is_tunnel = True
        self.do(events.Tunnel())
        raise Over

    def _lose_client(self) -> None:
        self.client_eof = self.is_client_gone = True
        if not self.is_bound or not self.requests.is_complete:
            raise Over

    def _hear_engine(self, data: bytes) -> None:
        if self.exchange is None:
            raise Broken("the engine spoke unasked")
        self.parts += self.exchange.feed(data)

    def _lose_engine(self) -> None:
        self.engine_eof = True
        if self.exchange is not None:
            self.exchange.closed()

    def _start_timer(self, seconds: float) -> None:
        if not self._is_timed:
            self._is_timed, self._time_up = True, False
            self.do(events.StartTimer(seconds))

    def _stop_timer(self) -> None:
        if self._is_timed:
            self._is_timed = False
            self.do(events.StopTimer())
