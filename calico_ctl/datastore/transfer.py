"""Carry a whole cluster from one store into another, or into a file and back.

What is carried is all below /calico but what services report of themselves: reports expire, and
hold revisions of their own store. Empty directories and profiles are carried as directories.

`migrate` locks the store that it reads: with `/calico/Ready` not true, agents, routing and tunnels
on all hosts leave everything as it is, and no container gets a new network. Packets flow on. It
copies until nothing has changed any more, compares, and only then says `true` in the new store. In
the old one nothing is deleted; its `/calico/Ready` says `moved` from then on. So it may be begun
again at any time, and the way back is the same way.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from calico_ctl.datastore import entries
from calico_ctl.datastore.store import Delete, Entry, Put, Store
from calico_ctl.errors import AlreadyExists, CalicoError, Conflict, DatastoreError, NotFound
from calico_ctl.model import keys
from calico_ctl.model.root import FILLING, MOVED, MOVING, ROOT

Content = dict[str, str | None]
"""Key → value; None for a directory."""

_TRUE = "true"
_ROUNDS = 20
_SHOWN = 3


class _DoneByOthers(Exception):
    """The store that is to be filled counts already: hosts may have written into it."""


@dataclass(frozen=True, slots=True)
class Difference:
    """What has to be made in a store, changed, and taken away for it to be like another one."""

    new: tuple[str, ...]
    changed: tuple[str, ...]
    extra: tuple[str, ...]

    def __bool__(self) -> bool:
        """Say whether there is any."""
        return bool(self.new or self.changed or self.extra)


NOTHING = Difference((), (), ())


def content(store: Store) -> Content:
    """Return what is to be carried of a store."""
    found = store.tree(ROOT).entries
    leaves = {each.key: each.value for each in found if each.value is not None and _counts(each)}
    directories = {each.key: None for each in found if each.is_directory and _counts(each)}
    filled = {each.key.rpartition("/")[0] for each in found}
    made = {key: None for key in directories if key not in filled or _is_profile(key)}
    return dict(sorted((made | leaves).items()))


def difference(wanted: Mapping[str, str | None], there: Mapping[str, str | None]) -> Difference:
    """Return what is different, by the keys."""
    return Difference(
        new=tuple(key for key in wanted if key not in there),
        changed=tuple(key for key in wanted if key in there and there[key] != wanted[key]),
        extra=tuple(key for key in there if key not in wanted),
    )


def plan(source: Store, target: Store) -> Difference:
    """Return what `migrate` would do; raise what it would raise at once."""
    wanted, there = content(source), content(target)
    if not wanted:
        raise NotFound(f"etcd at {source.address} has no {ROOT} in {_called(source)}")
    if _ready(source) not in {_TRUE, MOVING, MOVED}:
        raise NotFound(
            f"{_called(source)} of etcd holds no cluster: {keys.READY} is not true there"
        )
    found = difference(wanted, there)
    if _ready(target) == _TRUE:
        if _ready(source) == MOVED or not found:
            return NOTHING
        raise _in_use(target, found)
    if found.extra and target.get(FILLING) is None and _ready(target) != MOVED:
        raise _in_use(target, found)
    return found


def migrate(source: Store, target: Store, say: Callable[[str], None]) -> Difference:
    """Make `target` hold the cluster that `source` holds; return what was to be done for that.

    Done again, it does nothing; of several at once, one is done. Raises NotFound if there is
    nothing in `source`, Conflict if something else is in `target`.
    """
    found = plan(source, target)
    if _ready(target) == _TRUE and _ready(source) == MOVED:
        return found
    try:
        with _locked(source):
            say(f"{keys.READY} in {_called(source)} is not true now: agents leave all as it is")
            entries.assign(target, FILLING, _called(source))
            _copy(source, target)
            entries.assign(source, keys.READY, MOVED)
            # and what was written up to here, where nobody could know yet
            _copy(source, target)
            wanted = content(source)
            _require_that_it_is_ours(target, wanted)
            store_is_complete(target, wanted)
    except _DoneByOthers:
        target.delete(FILLING)
        return NOTHING
    _let_count(target)
    return found


def load(target: Store, wanted: Content) -> Difference:
    """Fill an empty store, or one that was partly filled with the same; return what was missing.

    Raises Conflict if something else is in it.
    """
    found = difference(wanted, content(target))
    begun = target.get(FILLING) is not None and _ready(target) != _TRUE
    if found.changed or (found.extra and not begun):
        raise _in_use(target, found)
    if found or _ready(target) != _TRUE:
        entries.assign(target, FILLING, "a file")
        fill(target, wanted)
        store_is_complete(target, wanted)
        _let_count(target)
    return found


def fill(target: Store, wanted: Content) -> None:
    """Make all that is wanted be in a store, and nothing else."""
    found = difference(wanted, content(target))
    for key in found.extra:
        target.delete(key)
    # Directories first, and outer ones before inner ones: v3 makes none around what is there.
    for key in sorted([*found.new, *found.changed], key=lambda key: (wanted[key] is not None, key)):
        value = wanted[key]
        if value is None:
            with suppress(AlreadyExists):
                target.create(key, None)
        else:
            entries.assign(target, key, value)


def store_is_complete(target: Store, wanted: Content) -> None:
    """Raise DatastoreError unless a store holds just that."""
    left = difference(wanted, content(target))
    if left:
        keys_left = _some([*left.new, *left.changed, *left.extra])
        raise DatastoreError(f"{_called(target)} of etcd is not what was written: {keys_left}")


def _copy(source: Store, target: Store) -> None:
    for _ in range(_ROUNDS):
        wanted = content(source)
        _require_that_it_is_ours(target, wanted)
        fill(target, wanted)
        if content(source) == wanted:
            return
    raise Conflict(
        f"{_called(source)} of etcd is changed by others all the time",
        hint="stop what writes to it, an orchestrator perhaps, and try again",
    )


def _require_that_it_is_ours(target: Store, wanted: Content) -> None:
    # What is different and was read before it counted: hosts write only after that.
    if difference(wanted, content(target)) and _ready(target) == _TRUE:
        raise _DoneByOthers


def _let_count(target: Store) -> None:
    """Say that all is there, and no more to come, at once where that is possible."""
    ready = target.get(keys.READY)
    if ready is not None and ready.value == _TRUE:
        target.delete(FILLING)
    else:
        target.write_together([Delete(FILLING), Put(keys.READY, _TRUE, ready)])


@contextmanager
def _locked(source: Store) -> Iterator[None]:
    """Keep agents from changing anything; as it was before if the work does not get done."""
    before = _ready(source)
    entries.assign(source, keys.READY, MOVING)
    try:
        yield
    except BaseException as error:
        is_moved = before == MOVED or isinstance(error, _DoneByOthers)
        with suppress(CalicoError):
            entries.assign(source, keys.READY, MOVED if is_moved else _TRUE)
        raise


def _ready(store: Store) -> str | None:
    entry = store.get(keys.READY)
    return None if entry is None else entry.value


def _counts(entry: Entry) -> bool:
    key = f"{entry.key}/"
    passing = (f"{keys.STATUS.rpartition('/')[0]}/", f"{keys.READY}/", f"{FILLING}/")
    return not key.startswith(passing) and "/_" not in key


def _is_profile(key: str) -> bool:
    return key.rpartition("/")[0] == keys.PROFILES


def _called(store: Store) -> str:
    return f"the v{store.api.version} store"


def _in_use(target: Store, found: Difference) -> Conflict:
    others = [*found.extra, *found.changed] or list(found.new)
    return Conflict(
        f"{_called(target)} of etcd at {target.address} holds something else: {_some(others)}",
        hint=f"nothing was changed; look at it, and delete its {ROOT} if nobody needs it",
    )


def _some(listed: list[str]) -> str:
    more = len(listed) - _SHOWN
    return ", ".join(sorted(listed)[:_SHOWN]) + (f" and {more} more" if more > 0 else "")
