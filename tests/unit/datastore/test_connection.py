"""HTTP over one socket, whatever pieces it comes in."""

import socket
import ssl
import threading
from collections.abc import Iterator

import pytest

from calico_ctl.datastore.connection import Answer, Connection, TlsFailed
from tests.support import listeners

HEAD = b"HTTP/1.1 200 OK\r\nX-Etcd-Index: 7\r\n"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
TEXT = "näme"
BODY = TEXT.encode()


@pytest.fixture
def ends() -> Iterator[tuple[Connection, socket.socket]]:
    """A connection, and its other end."""
    ours, theirs = socket.socketpair()
    connection = Connection(ours, "etcd.example:4001")
    theirs.settimeout(60)
    with theirs:
        yield connection, theirs
    connection.close()


def test_a_question_names_path_and_host(ends):
    connection, server = ends
    connection.ask("/v2/keys/a?wait=true")
    assert server.recv(4096) == (
        b"GET /v2/keys/a?wait=true HTTP/1.1\r\nHost: etcd.example:4001\r\n\r\n"
    )


def test_a_question_that_is_out_is_not_asked_again(ends):
    connection, server = ends
    for _ in range(2):
        connection.ask("/a")
    assert server.recv(4096).count(b"GET") == 1
    assert connection.can_ask("/a")
    assert not connection.can_ask("/b")


def test_a_form_is_put_with_its_length(ends):
    connection, server = ends
    connection.put("/a", "value=1")
    head, _, form = server.recv(4096).partition(b"\r\n\r\n")
    assert head.splitlines() == [
        b"PUT /a HTTP/1.1",
        b"Host: etcd.example:4001",
        b"Content-Type: application/x-www-form-urlencoded",
        b"Content-Length: 7",
    ]
    assert form == b"value=1"


def test_json_is_posted_with_fields_of_its_own(ends):
    connection, server = ends
    connection.post("/a", "{}", [("Authorization", "token")])
    head, _, content = server.recv(4096).partition(b"\r\n\r\n")
    assert head.splitlines() == [
        b"POST /a HTTP/1.1",
        b"Host: etcd.example:4001",
        b"Content-Type: application/json",
        b"Content-Length: 2",
        b"Authorization: token",
    ]
    assert content == b"{}"


@pytest.mark.parametrize("size", [1, 3, 1000])
def test_an_answer_that_goes_on_is_read_line_by_line(ends, size: int):
    connection, server = ends
    connection.post("/a", "{}")
    parts = (b"on", b"e\ntwo\n", b"\nthr", b"ee\n", b"rest")
    answer = CHUNKED + b"".join(b"%x\r\n%b\r\n" % (len(each), each) for each in parts)
    lines = []
    for at in range(0, len(answer), size):
        server.sendall(answer[at : at + size])
        while (line := connection.line(0.0001)) is not None:
            lines.append(line)
    assert lines == [b"one", b"two", b"three"]
    server.sendall(b"0\r\n\r\n")
    assert connection.line(60) == b"rest"
    with pytest.raises(ConnectionError, match="closed"):
        connection.line(60)


def test_a_line_that_is_not_here_yet_is_not_waited_for(ends):
    connection, server = ends
    connection.post("/a", "{}")
    assert connection.line(0) is None
    server.sendall(CHUNKED + b"8\r\none\ntwo\n\r\n")
    assert connection.line(60) == b"one"
    assert connection.line(0) == b"two"
    assert connection.line(0) is None
    server.sendall(b"6\r\nthree\n\r\n")
    assert connection.line(0) == b"three"


def test_an_answer_that_goes_on_and_breaks_off_gives_what_was_whole(ends):
    connection, server = ends
    connection.post("/a", "{}")
    server.recv(4096)
    server.sendall(CHUNKED + b"6\r\none\ntw\r\n")
    server.close()
    assert connection.line(60) == b"one"
    with pytest.raises(ConnectionError, match="closed"):
        connection.line(60)


def test_what_is_asked_can_be_called_as_is_best_for_finding_it_again(ends):
    connection, _ = ends
    connection.post("/a", "{}")
    assert connection.asked == "/a"
    connection.asked = "what comes next"
    assert connection.can_ask("what comes next")
    assert not connection.can_ask("/a")


@pytest.mark.parametrize(
    "answer",
    [
        HEAD + b"Content-Length: 5\r\n\r\n" + BODY,
        CHUNKED + b"5\r\n%b\r\n0\r\n\r\n" % BODY,
        CHUNKED + b"2\r\n%b\r\n3\r\n%b\r\n0\r\n\r\n" % (BODY[:2], BODY[2:]),
    ],
    ids=["with a length", "in a chunk", "in two chunks"],
)
@pytest.mark.parametrize("size", [1, 3, 1000])
def test_an_answer_is_read_in_whatever_pieces_it_comes(ends, answer: bytes, size: int):
    connection, server = ends
    for _ in range(2):
        connection.ask("/a")
        for at in range(0, len(answer), size):
            assert connection.wait(0.0001) is None
            server.sendall(answer[at : at + size])
        said = connection.wait(60)
        assert said is not None
        assert (said.status, said.headers["x-etcd-index"], said.text) == (200, "7", TEXT)


def test_a_large_answer_is_read_as_it_was_sent(ends):
    connection, server = ends
    text = "0123456789" * 1_000_000
    chunks = [text[at : at + 700_000] for at in range(0, len(text), 700_000)]
    body = "".join(f"{len(each):x}\r\n{each}\r\n" for each in [*chunks, ""])
    connection.ask("/a")
    sending = threading.Thread(target=server.sendall, args=(CHUNKED + body.encode(),))
    sending.start()
    said = connection.wait(60)
    sending.join()
    assert said is not None
    assert said.text == text


