"""Following a real etcd through floods, slowness, silence, restarts and loss, by both of its APIs.

What is posted is folded into a copy; in the end the copy has to be what a fresh read shows.
"""

import contextlib
import json
import queue
import shutil
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from random import Random

import pytest

from calico_ctl.datastore import follow
from calico_ctl.datastore.etcd import Etcd
from calico_ctl.datastore.etcd_requests import EtcdSettings
from calico_ctl.datastore.etcd_v3 import EtcdV3
from calico_ctl.datastore.follow import Changes, Disconnected, Message, Part, Resync, Scope
from calico_ctl.datastore.store import Event, Leaves, Page, Store
from calico_ctl.errors import DatastoreUnavailable, HistoryLost
from tests.support.command import PACE
from tests.support.etcd_server import EtcdCluster, EtcdServer, write_fast
from tests.support.netns import NetNs, private_netns

pytestmark = pytest.mark.integration

CONNECT_SECONDS, ANSWER_SECONDS, WATCH_SECONDS = 0.5, 2.0, 0.5
NOTICED_SECONDS = WATCH_SECONDS + CONNECT_SECONDS + ANSWER_SECONDS
PATIENT_SECONDS = 30.0
"""For who is not to find silence: a busy machine may take long for an answer."""

HISTORY = 1000
"""Changes that etcd's v2 API remembers."""

AnyStore = Etcd | EtcdV3

Values = dict[str, tuple[str, int]]


class Counting:
    """Counts what a follower asks a store for, and how often history was lost to it."""

    readings = 0
    lost = 0

    def leaves(
        self, directory: str, without: tuple[str, ...] = (), page: Page | None = None
    ) -> Leaves:
        self.readings += 1
        found: Leaves = super().leaves(directory, without, page)  # type: ignore[misc]
        return found

    def watch(self, directory: str, after: int, timeout: float) -> Sequence[Event]:
        try:
            events: Sequence[Event] = super().watch(directory, after, timeout)  # type: ignore[misc]
        except HistoryLost:
            self.lost += 1
            raise
        return events


class ObservedV2(Counting, Etcd):
    """Over the v2 API."""


class ObservedV3(Counting, EtcdV3):
    """Over the v3 API."""


class Mirror:
    """Folds what a follower posts into a copy of the tree."""

    def __init__(self, server: EtcdServer, port: int = 0, *, is_patient: bool = True) -> None:
        settings = EtcdSettings(
            server.host,
            port or server.client_port,
            connect_timeout=PATIENT_SECONDS if is_patient else CONNECT_SECONDS,
            timeout=PATIENT_SECONDS if is_patient else ANSWER_SECONDS,
        )
        self._server = server
        self.store = ObservedV2(settings) if server.v2 else ObservedV3(settings)
        self.copy: Values = {}
        self._parts: Values = {}
        self.told: list[Message] = []
        self.held_up = threading.Event()
        self._free = threading.Event()
        self._free.set()
        self._posted: queue.Queue[Message] = queue.Queue()
        self._stop = threading.Event()
        self._thread = threading.Thread(
            target=follow.follow,
            args=(self.store, Scope("/calico"), self._post, self._stop, Random(1), WATCH_SECONDS),
            daemon=True,  # a test that fails must not keep the suite from ending
        )
        self._thread.start()
        self.until(Resync)

    @property
    def kinds(self) -> list[type[Message]]:
        """What was posted so far, but for parts of what comes whole."""
        return [type(message) for message in self.told if not isinstance(message, Part)]

    def until(self, kind: type[Message], seconds: float = 120) -> Message:
        while True:
            message = self._fold(self._posted.get(timeout=seconds))
            if isinstance(message, kind):
                return message

    def until_key(self, key: str, value: str) -> None:
        while self.copy.get(key, ("", 0))[0] != value:
            self._fold(self._posted.get(timeout=120))

    def hold_up(self) -> None:
        """Keep the follower from going on once it posts something."""
        self._free.clear()

    def let_go(self) -> None:
        self._free.set()

    def lose_history(self) -> None:
        """Have etcd forget what a follower that is held up has missed; v2 does so by itself."""
        if not self._server.v2:
            self.store.close()  # else a stream may hold it all
            self._server.forget()

    def end(self) -> None:
        self.let_go()
        self._stop.set()
        self._thread.join(60)
        self.store.close()

    def _post(self, message: Message) -> None:
        if not self._free.is_set():
            self.held_up.set()
            self._free.wait()
        self._posted.put(message)

    def _fold(self, message: Message) -> Message:
        self.told.append(message)
        if isinstance(message, Part):
            self._parts = {**(self._parts if message.number else {}), **message.entries}
        elif isinstance(message, Resync):
            self.copy = dict(message.entries)
            assert self._parts in ({}, self.copy)
            self._parts = {}
        elif isinstance(message, Changes):
            for change in message.changes:
                self.copy.pop(change.key, None)
                if change.value is not None:
                    self.copy[change.key] = (change.value, change.revision)
        return message


