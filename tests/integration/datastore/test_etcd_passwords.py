"""An etcd that is busy with the passwords of others: one waits for one's turn, and asks once."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from calico_ctl.datastore.etcd import Etcd, EtcdSettings
from calico_ctl.errors import DatastoreUnavailable
from tests.support import listeners

pytestmark = pytest.mark.integration

SECONDS = 2.0
"""Long enough for an answer on a busy machine."""

FOUND = b'{"action":"get","node":{"key":"/calico/a","value":"1","modifiedIndex":7}}'
CALICO = {"username": "calico", "password": "p"}


@dataclass
class Busy:
    """What was asked of a server that answers about keys only after so many other questions."""

    others: int
    asked: list[str] = field(default_factory=list)
    port: int = 0
    turn: threading.Event = field(default_factory=threading.Event)


@contextmanager
def busy(others: int) -> Iterator[Busy]:
    seen = Busy(others)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            seen.asked.append(self.path)
            if self.path == "/version":
                if seen.asked.count("/version") == seen.others:
                    seen.turn.set()
            else:
                seen.turn.wait(60)
            self.send_response(200)
            self.send_header("Content-Length", str(len(FOUND)))
            self.send_header("X-Etcd-Index", "7")
            self.end_headers()
            self.wfile.write(FOUND)

        def do_PUT(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.do_GET()

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    seen.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield seen
    finally:
        seen.turn.set()
        server.shutdown()
        thread.join()
        server.server_close()


@contextmanager
def opened(port: int, **login: str) -> Iterator[Etcd]:
    store = Etcd(EtcdSettings("127.0.0.1", port, timeout=SECONDS, **login))  # type: ignore[arg-type]
    try:
        yield store
    finally:
        store.close()


def test_with_a_password_one_waits_for_ones_turn_and_asks_once() -> None:
    with busy(others=1) as server, opened(server.port, **CALICO) as store:
        entry = store.put("/calico/a", "1")
        assert (entry.value, entry.revision) == ("1", 7)
        assert store.get("/calico/a") == entry
    assert server.asked == [
        "/v2/keys/calico/a",
        "/version",
        "/v2/keys/calico/a?quorum=true",
    ]


def test_without_a_password_no_answer_is_no_answer() -> None:
    with busy(others=1) as server, opened(server.port) as store:
        with pytest.raises(DatastoreUnavailable, match=r"\(no answer within 2 s\)$"):
            store.get("/calico/a")
        assert server.asked == ["/v2/keys/calico/a?quorum=true"]


def test_who_answers_nothing_at_all_is_not_busy() -> None:
    with (
        listeners.silent() as port,
        opened(port, **CALICO) as store,
        pytest.raises(DatastoreUnavailable, match=r"\(no answer within 2 s\)$"),
    ):
        store.get("/calico/a")


def test_one_does_not_wait_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("calico_ctl.datastore.etcd._BUSY_SECONDS", 1.0)
    with busy(others=5) as server, opened(server.port, **CALICO) as store:
        with pytest.raises(DatastoreUnavailable, match="no answer"):
            store.get("/calico/a")
        assert server.asked.count("/version") <= 1
