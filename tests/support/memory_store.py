"""A `Store` in memory that behaves like etcd's v2 store, down to its short memory.

If it is `transactional`, several keys change at once, as in etcd's v3 store.

It is held to the same contract tests as the real one. Time passes only through `advance`.
"""

import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from calico_ctl.datastore import in_order
from calico_ctl.datastore.store import (
    LARGEST_VALUE,
    Api,
    Change,
    Entry,
    Event,
    Leaves,
    Made,
    Page,
    StoreReplaced,
    Tree,
)
from calico_ctl.errors import (
    AlreadyExists,
    Conflict,
    DatastoreError,
    DatastoreUnavailable,
    HistoryLost,
)

HISTORY_LIMIT = 1000


@dataclass(slots=True)
class _Node:
    value: str | None
    revision: int
    expires: float | None = None


class MemoryStore:
    """See `store.Store` for the verbs. `fail_with` makes every verb raise DatastoreUnavailable."""

    transactional = False
    address = "memory:0"
    member = address
    api = Api(2, "it is like that one")

    def __init__(self) -> None:
        self.fail_with: str | None = None
        self.writes = 0
        self.reads = 0
        self._nodes: dict[str, _Node] = {}
        self._index = 0
        self._now = 0.0
        self._history: deque[Event] = deque(maxlen=HISTORY_LIMIT)
        self._changed = threading.Condition()

    def get(self, key: str) -> Entry | None:
        with self._changed:
            self._begin(reading=True)
            node = self._nodes.get(key)
            return None if node is None else Entry(key, node.value, node.revision)

    def tree(self, directory: str) -> Tree:
        with self._changed:
            self._begin(reading=True)
            prefix = directory.rstrip("/") + "/"
            below = sorted(
                key
                for key in self._nodes
                if key.startswith(prefix) and "/_" not in key[len(prefix) - 1 :]
            )
            found = [(key, self._nodes[key]) for key in below]
            entries = tuple(Entry(key, node.value, node.revision) for key, node in found)
            return Tree(entries, self._index)

    def leaves(
        self, directory: str, without: tuple[str, ...] = (), page: Page | None = None
    ) -> Leaves:
        del page
        tree = self.tree(directory)
        found = {
            key: (value, revision)
            for key, value, revision in tree.entries
            if value is not None and not key.startswith(without)
        }
        return Leaves(found, tree.revision)

    def put(self, key: str, value: str, ttl: int | None = None) -> Entry:
        with self._changed:
            self._begin()
            node = self._nodes.get(key)
            if node is not None and node.value is None:
                raise DatastoreError(f"cannot write {key}: it is a directory")
            return self._write(key, value, ttl)

    def refresh(self, key: str, ttl: int) -> bool:
        with self._changed:
            self._begin()
            node = self._nodes.get(key)
            if node is None or not node.value:
                return False
            node.expires = self._now + ttl
            return True

    def create(self, key: str, value: str | None) -> Entry:
        with self._changed:
            self._begin()
            if key in self._nodes:
                raise AlreadyExists(f"{key} exists already")
            return self._write(key, value)

    def swap(self, seen: Entry, value: str) -> Entry:
        with self._changed:
            self._begin()
            self._require_unchanged(seen)
            if seen.is_directory:
                raise Conflict(f"{seen.key} is a directory")
            return self._write(seen.key, value)

    def delete(self, key: str, seen: Entry | None = None) -> bool:
        with self._changed:
            self._begin()
            if key not in self._nodes:
                return False
            if seen is not None and not seen.is_directory:
                self._require_unchanged(seen)
            below = [other for other in self._nodes if other.startswith(key + "/")]
            if seen is not None and below:
                raise Conflict(f"{key} is not empty")
            self._remove(key)
            return True

    def write_together(
        self, changes: Sequence[Change], made: Made | None = None
    ) -> Mapping[str, Entry]:
        if not self.transactional:
            return in_order.write(self, changes, made)
        if not changes:
            return {}
        with self._changed:
            self._begin()
            written = self._write_at_once(changes)
        if made is not None:
            for change in changes:
                made(change)
        return written

    def watch(self, directory: str, after: int, timeout: float) -> Sequence[Event]:
        with self._changed:
            self._begin(reading=True)
            if self._index < after:
                raise StoreReplaced("the store was emptied")
            self._changed.wait_for(lambda: self._since(directory, after), timeout)
            self._check_alive()
            if self._index < after:
                raise StoreReplaced("the store was emptied")
            return self._since(directory, after)

    def advance(self, seconds: float) -> None:
        """Let time pass: keys whose time is over disappear."""
        with self._changed:
            self._now += seconds
            self._expire()

    def wipe(self) -> None:
        """Become a new, empty store, as if etcd had lost its data directory."""
        with self._changed:
            self._nodes.clear()
            self._history.clear()
            self._index = 0
            self._changed.notify_all()

    def fail(self, reason: str | None) -> None:
        """Raise DatastoreUnavailable from now on, in waiting watches too; None: work again."""
        with self._changed:
            self.fail_with = reason
            self._changed.notify_all()

    def _write_at_once(self, changes: Sequence[Change]) -> Mapping[str, Entry]:
        """Let another store make the changes; take from it what it has then, at one revision."""
        draft = MemoryStore()
        draft._nodes, draft._index = dict(self._nodes), self._index
        written = in_order.write(draft, changes)
        revision = self._index + 1
        for node in draft._nodes.values():
            node.revision = min(node.revision, revision)
        self._nodes, self._index = draft._nodes, revision
        for event in {event.key: event for event in draft._history}.values():
            self._record(Event(event.key, event.value, revision, event.deleted))
        return {key: Entry(key, entry.value, revision) for key, entry in written.items()}

    def _begin(self, *, reading: bool = False) -> None:
        self.reads += reading
        self.writes += not reading
        self._check_alive()

    def _check_alive(self) -> None:
        if self.fail_with is not None:
            raise DatastoreUnavailable(self.address, self.fail_with)

    def _require_unchanged(self, seen: Entry) -> None:
        node = self._nodes.get(seen.key)
        if node is None or node.revision != seen.revision:
            raise Conflict(f"{seen.key} was changed by somebody else meanwhile")

    def _write(self, key: str, value: str | None, ttl: int | None = None) -> Entry:
        if len(value or "") > LARGEST_VALUE:
            raise DatastoreError(f"the value of {key} is too large")
        self._make_parents(key)
        self._index += 1
        expires = None if ttl is None else self._now + ttl
        self._nodes[key] = _Node(value, self._index, expires)
        self._record(Event(key, value, self._index, deleted=False))
        return Entry(key, value, self._index)

    def _make_parents(self, key: str) -> None:
        parts = key.split("/")[1:-1]
        for depth in range(1, len(parts) + 1):
            parent = "/" + "/".join(parts[:depth])
            node = self._nodes.setdefault(parent, _Node(None, self._index + 1))
            if node.value is not None:
                raise DatastoreError(f"cannot write {key}: {parent} is not a directory")

    def _remove(self, key: str) -> None:
        self._index += 1
        for other in list(self._nodes):
            if other == key or other.startswith(key + "/"):
                del self._nodes[other]
        self._record(Event(key, None, self._index, deleted=True))

    def _expire(self) -> None:
        for key, node in list(self._nodes.items()):
            if node.expires is not None and node.expires <= self._now:
                self._remove(key)

    def _record(self, event: Event) -> None:
        self._history.append(event)
        self._changed.notify_all()

    def _since(self, directory: str, after: int) -> list[Event]:
        self._check_alive()
        if self._history and after + 1 < self._history[0].revision:
            raise HistoryLost(f"changes after {after} are forgotten")
        return [
            event
            for event in self._history
            if event.revision > after and _concerns(event, directory)
        ]


