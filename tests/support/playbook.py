"""A script of a conversation: what happens, and what shall be done about it.

A playbook that is not followed fails with the whole script, expected and done side by side.
"""

from collections.abc import Callable
from itertools import zip_longest

from calico_ctl.model.endpoint import Endpoint
from calico_ctl.proxy import events
from calico_ctl.proxy.conversation import Conversation
from calico_ctl.proxy.edge import Edge
from calico_ctl.proxy.events import Command, Event

_COLUMN = 78


class Playbook:
    """One conversation, played event by event."""

    def __init__(
        self,
        endpoint: Callable[[str], Endpoint | None] = lambda _id: None,
        edge: Edge | None = None,
    ) -> None:
        self.conversation = Conversation(edge or Edge(), endpoint)
        self._lines: list[str] = []

    def when(self, event: Event, *expected: Command) -> "Playbook":
        """Let something happen, and expect exactly these commands, pieces of bytes joined."""
        done = joined(self.conversation.receive(event))
        wanted = joined(list(expected))
        self._lines.append(f">> {event}")
        for want, got in zip_longest(wanted, done, fillvalue=""):
            mark = "  " if want == got else "! "
            self._lines.append(f"{mark}<< {want!s:{_COLUMN}} | {got}")
        if wanted != done:
            raise AssertionError("expected | done\n" + "\n".join(self._lines))
        return self

    def client(self, data: bytes, *expected: Command) -> "Playbook":
        """Let the client send something."""
        return self.when(events.ClientBytes(data), *expected)

    def engine(self, data: bytes, *expected: Command) -> "Playbook":
        """Let the engine send something."""
        return self.when(events.EngineBytes(data), *expected)

    def opened(self, *expected: Command) -> "Playbook":
        """Let the engine's connection be there."""
        return self.when(events.EngineOpened(), *expected)

    def done(self, result: object = None, *expected: Command) -> "Playbook":
        """Let the question be answered."""
        return self.when(events.Done(result), *expected)

    def told(self, event: Event) -> bytes:
        """Let something happen, and return what the client is told about it."""
        commands = self.conversation.receive(event)
        return b"".join(each.data for each in commands if isinstance(each, events.ToClient))

    @property
    def is_over(self) -> bool:
        return self.conversation.is_over


def joined(commands: list[Command]) -> list[Command]:
    """Put neighbouring pieces of bytes for the same side together."""
    result: list[Command] = []
    for command in commands:
        before = result[-1] if result else None
        match before, command:
            case events.ToClient(first), events.ToClient(second):
                result[-1] = events.ToClient(bytes(first) + bytes(second))
            case events.ToEngine(first), events.ToEngine(second):
                result[-1] = events.ToEngine(bytes(first) + bytes(second))
            case _:
                result.append(command)
    return result


def request(line: str, *fields: str, body: bytes = b"") -> bytes:
    """A request of HTTP/1.1: `GET /path`, headers, and a body with its length if there is one."""
    length = (f"Content-Length: {len(body)}",) if body else ()
    return _message(f"{line} HTTP/1.1", ("Host: localhost", *fields, *length), body)


def answer(status: str, *fields: str, body: bytes = b"") -> bytes:
    """An answer: `200 OK`, headers, and a body with its length if there is one."""
    length = (f"Content-Length: {len(body)}",) if body else ()
    return _message(f"HTTP/1.1 {status}", (*fields, *length), body)


def chunked(*pieces: bytes, trailers: tuple[str, ...] = ()) -> bytes:
    """The pieces as chunks."""
    chunks = b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces)
    end = "".join(f"{line}\r\n" for line in ("0", *trailers, ""))
    return chunks + end.encode()


def refusal(status: str, message: str, *, closes: bool = False) -> bytes:
    """An error in the engine's form."""
    body = b'{"message": "%s"}\n' % message.encode()
    fields = ("Content-Type: application/json", *(["Connection: close"] if closes else []))
    return answer(status, *fields, body=body)


def _message(first: str, fields: tuple[str, ...], body: bytes) -> bytes:
    return "".join(f"{line}\r\n" for line in (first, *fields, "")).encode() + body
