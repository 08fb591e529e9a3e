"""A report is kept alive quietly, and told again now and then."""

import pytest

from calico_ctl.datastore.heartbeat import Heartbeat
from tests.support.memory_store import MemoryStore

KEY = "/calico/felix/v1/host/h/status"


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


def test_one_turn_in_fifteen_has_to_be_told_and_the_others_tell_nobody(store):
    revision = store.put(KEY, "fine", ttl=60).revision
    heartbeat = Heartbeat(store, KEY, 60)
    assert [heartbeat.keeps() for _ in range(60)].count(False) == 4
    assert store.tree("/").revision == revision


def test_what_is_kept_outlives_its_time(store):
    store.put(KEY, "fine", ttl=60)
    heartbeat = Heartbeat(store, KEY, 60)
    for _ in range(15):
        store.advance(50)
        if not heartbeat.keeps():
            store.put(KEY, "fine", ttl=60)
    assert store.get(KEY) is not None


def test_what_is_gone_has_to_be_told_again(store):
    heartbeat = Heartbeat(store, KEY, 60)
    assert [heartbeat.keeps() for _ in range(30)] == [False] * 30
