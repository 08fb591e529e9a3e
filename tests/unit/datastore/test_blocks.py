import pytest
from netaddr import IPAddress, IPNetwork

from calico_ctl.datastore import blocks
from calico_ctl.ipam import block
from calico_ctl.ipam.block import Block, Owner
from calico_ctl.model import keys
from tests.support.memory_store import MemoryStore

CIDR = IPNetwork("10.0.0.0/26")
NOTE = keys.affinity("h1", CIDR)
IP = IPAddress("10.0.0.5")
WEB = Owner("web", {"host": "h1"})
NEW = block.empty(CIDR, "h1").claim(IP, WEB)


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


def test_a_new_block_is_noted(store) -> None:
    assert blocks.create(store, "h1", NEW) is not None
    assert blocks.get(store, CIDR) == (NEW, store.get(keys.block(CIDR)))
    assert [note.value for note in blocks.notes(store, "h1", 4)] == [""]
    assert blocks.notes(store, "h1", 6) == blocks.notes(store, "h2", 4) == []


def test_of_two_who_make_a_block_only_the_first_notes_it(store) -> None:
    blocks.create(store, "h1", NEW)
    assert blocks.create(store, "h2", block.empty(CIDR, "h2").claim(IP, WEB)) is None
    assert [note.key for note in blocks.all_notes(store, 4)] == [NOTE]


def test_the_last_address_takes_block_and_note_with_it(store) -> None:
    blocks.create(store, "h1", NEW)
    before_and_after = blocks.change(store, CIDR, lambda seen: seen.release(IP, "web"))
    assert before_and_after == (NEW, block.empty(CIDR, "h1"))
    assert blocks.get(store, CIDR) is None
    assert blocks.all_notes(store, 4) == []


def test_an_empty_block_that_somebody_left_goes_at_the_next_touch(store) -> None:
    store.create(keys.block(CIDR), block.encode(block.empty(CIDR, "h1")))
    store.create(NOTE, "")
    assert blocks.change(store, CIDR, lambda seen: seen.release(IP, "web")) is None
    assert store.get(keys.block(CIDR)) is store.get(NOTE) is None


def test_a_change_that_changes_nothing_writes_nothing(store) -> None:
    blocks.create(store, "h1", NEW)
    before = store.writes
    assert blocks.change(store, CIDR, lambda seen: seen) is None
    assert blocks.change(store, IPNetwork("10.0.0.64/26"), lambda seen: seen) is None
    assert store.writes == before


def test_a_block_that_is_changed_meanwhile_is_read_again(store) -> None:
    blocks.create(store, "h1", NEW)
    other = Owner("db", {"host": "h1"})

    def change(seen: Block) -> Block:
        if seen.count("db") == 0:
            entry = store.get(keys.block(CIDR))
            assert entry is not None
            blocks.swap(store, entry, seen.claim(IPAddress("10.0.0.9"), other))
        return seen.release(IP, "web")

    assert blocks.change(store, CIDR, change) is not None
    found = blocks.get(store, CIDR)
    assert found is not None
    assert list(found[0].addresses()) == [(IPAddress("10.0.0.9"), other)]


def test_who_adopts_a_block_notes_it_or_leaves_no_trace(store) -> None:
    orphan = Block(CIDR, None, NEW.owners)
    seen = store.create(keys.block(CIDR), block.encode(orphan))
    store.swap(seen, block.encode(orphan))
    assert blocks.adopt(store, "h1", seen, orphan.preferred_by("h1")) is None
    assert blocks.all_notes(store, 4) == []
    now = store.get(keys.block(CIDR))
    assert now is not None
    assert blocks.adopt(store, "h1", now, orphan.preferred_by("h1")) is not None
    assert [note.key for note in blocks.all_notes(store, 4)] == [NOTE]


def test_a_full_block_is_marked_until_something_comes_free(store) -> None:
    written = blocks.create(store, "h1", NEW.claim(IPAddress("10.0.0.6"), WEB))
    assert written is not None
    blocks.mark_full(store, "h1", CIDR, written)
    assert [note.value for note in blocks.notes(store, "h1", 4)] == [blocks.FULL]
    blocks.change(store, CIDR, lambda seen: seen.release(IP, "web"))
    assert [note.value for note in blocks.notes(store, "h1", 4)] == [""]
    blocks.mark_full(store, "h1", CIDR, written)
    assert [note.value for note in blocks.notes(store, "h1", 4)] == [""]


def test_a_note_is_made_right_in_both_directions(store) -> None:
    store.create(NOTE, "")
    blocks.correct_note(store, "h1", CIDR)
    assert store.get(NOTE) is None
    store.create(keys.block(CIDR), block.encode(NEW))
    blocks.correct_note(store, "h1", CIDR)
    assert store.get(NOTE) is not None


def test_of_a_host_that_leaves_only_the_notes_stay_that_are_right(store) -> None:
    store.create(keys.affinities("h1", 6), None)
    store.create(keys.affinity("h1", IPNetwork("10.0.0.64/26")), "")
    blocks.create(store, "h1", NEW)
    blocks.drop_notes(store, "h1")
    assert [note.key for note in blocks.all_notes(store, 4)] == [NOTE]
    blocks.change(store, CIDR, lambda seen: seen.without_host("h1"))
    blocks.drop_notes(store, "h1")
    assert store.get(keys.host_ipam("h1")) is None
