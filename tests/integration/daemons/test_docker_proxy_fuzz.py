"""Damaged conversations and noise: nothing raises, nothing hangs, nothing is smuggled.

The judge reads what the engine got with a strict reader of its own (`strict_http`). A byte that
could be read in two ways fails there; a request that the conversation has not looked at, too.
"""

from collections.abc import Iterator
from random import Random

import pytest

from calico_ctl.errors import Conflict, DeadlineExceeded, DockerError, InvalidValue
from calico_ctl.model.wish import Wish
from calico_ctl.proxy import calls, events, rewrite
from calico_ctl.proxy.calls import Kind
from calico_ctl.proxy.conversation import HTTP2_PREFACE
from calico_ctl.proxy.events import Done, Event, Question
from tests.support.playbook import answer, chunked, request
from tests.support.proxy_drive import Drive, Record
from tests.support.strict_http import Seen

INPUTS = 100_000
PARTS = 4

WISH = b'{"Env":["CALICO_IP=10.1.2.3"]}'
CREATE = request("POST /v1.41/containers/create", body=WISH)
START = request("POST /containers/web/start")
VALID = [
    request("GET /_ping") + START,
    request("POST /build", "Transfer-Encoding: chunked") + chunked(b"ab", b"c") + START,
    request("POST /build", "Transfer-Encoding: chunked") + chunked(b"a", trailers=("X: 1",)),
    request("POST /build", "Expect: 100-continue", body=b"abc") + request("HEAD /_ping"),
    CREATE,
    request("POST /containers/create", "Transfer-Encoding: chunked") + chunked(WISH[:3], WISH[3:]),
    request("DELETE /containers/web?v=1") + request("GET /containers/json"),
    request("POST /exec/1/start", "Connection: Upgrade", "Upgrade: tcp", body=b"{}") + b"raw",
    request("POST /containers/web/attach") + b"early",
    request("POST /v1.20/containers/web/start", body=b'{"NetworkMode":"host"}') + START,
    b"GET /info HTTP/1.0\r\nConnection: keep-alive\r\n\r\n" + START,
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + START,
    # What smuggles where two readers differ.
    request("POST /build", "Transfer-Encoding: chunked", body=b"0\r\n\r\n" + START),
    request("POST /build", "Transfer-Encoding : chunked", body=b"0\r\n\r\n" + START),
    request("POST /build", "X: y\r\n\tTransfer-Encoding: chunked", body=b"0\r\n\r\n" + START),
    request("POST /build", "Content-Length: 0", body=START),
    request("GET /info\r\nContent-Length: 90", body=START),
    request("POST /build", "Transfer-Encoding: chunked") + b"3;x=\n\r\nabc\r\n0\r\n\r\n" + START,
    request("POST /build", "Transfer-Encoding: chunked") + b"0\r\nA: b\n\n" + START + b"\r\n\r\n",
]
TOKENS = [
    b"\r\n", b"\n", b"\r", b"\r\n\r\n", b" ", b"\t", b"\0", b":", b",", b"%2F", b"%00", b"\xff",
    b"0\r\n\r\n", b"0", b"-1", b"ffffffffffffffffffff", b"Host: localhost\r\n", b"HTTP/1.0",
    b"Content-Length: 5\r\n", b"Content-Length: 0\r\n", b"Transfer-Encoding: chunked\r\n",
    b"Transfer-Encoding: gzip, chunked\r\n", b"Upgrade: h2c\r\n", b"Expect: 100-continue\r\n",
    b"Connection: close\r\n", b"Trailer: Content-Length\r\n", b"Origin: http://evil\r\n",
    START, CREATE,
]  # fmt: skip
ANSWERS = [
    answer("200 OK", body=b"{}"),
    answer("200 OK", "Transfer-Encoding: chunked") + chunked(b"[", b"]"),
    answer("100 Continue") + answer("201 Created", body=b'{"Id":"f00d"}'),
    answer("204 No Content"),
    answer("101 UPGRADED", "Upgrade: tcp") + b"raw",
    answer("200 OK", "Content-Type: application/vnd.docker.raw-stream") + b"raw",
    answer("404 Not Found", "Connection: close", body=b"{}"),
    answer("201 Created", body=b"[]"),
]
ERRORS = [DeadlineExceeded("late"), Conflict("taken", hint="another"), DockerError("odd")]


