"""Carrying a cluster over, in good order and with something in the way."""

from collections.abc import Callable

import pytest

from calico_ctl.datastore import entries, transfer
from calico_ctl.datastore.store import Api, Entry
from calico_ctl.errors import Conflict, DatastoreUnavailable, NotFound
from calico_ctl.model import keys, root
from tests.support.memory_store import MemoryStore

READY = keys.READY
POOL = "/calico/ipam/v4/pool/10.0.0.0-16"
PROFILE = "/calico/policy/profile/web"
REPORTS = (
    "/calico/felix/v1/host/h1/status",
    "/calico/felix/v1/host/h1/service/routing",
    "/calico/felix/v1/host/h1/workload/docker/w/endpoint/e",
)


class Target(MemoryStore):
    api = Api(3, "for the test")


@pytest.fixture
def source() -> MemoryStore:
    store = MemoryStore()
    store.create(POOL, "{}")
    store.create(PROFILE, None)
    store.create(f"{PROFILE}/rules", '{"inbound": []}')
    store.create("/calico/host/h1/workload", None)
    for key in REPORTS:
        store.put(key, "{}")
    store.create(READY, "true")
    return store


@pytest.fixture
def target() -> Target:
    return Target()


def value(store: MemoryStore, key: str) -> str | None:
    entry = store.get(key)
    return None if entry is None else entry.value


def migrate(source: MemoryStore, target: MemoryStore) -> transfer.Difference:
    return transfer.migrate(source, target, lambda _text: None)


CARRIED = {
    "/calico/host/h1/workload": None,
    POOL: "{}",
    PROFILE: None,
    f"{PROFILE}/rules": '{"inbound": []}',
}


def test_what_is_carried_are_keys_profiles_and_empty_directories(source):
    assert transfer.content(source) == CARRIED


def test_all_is_there_afterwards_and_nothing_is_deleted(source, target):
    before = {entry.key for entry in source.tree("/").entries}
    found = migrate(source, target)
    assert set(found.new) == set(CARRIED)
    assert transfer.content(target) == CARRIED
    assert {entry.key for entry in source.tree("/").entries} == before
    assert (value(source, READY), value(target, READY)) == ("moved", "true")
    assert not {entry.key for entry in target.tree("/").entries} & {*REPORTS, "/calico/migration"}


def test_done_again_it_does_nothing_whatever_has_happened_since(source, target):
    migrate(source, target)
    target.put(POOL, "changed")
    target.delete(PROFILE)
    writes = source.writes, target.writes
    assert not migrate(source, target)
    assert (source.writes, target.writes) == writes


def test_a_plan_says_the_same_and_writes_nothing(source, target):
    writes = source.writes
    assert set(transfer.plan(source, target).new) == set(CARRIED)
    assert (source.writes, target.writes) == (writes, 0)


def test_the_way_back_takes_what_has_changed_since(source, target):
    migrate(source, target)
    target.put(POOL, "changed")
    target.delete(PROFILE)
    found = migrate(target, source)
    assert found.changed == (POOL,)
    assert set(found.new) <= {keys.PROFILES}  # which is empty now, and no directory to v3
    assert set(found.extra) == {PROFILE, f"{PROFILE}/rules"}
    assert transfer.content(source) == transfer.content(target)
    assert (value(source, READY), value(target, READY)) == ("true", "moved")


def test_while_it_is_copied_the_old_store_is_not_ready(source, target, monkeypatch):
    seen: set[str | None] = set()
    create = target.create

    def noting(key: str, text: str | None) -> Entry:
        if key in CARRIED:
            seen.add(value(source, READY))
            assert value(target, READY) is None
        made: Entry = create(key, text)
        return made

    monkeypatch.setattr(target, "create", noting)
    migrate(source, target)
    assert seen == {"moving"}


def test_what_is_written_meanwhile_is_carried_too(source, target, monkeypatch):
    fill = transfer.fill
    turns: list[None] = []

    def slow(there, wanted) -> None:
        fill(there, wanted)
        if len(turns) < 3:
            source.put(POOL, f"change {len(turns)}")
            source.delete(PROFILE)
        turns.append(None)

    monkeypatch.setattr(transfer, "fill", slow)
    migrate(source, target)
    assert len(turns) == 4 + 1  # the last one when the old store says that it was moved
    assert value(target, POOL) == "change 2"
    assert target.get(PROFILE) is None


