"""It does not matter in which pieces the bytes come, on either side."""

from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.playbook import answer, chunked, request
from tests.support.proxy_drive import Drive, Pieces, Record
from tests.support.strict_http import Seen

WISH = b'{"Env":["CALICO_IP=10.1.2.3"]}'
CREATE = "POST /v1.41/containers/create"
CONVERSATIONS = {
    "calls one after the other": b"".join(
        [
            request("GET /_ping"),
            request("HEAD /_ping"),
            request("POST /build", "X-Case: a", body=b"context"),
            request("GET /events"),
        ]
    ),
    "a container's life": b"".join(
        [
            request(CREATE, body=WISH),
            request("POST /containers/f00d/start"),
            request("GET /containers/f00d/json", "Accept-Encoding: gzip"),
            request("GET /containers/json"),
            request("DELETE /containers/f00d"),
        ]
    ),
    "chunks": request("POST /build", "Transfer-Encoding: chunked")
    + chunked(b"con", b"te", b"xt", trailers=("X-T: 1",))
    + request(CREATE, "Transfer-Encoding: chunked", "Expect: 100-continue")
    + chunked(WISH[:5], WISH[5:]),
    "a start as of long ago": request(
        "POST /v1.20/containers/web/start", "Expect: 100-continue", body=b'{"NetworkMode":"host"}'
    ),
    "an upgrade": request("POST /exec/1/start", "Upgrade: tcp", body=b"{}") + b"stdin",
    "http/1.0": b"GET /events HTTP/1.0\r\n\r\n",
    "smuggling": request("POST /build", "Transfer-Encoding: chunked", body=b"0\r\n\r\n"),
    "chunks that are none": request("POST /build", "Transfer-Encoding: chunked") + b"2\r\nabc\r\n",
    "no HTTP": b"\x16\x03\x01 nonsense\r\n\r\n",
    "the first letters of HTTP/2": b"PRI * HTTP/1.1\r\nHost: x\r\n\r\n",
}


def engine(seen: Seen) -> bytes:
    match seen.method, seen.target:
        case _ if seen.has(b"upgrade"):
            return answer("101 UPGRADED", "Upgrade: tcp") + b"stdout"
        case "HEAD", _:
            return answer("200 OK", "Content-Length: 5")
        case _, b"/v1.41/containers/create":
            return answer("201 Created", body=b'{"Id":"f00d"}')
        case ("DELETE", _) | (_, b"/containers/f00d/start"):
            return answer("204 No Content")
        case _, b"/events":
            return answer("200 OK", "Transfer-Encoding: chunked") + chunked(b"{}", b"{}")
        case _:
            return answer("100 Continue") + answer("200 OK", body=seen.body or b"{}")


def whole(data: bytes) -> Iterator[bytes]:
    yield data


def cut_by(sizes: list[int]) -> Pieces:
    """Cut into pieces of these sizes, over and over."""

    def pieces(data: bytes) -> Iterator[bytes]:
        position = turn = 0
        while position < len(data):
            size = sizes[turn % len(sizes)]
            yield data[position : position + size]
            position, turn = position + size, turn + 1

    return pieces


def drive(data: bytes, pieces: Pieces, refusals: int = 0) -> Record:
    it = Drive(engine, pieces, refusals=refusals)
    it.client(data)
    return it.record


def test_the_conversations_reach_the_engine_at_all():
    seen = {name: drive(data, whole) for name, data in CONVERSATIONS.items()}
    assert [len(record.requests) for record in seen.values()] == [4, 5, 2, 1, 1, 1, 0, 0, 0, 0]
    assert len(seen["a container's life"].questions) == 7
    assert len(seen["a start as of long ago"].questions) == 4
    assert seen["an upgrade"].tunnelled == b"stdin"


@pytest.mark.parametrize("name", CONVERSATIONS)
def test_a_cut_at_any_place_changes_nothing(name):
    data = CONVERSATIONS[name]
    expected = drive(data, whole)
    for place in range(1, len(data)):
        assert drive(data, cut_by([place, len(data)])) == expected


@settings(deadline=None, max_examples=60)
@given(
    st.sampled_from(sorted(CONVERSATIONS)),
    st.lists(st.integers(1, 40), min_size=1),
    st.integers(0, 2),
)
def test_many_cuts_on_both_sides_change_nothing(name, sizes, refusals):
    data = CONVERSATIONS[name]
    assert drive(data, cut_by(sizes), refusals) == drive(data, whole, refusals)
