"""What happens when etcd is away, silent, forgetful, emptied, or not etcd at all."""

import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from itertools import product
from pathlib import Path

import pytest

from calico_ctl.datastore.etcd import Etcd, EtcdSettings
from calico_ctl.datastore.store import Entry, Event, Store, StoreReplaced
from calico_ctl.errors import DatastoreError, DatastoreUnavailable, HistoryLost
from calico_ctl.model.etcd_access import EtcdTls
from tests.support import command
from tests.support.command import PACE
from tests.support.etcd_server import EtcdServer
from tests.support.paths import CHECKOUT

pytestmark = pytest.mark.integration

SEEN = Entry("/a", "1", 1)
VERBS: dict[str, Callable[[Store], object]] = {
    "get": lambda store: store.get("/a"),
    "tree": lambda store: store.tree("/a"),
    "put": lambda store: store.put("/a", "1"),
    "create": lambda store: store.create("/a", "1"),
    "swap": lambda store: store.swap(SEEN, "2"),
    "delete": lambda store: store.delete("/a"),
    "watch": lambda store: store.watch("/a", 1, 0.3),
}
each_verb = pytest.mark.parametrize("verb", VERBS.values(), ids=VERBS.keys())


@contextmanager
def taking_at_most(seconds: float) -> Iterator[None]:
    began = time.monotonic()
    yield
    assert time.monotonic() - began < seconds * PACE


@contextmanager
def full_listener() -> Iterator[int]:
    """A port whose queue of connections is full: SYNs vanish, as in a black hole."""
    with socket.socket() as listener, socket.socket() as one, socket.socket() as two:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for filler in (one, two):
            filler.setblocking(False)
            filler.connect_ex(listener.getsockname())
        yield listener.getsockname()[1]


@each_verb
def test_a_closed_port_is_reported_at_once(verb) -> None:
    with socket.socket() as taken:
        # It does not listen, and nobody else gets the port.
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        with taking_at_most(10), pytest.raises(DatastoreUnavailable) as caught:
            verb(Etcd(EtcdSettings("127.0.0.1", port)))
    assert caught.value.message == f"cannot reach etcd at 127.0.0.1:{port} (connection refused)"
    assert "ETCD_AUTHORITY" in caught.value.hint


@each_verb
def test_a_black_hole_is_given_up_in_time(verb) -> None:
    with (
        full_listener() as port,
        taking_at_most(10),
        pytest.raises(DatastoreUnavailable, match=r"no connection within 0\.2 s"),
    ):
        verb(Etcd(impatient(port)))


@each_verb
def test_a_server_that_never_answers_is_given_up_in_time(verb) -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as listener,
        taking_at_most(10),
        pytest.raises(DatastoreUnavailable, match=r"no answer within 0\.4 s"),
    ):
        verb(Etcd(impatient(listener.getsockname()[1])))


def test_a_command_ends_within_five_seconds_in_a_black_hole() -> None:
    with (
        full_listener() as port,
        taking_at_most(30),
        pytest.raises(DatastoreUnavailable, match="no connection within 2 s"),
    ):
        Etcd(EtcdSettings("127.0.0.1", port)).get("/a")


def test_a_command_ends_within_five_seconds_if_nobody_answers() -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as listener,
        taking_at_most(30),
        pytest.raises(DatastoreUnavailable, match="no answer within 4 s"),
    ):
        Etcd(EtcdSettings("127.0.0.1", listener.getsockname()[1])).get("/a")


def impatient(port: int) -> EtcdSettings:
    return EtcdSettings("127.0.0.1", port, connect_timeout=0.2, timeout=0.4)


def test_a_frozen_etcd_is_given_up_in_time(own_server: EtcdServer) -> None:
    writer = own_server.store()
    entry = writer.create("/a", "1")
    writer.close()
    store = own_server.store(timeout=0.5)
    own_server.freeze()
    with taking_at_most(10), pytest.raises(DatastoreUnavailable, match="no answer"):
        store.swap(entry, "2")
    with taking_at_most(15), pytest.raises(DatastoreUnavailable, match="no answer"):
        store.watch("/a", entry.revision, 0.3)
    own_server.thaw()
    store.close()


def test_a_write_is_never_sent_twice_and_a_read_is() -> None:
    """A server that drops the connection after each request counts how often it was asked."""
    asked = []

    def answer(listener: socket.socket) -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with connection:
                asked.append(connection.recv(4096))

    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=answer, args=(listener,), daemon=True).start()
        store = Etcd(EtcdSettings("127.0.0.1", listener.getsockname()[1]))
        for verb in ("swap", "put"):
            with pytest.raises(DatastoreUnavailable, match="connection lost"):
                VERBS[verb](store)
            assert len(asked) == 1
            asked.clear()
        for verb in ("get", "tree"):
            with pytest.raises(DatastoreUnavailable, match="connection lost"):
                VERBS[verb](store)
            assert len(asked) == 2
            asked.clear()
        listener.shutdown(socket.SHUT_RDWR)


