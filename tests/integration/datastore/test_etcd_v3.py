"""What is different over etcd's v3 API: pages, streams, leases, compaction, and its errors.

What is the same is in `test_store_contract` and `test_follow`.
"""

import json
import shutil
import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from random import Random
from typing import Any

import pytest
from netaddr import IPAddress, IPNetwork

from calico_ctl.datastore import addresses, endpoints, etcd_v3, pools
from calico_ctl.datastore import etcd_v3_messages as messages
from calico_ctl.datastore.connection import Connection
from calico_ctl.datastore.etcd_requests import EtcdSettings, NotServed
from calico_ctl.datastore.etcd_v3 import EtcdV3
from calico_ctl.datastore.etcd_v3_messages import coded
from calico_ctl.datastore.store import Change, Entry, Event, StoreReplaced
from calico_ctl.errors import DatastoreError, DatastoreUnavailable, HistoryLost
from calico_ctl.model.address import AnyAddress
from calico_ctl.model.endpoint import Endpoint, EndpointKey, State
from calico_ctl.model.etcd_access import EtcdAuthority
from calico_ctl.model.pool import Pool
from tests.support import listeners
from tests.support.etcd_server import EtcdServer

_numbers = count()


@pytest.fixture
def store(v3_server: EtcdServer) -> Iterator[EtcdV3]:
    store = v3_server.store_v3()
    yield store
    store.close()


@pytest.fixture
def base() -> str:
    return f"/v3/{next(_numbers)}"


@pytest.fixture
def own_v3(tmp_path: Path) -> Iterator[EtcdServer]:
    server = EtcdServer(tmp_path, v2=False)
    server.start()
    yield server
    server.stop()


