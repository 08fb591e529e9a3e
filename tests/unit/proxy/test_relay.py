"""What is not ours passes byte for byte, streamed, hijacked and half-closed as it comes."""

import pytest
from netaddr import IPAddress

from calico_ctl.model.endpoint import Endpoint, EndpointKey, State
from calico_ctl.proxy.events import (
    ClientBytes,
    ClientEof,
    ClientGone,
    Close,
    EngineBytes,
    EngineEof,
    EngineRefused,
    HalfCloseEngine,
    OpenEngine,
    ToClient,
    ToEngine,
    Tunnel,
)
from calico_ctl.proxy.relay import KEPT_LIMIT
from tests.support.playbook import Playbook, answer, chunked, refusal, request

PING, PONG = request("GET /_ping"), answer("200 OK", body=b"OK")
RAW = "Content-Type: application/vnd.docker.raw-stream"


def sent(asked: bytes) -> Playbook:
    """A conversation that has passed a request on."""
    return Playbook().client(asked, OpenEngine()).opened(ToEngine(asked))


def test_several_calls_use_one_connection():
    book = sent(PING).engine(PONG, ToClient(PONG))
    for path in ("/info", "/version", "/events"):
        asked = request(f"GET {path}")
        book.client(asked, ToEngine(asked)).engine(PONG, ToClient(PONG))


def test_requests_sent_ahead_are_passed_on_one_by_one():
    info = request("GET /info")
    book = Playbook().client(PING + info, OpenEngine()).opened(ToEngine(PING))
    book.engine(PONG, ToClient(PONG), ToEngine(info)).engine(PONG, ToClient(PONG))


def test_an_answer_is_passed_on_while_it_comes():
    head = answer("200 OK", "Transfer-Encoding: chunked")
    book = sent(request("GET /events")).engine(head, ToClient(head))
    for piece in (b"7\r\n{", b'"a":1}', b"\r", b"\n0\r\n"):
        book.engine(piece, ToClient(piece))
    book.engine(b"\r\n", ToClient(b"\r\n")).client(PING, ToEngine(PING))


def test_a_request_is_passed_on_while_it_comes():
    head = request("POST /build", "Transfer-Encoding: chunked")
    book = sent(head).client(b"3\r\nab", ToEngine(chunked(b"ab")[:-5]))
    book.client(b"c\r\n", ToEngine(chunked(b"c")[:-5]))
    end = chunked(trailers=("X-T: 1",))
    book.client(end, ToEngine(end)).engine(PONG, ToClient(PONG))


def test_names_in_odd_case_and_odd_spacing_of_answers_pass():
    odd = b"HTTP/1.1 200 Quite Fine\r\nx-ODD:   yes\nCONTENT-length: 2\n\nOK"
    sent(PING).engine(odd, ToClient(odd)).client(PING, ToEngine(PING))


@pytest.mark.parametrize("status", ["204 No Content", "304 Not Modified"])
def test_after_an_answer_without_a_body_comes_the_next_request(status):
    said = answer(status, "Content-Length: 5")
    sent(PING).engine(said, ToClient(said)).client(PING, ToEngine(PING))


def test_after_an_answer_to_head_comes_the_next_request():
    said = answer("200 OK", "Content-Length: 5")
    sent(request("HEAD /_ping")).engine(said, ToClient(said)).client(PING, ToEngine(PING))


def test_the_engine_says_itself_whether_a_body_may_come():
    head = request("POST /build", "Expect: 100-continue", "Content-Length: 3")
    word = answer("100 Continue")
    book = sent(head).engine(word, ToClient(word)).client(b"abc", ToEngine(b"abc"))
    book.engine(PONG, ToClient(PONG))


def test_a_request_is_passed_on_to_its_end_though_its_answer_is_there():
    head = request("POST /build", "Content-Length: 6")
    book = sent(head).engine(PONG, ToClient(PONG)).client(b"abc", ToEngine(b"abc"))
    book.client(b"def" + PING, ToEngine(b"def"), ToEngine(PING))


def test_the_end_of_a_client_is_passed_on_though_the_answer_is_there():
    head = request("POST /build", "Content-Length: 6")
    book = sent(head).engine(PONG, ToClient(PONG))
    book.when(ClientEof(), HalfCloseEngine()).when(EngineEof(), Close())


def test_an_answer_that_is_the_engines_last_ends_the_connection():
    last = answer("200 OK", "Connection: close", body=b"OK")
    sent(PING).engine(last, ToClient(last), Close())


def test_an_answer_that_ends_with_the_connection_passes():
    said = answer("200 OK") + b"abc"
    sent(PING).engine(said, ToClient(said)).when(EngineEof(), Close())


# Tunnels


def test_after_a_switch_that_was_asked_for_both_sides_are_a_tunnel():
    asked = request("POST /exec/1/start", "Connection: Upgrade", "Upgrade: tcp", body=b"{}")
    said = answer("101 UPGRADED", "Connection: Upgrade", "Upgrade: tcp")
    sent(asked).client(b"early").engine(
        said + b"prompt", ToClient(said), ToEngine(b"early"), ToClient(b"prompt"), Tunnel()
    )


def test_a_switch_is_passed_on_even_if_the_request_has_no_end():
    head = request("POST /exec/1/start", "Upgrade: tcp", "Transfer-Encoding: chunked")
    said = answer("101 UPGRADED")
    sent(head).engine(said, ToClient(said), Tunnel())


def test_a_half_close_before_the_switch_is_not_forgotten():
    asked = request("POST /containers/web/attach", "Upgrade: tcp")
    said = answer("101 UPGRADED")
    book = sent(asked).client(b"all").when(ClientEof())
    book.engine(said, ToClient(said), ToEngine(b"all"), HalfCloseEngine(), Tunnel())