def test_an_answer_that_says_no_is_an_answer(ends):
    connection, server = ends
    connection.ask("/a")
    server.sendall(b"HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\n\r\n{}")
    assert connection.wait(60) == Answer(404, {"content-length": "2"}, "{}")


def test_a_field_without_a_value_is_one(ends):
    connection, server = ends
    connection.ask("/a")
    server.sendall(b"HTTP/1.1 200 OK\r\nX-Empty:\r\nX-Full: \t1 \r\nContent-Length: 0\r\n\r\n")
    assert connection.wait(60) == Answer(
        200, {"x-empty": "", "x-full": "1", "content-length": "0"}, ""
    )


def test_what_comes_before_an_answer_is_none(ends):
    connection, server = ends
    connection.put("/a", "value=1")
    server.sendall(b"HTTP/1.1 100 Continue\r\nX-Early: 1\r\n\r\n")
    assert connection.wait(0.01) is None
    server.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n1")
    assert connection.wait(60) == Answer(200, {"content-length": "1"}, "1")


def test_an_answer_may_end_with_the_connection(ends):
    connection, server = ends
    connection.ask("/a")
    server.recv(4096)
    server.sendall(HEAD + b"\r\n" + BODY)
    assert connection.wait(0.01) is None
    server.close()
    said = connection.wait(60)
    assert said is not None
    assert (said.text, connection.closed) == (TEXT, True)


@pytest.mark.parametrize("head", [HEAD + b"Connection: close\r\n", b"HTTP/1.0 200 OK\r\n"])
def test_a_server_that_will_close_is_asked_nothing_more(ends, head: bytes):
    connection, server = ends
    connection.ask("/a")
    server.sendall(head + b"Content-Length: 1\r\n\r\n1")
    said = connection.wait(60)
    assert said is not None
    assert (said.text, connection.closed) == ("1", True)


def test_an_answer_that_nobody_asked_for_is_refused(ends):
    connection, server = ends
    connection.ask("/a")
    server.sendall(2 * (HEAD + b"Content-Length: 1\r\n\r\n1"))
    with pytest.raises(ValueError):  # noqa: PT011 - the words are the library's
        connection.wait(60)


@pytest.mark.parametrize(
    ("path", "token"), [("/a b", "t"), ("/a\r\nX: 1", "t"), ("/a", "t\r\nX: 1")]
)
def test_what_would_be_more_than_one_question_is_not_sent(ends, path: str, token: str):
    connection, server = ends
    with pytest.raises(ValueError, match="cannot be sent"):
        connection.post(path, "{}", [("Authorization", token)])
    server.settimeout(0.01)
    with pytest.raises(TimeoutError):
        server.recv(1)


def test_after_an_answer_something_else_can_be_asked(ends):
    connection, server = ends
    connection.ask("/a")
    server.sendall(HEAD + b"Content-Length: 0\r\n\r\n")
    assert connection.wait(60)
    assert connection.can_ask("/b")


def test_a_connection_that_the_server_closed_is_of_no_use(ends):
    connection, server = ends
    assert connection.can_ask("/a")
    server.close()
    assert not connection.can_ask("/a")


@pytest.mark.parametrize("length", [0, 20, len(CHUNKED), len(CHUNKED) + 4])
def test_an_answer_that_breaks_off_is_none(ends, length: int):
    connection, server = ends
    connection.ask("/a")
    server.recv(4096)
    server.sendall((CHUNKED + b"5\r\n%b\r\n0\r\n\r\n" % BODY)[:length])
    server.close()
    with pytest.raises(ConnectionError, match="closed"):
        connection.wait(60)


@pytest.mark.parametrize(
    "answer",
    [
        b"SSH-2.0-OpenSSH\r\n\r\n",
        b"ICY 200 OK\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1\r\n\r\n",
        b"HTTP/1.1 ok\r\n\r\n",
        HEAD + b"Content-Length: -\r\n\r\n",
        HEAD + b"Content-Length: 1\r\n\r\n\xff",
        CHUNKED + b"hello\r\n",
        CHUNKED + b"-64\r\n" + b"x" * 200,
    ],
)
def test_what_is_not_http_is_told_as_such(ends, answer: bytes):
    connection, server = ends
    connection.ask("/a")
    server.sendall(answer)
    with pytest.raises(ValueError):  # noqa: PT011 - the words are the library's
        connection.wait(60)


def test_a_server_without_tls_is_told_from_one_that_is_not_there():
    with listeners.serving(listeners.PLAIN_HTTP) as port, pytest.raises(TlsFailed):
        Connection.to("127.0.0.1", port, timeout=5, tls=ssl.create_default_context())
    with pytest.raises(ConnectionRefusedError):
        Connection.to("127.0.0.1", port, timeout=5, tls=ssl.create_default_context())


def test_every_address_of_a_name_is_tried_within_the_time(monkeypatch):
    with socket.create_server(("127.0.0.1", 0)) as listener, socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        found = [
            (socket.AF_INET, socket.SOCK_STREAM, 6, "", each.getsockname())
            for each in (silent, listener)
        ]
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_args, **_named: found)
        Connection.to("etcd", 1, timeout=30).close()
        found.pop()
        with pytest.raises(ConnectionRefusedError):
            Connection.to("etcd", 1, timeout=30)
        found.clear()
        with pytest.raises(OSError, match="no address"):
            Connection.to("etcd", 1, timeout=30)
