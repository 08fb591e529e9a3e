"""Blocks and the notes of which host prefers which (affinities): how they come, change and go.

A note is written before its block and deleted after it, and whoever does either looks once more
when it is done: so a block that a host makes while another process gives it back keeps its note.
A note whose value is `full` says that the block has nothing left. That is a hint: it saves reading
the block, and a search that finds nothing elsewhere does not believe it.
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress

from netaddr import IPNetwork

from calico_ctl.datastore import entries
from calico_ctl.datastore.store import Entry, Store
from calico_ctl.errors import AlreadyExists, Conflict, DatastoreError, InvalidValue
from calico_ctl.ipam import block
from calico_ctl.ipam.block import Block
from calico_ctl.model import keys
from calico_ctl.model.address import FAMILIES, Family

FULL = "full"
"""The value of a note whose block has no free address; that of others is empty."""


def get(store: Store, cidr: IPNetwork) -> tuple[Block, Entry] | None:
    """Return a block and its entry, or None. Raises InvalidValue naming the key."""
    entry = store.get(keys.block(cidr))
    return None if entry is None else (decode(cidr, entry), entry)


def change(
    store: Store, cidr: IPNetwork, wish: Callable[[Block], Block]
) -> tuple[Block, Block] | None:
    """Swap a block for what `wish` makes of it; return it before and after, or None if the same.

    A block in which nobody has anything any more goes, with the note of its host.
    """
    for _ in range(entries.ATTEMPTS):
        found = get(store, cidr)
        if found is None:
            return None
        seen, entry = found
        wanted = wish(seen)
        if wanted == seen and (seen.owners or _give_back(store, seen, entry)):
            return None
        if replace(store, seen, entry, wanted):
            return seen, wanted
    raise entries.gave_up(keys.block(cidr))


def replace(store: Store, seen: Block, entry: Entry, wanted: Block) -> bool:
    """Write a block over what was read, with all that follows; False if somebody was faster.

    Whoever takes a host's preference away has to correct its note.
    """
    if not wanted.owners:
        return _give_back(store, seen, entry)
    if swap(store, entry, wanted) is None:
        return False
    if wanted.host is not None:
        mark(store, wanted.host, wanted.cidr, "")
    return True


def create(store: Store, hostname: str, new: Block) -> Entry | None:
    """Make a block that this host prefers; None if somebody else made it meanwhile."""
    note = keys.affinity(hostname, new.cidr)
    noted = entries.ensure(store, note, "")
    try:
        made = store.create(keys.block(new.cidr), block.encode(new))
    except AlreadyExists:
        correct_note(store, hostname, new.cidr)
        return None
    except DatastoreError:
        if noted:
            store.delete(note)
        raise
    correct_note(store, hostname, new.cidr)
    return made


def adopt(store: Store, hostname: str, entry: Entry, wanted: Block) -> Entry | None:
    """Write a block that nobody preferred and this host does now; None if somebody was faster."""
    entries.ensure(store, keys.affinity(hostname, wanted.cidr), "")
    written = swap(store, entry, wanted)
    if written is None:
        correct_note(store, hostname, wanted.cidr)
    return written


def swap(store: Store, entry: Entry, wanted: Block) -> Entry | None:
    """Write a block over what was read of it; None if somebody was faster."""
    try:
        return store.swap(entry, block.encode(wanted))
    except Conflict:
        return None


def correct_note(store: Store, hostname: str, cidr: IPNetwork) -> None:
    """Make a host's note of a block right: there if the block prefers the host, and only then.

    Looks again after each change, so that of all who do this at once the last one is right.
    """
    note = keys.affinity(hostname, cidr)
    for _ in range(entries.ATTEMPTS):
        wanted = _is_own(store, hostname, cidr)
        if wanted == (store.get(note) is not None):
            return
        if wanted:
            entries.ensure(store, note, "")
        else:
            store.delete(note)
    raise entries.gave_up(note)


def drop_notes(store: Store, hostname: str) -> None:
    """Delete the notes of a host that no block prefers any more, and what then is empty."""
    for family in FAMILIES:
        for cidr in cidrs(notes(store, hostname, family)):
            correct_note(store, hostname, cidr)
        directory = keys.affinities(hostname, family)
        if entries.delete_if_empty(store, directory):
            entries.delete_if_empty(store, directory.rpartition("/")[0])
    entries.delete_if_empty(store, keys.host_ipam(hostname))


def mark_full(store: Store, hostname: str, cidr: IPNetwork, written: Entry) -> None:
    """Note that a block is full since it was written; not if it was changed again meanwhile."""
    mark(store, hostname, cidr, FULL)
    now = store.get(keys.block(cidr))
    if now is None or now.revision != written.revision:
        mark(store, hostname, cidr, "")


def mark(store: Store, hostname: str, cidr: IPNetwork, value: str) -> None:
    """Change the hint of a note, if it is there and nobody else does at this moment."""
    entry = store.get(keys.affinity(hostname, cidr))
    if entry is not None and entry.value not in {None, value}:
        with suppress(Conflict):
            store.swap(entry, value)


def notes(store: Store, hostname: str, family: Family) -> list[Entry]:
    """Return the notes of the blocks that a host prefers."""
    return _leaves(store.tree(keys.affinities(hostname, family)).entries)


def all_notes(store: Store, family: Family) -> list[Entry]:
    """Return the notes of all hosts: cheaper to read than the blocks themselves."""
    part = f"/ipv{family}/block/"
    return [each for each in _leaves(store.tree(keys.HOSTS_IPAM).entries) if part in each.key]


def cidrs(listed: Iterable[Entry]) -> list[IPNetwork]:
    """Return the blocks that keys are about; keys that are about none are passed over."""
    return list(cidrs_of(entry.key for entry in listed))


def cidrs_of(listed: Iterable[str]) -> Iterator[IPNetwork]:
    """Yield the blocks that keys are about, one when it is asked for."""
    for key in listed:
        with suppress(InvalidValue):
            cidr = keys.parse_cidr_segment(key.rpartition("/")[2])
            if cidr.size == block.SIZE:
                yield cidr


def decode(cidr: IPNetwork, entry: Entry) -> Block:
    """Return what a block's entry means. Raises InvalidValue naming the key."""
    return entries.decode(entry, lambda text: block.decode(cidr, text))


def _give_back(store: Store, seen: Block, entry: Entry) -> bool:
    """Delete a block that is to be empty, and the note of it; False if somebody was faster."""
    try:
        if not store.delete(entry.key, seen=entry):
            return False
    except Conflict:
        return False
    if seen.host is not None:
        correct_note(store, seen.host, seen.cidr)
    return True


def _is_own(store: Store, hostname: str, cidr: IPNetwork) -> bool:
    try:
        found = get(store, cidr)
    except InvalidValue:
        return False
    return found is not None and found[0].host == hostname


def _leaves(listed: Iterable[Entry]) -> list[Entry]:
    return [entry for entry in listed if not entry.is_directory]
