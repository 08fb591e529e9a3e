import pytest
from netaddr import IPNetwork

from calico_ctl.datastore import handles
from calico_ctl.ipam.handle import Handle
from calico_ctl.model import keys
from tests.support.memory_store import MemoryStore

FIRST, SECOND = IPNetwork("10.0.0.0/26"), IPNetwork("10.0.0.64/26")


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


def test_a_handle_comes_with_the_first_address_and_goes_with_the_last(store) -> None:
    handles.note(store, "web", FIRST, 1)
    handles.note(store, "web", SECOND, 1)
    handles.note(store, "web", SECOND, 2)
    assert handles.get(store, "web") == Handle("web", {FIRST: 1, SECOND: 2})
    handles.note(store, "web", FIRST, 0)
    handles.note(store, "web", SECOND, 0)
    assert store.get(keys.handle("web")) is None


def test_noting_what_is_noted_writes_nothing(store) -> None:
    handles.note(store, "web", FIRST, 1)
    before = store.writes
    handles.note(store, "web", FIRST, 1)
    handles.note(store, "db", FIRST, 0)
    assert store.writes == before


def test_a_handle_that_nobody_can_read_is_named_and_replaced(store) -> None:
    store.put(keys.handle("web"), "broken")
    handles.note(store, "db", FIRST, 1)
    found, (problem,) = handles.read(store)
    assert list(found) == ["db"]
    assert problem.key == "/calico/ipam/v2/handle/web"
    assert handles.get(store, "web") is None
    handles.note(store, "web", FIRST, 1)
    assert handles.get(store, "web") == Handle("web", {FIRST: 1})


def test_an_empty_handle_that_somebody_left_goes(store) -> None:
    store.put(keys.handle("web"), '{"id": "web", "block": {}}')
    handles.note(store, "web", FIRST, 0)
    assert store.get(keys.handle("web")) is None


def test_who_was_slower_is_told(store) -> None:
    handles.note(store, "web", FIRST, 1)
    seen = store.get(keys.handle("web"))
    handles.note(store, "web", FIRST, 2)
    assert not handles.write(store, seen, Handle("web", {FIRST: 3}))
    assert not handles.write(store, seen, Handle("web"))
    assert not handles.write(store, None, Handle("web", {FIRST: 3}))
    assert handles.get(store, "web") == Handle("web", {FIRST: 2})