def _concerns(event: Event, directory: str) -> bool:
    key = event.key
    if event.deleted and directory.startswith(key + "/"):
        return True
    return key == directory or key.startswith(directory.rstrip("/") + "/")


class Breaking(MemoryStore):
    """Goes away after so many writes: `left`; None: it stays. `before_write` is called before each.

    Changes that are made together are one write if it is transactional.
    """

    left: int | None = None

    def __init__(self) -> None:
        super().__init__()
        self.before_write: Callable[[], object] = lambda: None

    def create(self, key: str, value: str | None) -> Entry:
        self._count()
        return super().create(key, value)

    def swap(self, seen: Entry, value: str) -> Entry:
        self._count()
        return super().swap(seen, value)

    def delete(self, key: str, seen: Entry | None = None) -> bool:
        self._count()
        return super().delete(key, seen)

    def write_together(
        self, changes: Sequence[Change], made: Made | None = None
    ) -> Mapping[str, Entry]:
        if self.transactional and changes:
            self._count()
        return super().write_together(changes, made)

    def _count(self) -> None:
        act, self.before_write = self.before_write, lambda: None
        act()
        self.before_write = act
        if self.left is not None:
            self.left -= 1
            if self.left < 0:
                raise DatastoreUnavailable(self.address, "gone")
