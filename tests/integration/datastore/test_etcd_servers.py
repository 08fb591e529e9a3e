"""Several members: what goes on when one of them does not."""

import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count

import pytest

from calico_ctl.datastore.etcd import Etcd, EtcdSettings
from calico_ctl.datastore.etcd_servers import Servers
from calico_ctl.datastore.etcd_v3 import EtcdV3
from calico_ctl.datastore.store import Delete, Entry, Store, StoreReplaced
from calico_ctl.errors import Conflict, DatastoreUnavailable
from calico_ctl.model.etcd_access import EtcdAuthority
from tests.support import listeners
from tests.support.etcd_server import EtcdCluster, EtcdServer
from tests.support.verbs import READS, SEEN, WRITES, Verb

PATIENT = {"connect_timeout": 30.0, "timeout": 60.0}


def swapped_in_vain(store: Store) -> None:
    """A swap that etcd has to refuse."""
    with suppress(Conflict):
        store.swap(SEEN, "2")
        pytest.fail("it was not refused")


VERBS: dict[str, Verb] = {
    **READS,
    "put": WRITES["put"],
    "create": lambda store: store.create("/new", "1"),
    "swap": swapped_in_vain,
    "delete": lambda store: store.delete("/nothing"),
    "write_together": lambda store: store.write_together([Delete("/nothing"), Delete("/too")]),
    "watch": lambda store: store.watch("/", 0, 30),
}
each_verb = pytest.mark.parametrize("verb", VERBS)
_numbers = count()


