"""What our clients of both APIs do alike if etcd is away, silent, emptied, or another one.

What they do alike while all is well is in `test_store_contract`.
"""

import socket
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from calico_ctl.datastore.etcd import Etcd
from calico_ctl.datastore.etcd_requests import EtcdSettings
from calico_ctl.datastore.etcd_v3 import EtcdV3
from calico_ctl.datastore.store import StoreReplaced
from calico_ctl.errors import DatastoreUnavailable
from calico_ctl.model.etcd_access import EtcdTls
from tests.support import command, listeners
from tests.support.command import PACE
from tests.support.etcd_server import EtcdServer
from tests.support.paths import CHECKOUT
from tests.support.verbs import READS, VERBS, WRITES

pytestmark = pytest.mark.integration

Client = type[Etcd] | type[EtcdV3]
each_api = pytest.mark.parametrize("client", [Etcd, EtcdV3])

ONE_OF_EACH_KIND = [VERBS[name] for name in ("get", "write_together", "watch")]
each_verb = pytest.mark.parametrize("verb", VERBS.values(), ids=VERBS.keys())


@pytest.fixture(params=[True, False], ids=["v2", "v3"])
def server(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[EtcdServer]:
    """One of our own that speaks one of the APIs."""
    server = EtcdServer(tmp_path, v2=request.param)
    server.start()
    yield server
    server.stop()


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


def impatient(port: int) -> EtcdSettings:
    return EtcdSettings("127.0.0.1", port, connect_timeout=0.2, timeout=0.4)


@each_api
@each_verb
def test_a_closed_port_is_reported_at_once(client: Client, verb) -> None:
    with (
        listeners.nobody() as port,
        taking_at_most(10),
        pytest.raises(DatastoreUnavailable) as caught,
    ):
        verb(client(EtcdSettings("127.0.0.1", port)))
    assert caught.value.message == f"cannot reach etcd at 127.0.0.1:{port} (connection refused)"
    assert "ETCD_AUTHORITY" in caught.value.hint


@each_api
def test_a_black_hole_is_given_up_in_time(client: Client) -> None:
    for verb in ONE_OF_EACH_KIND:
        with (
            full_listener() as port,
            taking_at_most(10),
            pytest.raises(DatastoreUnavailable, match=r"no connection within 0\.2 s"),
        ):
            verb(client(impatient(port)))


@each_api
def test_a_server_that_never_answers_is_given_up_in_time(client: Client) -> None:
    for verb in ONE_OF_EACH_KIND:
        with (
            listeners.silent() as port,
            taking_at_most(10),
            pytest.raises(DatastoreUnavailable, match=r"no answer within 0\.4 s"),
        ):
            verb(client(impatient(port)))


def test_a_command_ends_within_five_seconds_in_a_black_hole() -> None:
    with (
        full_listener() as port,
        taking_at_most(30),
        pytest.raises(DatastoreUnavailable, match="no connection within 2 s"),
    ):
        Etcd(EtcdSettings("127.0.0.1", port)).get("/a")


def test_a_command_ends_within_five_seconds_if_nobody_answers() -> None:
    with (
        listeners.silent() as port,
        taking_at_most(30),
        pytest.raises(DatastoreUnavailable, match="no answer within 4 s"),
    ):
        EtcdV3(EtcdSettings("127.0.0.1", port)).get("/a")


def test_a_frozen_etcd_is_given_up_in_time(server: EtcdServer) -> None:
    writer = server.own_store()
    entry = writer.create("/a", "1")
    writer.close()
    store = server.own_store(timeout=0.5)
    server.freeze()
    with taking_at_most(10), pytest.raises(DatastoreUnavailable, match="no answer"):
        store.swap(entry, "2")
    with taking_at_most(15), pytest.raises(DatastoreUnavailable, match="no answer"):
        store.watch("/a", entry.revision, 0.3)
    server.thaw()
    store.close()


@each_api
def test_a_write_is_never_sent_twice_and_a_read_is(client: Client) -> None:
    """A server that drops the connection after each request counts how often it was asked."""
    asked: list[bytes] = []
    with listeners.serving(listeners.hanging_up(asked)) as port:
        store = client(EtcdSettings("127.0.0.1", port))
        for write in WRITES.values():
            with pytest.raises(DatastoreUnavailable, match="connection lost") as caught:
                write(store)
            assert "was changed is not known" in caught.value.hint
            assert len(asked) == 1
            asked.clear()
        for read in READS.values():
            with pytest.raises(DatastoreUnavailable, match="connection lost"):
                read(store)
            assert len(asked) == 2
            asked.clear()


@each_api
def test_a_name_that_does_not_resolve_is_said_to(client: Client) -> None:
    with taking_at_most(30), pytest.raises(DatastoreUnavailable) as caught:
        client(EtcdSettings("no-such-host.invalid", connect_timeout=25)).get("/a")
    assert "no-such-host.invalid:4001 (name does not resolve)" in caught.value.message


@each_api
def test_a_silent_name_server_is_given_up_in_time(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    asleep = threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_args, **_named: asleep.wait(50))
    settings = EtcdSettings("etcd.example", connect_timeout=0.5)
    with taking_at_most(30), pytest.raises(DatastoreUnavailable, match="name server"):
        client(settings).get("/a")
    asleep.set()


@each_api
def test_https_against_plain_http_says_tls(client: Client, shared_server: EtcdServer) -> None:
    for verb in VERBS.values():
        store = client(EtcdSettings("127.0.0.1", shared_server.client_port, tls=EtcdTls()))
        with pytest.raises(DatastoreUnavailable, match="TLS"):
            verb(store)


@each_api
def test_every_verb_does_without_what_takes_long_to_import(
    client: Client, shared_server: EtcdServer
) -> None:
    program = f"""
import sys
from calico_ctl.datastore.etcd_requests import EtcdSettings
from {client.__module__} import {client.__name__} as Client
store = Client(EtcdSettings("127.0.0.1", {shared_server.client_port}))
written = store.put("/light", "1", ttl=60)
assert store.tree("/light").revision >= written.revision
assert store.watch("/light", written.revision - 1, 30)
made = store.create("/heavy", "1")
assert store.delete("/heavy", store.swap(made, store.get("/heavy").value))
heavy = {{"etcd", "requests", "urllib3", "ssl", "http.client", "logging"}}
print(sorted(heavy & sys.modules.keys()))
store.close()
"""
    environment = command.clean_environment({"PYTHONPATH": str(CHECKOUT)})
    done = command.run([sys.executable, "-c", program], env=environment)
    assert done.out == "[]\n"


def test_a_wiped_store_is_noticed_by_a_watch(server: EtcdServer) -> None:
    store = server.own_store()
    entry = [store.put("/a", str(n)) for n in range(20)][-1]
    server.stop()
    server.wipe()
    server.start()
    with pytest.raises(StoreReplaced):
        store.watch("/", entry.revision, 0.3)
    store.close()


def test_another_cluster_at_the_same_place_is_noticed_by_a_watch(
    server: EtcdServer, tmp_path: Path
) -> None:
    """As is a snapshot that was restored. Its revision is as high, and would let it go on."""
    store = server.own_store()
    store.put("/a", "1")
    position = store.tree("/").revision
    server.stop()
    other = EtcdServer(tmp_path, v2=server.v2, name="other")
    other.client_port = server.client_port
    other.start()
    try:
        writer = other.own_store()
        for _ in range(position + 5):
            writer.put("/a", "other")
        with pytest.raises(StoreReplaced):
            store.watch("/", position, 0.3)
        assert store.watch("/", store.tree("/").revision - 1, 30)
        writer.close()
        store.close()
    finally:
        other.stop()
