"""Read everything below a directory, then follow its changes, for ever.

The theory. A position is a revision up to which everything is known. `tree` gives all leaves and a
position; `watch` gives what comes after it, in order. What is posted is always complete: first a
`Resync`, then `Changes` that continue it without a gap; after any doubt a `Disconnected`, and,
once etcd answers again, another `Resync`. Whoever listens keeps what it has until then. A `Part` is
what a `Resync` will say, if one follows.

- etcd tells of a deleted directory once, for all that was in it. The leaves are known here, so it
  is posted leaf by leaf.
- A watch that sees nothing is no error. But etcd remembers only the last 1,000 changes of the whole
  store, so in a quiet tree of a busy store the position grows too old while nothing happens, and in
  a burst of thousands of changes it may be overtaken. Then everything is read again, compared with
  what is known, and only differences are posted: silent, and one read.
- Keys that nobody here goes by are passed over, but not their events: each says how far the store
  has come, which keeps the position from growing too old.
- If the new reading is older than the position, or another cluster answers, the store was emptied
  or replaced. That is never silent: `Disconnected`, then `Resync`. Nor is a connection that breaks
  while changes are waited for: who knows what became of the store meanwhile.
"""

import random as randomness
from bisect import bisect_left, insort
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from calico_ctl.datastore.store import Event, Page, Store, StoreReplaced
from calico_ctl.errors import CalicoError, DatastoreError, DatastoreUnavailable, HistoryLost

WATCH_SECONDS = 10.0

_FIRST_DELAY = 0.2
_LONGEST_DELAY = 5.0


@dataclass(frozen=True, slots=True)
class Scope:
    """What is followed: all below a directory, but no keys that begin as `without` says."""

    directory: str
    without: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Resync:
    """Everything, as it was at `revision`: key → (value, revision). Replaces all posted before."""

    entries: Mapping[str, tuple[str, int]]
    revision: int


@dataclass(frozen=True, slots=True)
class Part:
    """A part of the Resync to come, for who would rather take it in while the rest is read.

    With `number` 0 the reading begins, perhaps anew: then what came before does not count.
    """

    number: int
    entries: Mapping[str, tuple[str, int]]


@dataclass(frozen=True, slots=True)
class Change:
    """One key changed; `value` is None if it is gone."""

    key: str
    value: str | None
    revision: int


@dataclass(frozen=True, slots=True)
class Changes:
    """Some changes, oldest first, that continue what was posted before."""

    changes: tuple[Change, ...]


@dataclass(frozen=True, slots=True)
class Disconnected:
    """The datastore is not to be had, or is not the one that it was; a Resync will follow."""

    reason: str


Message = Part | Resync | Changes | Disconnected
Post = Callable[[Message], None]


class Stop(Protocol):
    """What tells a follower to end: a threading.Event."""

    def is_set(self) -> bool:
        """Say whether to end."""
        ...

    def wait(self, timeout: float | None = None, /) -> bool:
        """Wait until told to end, at most that long; say whether told to."""
        ...


def follow(
    store: Store,
    scope: Scope,
    post: Post,
    stop: Stop,
    random: randomness.Random | None = None,
    watch_seconds: float = WATCH_SECONDS,
) -> None:
    """Post what is in `scope` and what becomes of it until `stop` is set.

    Waits in here for etcd, at most `watch_seconds` at a time, and, after a failure, a random time
    (so that not all hosts come back in the same instant). Never raises for what etcd does.
    """
    follower = _Follower(store, scope, post)
    jitter = random or randomness.Random()  # noqa: S311 - spreads load, hides nothing
    delay = _FIRST_DELAY
    while not stop.is_set():
        try:
            follower.step(watch_seconds)
            delay = _FIRST_DELAY
        except (DatastoreUnavailable, DatastoreError) as error:
            follower.disconnected(error)
            stop.wait(delay * jitter.uniform(0.5, 1.5))
            delay = min(delay * 2, _LONGEST_DELAY)


class _Follower:
    """What was posted, and up to where; no position means that a Resync is due.

    Of each leaf only the revision is kept: an equal one means an equal value, and whoever listens
    has the values. `_keys` are the same keys in order, where those of a directory are neighbours.
    """

    def __init__(self, store: Store, scope: Scope, post: Post) -> None:
        self._store = store
        self._scope = scope
        self._post = post
        self._revisions: dict[str, int] = {}
        self._keys: list[str] = []
        self._position: int | None = None
        self._told = ""

    def step(self, watch_seconds: float) -> None:
        """Do the next one thing: read everything, or wait for changes."""
        if self._position is None:
            self._resync(self._read(self._post_part))
            return
        try:
            events = self._store.watch(self._scope.directory, self._position, watch_seconds)
        except HistoryLost as error:
            self._catch_up(self._position, error)
            return
        if events:
            self._position = events[-1].revision
            self._post_changes([change for event in events for change in self._take(event)])

    def disconnected(self, error: CalicoError) -> None:
        """Tell that the datastore is away, once for each reason."""
        self._position = None
        if self._told != error.message:
            self._told = error.message
            self._post(Disconnected(error.message))

    def _read(self, page: Page | None = None) -> Resync:
        found = self._store.leaves(self._scope.directory, self._scope.without, page)
        return Resync(found.entries, found.revision)

    def _post_part(self, number: int, entries: Mapping[str, tuple[str, int]]) -> None:
        self._post(Part(number, entries))

    def _resync(self, reading: Resync) -> None:
        self._told = ""
        self._post(reading)
        self._remember(reading)

    def _catch_up(self, position: int, lost: HistoryLost) -> None:
        """Read everything again; post the differences, unless it is another store."""
        reading = self._read()
        if isinstance(lost, StoreReplaced) or reading.revision < position:
            self.disconnected(lost)
            self._resync(reading)
            return
        known = self._revisions
        self._remember(reading)
        gone = [Change(key, None, reading.revision) for key in known if key not in self._revisions]
        changed = [
            Change(key, value, revision)
            for key, (value, revision) in reading.entries.items()
            if known.get(key) != revision
        ]
        self._post_changes(gone + changed)

    def _remember(self, reading: Resync) -> None:
        self._revisions = {key: revision for key, (_, revision) in reading.entries.items()}
        self._keys = sorted(self._revisions)
        self._position = reading.revision

    def _take(self, event: Event) -> list[Change]:
        """Fold an event into what is known; return what it means leaf by leaf."""
        if event.key.startswith(self._scope.without):
            return []
        if event.value is not None:
            if event.key not in self._revisions:
                insort(self._keys, event.key)
            self._revisions[event.key] = event.revision
            return [Change(event.key, event.value, event.revision)]
        if not event.deleted:
            return []  # a directory was made
        gone = self._forget(event.key)
        return [Change(key, None, event.revision) for key in gone]

    def _forget(self, key: str) -> list[str]:
        """Take a leaf, or all that are in a directory, out of what is known."""
        if key in self._revisions:
            first = bisect_left(self._keys, key)
            end = first + 1
        else:
            first = bisect_left(self._keys, key + "/")
            end = bisect_left(self._keys, key + "0")  # the character after the slash
        gone = self._keys[first:end]
        del self._keys[first:end]
        for each in gone:
            del self._revisions[each]
        return gone

    def _post_changes(self, changes: Sequence[Change]) -> None:
        if changes:
            self._post(Changes(tuple(changes)))
