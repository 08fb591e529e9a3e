import threading

import pytest

from calico_ctl.datastore import entries
from calico_ctl.datastore.store import Entry
from calico_ctl.errors import Conflict, NotFound
from tests.support.memory_store import MemoryStore


class Contested(MemoryStore):
    """Somebody else writes between each read and each write of ours, `times` times."""

    def __init__(self, times: int) -> None:
        super().__init__()
        self.times = times

    def swap(self, seen: Entry, value: str) -> Entry:
        if self.times:
            self.times -= 1
            self.put(seen.key, (seen.value or "") + "!")
        return super().swap(seen, value)


def add_one(entry: Entry) -> str:
    return (entry.value or "") + "1"


def test_an_edit_builds_on_what_others_wrote_meanwhile() -> None:
    store = Contested(3)
    store.create("/a", "x")
    assert entries.edit(store, "/a", add_one).value == "x!!!1"


def test_an_edit_that_never_gets_through_ends() -> None:
    store = Contested(10**6)
    store.create("/a", "x")
    with pytest.raises(Conflict, match="/a is changed by others all the time"):
        entries.edit(store, "/a", add_one)


def test_editing_what_does_not_exist_is_an_error() -> None:
    store = MemoryStore()
    store.create("/d", None)
    for key in ("/nothing", "/d"):
        with pytest.raises(NotFound):
            entries.edit(store, key, add_one)


def test_of_many_edits_at_once_none_is_lost() -> None:
    store = MemoryStore()
    store.create("/a", "")
    threads = [
        threading.Thread(target=entries.edit, args=(store, "/a", add_one)) for _ in range(16)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    entry = store.get("/a")
    assert entry is not None
    assert entry.value == "1" * 16


def test_assigning_makes_or_replaces_and_says_whether_it_did() -> None:
    store = Contested(2)
    assert entries.assign(store, "/a", "1")
    assert not entries.assign(store, "/a", "1")
    assert entries.assign(store, "/a", "2")
    assert not entries.ensure(store, "/a", "3")
    assert store.get("/a") == Entry("/a", "2", 4)


def test_only_an_empty_directory_is_deleted() -> None:
    store = MemoryStore()
    store.create("/d/a", "1")
    assert not entries.delete_if_empty(store, "/d")
    store.delete("/d/a")
    assert entries.delete_if_empty(store, "/d")
    assert store.get("/d") is None
