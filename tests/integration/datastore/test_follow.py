"""Following a real etcd through floods, restarts and loss."""

import queue
import threading
from collections.abc import Iterator
from random import Random

import pytest

from calico_ctl.datastore import follow
from calico_ctl.datastore.etcd import Etcd
from calico_ctl.datastore.follow import Changes, Disconnected, Message, Resync
from tests.support.etcd_server import EtcdServer

pytestmark = pytest.mark.integration


class Mirror:
    """Folds what a follower posts into a copy of the tree."""

    def __init__(self, server: EtcdServer) -> None:
        self.store = server.store(connect_timeout=0.5, timeout=2.0)
        self.copy: dict[str, tuple[str, int]] = {}
        self.told: list[Message] = []
        self._posted: queue.Queue[Message] = queue.Queue()
        self._stop = threading.Event()
        self._thread = threading.Thread(
            target=follow.follow,
            args=(self.store, "/calico", self._posted.put, self._stop, Random(1), 1.0),
            daemon=True,  # a test that fails must not keep the suite from ending
        )
        self._thread.start()
        self.until(Resync)

    def until(self, kind: type[Message]) -> Message:
        while True:
            message = self._fold(self._posted.get(timeout=20))
            if isinstance(message, kind):
                return message

    def until_key(self, key: str, value: str) -> None:
        while self.copy.get(key, ("", 0))[0] != value:
            self._fold(self._posted.get(timeout=20))

    def end(self) -> None:
        self._stop.set()
        self._thread.join(10)
        self.store.close()

    def _fold(self, message: Message) -> Message:
        self.told.append(message)
        if isinstance(message, Resync):
            self.copy = dict(message.entries)
        elif isinstance(message, Changes):
            for change in message.changes:
                self.copy.pop(change.key, None)
                if change.value is not None:
                    self.copy[change.key] = (change.value, change.revision)
        return message


@pytest.fixture
def writer(own_server: EtcdServer) -> Iterator[Etcd]:
    store = own_server.store()
    store.create("/calico/first", "1")
    yield store
    store.close()


@pytest.fixture
def mirror(own_server: EtcdServer, writer: Etcd) -> Iterator[Mirror]:
    mirror = Mirror(own_server)
    yield mirror
    mirror.end()


def there(store: Etcd) -> dict[str, tuple[str, int]]:
    entries = store.tree("/calico").entries
    return {e.key: (e.value, e.revision) for e in entries if e.value is not None}


def test_a_flood_of_changes_is_mirrored_exactly(mirror: Mirror, writer: Etcd) -> None:
    for number in range(3000):
        if number % 50 == 49:
            writer.delete(f"/calico/d{number % 7}")
        else:
            writer.put(f"/calico/d{number % 7}/k{number % 31}", str(number))
    writer.put("/calico/end", "end")
    mirror.until_key("/calico/end", "end")
    assert mirror.copy == there(writer)
    assert sum(isinstance(message, Resync) for message in mirror.told) == 1


def test_a_busy_store_around_a_quiet_tree_makes_no_noise(mirror: Mirror, writer: Etcd) -> None:
    for number in range(2500):
        writer.put("/other/busy", str(number))
    writer.put("/calico/end", "end")
    mirror.until_key("/calico/end", "end")
    assert [type(message) for message in mirror.told] == [Resync, Changes]


def test_a_restart_is_reported_and_what_changed_is_found(
    own_server: EtcdServer, mirror: Mirror, writer: Etcd
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


def test_a_frozen_store_is_reported(own_server: EtcdServer, mirror: Mirror) -> None:
    own_server.freeze()
    told = mirror.until(Disconnected)
    assert isinstance(told, Disconnected)
    assert "no answer" in told.reason
    own_server.thaw()
    mirror.until(Resync)


def test_an_emptied_store_is_reported_and_mirrored(
    own_server: EtcdServer, mirror: Mirror, writer: Etcd
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
