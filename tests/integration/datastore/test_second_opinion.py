"""python-etcd, which others use: what it writes we read, and the other way round."""

import etcd
import pytest

from calico_ctl.datastore.etcd import Etcd
from calico_ctl.datastore.store import Entry, Event
from calico_ctl.errors import AlreadyExists, Conflict
from tests.support.etcd_server import EtcdServer

VALUES = ["", "1", "a b&c=d+e%20;\n", '{"ü": ["é", "\\u0000"]}', "x" * 50_000]
NAMES = ["plain", "fd80:24e2::-64", "a b", "100%", "a?b=c", "ä"]


@pytest.fixture
def other(shared_server: EtcdServer):
    client = etcd.Client(shared_server.host, shared_server.client_port)
    yield client
    client.http.clear()


@pytest.fixture(autouse=True)
def base(store: Etcd):
    yield "/opinion"
    store.delete("/opinion")


def test_what_it_writes_we_read(store: Etcd, other, base: str) -> None:
    for number, value in enumerate(VALUES):
        other.write(f"{base}/{number}", value)
    other.write(f"{base}/directory", None, dir=True)
    leaves = {each.key: each.value for each in store.tree(base).entries}
    values = {f"{base}/{number}": value for number, value in enumerate(VALUES)}
    assert leaves == values | {f"{base}/directory": None}
    for each in store.tree(base).entries:
        assert store.get(each.key) == each


def test_what_we_write_it_reads_with_the_same_revisions(store: Etcd, other, base: str) -> None:
    for number, value in enumerate(VALUES):
        written = store.create(f"{base}/{number}", value)
        found = other.read(f"{base}/{number}")
        assert (found.value, found.modifiedIndex) == (value, written.revision)
    store.create(f"{base}/directory", None)
    assert other.read(f"{base}/directory").dir


@pytest.mark.parametrize("name", NAMES)
def test_both_call_a_key_by_the_same_name(store: Etcd, other, base: str, name: str) -> None:
    store.put(f"{base}/{name}", "1")
    assert [each.key for each in other.read(base).children] == [f"{base}/{name}"]


def test_both_mean_the_same_by_not_having_changed(store: Etcd, other, base: str) -> None:
    made = store.create(f"{base}/a", "1")
    changed = other.write(f"{base}/a", "2", prevIndex=made.revision)
    with pytest.raises(Conflict):
        store.swap(made, "3")
    with pytest.raises(Conflict):
        store.delete(made.key, made)
    with pytest.raises(AlreadyExists):
        store.create(f"{base}/a", "4")
    seen = Entry(made.key, "2", changed.modifiedIndex)
    swapped = store.swap(seen, "5")
    with pytest.raises(etcd.EtcdCompareFailed):
        other.write(f"{base}/a", "6", prevIndex=seen.revision)
    assert store.delete(made.key, swapped)
    with pytest.raises(etcd.EtcdKeyNotFound):
        other.read(made.key)


def test_each_sees_the_changes_of_the_other(store: Etcd, other, base: str) -> None:
    first = store.put(f"{base}/a", "1")
    other.write(f"{base}/a", "2")
    other.delete(f"{base}/a")
    seen: list[Event] = []
    while len(seen) < 3:
        seen += store.watch(base, seen[-1].revision if seen else first.revision - 1, 30)
    assert [(e.value, e.deleted) for e in seen] == [("1", False), ("2", False), (None, True)]
    event = other.watch(f"{base}/a", index=first.revision, timeout=30)
    assert (event.value, event.modifiedIndex) == ("1", first.revision)
