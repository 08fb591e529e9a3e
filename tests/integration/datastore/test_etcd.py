"""What happens when etcd is away, silent, forgetful, emptied, or not etcd at all."""

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from calico_ctl.datastore.etcd import Etcd, EtcdSettings
from calico_ctl.datastore.store import Entry, Store
from calico_ctl.errors import DatastoreError, DatastoreUnavailable, HistoryLost
from tests.support.etcd_server import EtcdServer

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
    assert time.monotonic() - began < seconds


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
    with socket.create_server(("127.0.0.1", 0)) as reserved:
        port = reserved.getsockname()[1]
    with taking_at_most(1), pytest.raises(DatastoreUnavailable) as caught:
        verb(Etcd(EtcdSettings("127.0.0.1", port)))
    assert caught.value.message == f"cannot reach etcd at 127.0.0.1:{port} (connection refused)"
    assert "ETCD_AUTHORITY" in caught.value.hint


@each_verb
def test_a_black_hole_is_given_up_in_time(verb) -> None:
    with (
        full_listener() as port,
        taking_at_most(0.8),
        pytest.raises(DatastoreUnavailable, match=r"no connection within 0\.2 s"),
    ):
        verb(Etcd(impatient(port)))


@each_verb
def test_a_server_that_never_answers_is_given_up_in_time(verb) -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as listener,
        taking_at_most(1.2),
        pytest.raises(DatastoreUnavailable, match=r"no answer within 0\.4 s"),
    ):
        verb(Etcd(impatient(listener.getsockname()[1])))


def test_a_command_ends_within_five_seconds_in_a_black_hole() -> None:
    with (
        full_listener() as port,
        taking_at_most(4.5),
        pytest.raises(DatastoreUnavailable, match="no connection within 2 s"),
    ):
        Etcd(EtcdSettings("127.0.0.1", port)).get("/a")


def test_a_command_ends_within_five_seconds_if_nobody_answers() -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as listener,
        taking_at_most(4.5),
        pytest.raises(DatastoreUnavailable, match="no answer within 4 s"),
    ):
        Etcd(EtcdSettings("127.0.0.1", listener.getsockname()[1])).get("/a")


def impatient(port: int) -> EtcdSettings:
    return EtcdSettings("127.0.0.1", port, connect_timeout=0.2, timeout=0.4)


def test_a_frozen_etcd_is_given_up_in_time(own_server: EtcdServer) -> None:
    store = own_server.store(timeout=0.5)
    entry = store.create("/a", "1")
    own_server.freeze()
    with taking_at_most(1), pytest.raises(DatastoreUnavailable, match="no answer"):
        store.swap(entry, "2")
    with taking_at_most(1.5), pytest.raises(DatastoreUnavailable, match="no answer"):
        store.watch("/a", entry.revision, 0.3)
    own_server.thaw()
    store.close()


def test_a_write_is_never_sent_twice() -> None:
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
        with pytest.raises(DatastoreUnavailable, match="connection lost"):
            store.swap(SEEN, "2")
        assert len(asked) == 1
        with pytest.raises(DatastoreUnavailable, match="connection lost"):
            store.get("/a")
        assert len(asked) == 3
        listener.shutdown(socket.SHUT_RDWR)


def test_a_name_that_does_not_resolve_is_said_to() -> None:
    with taking_at_most(4.5), pytest.raises(DatastoreUnavailable) as caught:
        Etcd(EtcdSettings("no-such-host.invalid")).get("/a")
    assert "no-such-host.invalid:4001 (name does not resolve)" in caught.value.message


def test_a_silent_name_server_is_given_up_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    asleep = threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_args, **_named: asleep.wait(20))
    with taking_at_most(3), pytest.raises(DatastoreUnavailable, match="name server"):
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
def test_something_else_on_the_port_is_named_as_such(status: int) -> None:
    class Page(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.end_headers()
            self.wfile.write(b"<html>hello</html>")

        def log_message(self, *_args: object) -> None: ...

    with HTTPServer(("127.0.0.1", 0), Page) as server:
        threading.Thread(target=server.serve_forever).start()
        try:
            with pytest.raises(DatastoreError, match="not etcd's"):
                Etcd(EtcdSettings("127.0.0.1", server.server_port)).get("/a")
        finally:
            server.shutdown()


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


def test_https_against_plain_http_says_tls(shared_server: EtcdServer) -> None:
    store = Etcd(EtcdSettings("127.0.0.1", shared_server.client_port, scheme="https"))
    with pytest.raises(DatastoreUnavailable, match="TLS"):
        store.get("/a")


def test_a_wiped_store_is_noticed_by_a_watch(own_server: EtcdServer) -> None:
    store = own_server.store()
    entry = [store.put("/a", str(n)) for n in range(20)][-1]
    own_server.stop()
    own_server.wipe()
    own_server.start()
    with pytest.raises(HistoryLost):
        store.watch("/", entry.revision, 0.3)
    store.close()


def test_a_restarted_store_goes_on_where_it_was(own_server: EtcdServer) -> None:
    store = own_server.store()
    first = store.put("/a", "1")
    second = store.put("/a", "2")
    own_server.stop()
    own_server.start()
    events = store.watch("/", first.revision, 2)
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
    watching.join(10)
    assert isinstance(outcome[0], DatastoreUnavailable)
    store.close()


def test_a_quiet_watch_does_not_outlast_its_time(store: Etcd) -> None:
    entry = store.put("/quiet", "1")
    for timeout in (0.1, 0.5, 1.0):
        began = time.monotonic()
        assert not store.watch("/quiet", entry.revision, timeout)
        assert timeout - 0.02 < time.monotonic() - began < timeout + 0.4
