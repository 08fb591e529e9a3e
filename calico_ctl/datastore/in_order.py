"""Several changes on a store that makes one at a time."""

from collections.abc import Mapping, Sequence

from calico_ctl.datastore.etcd_requests import changed_meanwhile
from calico_ctl.datastore.store import Change, Entry, Made, Put, Store


def write(store: Store, changes: Sequence[Change], made: Made | None = None) -> Mapping[str, Entry]:
    """Do what `Store.write_together` says, one change after the other."""
    written: dict[str, Entry] = {}
    for change in changes:
        seen = written.get(change.key, change.seen)
        if isinstance(change, Put):
            written[change.key] = _put(store, change, seen)
        elif not store.delete(change.key, seen) and seen is not None:
            raise changed_meanwhile(change.key)
        if made is not None:
            made(change)
    return written


def _put(store: Store, change: Put, seen: Entry | None) -> Entry:
    if seen is None:
        return store.create(change.key, change.value)
    return store.swap(seen, change.value or "")
