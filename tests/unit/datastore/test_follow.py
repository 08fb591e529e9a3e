import queue
import threading
from collections.abc import Iterator
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from calico_ctl.datastore import follow
from calico_ctl.datastore.follow import Change, Changes, Disconnected, Message, Part, Resync, Scope
from calico_ctl.datastore.store import Leaves, Page, StoreReplaced
from calico_ctl.errors import AlreadyExists, CalicoError, DatastoreError, HistoryLost
from tests.support.memory_store import MemoryStore


class Following:
    """A follower in a thread of its own, and what it posts."""

    def __init__(self, store: MemoryStore, without: tuple[str, ...] = ()) -> None:
        self.posted: queue.Queue[Message] = queue.Queue()
        self.stop = threading.Event()
        self._thread = threading.Thread(
            target=follow.follow,
            args=(store, Scope("/calico", without), self.posted.put, self.stop, Random(1), 0.02),
            daemon=True,  # a test that fails must not keep the suite from ending
        )
        self._thread.start()

    def next(self) -> Message:
        return self.posted.get(timeout=60)

    def changes(self) -> list[tuple[str, str | None]]:
        message = self.next()
        assert isinstance(message, Changes), message
        return [(change.key, change.value) for change in message.changes]

    def end(self) -> None:
        self.stop.set()
        self._thread.join(60)
        assert not self._thread.is_alive()


@pytest.fixture
def store() -> MemoryStore:
    store = MemoryStore()
    store.create("/calico/a", "1")
    store.create("/calico/d/b", "2")
    store.create("/calico/d/e/c", "3")
    store.create("/calico/empty", None)
    store.create("/other/z", "9")
    return store


@pytest.fixture
def following(store: MemoryStore, monkeypatch: pytest.MonkeyPatch) -> Iterator[Following]:
    monkeypatch.setattr(follow, "_FIRST_DELAY", 0.02)
    following = Following(store)
    assert isinstance(following.next(), Resync)
    yield following
    following.end()


def test_first_everything_is_posted(store: MemoryStore) -> None:
    following = Following(store)
    resync = following.next()
    following.end()
    assert resync == Resync(
        {"/calico/a": ("1", 1), "/calico/d/b": ("2", 2), "/calico/d/e/c": ("3", 3)},
        store.tree("/").revision,
    )


def test_a_store_without_the_directory_is_an_empty_one() -> None:
    following = Following(MemoryStore())
    assert following.next() == Resync({}, 0)
    following.end()


def test_a_change_is_posted_with_its_revision(store: MemoryStore, following: Following) -> None:
    revision = store.put("/calico/a", "new").revision
    assert following.next() == Changes((Change("/calico/a", "new", revision),))


def test_what_happens_elsewhere_is_not_posted(store: MemoryStore, following: Following) -> None:
    store.put("/other/z", "new")
    store.create("/calico/made", None)
    store.put("/calico/a", "new")
    assert following.changes() == [("/calico/a", "new")]


def test_keys_that_nobody_goes_by_are_left_out(store: MemoryStore) -> None:
    following = Following(store, without=("/calico/d/e/",))
    resync = following.next()
    assert isinstance(resync, Resync)
    assert list(resync.entries) == ["/calico/a", "/calico/d/b"]
    store.put("/calico/d/e/c", "4")
    store.delete("/calico/d")
    assert following.changes() == [("/calico/d/b", None)]
    following.end()


def test_a_deleted_key_is_posted_as_gone(store: MemoryStore, following: Following) -> None:
    store.delete("/calico/a")
    assert following.changes() == [("/calico/a", None)]


def test_a_deleted_directory_is_posted_leaf_by_leaf(
    store: MemoryStore, following: Following
) -> None:
    store.delete("/calico/d")
    assert sorted(following.changes()) == [("/calico/d/b", None), ("/calico/d/e/c", None)]


def test_a_deleted_directory_takes_no_neighbour_of_a_similar_name_along(
    store: MemoryStore, following: Following
) -> None:
    store.create("/calico/d-2/a", "1")
    assert following.changes() == [("/calico/d-2/a", "1")]
    store.delete("/calico/d")
    assert ("/calico/d-2/a", None) not in following.changes()


def test_a_directory_above_that_is_deleted_takes_everything(
    store: MemoryStore, following: Following
) -> None:
    store.delete("/calico")
    assert len(following.changes()) == 3


def test_a_key_that_expires_is_posted_as_gone(store: MemoryStore, following: Following) -> None:
    store.put("/calico/t", "1", ttl=5)
    assert following.changes() == [("/calico/t", "1")]
    store.advance(5)
    assert following.changes() == [("/calico/t", None)]


def test_a_store_that_is_away_is_reported_once_and_then_read_again(
    store: MemoryStore, following: Following
) -> None:
    store.fail("connection refused")
    message = following.next()
    assert isinstance(message, Disconnected)
    assert "connection refused" in message.reason
    attempts = store.reads
    while store.reads < attempts + 2:
        following.stop.wait(0.01)
    assert following.posted.empty()
    store.fail(None)
    store.put("/calico/a", "new")
    resync = following.next()
    assert isinstance(resync, Resync)


