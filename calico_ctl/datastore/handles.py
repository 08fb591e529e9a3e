"""Handles: one key for each owner of addresses (an endpoint's id), which lists the blocks.

A handle is written before the block and cleared after it. So it may name too many blocks after a
crash, never too few, and whoever gives back all that an owner has needs nothing else.
"""

from collections.abc import Mapping, Sequence

from netaddr import IPNetwork

from calico_ctl.datastore import entries
from calico_ctl.datastore.entries import Problem
from calico_ctl.datastore.store import Change, Delete, Entry, Put, Store
from calico_ctl.errors import AlreadyExists, Conflict, InvalidValue
from calico_ctl.ipam import handle
from calico_ctl.ipam.handle import Handle
from calico_ctl.model import keys


def changes(
    store: Store, owner: str, counts: Mapping[IPNetwork, int], *, is_new: bool = False
) -> list[Change]:
    """Return what has to be written, if anything, so that an owner has so many addresses in blocks.

    The handle goes with the last one. One that nobody can read is replaced if there is something to
    say. `is_new` spares reading it, if it is probably not there.
    """
    entry = None if is_new else store.get(keys.handle(owner))
    seen = wanted = _readable(owner, entry)
    for cidr, count in counts.items():
        wanted = wanted.with_count(cidr, count)
    return _changes(entry, wanted) if wanted != seen or not wanted.counts else []


def note(store: Store, owner: str, cidr: IPNetwork, count: int) -> None:
    """Say that an owner has so many addresses in a block."""
    for _ in range(entries.ATTEMPTS):
        if _try(store, changes(store, owner, {cidr: count})):
            return
    raise entries.gave_up(keys.handle(owner))


def write(store: Store, entry: Entry | None, wanted: Handle) -> bool:
    """Put a handle in the place of what was read of it; False if somebody was faster."""
    return _try(store, _changes(entry, wanted))


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


def _changes(entry: Entry | None, wanted: Handle) -> list[Change]:
    if wanted.counts:
        return [Put(keys.handle(wanted.id), handle.encode(wanted), entry)]
    return [] if entry is None else [Delete(entry.key, entry)]


def _try(store: Store, wanted: Sequence[Change]) -> bool:
    try:
        store.write_together(wanted)
    except (AlreadyExists, Conflict):
        return False
    return True


def _readable(owner: str, entry: Entry | None) -> Handle:
    try:
        return Handle(owner) if entry is None else _decode(owner, entry)
    except InvalidValue:
        return Handle(owner)


def _decode(owner: str, entry: Entry) -> Handle:
    return entries.decode(entry, lambda text: handle.decode(owner, text))