def test_a_switch_that_nobody_asked_for_is_an_error():
    told = "the engine's answer is malformed: "
    book = sent(PING)
    said = book.told(EngineBytes(answer("101 UPGRADED")))
    assert b"502 Bad Gateway" in said
    assert told.encode() in said
    assert book.is_over


@pytest.mark.parametrize("path", ["/containers/web/attach", "/exec/1/start"])
def test_a_raw_stream_that_the_engine_begins_unasked_is_a_tunnel(path):
    asked = request(f"POST {path}")
    said = answer("200 OK", RAW)
    sent(asked).client(b"stdin").engine(
        said + b"out", ToClient(said + b"out"), ToEngine(b"stdin"), Tunnel()
    )


@pytest.mark.parametrize(
    ("line", "fields"),
    [
        ("GET /containers/web/logs", (RAW,)),
        ("POST /containers/web/attach", (RAW, "Transfer-Encoding: chunked")),
        ("POST /containers/web/attach", ("Content-Type: text/plain",)),
    ],
)
def test_other_answers_are_no_tunnels(line, fields):
    asked, said = request(line), answer("200 OK", *fields)
    sent(asked).engine(said, ToClient(said))


# HTTP/1.0


def test_a_client_of_http10_gets_neither_chunks_nor_words_before():
    asked = b"GET /info HTTP/1.0\r\nUpgrade: tcp\r\n\r\n"
    book = Playbook().client(asked, OpenEngine())
    book.opened(ToEngine(b"GET /info HTTP/1.1\r\nHost: docker\r\nUpgrade: tcp\r\n\r\n"))
    book.engine(answer("100 Continue"))
    said = answer("200 OK", "X-a: 1", "Transfer-Encoding: chunked")
    book.engine(said, ToClient(answer("200 OK", "X-a: 1", "Connection: close")))
    book.engine(chunked(b"ab", b"c"), ToClient(b"abc"), Close())


def test_a_client_of_http10_can_switch_as_with_the_engine_itself():
    asked = b"POST /exec/1/start HTTP/1.0\r\nUpgrade: tcp\r\n\r\n"
    said = answer("101 UPGRADED")
    book = Playbook().client(asked, OpenEngine())
    book.opened(ToEngine(b"POST /exec/1/start HTTP/1.1\r\nHost: docker\r\nUpgrade: tcp\r\n\r\n"))
    book.engine(said + b"raw", ToClient(said + b"raw"), Tunnel())


def test_a_client_of_http10_gets_an_edited_answer_too():
    key = EndpointKey("h", "docker", "f00d", "e")
    endpoint = Endpoint(key, State.ACTIVE, "cali1", None, addresses=(IPAddress("10.1.2.3"),))
    book = Playbook(endpoint={"f00d": endpoint}.get)
    book.client(b"GET /containers/json HTTP/1.0\r\n\r\n", OpenEngine())
    book.opened(ToEngine(b"GET /containers/json HTTP/1.1\r\nHost: docker\r\n\r\n"))
    said = answer("200 OK", body=b'[{"Id":"f00d","NetworkSettings":{"Networks":{}}}]')
    head, body = book.told(EngineBytes(said)).split(b"\r\n\r\n", 1)
    assert b"10.1.2.3" in body
    assert f"Content-Length: {len(body)}".encode() in head
    assert b"Connection: close" in head
    assert book.is_over


def test_a_client_of_http10_gets_refusals_and_the_end():
    asked = b"GET /info HTTP/1.0\r\n\r\n"
    book = Playbook().client(asked, OpenEngine())
    told = refusal("502 Bad Gateway", "no", closes=True)
    book.when(EngineRefused("no"), ToClient(told), Close())


# Ends


@pytest.mark.parametrize("part", [b"", PONG[:9], PONG[:-1]])
def test_an_engine_that_breaks_off_breaks_off_for_the_client(part):
    book = sent(PING)
    passed = [ToClient(part)] if part == PONG[:-1] else []
    if part:
        book.engine(part, *passed)
    book.when(EngineEof(), Close())


def test_a_client_that_goes_away_takes_the_engines_connection_along():
    sent(request("GET /events")).when(ClientGone(), Close())


def test_a_client_that_goes_away_in_the_middle_of_a_body_takes_it_along():
    sent(request("PUT /containers/web/archive", "Content-Length: 9")).when(ClientGone(), Close())


def test_more_than_the_answer_ends_the_connection():
    sent(PING).engine(PONG + PONG, ToClient(PONG), Close())


def test_an_answer_that_is_none_is_an_error():
    book = sent(PING)
    said = book.told(EngineBytes(b"nonsense\r\n\r\n"))
    assert b"502 Bad Gateway" in said
    assert book.is_over


def test_chunks_that_are_none_break_off_the_answer():
    head = answer("200 OK", "Transfer-Encoding: chunked")
    sent(PING).engine(head, ToClient(head)).engine(b"nonsense\r\n", Close())


def test_chunks_that_are_none_never_end_the_request():
    head = request("POST /build", "Transfer-Encoding: chunked")
    book = sent(head)
    said = book.told(ClientBytes(b"2\r\nab\r\nnonsense\r\n"))
    assert b"400 Bad Request" in said
    assert book.is_over


def test_a_list_that_is_too_long_to_edit_passes_as_it_comes():
    head = answer("200 OK", f"Content-Length: {KEPT_LIMIT + 9}")
    book = sent(request("GET /containers/json")).engine(head)
    piece = bytes(1024 * 1024)
    for _ in range(KEPT_LIMIT // len(piece) - 1):
        assert book.told(EngineBytes(piece)) == b""
    assert len(book.told(EngineBytes(piece))) == len(head) + KEPT_LIMIT
    assert book.told(EngineBytes(b"123")) == b"123"
