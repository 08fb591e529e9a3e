"""One file, one download: real sockets on loopback."""

import http.client
import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from urllib.parse import urlsplit

import pytest
from netaddr import IPAddress

from calico_ctl.errors import CalicoError
from calico_ctl.host import one_file_server
from calico_ctl.host.one_file_server import OneFileServer

CONTENT = os.urandom(300_000)
PATIENCE = 60.0
LONG = 600.0


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Look more often whether it is over."""
    monkeypatch.setattr(one_file_server, "_LOOK_SECONDS", 0.02)


class Served:
    """A server at work in a thread; `fetched` is what it said when it was over."""

    def __init__(self, ip: str) -> None:
        self._file = os.memfd_create("content")
        os.write(self._file, CONTENT)
        self.server = OneFileServer(IPAddress(ip), "d.tar.gz", self._file, len(CONTENT))
        self.fetched: bool | None = None
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()
        address = urlsplit(self.server.url)
        assert address.port is not None
        self.host, self.port, self.path = ip, address.port, address.path

    def _serve(self) -> None:
        self.fetched = self.server.serve(LONG)

    def ask(self, verb: str, path: str) -> tuple[int, bytes, dict[str, str]]:
        """Ask for a path; return status, content and header fields."""
        connection = http.client.HTTPConnection(self.host, self.port, timeout=PATIENCE)
        with closing(connection):
            connection.request(verb, path)
            answer = connection.getresponse()
            return answer.status, answer.read(), dict(answer.getheaders())

    def connect(self) -> socket.socket:
        """Connect, and say nothing yet."""
        return socket.create_connection((self.host, self.port), PATIENCE)

    def is_over(self) -> bool:
        """Wait until it ended; its socket is closed then."""
        self._thread.join(PATIENCE)
        return not self._thread.is_alive() and self.server.fileno() == -1

    def close(self) -> None:
        """End it, whatever a test left it in."""
        self.server.fetched.set()
        self._thread.join(PATIENCE)
        os.close(self._file)


@contextmanager
def serving(ip: str = "127.0.0.1") -> Iterator[Served]:
    served = Served(ip)
    with closing(served):
        yield served


@pytest.mark.parametrize("ip", ["127.0.0.1", "::1"])
def test_the_file_can_be_downloaded_once_and_then_nobody_listens(ip):
    with serving(ip) as served:
        status, content, fields = served.ask("GET", served.path)
        assert (status, content) == (200, CONTENT)
        assert fields["Content-Length"] == str(len(CONTENT))
        assert fields["Server"].strip() == "calicoctl"
        assert served.is_over()
        assert served.fetched is True


def test_nothing_else_is_served_and_asking_for_it_ends_nothing():
    with serving() as served:
        folder = served.path.rpartition("/")[0]
        for path in ("/", "/d.tar.gz", folder, f"{folder}/", f"{served.path}x", "/../etc/passwd"):
            status, content, _ = served.ask("GET", path)
            assert status == 404, path
            assert CONTENT[:100] not in content
        assert served.ask("HEAD", "/")[0] == 404
        assert served.ask("POST", served.path)[0] == 501
        assert served.ask("PUT", served.path)[0] == 501
        assert served.ask("GET", served.path)[1] == CONTENT


def test_head_says_how_large_it_is_and_does_not_count():
    with serving() as served:
        for _ in range(2):
            status, content, fields = served.ask("HEAD", served.path)
            assert (status, content, fields["Content-Length"]) == (200, b"", str(len(CONTENT)))
        assert served.ask("GET", served.path)[1] == CONTENT


def test_paths_cannot_be_guessed_from_others():
    with serving() as one, serving() as other:
        secret = one.path.split("/")[1]
        assert len(secret) >= 32
        assert one.path != other.path
        assert other.ask("GET", one.path)[0] == 404


def test_it_expires_although_clients_take_their_time(monkeypatch):
    # Were they waited for, this test would never end.
    monkeypatch.setattr(one_file_server._Client, "timeout", LONG)
    file = os.memfd_create("content")
    os.write(file, CONTENT)
    server = OneFileServer(IPAddress("127.0.0.1"), "d.tar.gz", file, len(CONTENT))
    address = urlsplit(server.url)
    where = ("127.0.0.1", address.port)
    # It listens already, so they are there from the beginning.
    with (
        socket.create_connection(where, PATIENCE) as silent,
        socket.create_connection(where, PATIENCE) as slow,
    ):
        silent.sendall(b"GET /")
        slow.sendall(f"GET {address.path} HTTP/1.0\r\n\r\n".encode())
        assert server.serve(0.3) is False
        assert server.fileno() == -1
    os.close(file)


def test_a_download_that_breaks_off_does_not_count():
    with serving() as served:
        with served.connect() as broken:
            # Not a byte of it is taken: the kernel cannot hold all of it for a client that is gone.
            broken.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1024)
            broken.sendall(f"GET {served.path} HTTP/1.0\r\n\r\n".encode())
            broken.recv(10)
            broken.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
        status, content = eventually_free(served)
        assert (status, content) == (200, CONTENT)


def eventually_free(served: Served) -> tuple[int, bytes]:
    """Ask until the one before is done with."""
    until = time.monotonic() + PATIENCE
    while True:
        status, content, _ = served.ask("GET", served.path)
        if status != 503 or time.monotonic() > until:
            return status, content
        time.sleep(0.05)


def test_while_one_fetches_it_others_are_told_to_wait():
    with serving() as served, served.connect() as first:
        first.sendall(f"GET {served.path} HTTP/1.0\r\n\r\n".encode())
        assert first.recv(10) == b"HTTP/1.0 2"
        assert served.ask("GET", served.path)[0] == 503


def test_an_address_that_is_not_here_is_refused():
    with pytest.raises(CalicoError, match=r"cannot listen on 192\.0\.2\.1"):
        OneFileServer(IPAddress("192.0.2.1"), "a", 0, 0)