def test_what_is_written_until_the_old_store_says_moved_is_carried_too(source, target, monkeypatch):
    assign = entries.assign

    def late(store: MemoryStore, key: str, text: str) -> None:
        if text == root.MOVED:
            source.put(POOL, "at the last moment")
        assign(store, key, text)

    monkeypatch.setattr(entries, "assign", late)
    migrate(source, target)
    assert value(target, POOL) == "at the last moment"
    assert (value(source, READY), value(target, READY)) == ("moved", "true")


def test_a_store_that_never_rests_is_given_up_and_as_before(source, target, monkeypatch):
    fill = transfer.fill
    turns: list[None] = []

    def slow(there, wanted) -> None:
        fill(there, wanted)
        turns.append(None)
        source.put(POOL, f"change {len(turns)}")

    monkeypatch.setattr(transfer, "fill", slow)
    with pytest.raises(Conflict, match="changed by others all the time"):
        migrate(source, target)
    assert value(source, READY) == "true"
    assert value(target, READY) is None


@pytest.mark.parametrize("reading", [1, 3], ids=["before it copies", "after it has copied"])
def test_of_two_at_once_the_slower_one_undoes_nothing(source, target, monkeypatch, reading: int):
    """As if each host were told to move the cluster: one has, and hosts write already."""
    read = transfer.content
    turns = iter(range(100))

    def slow(store: MemoryStore) -> transfer.Content:
        found = read(store)
        if store is source and next(turns) == reading:
            monkeypatch.setattr(transfer, "content", read)
            migrate(source, target)
            target.put(POOL, "changed by a host")
            target.delete(PROFILE)
            target.create("/calico/policy/profile/new", None)
            monkeypatch.setattr(transfer, "content", slow)
        return found

    monkeypatch.setattr(transfer, "content", slow)
    assert not migrate(source, target)
    assert value(target, POOL) == "changed by a host"
    assert target.get(PROFILE) is None
    assert target.get("/calico/policy/profile/new") is not None
    assert (value(source, READY), value(target, READY)) == ("moved", "true")
    assert target.get(root.FILLING) is None
    assert next(turns) > reading


def test_a_cluster_that_counts_loses_nothing_to_a_file(source, target):
    """Were it that somebody was killed who filled it, and somebody else had done it."""
    migrate(source, target)
    target.create(root.FILLING, "the v2 store")
    target.create("/calico/policy/profile/new", None)
    with pytest.raises(Conflict, match="holds something else"):
        transfer.load(target, transfer.content(source))
    assert target.get("/calico/policy/profile/new") is not None


@pytest.mark.parametrize("after", range(1, 12))
def test_broken_off_anywhere_it_can_be_begun_again(source, target, monkeypatch, after: int):
    real: dict[str, Callable[..., object]] = {}
    left = [after]

    def failing(name: str) -> Callable[..., object]:
        def act(*arguments: object, **named: object) -> object:
            left[0] -= 1
            if left[0] == 0:
                raise DatastoreUnavailable("there", "gone")
            return real[name](*arguments, **named)

        return act

    for name in ("create", "swap", "delete"):
        real[name] = getattr(target, name)
        monkeypatch.setattr(target, name, failing(name))
    try:
        migrate(source, target)
    except DatastoreUnavailable:
        assert value(target, READY) != "true"
    left[0] = -1
    migrate(source, target)
    assert transfer.content(target) == CARRIED
    assert (value(source, READY), value(target, READY)) == ("moved", "true")
    assert target.get("/calico/migration") is None


def test_another_cluster_is_not_overwritten(source, target):
    target.create("/calico/policy/profile/other/rules", "{}")
    writes = source.writes, target.writes
    with pytest.raises(Conflict, match="the v3 store of etcd at memory:0 holds something else"):
        migrate(source, target)
    target.create(READY, "true")
    with pytest.raises(Conflict):
        migrate(source, target)
    assert (source.writes, target.writes) == (writes[0], writes[1] + 1)


def test_without_a_cluster_there_is_nothing_to_move(target):
    with pytest.raises(NotFound, match="no /calico in the v2 store"):
        migrate(MemoryStore(), target)
    source = MemoryStore()
    source.create(POOL, "{}")
    with pytest.raises(NotFound, match="holds no cluster"):
        migrate(source, target)


def test_a_file_fills_an_empty_store_once(source, target):
    found = transfer.load(target, transfer.content(source))
    assert set(found.new) == set(CARRIED)
    assert transfer.content(target) == CARRIED
    assert value(target, READY) == "true"
    writes = target.writes
    assert not transfer.load(target, transfer.content(source))
    assert target.writes == writes
    target.put(POOL, "changed")
    with pytest.raises(Conflict, match="holds something else"):
        transfer.load(target, transfer.content(source))
