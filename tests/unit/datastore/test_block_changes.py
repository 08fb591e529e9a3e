from contextlib import suppress

import pytest
from netaddr import IPAddress, IPNetwork

from calico_ctl.datastore import block_changes, blocks, handles
from calico_ctl.datastore.store import Change, Delete, Entry, Put
from calico_ctl.errors import DatastoreUnavailable, InvalidValue
from calico_ctl.ipam import block
from calico_ctl.ipam.block import Block, Owner
from calico_ctl.model import keys
from tests.support.memory_store import Breaking

FIRST, SECOND = IPNetwork("10.0.0.0/26"), IPNetwork("10.0.0.64/26")
WEB, DB = Owner("web", {"host": "h1"}), Owner("db", {"host": "h1"})
BEFORE = Delete("/endpoint")


@pytest.fixture(params=[False, True], ids=["one by one", "together"])
def store(request) -> Breaking:
    return world(transactional=request.param)


def world(*, transactional: bool) -> Breaking:
    """Return two blocks in which web has an address, and db one in the second one."""
    store = Breaking()
    store.transactional = transactional
    store.create(BEFORE.key, "x")
    put(store, FIRST, {5: WEB})
    put(store, SECOND, {5: WEB, 6: DB})
    return store


def put(store: Breaking, cidr: IPNetwork, owners: dict[int, Owner]) -> Entry:
    """Write a block of h1 with what belongs to it."""
    new = Block(cidr, "host:h1", owners)
    written = store.write_together(
        [blocks.noting(store, "h1", cidr), Put(keys.block(cidr), block.encode(new))]
    )
    for owner in owners.values():
        handles.note(store, owner.id or "", cidr, 1)
    return written[keys.block(cidr)]


def without_web(seen: Block) -> Block:
    return seen.release_all("web")


def unpublished() -> list[Change]:
    return [BEFORE]


def leaves(store: Breaking) -> list[str]:
    return [entry.key for entry in store.tree("/").entries if not entry.is_directory]


LEFT = [keys.block(SECOND), keys.handle("db"), keys.affinity("h1", SECOND)]


def test_blocks_change_with_all_that_belongs_to_them(store) -> None:
    changed = block_changes.change(store, [FIRST, SECOND], without_web, unpublished)
    assert [before.cidr for before, _ in changed] == [FIRST, SECOND]
    assert [list(after.owners) for _, after in changed] == [[], [6]]
    assert leaves(store) == LEFT


@pytest.mark.parametrize("left", range(5))
def test_stopped_between_two_writes_the_indexes_are_not_too_small(left) -> None:
    store = world(transactional=False)
    store.left = left
    with pytest.raises(DatastoreUnavailable):
        block_changes.change(store, [FIRST, SECOND], without_web, unpublished)
    there = leaves(store)
    assert (BEFORE.key in there) == (left == 0)
    for cidr in (FIRST, SECOND):
        found = blocks.get(store, cidr)
        if found is not None:
            assert keys.affinity("h1", cidr) in there
            if found[0].count("web"):
                handle = handles.get(store, "web")
                assert handle is not None
                assert cidr in handle.counts


def test_stopped_where_all_is_written_together_nothing_has_changed() -> None:
    store = world(transactional=True)
    before, store.left = leaves(store), 0
    with pytest.raises(DatastoreUnavailable):
        block_changes.change(store, [FIRST, SECOND], without_web, unpublished)
    assert leaves(store) == before
    store.left = 1
    with suppress(DatastoreUnavailable):
        block_changes.change(store, [FIRST, SECOND], without_web, unpublished)
    assert leaves(store) == LEFT


def test_a_change_that_changes_nothing_writes_nothing(store) -> None:
    before = store.writes
    assert block_changes.change(store, [FIRST], lambda seen: seen) == []
    assert block_changes.change(store, [IPNetwork("10.9.0.0/26")], without_web) == []
    assert store.writes == before


