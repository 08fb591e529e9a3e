"""The same conversation with an engine directly and through the proxy, and what it sounded like."""

import json
import re
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from tests.support.docker_proxy import RunningProxy
from tests.support.engine import IMAGE, OwnEngine
from tests.support.wire import Address, Answer, Wire

T = TypeVar("T")
Talk = Callable[[Wire], T]

# "Up 3 seconds": a moment later it is four.
_AGE = (re.compile(rb'"Status":"(Up|Exited|Restarting)[^"]*"'), b"AGE")
_LENGTH = (re.compile(rb"(?im)^Content-Length: \d+"), b"LENGTH")

# What differs between two things that were made alike: ids, times, counts of the moment.
_CHANGING = (
    _AGE,
    _LENGTH,
    (re.compile(rb"\b[0-9a-f]{64}\b"), b"ID"),
    (re.compile(rb"\b[0-9a-f]{12}\b"), b"SHORT"),
    (re.compile(rb"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)"), b"TIME"),
    (re.compile(rb'"(time|timeNano|Pid|NEventsListener|NFd|NGoroutines)":\d+'), b"NUMBER"),
    (re.compile(rb"calico-diff-[0-9a-f]{8}"), b"NAME"),
)


def alike(data: bytes) -> bytes:
    """Return an answer without what changes from one moment to the next."""
    for pattern, word in _CHANGING:
        data = pattern.sub(word, data)
    return data


def ageless(said: list[bytes]) -> list[bytes]:
    """Return what was said without the ages of containers, which lists tell in words."""
    pattern, word = _AGE
    if not any(pattern.search(part) for part in said):
        return said
    length, told = _LENGTH
    return [length.sub(told, pattern.sub(word, part)) for part in said]


def heard(answer: Answer) -> list[bytes]:
    """Return an answer as it is compared: head without its date, contents, trailers."""
    return [answer.undated, answer.body, answer.trailers]


class Both:
    """The engine's own socket, and the proxy."""

    def __init__(self, engine: OwnEngine, proxy: RunningProxy) -> None:
        self.engine = engine
        self.proxy = proxy
        self.addresses: tuple[Address, Address] = (engine.socket, proxy.address)

    def ask(self, request: str, body: bytes = b"", **headers: str) -> Answer:
        """Ask the engine itself."""
        with Wire(self.engine.socket) as connection:
            return connection.ask(request, body, **headers)

    def hear(self, talk: Talk[T]) -> tuple[T, T]:
        """Have the talk with the engine, then through the proxy; return what both said."""
        found = []
        for address in self.addresses:
            with Wire(address) as connection:
                found.append(talk(connection))
        return found[0], found[1]

    def same(self, talk: Talk[list[bytes]]) -> list[bytes]:
        """Assert that both say the same but for the ages of containers; return it."""
        direct, through = self.hear(talk)
        _assert_equal(ageless(direct), ageless(through))
        return direct

    def same_kind(self, talk: Talk[list[bytes]]) -> list[bytes]:
        """Assert that both say the same but for ids and times; return it."""
        direct, through = self.hear(talk)
        _assert_equal([*map(alike, direct)], [*map(alike, through)])
        return direct

    @contextmanager
    def container(self, *command: str, **settings: object) -> Iterator[str]:
        """A container without network that is not Calico's; gone afterwards."""
        name = new_name()
        host = {"NetworkMode": "none", **_dict(settings.pop("HostConfig", {}))}
        request = {"Image": IMAGE, "Cmd": command, "HostConfig": host, **settings}
        answer = self.ask(f"POST /containers/create?name={name}", json.dumps(request).encode())
        assert answer.status == 201, answer
        try:
            yield name
        finally:
            self.ask(f"DELETE /containers/{name}?force=1&v=1")

    @contextmanager
    def running(self, *command: str, **settings: object) -> Iterator[str]:
        """The same, started."""
        with self.container(*command, **settings) as name:
            answer = self.ask(f"POST /containers/{name}/start")
            assert answer.status == 204, answer
            yield name


FOREVER = ("sh", "-c", "trap 'exit 0' TERM; while :; do sleep 0.1; done")
"""A command that ends when it is asked to."""


def new_name() -> str:
    """Return a name that no container has."""
    return f"calico-diff-{uuid.uuid4().hex[:8]}"


def frames(data: bytes) -> dict[int, bytes]:
    """Return what a stream without terminal says on each of its channels."""
    found: dict[int, bytes] = {}
    while data:
        channel, size = data[0], int.from_bytes(data[4:8], "big")
        found[channel] = found.get(channel, b"") + data[8 : 8 + size]
        data = data[8 + size :]
    return found


def chunked(body: bytes, size: int, trailers: bytes = b"") -> bytes:
    """Return a body in chunks of that size."""
    pieces = [body[at : at + size] for at in range(0, len(body), size)]
    text = b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces)
    return text + b"0\r\n" + trailers + b"\r\n"


def _assert_equal(direct: list[bytes], through: list[bytes]) -> None:
    for mine, theirs in zip(direct, through, strict=True):
        if mine != theirs:
            at = next((i for i, (a, b) in enumerate(zip(mine, theirs, strict=False)) if a != b), -1)
            near = slice(max(0, at - 150), at + 150)
            raise AssertionError(f"at {at}:\ndirect  {mine[near]!r}\nthrough {theirs[near]!r}")


def _dict(value: object) -> dict[str, object]:
    assert isinstance(value, dict)
    return value
