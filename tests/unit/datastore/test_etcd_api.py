"""Which API follows from what is where; real servers are in tests/integration/datastore."""

import pytest

from calico_ctl.datastore import etcd_api
from calico_ctl.datastore.etcd_requests import Forbidden, NotServed
from calico_ctl.datastore.store import Entry
from calico_ctl.errors import DatastoreError
from calico_ctl.model import root
from tests.support.memory_store import MemoryStore

EMPTY, HOLDING, ABSENT, REFUSING = "empty", "holding", "absent", "refusing"
LEFT = "moved out of"


class Half(MemoryStore):
    """One of the two stores of an etcd, in some state."""

    def __init__(self, state: str) -> None:
        super().__init__()
        self._state = state

    def get(self, key: str) -> Entry | None:
        if self._state == ABSENT:
            raise NotServed("not etcd's")
        if self._state == REFUSING:
            raise Forbidden("insufficient credentials")
        if self._state == LEFT and key == root.READY:
            return Entry(key, root.MOVED, 1)
        return Entry(key, None, 1) if self._state in {HOLDING, LEFT} else None


@pytest.mark.parametrize(
    ("old", "new", "version", "words"),
    [
        (EMPTY, EMPTY, 2, "no /calico yet"),
        (HOLDING, EMPTY, 2, "in etcd's v2 store"),
        (HOLDING, ABSENT, 2, "in etcd's v2 store"),
        (HOLDING, REFUSING, 2, "in etcd's v2 store"),
        (EMPTY, ABSENT, 2, "serves no v3 API"),
        (EMPTY, HOLDING, 3, "in etcd's v3 store"),
        (ABSENT, HOLDING, 3, "in etcd's v3 store"),
        (REFUSING, HOLDING, 3, "in etcd's v3 store"),
        (ABSENT, EMPTY, 3, "serves no v2 API"),
    ],
)
def test_the_store_with_the_cluster_counts_and_v2_if_there_is_none(old, new, version, words):
    api = etcd_api.choose(Half(old), Half(new))
    assert api.version == version
    assert words in api.reason


@pytest.mark.parametrize(("filled", "line"), [(0, "--from=3 --to=2"), (1, "--from=2 --to=3")])
def test_a_store_that_is_half_filled_is_named_and_nobody_is_told_to_choose_it(filled, line):
    stores = MemoryStore(), MemoryStore()
    for each in stores:
        each.create("/calico/config/a", "1")
    stores[filled].create(root.FILLING, "the other one")
    stores[1 - filled].create(root.READY, "moving")
    with pytest.raises(DatastoreError, match=rf"that of v{filled + 2} is not complete") as caught:
        etcd_api.choose(*stores)
    assert f"`calicoctl datastore migrate {line}`" in caught.value.hint
    assert "ETCD_API" not in caught.value.hint


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        (HOLDING, HOLDING, "in its v2 store and in its v3 store"),
        (ABSENT, ABSENT, "not etcd's"),
        (REFUSING, EMPTY, "insufficient credentials"),
        (EMPTY, REFUSING, "insufficient credentials"),
        (REFUSING, ABSENT, "insufficient credentials"),
        (REFUSING, REFUSING, "insufficient credentials"),
        (LEFT, REFUSING, "insufficient credentials"),
        (REFUSING, LEFT, "insufficient credentials"),
        (LEFT, ABSENT, "not etcd's"),
    ],
)
def test_what_is_not_clear_is_an_error(old, new, words):
    with pytest.raises(DatastoreError, match=words):
        etcd_api.choose(Half(old), Half(new))
