"""The engine gets one canonical request, and its answer is known for what it is."""

import pytest

from calico_ctl.proxy.body_end import Broken
from calico_ctl.proxy.client_side import Request
from calico_ctl.proxy.engine_side import Body, Exchange, Head
from calico_ctl.proxy.heads import Fields
from tests.support.playbook import answer, chunked

FIELDS = [(b"X-Case", b"a"), (b"Host", b"localhost")]


def exchange(
    method: str = "GET", fields: Fields = FIELDS, decodes: bool = False, http10: bool = False
) -> Exchange:
    """An exchange whose request's head was written."""
    it = Exchange(Request(method, b"/x?y", list(fields), http10), decodes=decodes)
    it.request_head()
    return it


def written(method: str, fields: Fields, http10: bool = False) -> bytes:
    return Exchange(Request(method, b"/x?y", list(fields), http10)).request_head()


def test_a_request_is_written_with_the_names_as_they_were():
    fields = [*FIELDS, (b"content-LENGTH", b"3")]
    it = exchange("POST", fields)
    assert written("POST", fields) == (
        b"POST /x?y HTTP/1.1\r\nHost: localhost\r\nX-Case: a\r\ncontent-LENGTH: 3\r\n\r\n"
    )
    assert it.request_data(b"") == b""
    assert it.request_data(b"abc") + it.request_end([]) == b"abc"


def test_chunks_are_written_anew_and_trailers_follow():
    it = exchange("POST", [*FIELDS, (b"Transfer-Encoding", b"chunked")])
    assert it.request_data(b"abc") + it.request_end([(b"X-T", b"1")]) == chunked(
        b"abc", trailers=("X-T: 1",)
    )


def test_a_request_of_http10_without_a_host_gets_one():
    assert b"HTTP/1.1\r\nHost: docker\r\n" in written("GET", [], http10=True)


def test_an_answer_ends_after_its_length():
    it = exchange()
    raw = answer("200 OK", "X-a: 1", body=b"abc")
    head, body = it.feed(raw + b"more")
    assert head == Head(raw[:-3], 200, b"OK", [(b"X-a", b"1"), (b"Content-Length", b"3")], False)
    assert body == Body(b"abc")
    assert (it.is_answered, it.surplus, it.head) == (True, b"more", head)


def test_an_answer_in_chunks_passes_raw_and_is_decoded_beside_if_asked_for():
    raw = chunked(b"ab", b"c")
    it = exchange(decodes=True)
    (head,) = it.feed(answer("200 OK", "Transfer-Encoding: chunked"))
    assert isinstance(head, Head)
    assert head.is_framed
    assert it.feed(raw) == [Body(raw, b"abc")]
    assert it.is_answered


@pytest.mark.parametrize("status", ["204 No Content", "304 Not Modified"])
def test_some_answers_have_no_body_whatever_they_say(status):
    it = exchange()
    it.feed(answer(status, "Content-Length: 5"))
    assert it.is_answered


def test_an_answer_to_head_has_no_body():
    it = exchange("HEAD")
    it.feed(answer("200 OK", "Content-Length: 5"))
    assert it.is_answered


def test_an_answer_without_framing_ends_with_the_connection():
    it = exchange()
    it.feed(answer("200 OK") + b"abc")
    assert not it.is_answered
    it.closed()
    assert it.is_answered


def test_a_connection_that_ends_before_the_answer_does_not_end_the_answer():
    it = exchange()
    it.closed()
    it.feed(answer("200 OK", "Content-Length: 5"))
    it.closed()
    assert not it.is_answered


def test_several_heads_may_come_before_the_answers_own():
    it = exchange()
    first = answer("100 Continue")
    heads = it.feed(first + first + answer("204 No Content"))
    assert [head.status for head in heads if isinstance(head, Head)] == [100, 100, 204]
    assert it.head == heads[-1]
    assert it.head is not None
    assert it.head.succeeded


def test_after_a_switch_everything_is_surplus():
    it = exchange("POST", [*FIELDS, (b"Upgrade", b"tcp")])
    (head,) = it.feed(answer("101 UPGRADED", "Upgrade: tcp") + b"raw")
    assert isinstance(head, Head)
    assert head.status == 101
    assert (it.is_answered, it.surplus) == (True, b"raw")


@pytest.mark.parametrize(
    ("raw", "closes"),
    [
        (answer("200 OK", "Connection: Close", body=b"a"), True),
        (answer("200 OK", body=b"a"), False),
        (b"HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n", True),
    ],
)
def test_an_answer_tells_whether_it_is_the_last(raw, closes):
    it = exchange()
    head = it.feed(raw)[0]
    assert isinstance(head, Head)
    assert head.closes is closes


@pytest.mark.parametrize(
    "raw",
    [
        b"nonsense\r\n\r\n",
        answer("101 UPGRADED", "Upgrade: tcp"),
        answer("200 OK", "Content-Length: x"),
        b"HTTP/1.1 200 OK\r\nX: " + b"x" * 1024 * 1024,
    ],
)
def test_what_is_no_answer_is_broken(raw):
    with pytest.raises(Broken):
        exchange().feed(raw)
