"""Beside the contract of stores, which holds for `in_order` too: what is asked, one by one."""

import pytest

from calico_ctl.datastore import in_order
from calico_ctl.datastore.store import Change, Delete, Put
from calico_ctl.errors import DatastoreUnavailable
from tests.support.memory_store import Breaking


def test_what_breaks_off_has_made_the_first_ones_and_says_so() -> None:
    store = Breaking()
    old = store.put("/a", "old")
    changes: list[Change] = [Put("/a", "new", old), Delete("/none"), Put("/b", "x"), Put("/c", "x")]
    made: list[Change] = []
    store.left = 3
    with pytest.raises(DatastoreUnavailable):
        in_order.write(store, changes, made.append)
    assert made == changes[:3]
    assert [entry.value for entry in store.tree("/").entries] == ["new", "x"]


def test_what_is_put_again_is_what_the_first_put_has_left() -> None:
    store = Breaking()
    written = in_order.write(store, [Put("/a", "1"), Put("/a", "2"), Put("/a", "3")])
    assert written == {"/a": store.get("/a")}
    assert written["/a"].value == "3"
    assert store.writes == 3
