"""Blocks and the notes of which host prefers which (affinities): how they come, change and go.

A note is written before its block and deleted after it, or together with it, and whoever does
either looks once more when it is done: so a block that a host makes while another process gives it
back keeps its note.
A note whose value is `full` says that the block has nothing left. That is a hint: it saves reading
the block, and a search that finds nothing elsewhere does not believe it.
"""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress

from netaddr import IPNetwork

from calico_ctl.datastore import entries
from calico_ctl.datastore.store import Change, Entry, Put, Store
from calico_ctl.errors import Conflict, InvalidValue
from calico_ctl.ipam import block
from calico_ctl.ipam.block import Block
from calico_ctl.model import keys
from calico_ctl.model.address import FAMILIES, Family

FULL = "full"
"""The value of a note whose block has no free address; that of others is empty."""

Notes = Mapping[str, tuple[str, int]]
"""The keys of notes, each with its value and revision."""


def get(store: Store, cidr: IPNetwork) -> tuple[Block, Entry] | None:
    """Return a block and its entry, or None. Raises InvalidValue naming the key."""
    entry = store.get(keys.block(cidr))
    return None if entry is None else (decode(cidr, entry), entry)


def noting(store: Store, hostname: str, cidr: IPNetwork) -> Change:
    """Return the change by which a host notes a block that it is going to prefer.

    The note is written even if it is there: so who takes it away at this moment is noticed.
    """
    note = keys.affinity(hostname, cidr)
    return Put(note, "", store.get(note))


def correct_note(store: Store, hostname: str, cidr: IPNetwork) -> None:
    """Make a host's note of a block right: there if the block prefers the host, and only then.

    Looks again after each change, so that of all who do this at once the last one is right.
    """
    key = keys.affinity(hostname, cidr)
    for _ in range(entries.ATTEMPTS):
        note = store.get(key)
        wanted = _is_own(store, hostname, cidr)
        if wanted == (note is not None):
            return
        if note is None:
            entries.ensure(store, key, "")
        else:
            with suppress(Conflict):  # whoever makes the block now has written it, too
                store.delete(key, seen=note)
    raise entries.gave_up(key)


def drop_notes(store: Store, hostname: str) -> None:
    """Delete the notes of a host that no block prefers any more, and what then is empty."""
    for family in FAMILIES:
        for cidr in cidrs_of(notes(store, hostname, family)):
            correct_note(store, hostname, cidr)
        directory = keys.affinities(hostname, family)
        if entries.delete_if_empty(store, directory):
            entries.delete_if_empty(store, directory.rpartition("/")[0])
    entries.delete_if_empty(store, keys.host_ipam(hostname))


def mark_full(
    store: Store, hostname: str, cidr: IPNetwork, written: Entry, note: Entry | None = None
) -> None:
    """Note that a block is full since it was written; not if it was changed again meanwhile.

    `note` spares reading the note, if it is known.
    """
    _mark(store, note or store.get(keys.affinity(hostname, cidr)), FULL)
    now = store.get(keys.block(cidr))
    if now is None or now.revision != written.revision:
        mark(store, hostname, cidr, "")


def mark(store: Store, hostname: str, cidr: IPNetwork, value: str) -> None:
    """Change the hint of a note, if it is there and nobody else does at this moment."""
    _mark(store, store.get(keys.affinity(hostname, cidr)), value)


def notes(store: Store, hostname: str, family: Family) -> Notes:
    """Return the notes of the blocks that a host prefers."""
    return store.leaves(keys.affinities(hostname, family)).entries


def all_notes(store: Store, family: Family) -> Notes:
    """Return the notes of all hosts: cheaper to read than the blocks themselves."""
    part = f"/ipv{family}/block/"
    listed = store.leaves(keys.HOSTS_IPAM).entries
    return {key: note for key, note in listed.items() if part in key}


def cidrs_of(listed: Iterable[str]) -> Iterator[IPNetwork]:
    """Yield the blocks that keys are about; keys that are about none are passed over."""
    for key in listed:
        with suppress(InvalidValue):
            cidr = keys.parse_cidr_segment(key.rpartition("/")[2])
            if cidr.size == block.SIZE:
                yield cidr


def decode(cidr: IPNetwork, entry: Entry) -> Block:
    """Return what a block's entry means. Raises InvalidValue naming the key."""
    return entries.decode(entry, lambda text: block.decode(cidr, text))


def _is_own(store: Store, hostname: str, cidr: IPNetwork) -> bool:
    try:
        found = get(store, cidr)
    except InvalidValue:
        return False
    return found is not None and found[0].host == hostname


def _mark(store: Store, note: Entry | None, value: str) -> None:
    if note is not None and note.value not in {None, value}:
        with suppress(Conflict):
            store.swap(note, value)