def test_an_emptied_store_is_reported_and_read_again(
    store: MemoryStore, following: Following
) -> None:
    store.wipe()
    assert isinstance(following.next(), Disconnected)
    assert following.next() == Resync({}, 0)
    store.put("/calico/a", "again")
    assert following.changes() == [("/calico/a", "again")]


class Replaceable(MemoryStore):
    """Becomes another store, which knows other values of the same keys."""

    def __init__(self) -> None:
        super().__init__()
        self.told: CalicoError | None = None

    def watch(self, directory: str, after: int, timeout: float):
        if self.told is None:
            return super().watch(directory, after, timeout)
        told, self.told = self.told, None
        self.wipe()
        self.create("/calico/a", "other")
        raise told


@pytest.mark.parametrize(("told", "before"), [(StoreReplaced("another"), 1), (HistoryLost("x"), 2)])
def test_another_store_is_read_anew_even_if_its_revisions_look_alike(told, before: int) -> None:
    store = Replaceable()
    store.create("/calico/a", "1")
    for _ in range(before - 1):
        store.put("/other/z", "9")
    following = Following(store)
    assert following.next() == Resync({"/calico/a": ("1", 1)}, before)
    store.told = told
    assert following.next() == Disconnected(told.message)
    assert following.next() == Resync({"/calico/a": ("other", 1)}, 1)
    following.end()


class Forgetful(MemoryStore):
    """Lets a test write much between two watches, so that history is lost."""

    def __init__(self) -> None:
        super().__init__()
        self.meanwhile: list[tuple[str, str | None]] = []

    def watch(self, directory: str, after: int, timeout: float):
        if self.meanwhile:
            for key, value in self.meanwhile:
                self.delete(key) if value is None else self.put(key, value)
            self.meanwhile.clear()
            for _ in range(1001):
                self.put("/other/busy", "x")
        return super().watch(directory, after, timeout)


def test_history_lost_in_a_quiet_tree_is_silent_and_loses_nothing() -> None:
    store = Forgetful()
    for name in "abc":
        store.create(f"/calico/{name}", "1")
    following = Following(store)
    assert isinstance(following.next(), Resync)
    store.meanwhile = [("/calico/a", None), ("/calico/b", "2"), ("/calico/n", "3")]
    assert sorted(following.changes()) == [
        ("/calico/a", None),
        ("/calico/b", "2"),
        ("/calico/n", "3"),
    ]
    store.meanwhile = [("/other/only", "x")]
    while store.meanwhile:
        following.stop.wait(0.001)
    store.put("/calico/c", "9")
    assert following.changes() == [("/calico/c", "9")]
    following.end()


class Paged(Forgetful):
    """Is read in two pages."""

    def leaves(
        self, directory: str, without: tuple[str, ...] = (), page: Page | None = None
    ) -> Leaves:
        leaves = super().leaves(directory, without)
        (first, *rest) = leaves.entries.items()
        for number, part in enumerate([[first], rest]):
            if page is not None:
                page(number, dict(part))
        return leaves


def test_what_is_read_in_pages_is_posted_in_parts_before_it_is_whole() -> None:
    store = Paged()
    for name in "abc":
        store.create(f"/calico/{name}", name)
    following = Following(store)
    assert following.next() == Part(0, {"/calico/a": ("a", 1)})
    assert following.next() == Part(1, {"/calico/b": ("b", 2), "/calico/c": ("c", 3)})
    assert isinstance(following.next(), Resync)
    store.meanwhile = [("/calico/b", "2")]
    assert following.changes() == [("/calico/b", "2")]  # read anew, told as what differs
    following.end()


paths = st.sampled_from(
    ["/x"]
    + [f"/calico/{path}" for path in ("a", "d", "d/a", "d/e/a", "d/e")]
    + [f"/calico/{path}" for path in ("d.e", "d0/a", "d/e-f", "d/e0")]
)
writes = st.lists(st.tuples(st.sampled_from(["put", "delete", "mkdir"]), paths), max_size=30)


@settings(max_examples=25, deadline=None)
@given(writes, writes)
def test_what_is_posted_adds_up_to_what_is_there(before, after) -> None:
    store = MemoryStore()
    _write(store, before)
    following = Following(store)
    known: dict[str, tuple[str, int]] = {}
    _fold(known, following.next())
    _write(store, after)
    store.put("/calico/end", "end")
    while "/calico/end" not in known:
        _fold(known, following.next())
    following.end()
    there = store.tree("/calico").entries
    assert known == {e.key: (e.value, e.revision) for e in there if e.value is not None}


def _write(store: MemoryStore, writes) -> None:
    for number, (verb, path) in enumerate(writes):
        try:
            if verb == "put":
                store.put(path, str(number))
            elif verb == "mkdir":
                store.create(path, None)
            else:
                store.delete(path)
        except (AlreadyExists, DatastoreError):
            continue


def _fold(known: dict[str, tuple[str, int]], message: Message) -> None:
    if isinstance(message, Resync):
        known.clear()
        known.update(message.entries)
    elif isinstance(message, Changes):
        for change in message.changes:
            known.pop(change.key, None)
            if change.value is not None:
                known[change.key] = (change.value, change.revision)
