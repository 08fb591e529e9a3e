"""What happens when etcd is away, silent, forgetful, emptied, or not etcd at all."""

import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from itertools import product
from pathlib import Path

import pytest

from calico_ctl.datastore.etcd import Etcd, EtcdSettings
from calico_ctl.datastore.store import Event
from calico_ctl.errors import DatastoreError, DatastoreUnavailable
from tests.support import listeners
from tests.support.command import PACE
from tests.support.etcd_server import EtcdServer
from tests.support.verbs import VERBS

pytestmark = pytest.mark.integration


def test_an_etcd_without_v2_is_named_as_such(tmp_path: Path) -> None:
    server = EtcdServer(tmp_path, v2=False)
    server.start()
    try:
        store = server.store()
        for verb in VERBS.values():
            with pytest.raises(DatastoreError) as caught:
                verb(store)
            assert "--enable-v2" in caught.value.hint
        store.close()
    finally:
        server.stop()


@pytest.mark.parametrize("status", [200, 400, 404, 500])
@pytest.mark.parametrize(
    ("verb", "content"),
    [
        ("get", b"<html>hello</html>"),
        *product(
            ("tree", "watch", "put"), (b"<html>hello</html>", b"\xff", b"[]", b'{"node": {}}')
        ),
    ],
)
def test_something_else_on_the_port_is_named_as_such(
    verb: str, content: bytes, status: int
) -> None:
    class Page(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def do_PUT(self) -> None:
            self.do_GET()

        def log_message(self, *_args: object) -> None: ...

    with HTTPServer(("127.0.0.1", 0), Page) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,)).start()
        try:
            with pytest.raises(DatastoreError, match="not etcd's"):
                VERBS[verb](Etcd(EtcdSettings("127.0.0.1", server.server_port)))
        finally:
            server.shutdown()


@pytest.mark.parametrize(
    "content", [b'{"message": "Insufficient credentials"}', b"<html>who are you?</html>", b""]
)
@pytest.mark.parametrize("head", [b"401 Unauthorized", b"403 Forbidden"])
def test_whoever_asks_who_we_are_is_not_taken_for_something_else(head: bytes, content) -> None:
    answer = b"HTTP/1.1 %b\r\nContent-Length: %d\r\n\r\n%b" % (head, len(content), content)
    with answering([answer]) as store, pytest.raises(DatastoreError) as caught:
        store.put("/a", "1")
    assert "refused /a: insufficient credentials" in caught.value.message
    assert "ETCD_USERNAME" in caught.value.hint


def test_a_server_that_does_not_speak_http_is_not_etcd() -> None:
    with (
        listeners.serving(lambda connection: connection.sendall(b"SSH-2.0-OpenSSH\r\n")) as port,
        pytest.raises(DatastoreError, match="is not etcd's"),
    ):
        Etcd(EtcdSettings("127.0.0.1", port)).get("/a")


def test_a_write_to_a_directory_says_that_it_is_one(store: Etcd) -> None:
    store.create("/full/of", "keys")
    with pytest.raises(DatastoreError, match="cannot write /full: it is a directory"):
        store.put("/full", "1")


HEAD = b"HTTP/1.1 200 OK\r\nX-Etcd-Index: 1\r\nx-etcd-cluster-id: c\r\n"
CHANGE = b'{"action":"set","node":{"key":"/a","value":"\xc3\xa4","modifiedIndex":7}}\n'
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"


@contextmanager
def answering(*answers: Sequence[bytes]) -> Iterator[Etcd]:
    """A store whose server answers on one connection, each answer in pieces, and hangs up."""
    with listeners.serving(listeners.answering(*answers), connections=1) as port:
        store = Etcd(EtcdSettings("127.0.0.1", port, timeout=30.0))
        yield store
        store.close()


def bytewise(answer: bytes) -> list[bytes]:
    return [answer[at : at + 1] for at in range(len(answer))]


@pytest.mark.parametrize(
    "answer",
    [
        HEAD + b"Content-Length: %d\r\n\r\n" % len(CHANGE) + CHANGE,
        CHUNKED + b"%x\r\n%b\r\n0\r\n\r\n" % (len(CHANGE), CHANGE),
        CHUNKED + b"5\r\n%b\r\n%X\r\n%b\r\n0\r\n\r\n" % (CHANGE[:5], len(CHANGE) - 5, CHANGE[5:]),
    ],
    ids=["with a length", "in a chunk", "in two chunks"],
)
@pytest.mark.parametrize("cut", [lambda answer: [answer], bytewise], ids=["at once", "bytewise"])
def test_a_change_is_read_however_http_brings_it(answer: bytes, cut) -> None:
    with answering(cut(answer), cut(answer)) as store:
        for _ in range(2):
            assert list(store.watch("/", 6, 60)) == [Event("/a", "ä", 7, deleted=False)]


@pytest.mark.parametrize("length", [0, 20, len(HEAD), len(CHUNKED), len(CHUNKED) + 30])
def test_half_an_answer_to_a_watch_is_none(length: int) -> None:
    whole = CHUNKED + b"%x\r\n%b\r\n0\r\n\r\n" % (len(CHANGE), CHANGE)
    with (
        answering([whole[:length]]) as store,
        pytest.raises(DatastoreUnavailable, match="connection lost"),
    ):
        store.watch("/", 6, 60)


@pytest.mark.parametrize(
    "answer",
    [
        b"SSH-2.0-OpenSSH\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n\r\n",
        HEAD + b"Content-Length: 2\r\n\r\n{}",
        HEAD + b"Content-Length: 2\r\n\r\n[]",
        HEAD + b"Content-Length: 5\r\n\r\nhello",
        HEAD + b"Content-Length: -\r\n\r\n",
        CHUNKED + b"hello\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(CHANGE) + CHANGE,
    ],
)
def test_a_watch_says_what_is_not_etcds(answer: bytes) -> None:
    with answering([answer]) as store, pytest.raises(DatastoreError, match="not etcd's"):
        store.watch("/", 6, 60)


def test_a_restarted_store_goes_on_where_it_was(own_server: EtcdServer) -> None:
    store = own_server.store()
    first = store.put("/a", "1")
    second = store.put("/a", "2")
    assert store.watch("/", first.revision, 30)  # the connection is kept, and then dead
    own_server.stop()
    own_server.start()
    events = store.watch("/", first.revision, 30)
    assert [event.revision for event in events] == [second.revision]
    store.close()


def test_a_restart_in_the_middle_of_a_watch_is_an_error_not_a_loss(own_server: EtcdServer) -> None:
    store = own_server.store()
    entry = store.put("/a", "1")
    outcome: list[object] = []

    def watch() -> None:
        try:
            outcome.append(store.watch("/", entry.revision, 30))
        except DatastoreUnavailable as error:
            outcome.append(error)

    watching = threading.Thread(target=watch)
    watching.start()
    own_server.stop()
    watching.join(60)
    assert isinstance(outcome[0], DatastoreUnavailable)
    store.close()


def test_a_quiet_watch_does_not_outlast_its_time(store: Etcd) -> None:
    entry = store.put("/quiet", "1")
    for timeout in (0.1, 0.5, 1.0):
        began = time.monotonic()
        assert not store.watch("/quiet", entry.revision, timeout)
        assert timeout - 0.02 < time.monotonic() - began < timeout + 10 * PACE