@pytest.mark.parametrize("size", [1, 2, 6, 7, 8])
def test_a_tree_of_several_pages_is_one_tree(
    store: EtcdV3, base: str, size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = [f"{base}/d{number % 3}/k{number}" for number in range(7)]
    made = [store.create(key, "x") for key in keys]
    store.create(f"{base}-not-below", "x")
    monkeypatch.setattr(etcd_v3, "_PAGE", size)
    tree = store.tree(base)
    assert tree.revision >= made[-1].revision
    assert [entry for entry in tree.entries if not entry.is_directory] == sorted(
        made, key=lambda entry: entry.key
    )
    assert [entry.key for entry in tree.entries if entry.is_directory] == [
        f"{base}/d{number}" for number in range(3)
    ]
    assert store.leaves(base).entries == {each.key: ("x", each.revision) for each in made}
    some = store.leaves(base, (f"{base}/d1/",)).entries
    assert list(some) == sorted(key for key in keys if "/d1/" not in key)


def test_a_tree_is_of_one_revision_and_begun_again_if_that_is_forgotten(
    own_v3: EtcdServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, writer = own_v3.store_v3(), own_v3.store_v3()
    for number in range(6):
        store.create(f"/d/{number}", "old")
    monkeypatch.setattr(etcd_v3, "_PAGE", 2)
    pages: list[str] = []
    real = Connection.post

    def interrupted(connection: Connection, path: str, content: str, *rest: Any) -> None:
        if path == "/v3/kv/range":
            pages.append(json.loads(content)["revision"])
            if len(pages) == 2:
                writer.put("/d/5", "new")
            if len(pages) == 3:
                own_v3.forget()
        real(connection, path, content, *rest)

    monkeypatch.setattr(Connection, "post", interrupted)
    tree = store.tree("/d")
    assert [entry.value for entry in tree.entries] == [*["old"] * 5, "new"]
    first, again = int(pages[1]), int(pages[-1])
    assert first < again == tree.revision
    store.close()
    writer.close()


def page(*keys: str, more: bool, closes: bool = False) -> bytes:
    """An answer with some keys, as a gateway that sets spaces might write it."""
    said = {
        "header": {"cluster_id": "1", "revision": "7"},
        "kvs": [{"key": coded(key), "mod_revision": "7", "value": coded("v")} for key in keys],
        **({"more": True} if more else {}),
    }
    body = json.dumps(said, indent=1).encode()
    head = "HTTP/1.1 200 OK\r\n" + ("Connection: close\r\n" if closes else "")
    return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body


def test_the_next_page_is_asked_for_before_this_one_is_read(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    done: list[str] = []
    real_post, real_read = Connection.post, messages.read_leaves

    def post(*args: Any) -> None:
        done.append("asked")
        real_post(*args)

    def read(text: str) -> messages.Object:
        done.append("read")
        return real_read(text)

    monkeypatch.setattr(Connection, "post", post)
    monkeypatch.setattr(messages, "read_leaves", read)
    first, last = page("/d/a", "/d/b", more=True), page("/d/c", more=False)
    with answering([first], [last]) as store:
        told = store.leaves(
            "/d", page=lambda number, found: done.append(f"{number}: {list(found)}")
        )
        assert list(told.entries) == ["/d/a", "/d/b", "/d/c"]
    pages = ["0: ['/d/a', '/d/b']", "1: ['/d/c']"]
    assert done == ["asked", "asked", "read", pages[0], "read", pages[1]]


def test_pages_are_counted_anew_when_a_reading_begins_anew() -> None:
    answers = iter([page("/d/gone", more=True), b"", page("/d/a", more=False)])

    def one(connection: socket.socket) -> None:
        while connection.recv(4096) and (answer := next(answers)):
            connection.sendall(answer)

    told: list[tuple[int, list[str]]] = []
    with listeners.serving(one) as port:
        store = EtcdV3(EtcdSettings("127.0.0.1", port, timeout=30.0))
        store.leaves("/d", page=lambda number, found: told.append((number, list(found))))
        store.close()
    assert told == [(0, ["/d/gone"]), (0, ["/d/a"])]


def test_pages_may_come_on_a_connection_each() -> None:
    pages = iter([page("/d/a", more=True, closes=True), page("/d/b", more=False)])

    def one(connection: socket.socket) -> None:
        connection.recv(4096)
        connection.sendall(next(pages))

    with listeners.serving(one) as port:
        store = EtcdV3(EtcdSettings("127.0.0.1", port, timeout=30.0))
        assert list(store.leaves("/d").entries) == ["/d/a", "/d/b"]
        store.close()


def test_a_page_that_is_not_as_it_looked_is_no_answer_of_etcd() -> None:
    said = page("/d/a", more=True).replace(b'"more": true', b'"more": 1   ')
    with answering([said]) as store, pytest.raises(NotServed):
        store.leaves("/d")


def test_a_watch_that_is_continued_stays_on_its_stream(
    store: EtcdV3, base: str, connections: list[Connection]
) -> None:
    position = store.create(f"{base}/a", "0").revision
    for number in range(20):
        written = store.put(f"{base}/a", str(number))
        (event,) = store.watch(base, position, 30)
        assert (event.value, event.revision) == (str(number), written.revision)
        position = event.revision
    assert len(connections) == 2
    assert not store.watch(base, position, 0.05)
    store.put(f"{base}/a", "after silence")
    assert [event.value for event in store.watch(base, position, 30)] == ["after silence"]
    assert len(connections) == 3


def test_streams_that_nobody_continues_are_closed_in_the_end(
    store: EtcdV3, base: str, connections: list[Connection]
) -> None:
    start = store.create(f"{base}/a", "0").revision
    store.put(f"{base}/a", "1")
    for _ in range(10):
        assert store.watch(base, start, 30)
    still = [each for each in connections if not each.closed]
    assert len(still) == 1 + 8


def test_all_keys_of_one_transaction_come_together(store: EtcdV3, base: str) -> None:
    start = store.create(f"{base}/d/k0", "x").revision
    for number in range(1, 200):
        start = store.create(f"{base}/d/k{number}", "x").revision
    store.delete(f"{base}/d")
    events = store.watch(base, start, 30)
    assert len(events) == 200
    assert len({event.revision for event in events}) == 1


def test_an_address_more_or_less_is_one_change_with_its_endpoint(own_v3: EtcdServer) -> None:
    store = own_v3.store_v3()
    pools.create(store, Pool(IPNetwork("10.0.0.0/24")))
    key = EndpointKey("h1", "docker", "c1", "e1")
    before = endpoints.create(store, Endpoint(key, State.ACTIVE, "calie1", None))

    def having(ips: Sequence[IPAddress]) -> Sequence[Change]:
        return endpoints.alteration(store, key, lambda seen: seen.with_addresses(tuple(ips)))

    wanted = [AnyAddress.IPV4]
    (ip,) = addresses.claim_all(store, "h1", wanted, key.id, Random(1), having)
    assert store.tree("/calico").revision == before + 1
    assert endpoints.get(store, key)[0].addresses == (ip,)
    assert addresses.release(store, ip, key.id, lambda: having([]))
    assert store.tree("/calico").revision == before + 2
    assert endpoints.get(store, key)[0].addresses == ()
    assert addresses.assigned(store, ip) is None
    store.close()


def test_what_others_write_below_a_key_harms_nobody(
    v3_server: EtcdServer, store: EtcdV3, base: str
) -> None:
    """`etcdctl` may make a key that is a directory too, and names of nothing but slashes."""
    start = store.create(f"{base}/a", "one").revision
    for key in (f"{base}/a/b", f"{base}//c", f"{base}/d//"):
        v3_server.ask_v3("kv/put", {"key": coded(key), "value": coded("x")})
    leaves = {e.key: e.value for e in store.tree(base).entries if e.value is not None}
    assert leaves == {f"{base}/a": "one", f"{base}/a/b": "x", f"{base}//c": "x"}
    assert store.get(f"{base}/a") == Entry(f"{base}/a", "one", start)
    assert len(store.watch(base, start, 30)) >= 1
    assert store.delete(base)
    assert store.tree(base).entries == ()


def test_a_marker_that_somebody_deletes_takes_no_keys_with_it(
    v3_server: EtcdServer, store: EtcdV3, base: str
) -> None:
    store.create(f"{base}/d", None)
    start = store.create(f"{base}/d/a", "one").revision
    v3_server.ask_v3("kv/deleterange", {"key": coded(f"{base}/d/")})
    last = store.put(f"{base}/d/a", "two").revision
    assert list(store.watch(base, start, 30)) == [Event(f"{base}/d/a", "two", last, deleted=False)]


def test_bytes_that_are_no_text_are_a_value_that_nobody_can_use(
    v3_server: EtcdServer, store: EtcdV3, base: str
) -> None:
    v3_server.ask_v3("kv/put", {"key": coded(f"{base}/a"), "value": "/w=="})
    entry = store.get(f"{base}/a")
    assert entry is not None
    assert entry.value == "\ufffd"


def test_a_lifetime_is_a_lease_of_its_own_and_writing_without_one_ends_it(
    v3_server: EtcdServer, store: EtcdV3, base: str
) -> None:
    def lease(name: str) -> str:
        said = v3_server.ask_v3("kv/range", {"key": coded(f"{base}/{name}")})
        return str(said["kvs"][0].get("lease", ""))

    store.put(f"{base}/a", "1", ttl=600)
    first = lease("a")
    store.put(f"{base}/a", "2", ttl=600)
    assert "" != first != lease("a")
    store.put(f"{base}/a", "3")
    assert lease("a") == ""


def test_history_that_is_compacted_away_is_told_also_to_a_stream_that_was_kept(
    own_v3: EtcdServer,
) -> None:
    store = own_v3.store_v3()
    start = store.create("/a", "0").revision
    last = [store.put("/a", str(number)).revision for number in range(5)][-1]
    own_v3.forget()
    with pytest.raises(HistoryLost, match="no longer remembers the changes after"):
        store.watch("/", start, 30)
    assert not store.watch("/", last, 0.05)
    store.close()


def test_a_restart_in_the_middle_of_a_watch_is_an_error_not_a_loss(own_v3: EtcdServer) -> None:
    store = own_v3.store_v3()
    first = store.put("/a", "1")
    second = store.put("/a", "2")
    assert store.watch("/", first.revision, 30)
    own_v3.stop()
    own_v3.start()
    with pytest.raises(DatastoreUnavailable, match="connection lost"):
        store.watch("/", second.revision, 30)
    store.put("/a", "3")
    assert [event.value for event in store.watch("/", first.revision, 30)] == ["2", "3"]
    store.close()


def test_a_store_put_back_to_what_it_was_is_noticed_by_a_watch(
    own_v3: EtcdServer, tmp_path: Path
) -> None:
    store = own_v3.store_v3()
    store.put("/a", "in the backup")
    own_v3.stop()
    shutil.copytree(own_v3.data, tmp_path / "backup")
    own_v3.start()
    position = [store.put("/a", str(number)).revision for number in range(20)][-1]
    own_v3.stop()
    own_v3.wipe()
    shutil.copytree(tmp_path / "backup", own_v3.data)
    own_v3.start()
    with pytest.raises(StoreReplaced):
        store.watch("/", position, 30)
    store.close()


def test_an_etcd_that_is_too_old_or_something_else_is_named_as_such() -> None:
    for answer in (
        b"HTTP/1.1 404 Not Found\r\nContent-Length: 19\r\n\r\n404 page not found\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n[]",
    ):
        with answering([answer]) as store, pytest.raises(NotServed) as caught:
            store.get("/a")
        assert "v3 API" in caught.value.hint
        with answering([answer]) as store, pytest.raises(NotServed):
            store.watch("/a", 1, 30)


@pytest.mark.parametrize(
    ("code", "said", "kind", "words"),
    [
        (7, "etcdserver: permission denied", DatastoreError, "insufficient credentials"),
        (3, "etcdserver: user name is empty", DatastoreError, "insufficient credentials"),
        (8, "etcdserver: mvcc: database space exceeded", DatastoreError, "space exceeded"),
        (
            3,
            "etcdserver: too many operations in txn request",
            DatastoreError,
            "too many operations",
        ),
        (14, "etcdserver: no leader", DatastoreUnavailable, "the etcd cluster has no leader"),
        (14, "etcdserver: request timed out", DatastoreUnavailable, "request timed out"),
        (3, "etcdserver: something new", DatastoreError, "refused /a: something new"),
    ],
)
@pytest.mark.parametrize("new_form", [False, True])
def test_errors_say_what_etcd_says(code, said, kind, words, new_form: bool) -> None:
    detail = {"code": code, "message": said} if new_form else {"error": said, "code": code}
    body = json.dumps(detail).encode()
    answer = b"HTTP/1.1 400 Bad Request\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)
    with answering([answer]) as store, pytest.raises(kind, match=words) as caught:
        store.put("/a", "1")
    for word, hint in (("space", "defrag"), ("operations", "--max-txn-ops")):
        assert (hint in caught.value.hint) == (word in said)


CREATED = b'{"result":{"header":{"cluster_id":"1","revision":"6"},"created":true}}\n'
CHANGE = (
    b'{"result":{"header":{"cluster_id":"1","revision":"7"},'
    b'"events":[{"kv":{"key":"L2E=","value":"w6Q=","mod_revision":"7"}}]}}\n'
)
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


def chunks(*parts: bytes) -> bytes:
    return CHUNKED + b"".join(b"%x\r\n%b\r\n" % (len(each), each) for each in parts)


@pytest.mark.parametrize(
    "parts", [[CREATED, CHANGE], [CREATED + CHANGE], [CREATED[:9], CREATED[9:] + CHANGE]]
)
@pytest.mark.parametrize("size", [1, 7, 10_000])
def test_a_change_is_read_however_http_brings_it(parts: Sequence[bytes], size: int) -> None:
    answer = chunks(*parts)
    pieces = [answer[at : at + size] for at in range(0, len(answer), size)]
    with answering(pieces) as store:
        assert list(store.watch("/", 6, 60)) == [Event("/a", "ä", 7, deleted=False)]


@pytest.mark.parametrize("length", [0, 20, len(CHUNKED), len(CHUNKED) + 30, 1000])
def test_a_stream_that_breaks_off_is_an_error(length: int) -> None:
    with (
        answering([chunks(CREATED)[:length]]) as store,
        pytest.raises(DatastoreUnavailable, match="connection lost"),
    ):
        store.watch("/", 6, 60)


@pytest.mark.parametrize(
    "line", [b"hello\n", b"{}\n", b"[]\n", b'{"result":"x"}\n', b'{"result":{}}\n']
)
def test_a_stream_says_what_is_not_etcds(line: bytes) -> None:
    with answering([chunks(line)]) as store, pytest.raises(DatastoreError, match="not etcd's"):
        store.watch("/", 6, 60)


def test_trouble_in_the_middle_of_a_stream_is_told() -> None:
    line = b'{"error":{"grpc_code":14,"http_code":503,"message":"etcdserver: no leader"}}\n'
    with (
        answering([chunks(CREATED, line)]) as store,
        pytest.raises(DatastoreUnavailable, match="has no leader"),
    ):
        store.watch("/", 6, 60)


@contextmanager
def answering(*answers: Sequence[bytes]) -> Iterator[EtcdV3]:
    """A store whose server gives each connection these answers, in pieces, and hangs up."""
    with listeners.serving(listeners.answering(*answers)) as port:
        store = EtcdV3(EtcdSettings("127.0.0.1", port, timeout=30.0))
        try:
            yield store
        finally:
            store.close()


def test_members_that_are_not_there_are_passed_over(v3_server: EtcdServer, base: str) -> None:
    with listeners.nobody() as port:
        absent = EtcdAuthority("127.0.0.1", port)
        store = EtcdV3(
            EtcdSettings(
                absent.host, absent.port, [v3_server.authority], connect_timeout=30, timeout=60
            )
        )
        made = store.create(f"{base}/a", "1")
        assert store.tree(base).entries == (made,)
        assert store.watch(base, made.revision - 1, 30)
        assert store.member == str(v3_server.authority)
        assert store.address == f"{absent},{v3_server.authority}"
        store.close()
