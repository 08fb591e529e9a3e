"""Handles: one key for each owner of addresses (an endpoint's id), which lists the blocks.

A handle is written before the block and cleared after it. So it may name too many blocks after a
crash, never too few, and whoever gives back all that an owner has needs nothing else.
"""

from netaddr import IPNetwork

from calico_ctl.datastore import entries
from calico_ctl.datastore.entries import Problem
from calico_ctl.datastore.store import Entry, Store
from calico_ctl.errors import AlreadyExists, Conflict, InvalidValue
from calico_ctl.ipam import handle
from calico_ctl.ipam.handle import Handle
from calico_ctl.model import keys


def note_claim(store: Store, owner: str, cidr: IPNetwork, count: int) -> None:
    """Do what `note` does, with one request if it is the owner's first address."""
    first = Handle(owner).with_count(cidr, count)
    if count > 1 or not write(store, owner, None, first):
        note(store, owner, cidr, count)


def note(store: Store, owner: str, cidr: IPNetwork, count: int) -> None:
    """Say that an owner has so many addresses in a block; the handle goes with its last one.

    A handle that nobody can read is replaced if there is something to say.
    """
    for _ in range(entries.ATTEMPTS):
        entry = store.get(keys.handle(owner))
        seen = _readable(owner, entry)
        wanted = seen.with_count(cidr, count)
        if wanted == seen and (entry is None or wanted.counts):
            return
        if write(store, owner, entry, wanted):
            return
    raise entries.gave_up(keys.handle(owner))


def write(store: Store, owner: str, entry: Entry | None, wanted: Handle) -> bool:
    """Put a handle in the place of what was read of it; False if somebody was faster."""
    try:
        if entry is None and wanted.counts:
            store.create(keys.handle(owner), handle.encode(wanted))
        elif entry is not None and wanted.counts:
            store.swap(entry, handle.encode(wanted))
        elif entry is not None:
            store.delete(entry.key, seen=entry)
    except (AlreadyExists, Conflict):
        return False
    return True


def get(store: Store, owner: str) -> Handle | None:
    """Return the handle of an owner; None if it has none that can be read."""
    entry = store.get(keys.handle(owner))
    try:
        return None if entry is None else _decode(owner, entry)
    except InvalidValue:
        return None


def remove(store: Store, owner: str) -> None:
    """Delete the handle of an owner that has nothing any more."""
    store.delete(keys.handle(owner))


def read(store: Store) -> tuple[dict[str, tuple[Handle, Entry]], list[Problem]]:
    """Return every handle with its entry, and beside them the keys whose values cannot be used."""
    found: dict[str, tuple[Handle, Entry]] = {}
    problems: list[Problem] = []
    for entry in store.tree(keys.handles()).entries:
        owner = entry.key.removeprefix(f"{keys.handles()}/")
        if entry.is_directory or "/" in owner:
            continue
        try:
            found[owner] = (_decode(owner, entry), entry)
        except InvalidValue as error:
            problems.append(Problem(entry.key, error.message))
    return found, problems


def _readable(owner: str, entry: Entry | None) -> Handle:
    try:
        return Handle(owner) if entry is None else _decode(owner, entry)
    except InvalidValue:
        return Handle(owner)


def _decode(owner: str, entry: Entry) -> Handle:
    return entries.decode(entry, lambda text: handle.decode(owner, text))