def test_a_name_that_does_not_resolve_is_said_to() -> None:
    with taking_at_most(30), pytest.raises(DatastoreUnavailable) as caught:
        Etcd(EtcdSettings("no-such-host.invalid", connect_timeout=25)).get("/a")
    assert "no-such-host.invalid:4001 (name does not resolve)" in caught.value.message


def test_a_silent_name_server_is_given_up_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    asleep = threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_args, **_named: asleep.wait(50))
    with taking_at_most(30), pytest.raises(DatastoreUnavailable, match="name server"):
        Etcd(EtcdSettings("etcd.example")).get("/a")
    asleep.set()


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


def test_a_server_that_does_not_speak_http_is_unavailable() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def greet() -> None:
            for _ in range(2):
                connection, _ = listener.accept()
                with connection:
                    connection.sendall(b"SSH-2.0-OpenSSH\r\n")

        threading.Thread(target=greet, daemon=True).start()
        with pytest.raises(DatastoreUnavailable):
            Etcd(EtcdSettings("127.0.0.1", listener.getsockname()[1])).get("/a")


@pytest.mark.parametrize("verb", ["get", "tree", "put", "watch"])
def test_https_against_plain_http_says_tls(verb: str, shared_server: EtcdServer) -> None:
    store = Etcd(EtcdSettings("127.0.0.1", shared_server.client_port, tls=EtcdTls()))
    with pytest.raises(DatastoreUnavailable, match="TLS"):
        VERBS[verb](store)


def test_every_verb_does_without_what_takes_long_to_import(shared_server: EtcdServer) -> None:
    program = f"""
import sys
from calico_ctl.datastore.etcd import Etcd, EtcdSettings
store = Etcd(EtcdSettings("127.0.0.1", {shared_server.client_port}))
written = store.put("/light", "1", ttl=60)
assert store.tree("/light").revision >= written.revision
assert store.watch("/light", written.revision - 1, 30)
made = store.create("/heavy", "1")
assert store.delete("/heavy", store.swap(made, store.get("/heavy").value))
print(sorted({{"etcd", "urllib3", "ssl", "http.client", "logging"}} & sys.modules.keys()))
store.close()
"""
    environment = command.clean_environment({"PYTHONPATH": str(CHECKOUT)})
    done = command.run([sys.executable, "-c", program], env=environment)
    assert done.out == "[]\n"


def test_a_write_to_a_directory_says_that_it_is_one(store: Etcd) -> None:
    store.create("/full/of", "keys")
    with pytest.raises(DatastoreError, match="cannot write /full: it is a directory"):
        store.put("/full", "1")


def test_a_wiped_store_is_noticed_by_a_watch(own_server: EtcdServer) -> None:
    store = own_server.store()
    entry = [store.put("/a", str(n)) for n in range(20)][-1]
    own_server.stop()
    own_server.wipe()
    own_server.start()
    with pytest.raises(HistoryLost):
        store.watch("/", entry.revision, 0.3)
    store.close()


def test_another_cluster_at_the_same_place_is_noticed_by_a_watch(
    own_server: EtcdServer, tmp_path: Path
) -> None:
    """Its index is as high, and would let the watch go on."""
    store = own_server.store()
    store.put("/a", "1")
    position = store.tree("/").revision
    own_server.stop()
    other = EtcdServer(tmp_path, name="other")
    other.client_port = own_server.client_port
    other.start()
    try:
        writer = other.store()
        for _ in range(position + 5):
            writer.put("/a", "other")
        with pytest.raises(StoreReplaced):
            store.watch("/", position, 0.3)
        assert store.watch("/", store.tree("/").revision - 1, 30)
        writer.close()
        store.close()
    finally:
        other.stop()


HEAD = b"HTTP/1.1 200 OK\r\nX-Etcd-Index: 1\r\nx-etcd-cluster-id: c\r\n"
CHANGE = b'{"action":"set","node":{"key":"/a","value":"\xc3\xa4","modifiedIndex":7}}\n'
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"


@contextmanager
def answering(*answers: Sequence[bytes]) -> Iterator[Etcd]:
    """A store whose server answers on one connection, each answer in pieces, and hangs up."""

    def answer(listener: socket.socket) -> None:
        connection, _ = listener.accept()
        with connection:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            for answer in answers:
                connection.recv(4096)
                for piece in answer:
                    connection.sendall(piece)
                    time.sleep(0.001)  # so that pieces come as such
            connection.shutdown(socket.SHUT_WR)
            connection.recv(4096)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=answer, args=(listener,))
        thread.start()
        store = Etcd(EtcdSettings("127.0.0.1", listener.getsockname()[1], timeout=30.0))
        yield store
        store.close()
        thread.join(60)


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
