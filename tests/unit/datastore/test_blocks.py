import pytest
from netaddr import IPAddress, IPNetwork

from calico_ctl.datastore import blocks
from calico_ctl.errors import AlreadyExists, Conflict
from calico_ctl.ipam import block
from calico_ctl.ipam.block import Owner
from calico_ctl.model import keys
from tests.support.memory_store import MemoryStore

CIDR = IPNetwork("10.0.0.0/26")
NOTE = keys.affinity("h1", CIDR)
NEW = block.empty(CIDR, "h1").claim(IPAddress("10.0.0.5"), Owner("web", {"host": "h1"}))


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


def marks(store: MemoryStore) -> dict[str, str]:
    """The values of the notes of h1."""
    return {key: value for key, (value, _) in blocks.notes(store, "h1", 4).items()}


def test_a_block_is_read_with_its_entry(store) -> None:
    assert blocks.get(store, CIDR) is None
    made = store.create(keys.block(CIDR), block.encode(NEW))
    assert blocks.get(store, CIDR) == (NEW, made)


def test_notes_are_those_of_one_host_or_of_all(store) -> None:
    store.write_together(
        [
            blocks.noting(store, "h1", CIDR),
            blocks.noting(store, "h2", IPNetwork("10.0.0.64/26")),
            blocks.noting(store, "h2", IPNetwork("fd80::/122")),
        ]
    )
    assert marks(store) == {NOTE: ""}
    assert blocks.notes(store, "h1", 6) == {}
    assert len(blocks.all_notes(store, 4)) == 2


@pytest.mark.parametrize("note", [None, ""])
def test_a_note_that_somebody_else_writes_at_that_moment_is_noticed(store, note) -> None:
    if note is not None:
        store.create(NOTE, note)
    noting = blocks.noting(store, "h1", CIDR)
    store.put(NOTE, "full")
    with pytest.raises(Conflict if note is not None else AlreadyExists):
        store.write_together([noting])


def test_a_block_is_marked_as_full_unless_it_was_changed_since(store) -> None:
    written = store.create(keys.block(CIDR), block.encode(NEW))
    store.create(NOTE, "")
    blocks.mark_full(store, "h1", CIDR, written)
    assert marks(store) == {NOTE: blocks.FULL}
    store.swap(written, block.encode(NEW))
    blocks.mark_full(store, "h1", CIDR, written)
    assert marks(store) == {NOTE: ""}


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
    store.create(NOTE, "")
    there = store.create(keys.block(CIDR), block.encode(NEW))
    blocks.drop_notes(store, "h1")
    assert list(blocks.all_notes(store, 4)) == [NOTE]
    store.swap(there, block.encode(NEW.without_host("h1")))
    blocks.drop_notes(store, "h1")
    assert store.get(keys.host_ipam("h1")) is None
