"""A client's bytes are requests, or they are refused."""

import pytest

from calico_ctl.proxy import heads
from calico_ctl.proxy.client_side import Refused, Request, Requests
from tests.support.playbook import chunked, request

GET = request("GET /_ping")


def fed(data: bytes) -> Requests:
    requests = Requests()
    requests.feed(data)
    return requests


def head_of(requests: Requests) -> Request:
    head = requests.head()
    assert head is not None
    return head


def refused(data: bytes) -> int:
    with pytest.raises(Refused) as caught:
        read_all(fed(data))
    return caught.value.status


def read_all(requests: Requests) -> None:
    while requests.head() is not None:
        requests.body()


def test_a_request_is_read_as_it_was_written():
    requests = fed(request("PUT /x?y=z", "X-Case: a,  B", body=b"abc"))
    head = head_of(requests)
    assert (head.method, head.target, head.path) == ("PUT", b"/x?y=z", "/x")
    assert head.fields == [
        (b"Host", b"localhost"),
        (b"X-Case", b"a,  B"),
        (b"Content-Length", b"3"),
    ]
    assert not requests.is_complete
    assert (requests.body(), requests.is_complete) == (b"abc", True)


def test_a_head_is_waited_for():
    requests = fed(GET[:-1])
    assert requests.head() is None
    requests.feed(GET[-1:])
    assert head_of(requests).method == "GET"


def test_nothing_is_lost_if_much_comes_before_anything_is_taken():
    requests = fed(GET)
    requests.feed(GET[:9])
    requests.feed(GET[9:])
    assert requests.pending == 2 * len(GET)
    assert [head_of(requests).method, head_of(requests).method] == ["GET", "GET"]
    assert requests.pending == 0


def test_trailers_may_come_later_than_the_last_chunk():
    requests = fed(request("POST /a", "Transfer-Encoding: chunked") + b"1\r\na\r\n0\r\n")
    requests.head()
    assert (requests.body(), requests.is_complete) == (b"a", False)
    requests.feed(b"X-T: 1\r\n")
    assert (requests.body(), requests.is_complete) == (b"", False)
    requests.feed(b"\r\n" + GET)
    requests.body()
    assert requests.trailers == [(b"X-T", b"1")]
    assert head_of(requests).method == "GET"


def test_what_follows_a_request_is_the_next():
    requests = fed(request("POST /a", body=b"abc") + GET)
    requests.head()
    assert requests.body() == b"abc"
    assert head_of(requests).method == "GET"
    assert requests.is_complete
    assert requests.head() is None


def test_what_follows_a_request_without_a_body_is_none_of_its_body():
    requests = fed(GET + GET)
    requests.head()
    assert requests.body() == b""
    assert head_of(requests).method == "GET"


def test_a_body_in_chunks_is_decoded_and_its_trailers_kept():
    head = request("POST /a", "Transfer-Encoding: chunked")
    requests = fed(head + chunked(b"ab", b"c", trailers=("X-T: 1",)) + GET)
    assert head_of(requests).is_chunked
    assert requests.body() == b"abc"
    assert requests.trailers == [(b"X-T", b"1")]
    assert head_of(requests).method == "GET"
    assert requests.trailers == []


def test_what_is_left_over_can_be_taken_out_of_the_middle_of_a_body():
    requests = fed(request("POST /a", "Transfer-Encoding: chunked") + b"2\r\nab\r\n3")
    requests.head()
    requests.body()
    requests.feed(b"\r\nxyz")
    assert requests.leftover() == b"3\r\nxyz"
    assert requests.pending == 0


def test_a_client_of_http10_waits_for_no_word_before_its_body():
    fields = b"Expect: 100-Continue\r\nUpgrade: tcp\r\n\r\n"
    new = head_of(fed(b"POST / HTTP/1.1\r\nHost: x\r\n" + fields))
    old = head_of(fed(b"POST / HTTP/1.0\r\n" + fields))
    assert (new.expects_continue, new.wants_upgrade, new.is_http10) == (True, True, False)
    assert (old.expects_continue, old.wants_upgrade, old.is_http10) == (False, True, True)


def test_a_beginning_is_told_as_soon_as_it_can_be():
    assert fed(b"PR").begins_with(b"PRI") is None
    assert fed(b"").begins_with(b"PRI") is None
    assert fed(b"PRIx").begins_with(b"PRI") is True
    assert fed(b"PO").begins_with(b"PRI") is False


HOST = b"Host: x\r\n"


@pytest.mark.parametrize(
    "data",
    [
        b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\n",
        b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: 1, 2\r\n\r\n",
        b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: +1\r\n\r\n",
        b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: 0x1\r\n\r\n",
        b"POST / HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: gzip, chunked\r\n\r\n",
        b"POST / HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: identity\r\n\r\n",
        b"POST / HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: xchunked\r\n\r\n",
        b"POST / HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n" * 2 + b"\r\n",
        b"POST / HTTP/1.1\r\n" + HOST + b"Transfer-Encoding : chunked\r\n\r\n",
        b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"POST / HTTP/1.1\r\n" + HOST + HOST + b"\r\n",
        b"POST / HTTP/1.1\r\n\r\n",
        b"POST / HTTP/1.1\r\n X: y\r\n" + HOST + b"\r\n",
        b"POST / HTTP/1.1\r\n" + HOST + b"X\0: y\r\n\r\n",
        b"POST / HTTP/1.1\r\n" + HOST + b"X: a\rb\r\n\r\n",
        b"POST  / HTTP/1.1\r\n" + HOST + b"\r\n",
        b"POST / HTTP/1.1 x\r\n" + HOST + b"\r\n",
        b"POST /a b HTTP/1.1\r\n" + HOST + b"\r\n",
        b"POST /\xff HTTP/1.1\r\n" + HOST + b"\r\n",
        b"GET /\r\n\r\n",
        b"CONNECT docker:80 HTTP/1.1\r\n" + HOST + b"\r\n",
        b"\r\nGET / HTTP/1.1\r\n" + HOST + b"\r\n",
        b"\x16\x03\x01",
        b"\0",
    ],
)
def test_what_two_readers_could_read_differently_is_refused(data):
    assert refused(data) == 400


@pytest.mark.parametrize(
    "body",
    [
        b"x\r\n",
        b"-1\r\n",
        b"0x1\r\na\r\n",
        b"1\r\nab",
        b"1\r\na\n0",
        b" 1\r\na\r\n",
        b"1" * 21 + b"\r\n",
    ],
)
def test_chunks_that_are_none_are_refused(body):
    assert refused(request("POST /a", "Transfer-Encoding: chunked") + body) == 400


@pytest.mark.parametrize("version", ["0.9", "1.2", "2.0"])
def test_other_versions_are_refused(version):
    assert refused(f"GET / HTTP/{version}\r\nHost: x\r\n\r\n".encode()) == 505


@pytest.mark.parametrize("end", [b"", b"\r\n\r\n"])
def test_headers_that_are_too_long_are_refused_however_they_come(end):
    start = b"GET / HTTP/1.1\r\nHost: x\r\nX: "
    assert refused(start + b"x" * heads.HEAD_LIMIT + end) == 431


def test_headers_just_short_enough_are_read():
    start = b"GET / HTTP/1.1\r\nHost: x\r\nX: "
    length = heads.HEAD_LIMIT - len(start) - 4
    assert fed(start + b"x" * length + b"\r\n\r\n").head() is not None