@pytest.fixture(scope="module", params=[True, False], ids=["v2", "v3"])
def cluster(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[EtcdCluster]:
    cluster = EtcdCluster(tmp_path_factory.mktemp("cluster"), v2=request.param)
    cluster.start()
    yield cluster
    cluster.stop()


@contextmanager
def opened(*members: EtcdAuthority, v2: bool = True, **times: float) -> Iterator[Etcd | EtcdV3]:
    first, *others = members
    settings = EtcdSettings(first.host, first.port, others, **(PATIENT | times))  # type: ignore[arg-type]
    store = Etcd(settings) if v2 else EtcdV3(settings)
    try:
        yield store
    finally:
        store.close()


@contextmanager
def nobody() -> Iterator[EtcdAuthority]:
    with listeners.nobody() as port:
        yield EtcdAuthority("127.0.0.1", port)


@contextmanager
def silent() -> Iterator[EtcdAuthority]:
    with listeners.silent() as port:
        yield EtcdAuthority("127.0.0.1", port)


@contextmanager
def hanging_up(asked: list[bytes]) -> Iterator[EtcdAuthority]:
    """A server that notes what it is asked, and hangs up."""
    with listeners.serving(listeners.hanging_up(asked)) as port:
        yield EtcdAuthority("127.0.0.1", port)


@each_verb
def test_a_member_that_is_not_there_is_passed_over(shared_server: EtcdServer, verb: str) -> None:
    with nobody() as absent, opened(absent, shared_server.authority) as store:
        store.put("/a", "0")
        store.delete("/new")
    with nobody() as absent, opened(absent, shared_server.authority) as store:
        assert store.address == f"{absent},{shared_server.authority}"
        VERBS[verb](store)


@each_verb
def test_if_none_is_there_all_are_named_in_the_order_given(verb: str) -> None:
    with (
        nobody() as one,
        nobody() as two,
        opened(one, two, EtcdAuthority("no-such-host.invalid", 1)) as store,
    ):
        for _ in range(2):
            with pytest.raises(DatastoreUnavailable) as caught:
                VERBS[verb](store)
            assert caught.value.message == (
                f"cannot reach etcd at {one} (connection refused), {two} (connection refused),"
                " no-such-host.invalid:1 (name does not resolve)"
            )


def test_a_write_that_may_have_happened_goes_nowhere_else(shared_server: EtcdServer) -> None:
    verbs = ("put", "create", "swap", "delete", "write_together")
    for verb in verbs:
        asked: list[bytes] = []
        with hanging_up(asked) as bad, opened(bad, shared_server.authority) as store:
            before = store.tree("/").revision
            with opened(bad, shared_server.authority) as fresh:
                asked.clear()
                with pytest.raises(DatastoreUnavailable, match=r"\(connection lost\)$") as caught:
                    VERBS[verb](fresh)
                assert str(bad) in caught.value.message
                assert "was changed is not known" in caught.value.hint
                assert len(asked) == 1
                assert fresh.tree("/").revision == before
                assert len(asked) == 1, "it sticks with the member that answers"


@pytest.mark.parametrize("verb", ["get", "tree"])
def test_a_read_is_tried_once_more_and_then_elsewhere(shared_server: EtcdServer, verb: str) -> None:
    asked: list[bytes] = []
    with hanging_up(asked) as bad, opened(bad, shared_server.authority) as store:
        for _ in range(3):
            VERBS[verb](store)
    assert len(asked) == 2


def test_a_watch_goes_on_elsewhere_at_once(shared_server: EtcdServer) -> None:
    with opened(shared_server.authority) as writer:
        entry = writer.put("/w", "1")
        asked: list[bytes] = []
        with hanging_up(asked) as bad, opened(bad, shared_server.authority) as store:
            assert [e.value for e in store.watch("/w", entry.revision - 1, 30)] == ["1"]
    assert len(asked) == 1


def test_a_silent_member_is_given_up_for_the_next(
    shared_server: EtcdServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The shares of the time are in tests/unit; here the silent one's is short."""
    monkeypatch.setattr(Servers, "patience", lambda _self, turn: 30.0 if turn.failed else 0.2)
    with (
        silent() as bad,
        opened(bad, shared_server.authority) as store,
    ):
        store.get("/a")
        store.put("/a", "it sticks with the member that answers")
    monkeypatch.setattr(Servers, "patience", lambda _self, _turn: 0.2)
    with (
        silent() as one,
        silent() as two,
        opened(one, two) as store,
        pytest.raises(DatastoreUnavailable) as caught,
    ):
        store.get("/a")
    for each in (one, two):
        assert f"{each} (no answer within 0.2 s)" in caught.value.message


def test_a_member_that_is_killed_in_the_middle_costs_nothing(cluster: EtcdCluster) -> None:
    """Compare-and-swaps and a watch go on; none is done twice, no change is missed."""
    leader, victim, third = cluster.leader_first()
    members = (victim.authority, third.authority, leader.authority)
    key = f"/calico/count{next(_numbers)}"
    seen: list[str | None] = []
    done, unsure = 0, 0
    v2 = victim.v2
    with opened(*members, v2=v2) as store, opened(*members, v2=v2) as watching:
        entry = store.create(key, "0")
        reader = threading.Thread(
            target=read_until, args=(watching, entry, "60", seen), daemon=True
        )
        reader.start()
        while (entry := store.get(key) or entry).value != "60":
            if entry.value == "20":
                victim.stop()
            try:
                store.swap(entry, str(int(entry.value or 0) + 1))
                done += 1
            except DatastoreUnavailable:
                unsure += 1
        reader.join(50)
    assert seen == [str(number) for number in range(1, 61)]
    assert done <= 60 <= done + unsure
    assert unsure <= 20  # one, and those while the others elect a leader
    victim.launch()
    victim.wait_until_it_serves()


def read_until(store: Store, entry: Entry, last: str, seen: list[str | None]) -> None:
    position = entry.revision
    while last not in seen:
        for event in store.watch(entry.key, position, 30):
            position = event.revision
            seen.append(event.value)


def test_a_member_that_is_gone_for_good_is_left_by_an_idle_store(cluster: EtcdCluster) -> None:
    leader, victim, third = cluster.leader_first()
    members = (victim.authority, third.authority, leader.authority)
    with opened(*members, v2=victim.v2) as store:
        position = store.put("/calico/idle", "1").revision
        victim.stop()
        assert store.put("/calico/idle", "2").value == "2"
        assert [e.value for e in store.watch("/calico/idle", position, 30)] == ["2"]
    victim.launch()
    victim.wait_until_it_serves()


class Server(ThreadingHTTPServer):
    """One whose threads keep nobody waiting at the end."""

    daemon_threads = True
    block_on_close = False


class Lagging(BaseHTTPRequestHandler):
    """A member that says it has come to 5, and, asked by quorum, what `caught_up` says."""

    caught_up = 9
    quiet = threading.Event()

    def do_GET(self) -> None:
        if "wait=true" in self.path:
            self.quiet.wait(30)
            return
        index = self.caught_up if "quorum=true" in self.path else 5
        body = json.dumps({"action": "get", "node": {"key": "/a", "dir": True}}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("X-Etcd-Index", str(index))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_args: object) -> None: ...


@pytest.mark.parametrize("caught_up", [9, 6])
def test_a_member_that_lags_behind_is_not_taken_for_a_wiped_one(caught_up: int) -> None:
    quiet = threading.Event()
    handler = type("Handler", (Lagging,), {"caught_up": caught_up, "quiet": quiet})
    with Server(("127.0.0.1", 0), handler) as server:
        serving = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        serving.start()
        try:
            with opened(EtcdAuthority("127.0.0.1", server.server_port)) as store:
                if caught_up == 9:
                    assert not store.watch("/a", 9, 0.05)
                else:
                    with pytest.raises(StoreReplaced):
                        store.watch("/a", 9, 0.05)
        finally:
            quiet.set()
            server.shutdown()
            serving.join(30)


def test_a_member_is_reached_by_ipv6() -> None:
    asked: list[str] = []

    class Page(Lagging):
        def do_GET(self) -> None:
            asked.append(self.headers["Host"])
            super().do_GET()

    class Server6(Server):
        address_family = socket.AF_INET6

    try:
        server = Server6(("::1", 0), Page)
    except OSError as error:
        pytest.skip(f"this machine has no IPv6 loopback ({error})")
    with server:
        serving = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        serving.start()
        try:
            with opened(EtcdAuthority("::1", server.server_port)) as store:
                assert store.address == f"[::1]:{server.server_port}"
                assert store.get("/a") == Entry("/a", None, 0)
        finally:
            server.shutdown()
            serving.join(30)
    assert asked == [f"[::1]:{server.server_port}"]