def test_an_empty_block_that_somebody_left_goes_at_the_next_touch(store) -> None:
    third = IPNetwork("10.0.0.128/26")
    put(store, third, {})
    assert block_changes.change(store, [third], without_web) == []
    assert store.get(keys.block(third)) is store.get(keys.affinity("h1", third)) is None


def test_a_block_that_is_changed_meanwhile_is_read_again(store) -> None:
    others = iter([IPAddress("10.0.0.9")])

    def claim() -> None:
        for ip in others:
            found = blocks.get(store, FIRST)
            assert found is not None
            store.put(keys.block(FIRST), block.encode(found[0].claim(ip, DB)))

    store.before_write = claim
    block_changes.change(store, [FIRST, SECOND], without_web)
    found = blocks.get(store, FIRST)
    assert found is not None
    assert found[0].owners == {9: DB}
    assert handles.get(store, "web") is None
    assert block_changes.change(store, [FIRST], lambda seen: seen.release_all("db"))
    assert store.get(keys.affinity("h1", FIRST)) is None


def test_what_comes_before_is_asked_for_again_if_it_is_changed_meanwhile(store) -> None:
    changed = iter(["y", "z"])

    def change() -> None:
        for value in changed:
            store.put(BEFORE.key, value)
            return

    def gone() -> list[Change]:
        seen = store.get(BEFORE.key)
        return [] if seen is None else [Delete(seen.key, seen)]

    store.before_write = change
    block_changes.change(store, [FIRST, SECOND], without_web, gone)
    assert leaves(store) == LEFT


def test_what_comes_before_is_changed_though_there_is_no_block(store) -> None:
    block_changes.change(store, [], without_web, unpublished)
    assert BEFORE.key not in leaves(store)


def test_a_handle_that_is_changed_meanwhile_is_right_in_the_end(store) -> None:
    """Though that of a single owner is not to be changed by two."""
    others = iter([IPNetwork("10.0.0.192/26")])

    def claim() -> None:
        for cidr in others:
            handles.note(store, "web", cidr, 1)

    store.before_write = claim
    block_changes.change(store, [FIRST, SECOND], without_web)
    found = handles.get(store, "web")
    assert found is not None
    assert dict(found.counts) == {IPNetwork("10.0.0.192/26"): 1}


def test_a_handle_grows_before_its_block_and_shrinks_after_it(store, monkeypatch) -> None:
    """For whoever is killed in between. At once there is nothing in between."""

    def hand_over(seen: Block) -> Block:
        return seen.hand_over(IPAddress("10.0.0.5"), DB)

    order: list[str] = []
    real = store.write_together

    def noted(changes, made=None):
        order.extend(each.key for each in changes)
        return real(changes, made)

    monkeypatch.setattr(store, "write_together", noted)
    block_changes.change(store, [FIRST], hand_over)
    assert order == [keys.handle("db"), keys.block(FIRST), keys.handle("web")]


def test_what_cannot_be_read_does_not_keep_the_rest_from_being_done(store) -> None:
    store.put(keys.block(FIRST), "broken")
    with pytest.raises(InvalidValue, match=keys.block(FIRST)):
        block_changes.change(store, [FIRST, SECOND], without_web, unpublished)
    assert keys.block(SECOND) in leaves(store)
    assert BEFORE.key not in leaves(store)


def test_a_block_as_it_was_read_is_replaced_or_was_changed(store) -> None:
    found = blocks.get(store, SECOND)
    assert found is not None
    assert block_changes.replace(store, *found, without_web(found[0]))
    assert not block_changes.replace(store, *found, found[0].release_all("db"))
    assert keys.handle("db") in leaves(store)


def test_room_in_a_full_block_is_told_to_its_host(store) -> None:
    store.put(keys.affinity("h1", SECOND), blocks.FULL)
    block_changes.change(store, [SECOND], without_web)
    assert [value for value, _ in blocks.notes(store, "h1", 4).values()] == ["", ""]
