"""What a server says of itself, and what is made of nonsense."""

import socket
import threading
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime

import pytest

from calico_ctl.datastore import server
from calico_ctl.errors import DatastoreUnavailable
from calico_ctl.model.etcd_access import EtcdAuthority

VERSION = '{"etcdserver": "3.5.16", "etcdcluster": "3.5.0"}'
DATE = "Date: Sun, 01 Mar 2026 12:30:05 GMT\r\n"


class Listener:
    """Answers whatever comes with one text."""

    def __init__(self) -> None:
        self.text = b""
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.authority = EtcdAuthority("127.0.0.1", self._socket.getsockname()[1])
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        connection, _ = self._socket.accept()
        with connection:
            connection.recv(4096)
            connection.sendall(self.text)

    def close(self) -> None:
        self._socket.close()


@pytest.fixture
def listener() -> Iterator[Listener]:
    with closing(Listener()) as made:
        yield made


def answer(body: str, fields: str = "") -> bytes:
    return f"HTTP/1.1 200 OK\r\n{fields}Content-Length: {len(body)}\r\n\r\n{body}".encode()


def test_version_and_clock_are_told(listener):
    listener.text = answer(VERSION, DATE)
    found = server.ask(listener.authority)
    assert found == server.Server("3.5.16", datetime(2026, 3, 1, 12, 30, 5, tzinfo=UTC))


@pytest.mark.parametrize("fields", ["", "Date: yesterday\r\n", "Date: Sun, 99 Foo\r\n"])
def test_a_clock_that_cannot_be_read_is_none(listener, fields):
    listener.text = answer(VERSION, fields)
    assert server.ask(listener.authority).time is None


@pytest.mark.parametrize("text", [b"SSH-2.0-OpenSSH\r\n\r\n", answer("<html>"), b""])
def test_what_is_not_etcd_is_refused(listener, text):
    listener.text = text
    with pytest.raises(DatastoreUnavailable):
        server.ask(listener.authority)


def test_another_servers_json_is_no_version(listener):
    listener.text = answer("[]")
    assert server.ask(listener.authority).version == "unknown"


def test_where_nobody_listens_that_is_said():
    with closing(socket.socket()) as bound:
        bound.bind(("127.0.0.1", 0))
        authority = EtcdAuthority("127.0.0.1", bound.getsockname()[1])
        with pytest.raises(DatastoreUnavailable, match="Connection refused"):
            server.ask(authority)