def damaged(random: Random, data: bytes) -> bytes:
    """Change a few places: flip, drop, double, insert."""
    text = bytearray(data)
    for _ in range(random.choice((0, 0, 1, 1, 1, 2, 5))):
        place = random.randrange(len(text) + 1)
        match random.randrange(5):
            case 0:
                text[place : place + 1] = bytes((random.randrange(256),))
            case 1:
                del text[place : place + random.choice((1, 1, 2, 9))]
            case 2:
                text[place:place] = text[place : place + random.randrange(40)]
            case _:
                text[place:place] = random.choice(TOKENS)
    return bytes(text)


def made_up(random: Random) -> bytes:
    """A conversation as it could come from anybody."""
    match random.randrange(12):
        case 0:
            return random.randbytes(random.randrange(60))
        case 1:
            return b"".join(random.choice(TOKENS) for _ in range(random.randrange(12)))
        case 2:
            return damaged(random, random.choice(VALID)) + random.choice(VALID)
        case _:
            return damaged(random, random.choice(VALID))


def play(random: Random) -> tuple[bytes, Drive]:
    """Play one conversation with an engine that may be damaged too, to whatever end."""

    def pieces(data: bytes) -> Iterator[bytes]:
        if random.randrange(4):
            yield data
            return
        cut = random.randrange(len(data) + 1)
        yield from filter(None, (data[:cut], data[cut:]))

    def engine(_seen: Seen) -> bytes:
        said = random.choice(ANSWERS)
        return said if random.randrange(3) else damaged(random, said)

    data = made_up(random)

    def done(question: Question) -> Done:
        if random.randrange(10) == 0:
            return Done(error=random.choice(ERRORS))
        is_name = isinstance(question, events.Identify) and random.randrange(2)
        return Done("f00d" if is_name else None)

    drive = Drive(engine, pieces, done, refusals=random.choice((0, 0, 0, 0, 0, 0, 0, 1, 2)))
    cut = random.randrange(len(data) + 1) if random.randrange(4) == 0 else len(data)
    drive.client(data[:cut])
    ends: list[Event] = [events.ClientEof(), events.EngineEof(), events.TimeUp()]
    if random.randrange(2):
        drive.happen(random.choice(ends))
    drive.client(data[cut:])
    drive.happen(events.ClientGone())
    drive.happen(events.EngineEof())
    return data, drive


def judge(drive: Drive) -> None:
    """What the engine got is what the conversation looked at, in that order, and nothing else."""
    record = drive.record
    assert record.is_tunnel or record.is_closed, "nobody is there any more, and it goes on"
    got = [(seen.method, seen.target) for seen in record.requests]
    if record.is_tunnel:
        assert is_tunnel_to_be(record), "a tunnel that nobody asked for"
    else:
        begun = drive.reader.begun()
        assert begun or not drive.reader.rest, "a piece of a head"
        got += [begun] if begun else []
    looked_at = iter(record.looked_at)
    assert all(each in looked_at for each in got), "a request was smuggled"
    for seen in record.requests:
        if calls.classify(seen.method, seen.target).kind is Kind.CREATE:
            require_checked(record, seen)


def is_tunnel_to_be(record: Record) -> bool:
    if not record.requests:
        return record.tunnelled.startswith(HTTP2_PREFACE)
    last = record.requests[-1]
    is_attach = calls.classify(last.method, last.target).kind is Kind.ATTACH
    return is_attach or last.has(b"upgrade")


def require_checked(record: Record, seen: Seen) -> None:
    asked = wish_in(seen)
    if asked is not None:
        assert events.Check(asked) in record.questions, "a wish passed unseen"
        assert rewrite.without_network(seen.body) == seen.body, "it has a network"


def wish_in(seen: Seen) -> Wish | None:
    try:
        return rewrite.wish_of_create(seen.body)
    except InvalidValue as error:
        raise AssertionError("a wish that cannot be read passed") from error


@pytest.mark.parametrize("part", range(PARTS))
def test_no_input_raises_or_smuggles(part):
    random = Random(part)
    reached = 0
    for _ in range(INPUTS // PARTS):
        data, drive = play(random)
        try:
            judge(drive)
        except AssertionError as error:
            raise AssertionError(f"{error}: {data!r} became {drive.record}") from error
        reached += len(drive.record.requests)
    # Otherwise nothing was tested.
    assert reached > INPUTS // PARTS // 4