@contextlib.contextmanager
def mirror_of(server: EtcdServer, port: int = 0, *, is_patient: bool = True) -> Iterator[Mirror]:
    mirror = Mirror(server, port, is_patient=is_patient)
    try:
        yield mirror
    finally:
        mirror.end()


each_api = pytest.fixture(params=[True, False], ids=["v2", "v3"])


@each_api
def own_server(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[EtcdServer]:
    (tmp_path / "etcd").mkdir()
    server = EtcdServer(tmp_path / "etcd", v2=request.param)
    server.start()
    yield server
    server.stop()


@pytest.fixture
def writer(own_server: EtcdServer) -> Iterator[AnyStore]:
    store = own_server.own_store()
    store.create("/calico/first", "1")
    yield store
    store.close()


@pytest.fixture
def mirror(own_server: EtcdServer, writer: AnyStore) -> Iterator[Mirror]:
    with mirror_of(own_server) as mirror:
        yield mirror


def there(store: Store) -> Values:
    entries = store.tree("/calico").entries
    return {e.key: (e.value, e.revision) for e in entries if e.value is not None}


def test_a_flood_of_changes_is_mirrored_exactly(
    own_server: EtcdServer, mirror: Mirror, writer: AnyStore
) -> None:
    # more than v2 remembers; a write by v3 takes longer
    for number in range(3000 if own_server.v2 else 1000):
        if number % 50 == 49:
            writer.delete(f"/calico/d{number % 7}")
        else:
            writer.put(f"/calico/d{number % 7}/k{number % 31}", str(number))
    writer.put("/calico/end", "end")
    mirror.until_key("/calico/end", "end")
    assert mirror.copy == there(writer)
    assert mirror.kinds.count(Resync) == 1


ENDPOINTS, CHANGES = 10_200, 4_000


def endpoint(number: int, turn: str) -> tuple[str, str]:
    host, workload = f"host-{number % 501:03d}.example.net", f"{number:064x}"
    fields = {
        "state": "active",
        "name": f"cali{number:011x}",
        "mac": "02:00:00:00:00:01",
        "profile_id": turn,
        "ipv4_nets": ["10.65.0.1/32"],
        "ipv6_nets": ["fd80:24e2:f998:72d6::1:1/128"],
        "ipv4_gateway": "172.25.0.1",
        "ipv6_gateway": None,
    }
    key = f"/calico/host/{host}/workload/docker/{workload}/endpoint/{number:032x}"
    return key, json.dumps(fields)


@pytest.mark.timeout(600)
def test_a_burst_in_a_large_store_is_followed_within_seconds_by_differences(
    own_server: EtcdServer,
) -> None:
    store = own_server.own_store()
    write_fast(own_server, (endpoint(number, "before") for number in range(ENDPOINTS)), writers=8)
    with mirror_of(own_server) as mirror:
        write_fast(own_server, (endpoint(number, "after") for number in range(CHANGES)))
        written = time.monotonic()
        last = there(store)
        while mirror.copy != last:
            assert time.monotonic() - written < 10 * PACE, "the last values did not arrive in time"
            with contextlib.suppress(queue.Empty):
                mirror.until(Changes, seconds=0.1)
        assert set(mirror.kinds[1:]) == {Changes}
        assert sum('"after"' in value for value, _ in mirror.copy.values()) == CHANGES
    store.close()


def test_a_follower_that_was_held_up_for_too_long_loses_nothing(
    own_server: EtcdServer, mirror: Mirror, writer: AnyStore
) -> None:
    """It finds more than 1,000 changes that etcd has forgotten, among them deletions."""
    for number in range(20):
        writer.put(f"/calico/gone/k{number}", "1")
    mirror.until_key("/calico/gone/k19", "1")
    mirror.hold_up()
    writer.put("/calico/first", "2")
    assert mirror.held_up.wait(60)
    writer.delete("/calico/gone")
    changes = [(f"/calico/k{number % 300}", str(number)) for number in range(1500)]
    write_fast(own_server, changes, writers=1)
    mirror.lose_history()
    mirror.let_go()
    mirror.until_key("/calico/k299", "1499")
    assert mirror.copy == there(writer)
    assert set(mirror.kinds[1:]) == {Changes}
    assert mirror.store.lost > 0


def test_a_busy_store_around_a_quiet_tree_makes_no_noise(
    own_server: EtcdServer, mirror: Mirror, writer: AnyStore
) -> None:
    mirror.hold_up()
    writer.put("/calico/first", "2")
    assert mirror.held_up.wait(60)
    write_fast(own_server, [("/other/busy", str(number)) for number in range(1500)])
    mirror.lose_history()
    mirror.let_go()
    writer.put("/calico/end", "end")
    mirror.until_key("/calico/end", "end")
    assert mirror.kinds == [Resync, Changes, Changes]
    assert mirror.store.lost == 1
    assert mirror.store.readings == 2


def test_a_quiet_watch_outlives_what_etcd_forgets_meanwhile(
    own_server: EtcdServer, mirror: Mirror, writer: AnyStore
) -> None:
    while not mirror.store.lost:
        write_fast(own_server, [("/other/busy", str(number)) for number in range(1100)])
        if not own_server.v2:
            own_server.forget()
    writer.put("/calico/end", "end")
    mirror.until_key("/calico/end", "end")
    assert mirror.kinds == [Resync, Changes]


def test_a_restart_is_reported_and_what_changed_is_found(
    own_server: EtcdServer, mirror: Mirror, writer: AnyStore
) -> None:
    own_server.stop()
    told = mirror.until(Disconnected)
    assert isinstance(told, Disconnected)
    assert "127.0.0.1" in told.reason
    own_server.start()
    writer.put("/calico/after", "2")
    mirror.until(Resync)
    mirror.until_key("/calico/after", "2")
    assert mirror.copy == there(writer)


def test_a_frozen_store_is_reported(own_server: EtcdServer) -> None:
    with mirror_of(own_server, is_patient=False) as mirror:
        own_server.freeze()
        told = mirror.until(Disconnected)
        assert isinstance(told, Disconnected)
        assert "no answer" in told.reason
        own_server.thaw()
        mirror.until(Resync)


def test_an_emptied_store_is_reported_and_mirrored(
    own_server: EtcdServer, mirror: Mirror, writer: AnyStore
) -> None:
    for number in range(30):
        writer.put("/calico/busy", str(number))
    mirror.until_key("/calico/busy", "29")
    own_server.stop()
    own_server.wipe()
    own_server.start()
    mirror.until(Disconnected)
    mirror.until(Resync)
    assert mirror.copy == {}
    writer.put("/calico/again", "1")
    mirror.until_key("/calico/again", "1")


def test_a_store_put_back_to_what_it_was_is_reported_and_mirrored(
    own_server: EtcdServer, mirror: Mirror, writer: AnyStore, tmp_path: Path
) -> None:
    """Its index is soon beyond where the follower was, but what it tells is another story."""
    own_server.stop()
    shutil.copytree(own_server.data, tmp_path / "backup")
    own_server.start()
    for number in range(30):
        writer.put(f"/calico/k{number}", "before")
    mirror.until_key("/calico/k29", "before")
    own_server.stop()
    own_server.wipe()
    shutil.copytree(tmp_path / "backup", own_server.data)
    own_server.start()
    write_fast(own_server, [(f"/calico/k{n % 10}", f"after {n}") for n in range(100)], 1)
    mirror.until(Resync)
    mirror.until_key("/calico/k9", "after 99")
    assert mirror.copy == there(writer)
    assert len(mirror.copy) == 11
    assert Disconnected in mirror.kinds


@each_api
def cluster(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[EtcdCluster]:
    cluster = EtcdCluster(tmp_path, v2=request.param)
    cluster.start()
    yield cluster
    cluster.stop()


def test_the_end_of_the_leader_is_not_even_noticed(cluster: EtcdCluster) -> None:
    leader, watched, other = cluster.leader_first()
    # Soon with the next attempt while they elect a leader.
    store = other.own_store(timeout=1.0)
    persist(partial(store.put, "/calico/first", "1"))
    with mirror_of(watched) as mirror:
        for number in range(300):
            if number == 100:
                leader.stop()
            persist(partial(store.put, f"/calico/k{number % 50}", str(number)))
        mirror.until_key("/calico/k49", "299")
        patient = other.own_store()
        assert mirror.copy == there(patient)
        patient.close()
        assert set(mirror.kinds[1:]) == {Changes}
    store.close()


def test_a_member_that_was_killed_and_comes_back_is_followed_again(cluster: EtcdCluster) -> None:
    leader, watched, _ = cluster.leader_first()
    store = leader.own_store()
    store.create("/calico/first", "1")
    with mirror_of(watched) as mirror:
        watched.stop()
        mirror.until(Disconnected)
        write_fast(leader, [(f"/calico/k{n % 300}", str(n)) for n in range(1500)], 1)
        store.delete("/calico/first")
        watched.start()
        mirror.until(Resync)
        mirror.until_key("/calico/k299", "1499")
        store.put("/calico/end", "end")
        mirror.until_key("/calico/end", "end")
        assert mirror.copy == there(store)
    store.close()


def persist(write: Callable[[], object]) -> None:
    """Write again and again while the cluster has no leader."""
    deadline = time.monotonic() + 20 * PACE
    while True:
        try:
            write()
        except DatastoreUnavailable:
            assert time.monotonic() < deadline
        else:
            return


class FarServer:
    """An etcd in a network namespace of its own, behind a cable that can go silent.

    Nor does its kernel ever tell that a connection is over: as if the machine had lost its power.
    """

    ADDRESS = "10.99.7.2"
    MUTE = (
        "table inet mute {\n"
        "chain in { type filter hook input priority 0; iifname cable drop; }\n"
        "chain out { type filter hook output priority 0; oifname cable drop; }\n}"
    )
    NO_GOODBYE = (
        "table inet no_goodbye {\nchain out { type filter hook output priority 0; "
        "oifname cable tcp flags & (fin | rst) != 0 drop; }\n}"
    )

    def __init__(self, directory: Path, near: NetNs, far: NetNs, *, v2: bool) -> None:
        self._far = far
        peer = ["peer", "name", "cable", "netns", str(far.pid)]
        near.run(["ip", "link", "add", "cable", "type", "veth", *peer])
        for namespace, address in ((near, "10.99.7.1"), (far, self.ADDRESS)):
            namespace.run(["ip", "addr", "add", f"{address}/24", "dev", "cable"])
            namespace.run(["ip", "link", "set", "cable", "up"])
        far.run(["nft", "-f", "-"], stdin=self.NO_GOODBYE)
        prefix = ("nsenter", "--target", str(far.pid), "--net")
        self.server = EtcdServer(directory, v2=v2, host=self.ADDRESS, prefix=prefix)

    def be_silent(self, how: str) -> None:
        """Let nothing through any more, not even the end of a connection."""
        if how == "dropped":
            self._far.run(["nft", "-f", "-"], stdin=self.MUTE)
        else:
            self._far.run(["ip", "link", "set", "cable", "down"])

    def speak(self, how: str) -> None:
        if how == "dropped":
            self._far.run(["nft", "delete", "table", "inet", "mute"])
        else:
            self._far.run(["ip", "link", "set", "cable", "up"])

    def start(self) -> None:
        """Start it, also behind a silent cable."""
        self.server.launch()
        with self._far.entered():
            self.server.wait_until_it_serves()

    def write(self, contents: Sequence[tuple[str, str]]) -> None:
        """Write on its own side of the cable."""
        store = self.server.own_store()
        with self._far.entered():
            for key, value in contents:
                store.put(key, value)
            store.close()

    def there(self) -> Values:
        """What is below /calico."""
        store = self.server.own_store()
        with self._far.entered():
            found = there(store)
            store.close()
        return found


@each_api
def far_server(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[FarServer]:
    with private_netns() as near, private_netns() as far, near.entered():
        server = FarServer(tmp_path, near, far, v2=request.param)
        server.start()
        server.write([("/calico/first", "1")])
        yield server
        server.server.stop()


each_silence = pytest.mark.parametrize(
    ("far_server", "how"),
    [(True, "dropped"), (True, "link down"), (False, "dropped")],
    ids=["v2 dropped", "v2 link down", "v3 dropped"],
    indirect=["far_server"],
)


@each_silence
def test_a_silent_peer_is_noticed_in_bounded_time(far_server: FarServer, how: str) -> None:
    with mirror_of(far_server.server, is_patient=False) as mirror:
        far_server.be_silent(how)
        began = time.monotonic()
        told = mirror.until(Disconnected)
        assert time.monotonic() - began < NOTICED_SECONDS + PACE
        assert isinstance(told, Disconnected)
        far_server.write([(f"/calico/k{number}", "1") for number in range(50)])
        far_server.speak(how)
        mirror.until(Resync)
        far_server.write([("/calico/end", "end")])
        mirror.until_key("/calico/end", "end")
        assert mirror.copy == far_server.there()


@each_silence
def test_a_connection_whose_other_end_is_gone_holds_nothing_up(
    far_server: FarServer, how: str
) -> None:
    """The server dies behind a silent cable and is back before anybody could notice."""
    with mirror_of(far_server.server, is_patient=False) as mirror:
        far_server.be_silent(how)
        far_server.server.stop()
        far_server.start()
        far_server.write([(f"/calico/k{number}", "1") for number in range(50)])
        far_server.speak(how)
        began = time.monotonic()
        mirror.until_key("/calico/k49", "1")
        assert time.monotonic() - began < NOTICED_SECONDS + 5 * PACE
        assert mirror.copy == far_server.there()


def test_a_store_that_was_emptied_behind_a_silent_cable_is_reported(far_server: FarServer) -> None:
    far_server.write([("/calico/busy", str(number)) for number in range(30)])
    with mirror_of(far_server.server, is_patient=False) as mirror:
        far_server.be_silent("dropped")
        far_server.server.stop()
        far_server.server.wipe()
        far_server.start()
        far_server.write([("/calico/again", "1")])
        far_server.speak("dropped")
        mirror.until(Resync)
        assert Disconnected in mirror.kinds
        assert mirror.copy == far_server.there()


def test_an_etcd_that_stops_again_and_again_loses_nothing(
    own_server: EtcdServer, mirror: Mirror, writer: AnyStore
) -> None:
    """Each time for less than an answer may take."""
    written = threading.Event()

    def write() -> None:
        for number in range(400):
            writer.put(f"/calico/k{number % 40}", str(number))
        written.set()

    writing = threading.Thread(target=write)
    writing.start()
    while not written.is_set():
        own_server.freeze()
        written.wait(0.3)
        own_server.thaw()
        written.wait(0.05)
    writing.join()
    mirror.until_key("/calico/k39", "399")
    assert mirror.copy == there(writer)
    assert set(mirror.kinds[1:]) == {Changes}


class SlowLine:
    """A TCP proxy whose answers come in pieces of a few bytes, each after a pause."""

    def __init__(self, port: int, piece: int, pause: float) -> None:
        self._target = port
        self._piece = piece
        self._pause = pause
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._open: list[socket.socket] = []
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._threads[0].join()
        for each in self._open:
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join()
        for each in (self._listener, *self._open):
            each.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                server = socket.create_connection(("127.0.0.1", self._target))
                self._open += [client, server]
                for source, sink, pause in ((client, server, 0), (server, client, self._pause)):
                    thread = threading.Thread(target=self._pump, args=(source, sink, pause))
                    self._threads.append(thread)
                    thread.start()

    def _pump(self, source: socket.socket, sink: socket.socket, pause: float) -> None:
        with contextlib.suppress(OSError):
            while received := source.recv(self._piece):
                time.sleep(pause)
                sink.sendall(received)
            sink.shutdown(socket.SHUT_WR)


@pytest.mark.parametrize(("piece", "pause"), [(100, 0.0005), (65536, 0.01)])
def test_slow_answers_lose_nothing(
    own_server: EtcdServer, writer: AnyStore, piece: int, pause: float
) -> None:
    line = SlowLine(own_server.client_port, piece, pause)
    with contextlib.closing(line), mirror_of(own_server, line.port) as mirror:
        for size in (30, 1200, 30):
            if size > HISTORY:
                mirror.hold_up()
                writer.delete("/calico/first")
                assert mirror.held_up.wait(60)
            changes = [(f"/calico/k{number % 30}", f"{number} of {size}") for number in range(size)]
            write_fast(own_server, changes, writers=1)
            if size > HISTORY:
                mirror.lose_history()
            mirror.let_go()
            mirror.until_key("/calico/k29", f"{size - 1} of {size}")
            writer.delete(f"/calico/k{size % 7}")
        writer.put("/calico/end", "end")
        mirror.until_key("/calico/end", "end")
        assert mirror.copy == there(writer)
        assert set(mirror.kinds[1:]) == {Changes}
        assert mirror.store.lost == 1


@pytest.mark.parametrize("own_server", [True], indirect=True)
def test_through_etcds_proxy_it_is_the_same(
    own_server: EtcdServer, writer: AnyStore, tmp_path: Path
) -> None:
    """Hosts are advised to run one. It keeps the headers of a watch until there is a change."""
    proxy = EtcdServer(tmp_path, name="proxy")
    proxy.launch_proxy_of(own_server)
    proxy.wait_until_it_serves()
    try:
        with mirror_of(proxy) as mirror:
            write_fast(own_server, [(f"/calico/k{n % 90}", str(n)) for n in range(900)], 1)
            mirror.until_key("/calico/k89", "899")
            assert mirror.copy == there(writer)
            own_server.stop()
            mirror.until(Disconnected)
            own_server.start()
            writer.put("/calico/after", "2")
            mirror.until(Resync)
            mirror.until_key("/calico/after", "2")
            assert mirror.copy == there(writer)
    finally:
        proxy.stop()
