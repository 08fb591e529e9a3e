"""Drives a conversation of the Docker API proxy with an engine that answers by itself.

The bytes of both sides may come in any pieces. What comes out is a record: what the client got,
which requests the engine saw, and what was asked about workloads.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from calico_ctl.proxy import events
from calico_ctl.proxy.client_side import Request
from calico_ctl.proxy.conversation import Conversation
from calico_ctl.proxy.edge import Edge
from calico_ctl.proxy.events import Command, Done, Event, Question
from tests.support.strict_http import Reader, Seen

Pieces = Callable[[bytes], Iterator[bytes]]
"""How bytes are cut into what comes at a time."""

Answers = Callable[[Seen], bytes]
"""What the engine says to a request."""


@dataclass(frozen=True, slots=True)
class WatchedEdge(Edge):
    """Accepts whom an edge accepts, and notes each request that the conversation looks at."""

    seen: list[tuple[str, bytes]] = field(default_factory=list)

    def refusal(self, request: Request) -> str | None:
        """Note the request, then decide."""
        refused = Edge.refusal(self, request)
        if refused is None:
            self.seen.append((request.method, request.target))
        return refused


@dataclass
class Record:
    """What one conversation came to."""

    client: bytes = b""
    requests: list[Seen] = field(default_factory=list)
    looked_at: list[tuple[str, bytes]] = field(default_factory=list)
    questions: list[Question] = field(default_factory=list)
    tunnelled: bytes = b""
    is_tunnel: bool = False
    is_closed: bool = False


class Drive:
    """One conversation and its engine. Raises NotCanonical if the engine could misread a byte."""

    def __init__(
        self,
        answers: Answers,
        pieces: Pieces,
        done: Callable[[Question], Done] = lambda _question: Done("f00d"),
        refusals: int = 0,
    ) -> None:
        """`done` answers questions; the first `refusals` attempts to reach the engine fail."""
        self.record = Record()
        edge = WatchedEdge()
        self.record.looked_at = edge.seen
        self.reader = Reader()
        self._conversation = Conversation(edge, lambda _id: None)
        self._answers = answers
        self._pieces = pieces
        self._done = done
        self._refusals = refusals

    def client(self, data: bytes) -> None:
        """Let the client send bytes, in pieces, as long as there is anybody to take them."""
        for piece in self._pieces(data):
            if self.record.is_tunnel:
                self.record.tunnelled += piece
            else:
                self.happen(events.ClientBytes(piece))

    def happen(self, event: Event) -> None:
        """Let something happen, and everything that follows from it."""
        waiting = [event]
        while waiting:
            event = waiting.pop(0)
            if self.record.is_tunnel and isinstance(event, events.EngineBytes):
                self.record.client += event.data
                continue
            commands = self._conversation.receive(event)
            # What goes to the engine together with the word that this is a tunnel is no HTTP.
            self.record.is_tunnel = self.record.is_tunnel or events.Tunnel() in commands
            for command in commands:
                waiting += self._follow(command)

    def _follow(self, command: Command) -> list[Event]:
        record = self.record
        match command:
            case events.ToClient(data):
                record.client += data
            case events.ToEngine(data) if record.is_tunnel:
                record.tunnelled += data
            case events.ToEngine(data):
                return list(self._engine(bytes(data)))
            case events.OpenEngine():
                self._refusals -= 1
                opened, refused = events.EngineOpened(), events.EngineRefused("no engine")
                return [refused if self._refusals >= 0 else opened]
            case events.Ask(question):
                if isinstance(question, events.Compute):
                    return [Done(question.work())]
                record.questions.append(question)
                return [self._done(question)]
            case events.Close():
                record.is_closed = True
            case _:
                pass
        return []

    def _engine(self, data: bytes) -> Iterator[Event]:
        """Read requests and answer them."""
        for seen in self.reader.feed(data):
            self.record.requests.append(seen)
            for piece in self._pieces(self._answers(seen)):
                yield events.EngineBytes(piece)
