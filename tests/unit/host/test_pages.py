"""Small pages by HTTP, and clients that do not behave."""

import errno
import http.client
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from netaddr import IPAddress

from calico_ctl.errors import AlreadyExists, CalicoError
from calico_ctl.host import pages
from calico_ctl.host.pages import Page

PATIENCE = 60.0
LOOPBACK = IPAddress("127.0.0.1")


def answer(path: str) -> Page:
    if path == "/mistake":
        raise KeyError(path)
    return Page(200 if path == "/known" else 404, f"this is {path}\n")


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    """Where a server answers whose clients behave."""
    with serving() as port:
        yield port


@pytest.fixture
def own_port() -> Iterator[int]:
    """Where a server answers that nobody else asks."""
    with serving() as port:
        yield port


@contextmanager
def serving() -> Iterator[int]:
    stopping = threading.Event()
    with pytest.MonkeyPatch.context() as patched, pages.listen(LOOPBACK, 0) as listener:
        patched.setattr(pages, "_LOOK_SECONDS", 0.05)  # how long it takes to stop
        thread = threading.Thread(target=pages.serve, args=(listener, answer, stopping))
        thread.start()
        yield listener.getsockname()[1]
        stopping.set()
        thread.join(PATIENCE)
        assert not thread.is_alive()


def ask(port: int, method: str, path: str) -> tuple[int, str]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
    connection.request(method, path)
    response = connection.getresponse()
    said = response.status, response.read().decode()
    connection.close()
    return said


def raw(port: int, sent: bytes) -> bytes:
    """All that comes back, until the server hangs up."""
    with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE) as client:
        client.sendall(sent)
        answered = b""
        while piece := client.recv(4096):
            answered += piece
        return answered


def test_a_page_is_given_by_its_path_whatever_is_asked_beside(port: int) -> None:
    assert ask(port, "GET", "/known") == (200, "this is /known\n")
    assert ask(port, "GET", "/known?x=y") == (200, "this is /known\n")
    assert ask(port, "GET", "/other") == (404, "this is /other\n")
    assert ask(port, "HEAD", "/known") == (200, "")


def test_nothing_can_be_changed(port: int) -> None:
    for method in (b"POST", b"PUT", b"DELETE", b"get"):
        sent = method + b" /known HTTP/1.1\r\nContent-Length: 5\r\n\r\nhello"
        answered = raw(port, sent)
        assert answered.startswith(b"HTTP/1.1 405 ")
        assert answered.endswith(b"\r\n\r\nthese pages can only be read\n")


def test_a_mistake_of_ours_costs_one_answer(port: int) -> None:
    assert ask(port, "GET", "/mistake")[0] == 500
    assert ask(port, "GET", "/known")[0] == 200


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"GET /known HTTP/1.0\r\n\r\n", b"200"),
        (b"GET /known HTTP/1.1\n\n", b"200"),
        (b"\x16\x03\x01\x02\x00\r\n\r\n", b"400"),
        (b"GET /known\r\n\r\n", b"400"),
        (b"\r\n\r\n", b"400"),
        (b"GET / HTTP/1.1\r\nX: " + b"x" * 20_000 + b"\r\n\r\n", b"431"),
    ],
)
def test_whatever_is_sent_is_answered(port: int, sent: bytes, status: bytes) -> None:
    assert raw(port, sent).split(b" ")[1] == status
    assert ask(port, "GET", "/known")[0] == 200


def test_a_client_that_hangs_up_hinders_nobody(own_port: int) -> None:
    for _ in range(2 * pages.CLIENTS_AT_ONCE):
        socket.create_connection(("127.0.0.1", own_port), timeout=PATIENCE).close()
    assert eventually_known(own_port)


def test_clients_that_say_nothing_are_let_go(
    own_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pages, "SECONDS", 0.3)
    silent = [
        socket.create_connection(("127.0.0.1", own_port), timeout=PATIENCE)
        for _ in range(pages.CLIENTS_AT_ONCE)
    ]
    try:
        silent[0].sendall(b"GET /known HT")
        assert all(is_let_go(each) for each in silent)
        assert eventually_known(own_port)
    finally:
        for each in silent:
            each.close()


def is_let_go(client: socket.socket) -> bool:
    """Whether the server hangs up without a word."""
    try:
        return client.recv(100) == b""
    except ConnectionResetError:
        return True


def eventually_known(port: int) -> bool:
    """Whether there is an answer once the threads of the others have ended."""
    for _ in range(600):
        try:
            if ask(port, "GET", "/known")[0] == 200:
                return True
        except (OSError, http.client.HTTPException):
            pass
        threading.Event().wait(0.05)
    return False


def test_more_clients_than_there_is_room_for_are_told(
    own_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pages, "SECONDS", PATIENCE)
    waiting = [
        socket.create_connection(("127.0.0.1", own_port), timeout=PATIENCE)
        for _ in range(pages.CLIENTS_AT_ONCE)
    ]
    try:
        with socket.create_connection(("127.0.0.1", own_port), timeout=PATIENCE) as client:
            assert client.recv(100).startswith(b"HTTP/1.1 503 ")
    finally:
        for each in waiting:
            each.close()


def test_a_port_that_somebody_has_is_told() -> None:
    with pages.listen(LOOPBACK, 0) as listener:
        port = listener.getsockname()[1]
        with pytest.raises(AlreadyExists, match=f"something else listens on 127.0.0.1:{port}"):
            pages.listen(LOOPBACK, port)


@pytest.mark.parametrize(
    ("address", "shown"), [("192.0.2.1", "192.0.2.1:9091"), ("2001:db8::1", "[2001:db8::1]:9091")]
)
def test_an_address_that_nobody_can_listen_on_is_told(
    monkeypatch: pytest.MonkeyPatch, address: str, shown: str
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.EADDRNOTAVAIL, "Cannot assign requested address")

    monkeypatch.setattr(pages, "_bind", refuse)
    with pytest.raises(CalicoError) as raised:
        pages.listen(IPAddress(address), 9091)
    assert raised.value.message == (
        f"nobody can listen on {shown}: Cannot assign requested address"
    )
