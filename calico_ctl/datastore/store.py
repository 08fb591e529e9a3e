"""The verbs by which everything else speaks to the datastore, and what they exchange.

`Etcd` in `etcd.py` and `EtcdV3` in `etcd_v3.py` are the real things; the tests' in-memory store
obeys the same contract tests. Keys are absolute paths (`/calico/...`); a directory is a key that
has other keys below it, or one that was made as such. The latter stays when it becomes empty; the
former does or does not. Revisions are etcd's: they grow with every change anywhere.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from calico_ctl.errors import HistoryLost

LARGEST_VALUE = 1_500_000
"""How many bytes a value may have: etcd's v3 API takes requests of 1.5 MiB, if not told otherwise.

By its v2 API more can be written, which could never be moved to v3, and is read with every tree.
"""


class Entry(NamedTuple):
    """A key, its value (None for a directory) and the revision of its last change.

    A tuple, because reading a cluster makes tens of thousands, and a dataclass takes twice as long.
    """

    key: str
    value: str | None
    revision: int

    @property
    def is_directory(self) -> bool:
        """Directories have no value."""
        return self.value is None


class Tree(NamedTuple):
    """All entries below a directory (itself not among them), as they were at `revision`.

    `entries` holds directories too, so that an empty one is seen. They are in the order of their
    keys, which puts a directory before what is in it.
    """

    entries: Sequence[Entry]
    revision: int


class Leaves(NamedTuple):
    """All keys with values below a directory, key → (value, revision), as they were at `revision`.

    To who needs no directories it comes at half of the price of a `Tree`.
    """

    entries: Mapping[str, tuple[str, int]]
    revision: int


Page = Callable[[int, Mapping[str, tuple[str, int]]], object]
"""Is given, as it comes, each page of what is read: its number, and key → (value, revision).

The number 0 says that the reading begins, perhaps anew: then what came before does not count.
"""


class Event(NamedTuple):
    """One change. `value` is None if the key (with all below it) is gone or is a directory.

    A directory that is deleted is told of by one event about it, or by one about each of its keys.
    The end of an empty one may not be told at all.
    """

    key: str
    value: str | None
    revision: int
    deleted: bool


@dataclass(frozen=True, slots=True)
class Put:
    """A key that is to have a value, or to be a directory if that is None.

    `seen` is what it replaces; None: nothing may be there.
    """

    key: str
    value: str | None
    seen: Entry | None = None


@dataclass(frozen=True, slots=True)
class Delete:
    """A key that is to go if its value is still as `seen`; without that, with all below it."""

    key: str
    seen: Entry | None = None


Change = Put | Delete

Made = Callable[[Change], object]
"""Is told of each change that was made, in their order."""


class Api(NamedTuple):
    """Which of etcd's APIs is spoken, 2 or 3, and why that one, in words."""

    version: int
    reason: str


class StoreReplaced(HistoryLost):
    """It was emptied, or is another one: its revisions mean nothing beside those seen before."""


class Store(Protocol):
    """A datastore. Every verb may raise DatastoreUnavailable or DatastoreError.

    The latter is also for a value that is too large; it is not written.
    """

    @property
    def address(self) -> str:
        """Where the datastore is, for messages: `<host>:<port>`, several with commas between."""
        ...

    @property
    def member(self) -> str:
        """Which of its servers answers, as far as that is known."""
        ...

    @property
    def api(self) -> Api:
        """How it is spoken to; to find that out it may have to be asked."""
        ...

    def get(self, key: str) -> Entry | None:
        """Return the entry, or None if there is none. Reads are linearized (quorum)."""
        ...

    def tree(self, directory: str) -> Tree:
        """Return everything below a directory; no entries if it does not exist."""
        ...

    def leaves(
        self, directory: str, without: tuple[str, ...] = (), page: Page | None = None
    ) -> Leaves:
        """Return all keys with values below a directory but those that begin as `without` says.

        A store that reads in pages gives each to `page` before it waits for the next.
        """
        ...

    def put(self, key: str, value: str, ttl: int | None = None) -> Entry:
        """Write without a condition: only for keys with a single writer, such as status reports.

        With `ttl` the key disappears that many seconds later unless it is written again.
        """
        ...

    def refresh(self, key: str, ttl: int) -> bool:
        """Let a key that was put with a `ttl` stay for that many seconds from now; tell nobody.

        Says whether it is still there: if not, or if that cannot be done quietly, it has to be put
        again. Who watches gets no event, neither now nor when asking for what was before.
        """
        ...

    def create(self, key: str, value: str | None) -> Entry:
        """Make a key, or a directory if `value` is None; raise AlreadyExists if it is there."""
        ...

    def swap(self, seen: Entry, value: str) -> Entry:
        """Write if the key is still as `seen`; raise Conflict if it changed or is gone."""
        ...

    def delete(self, key: str, seen: Entry | None = None) -> bool:
        """Delete a key, or a directory with all that is below it; say whether it was there.

        With `seen`, raise Conflict if the key changed since; a directory given as `seen` must be
        empty.
        """
        ...

    def write_together(
        self, changes: Sequence[Change], made: Made | None = None
    ) -> Mapping[str, Entry]:
        """Make changes in the order given; return what was written, by key.

        A store that can makes all of them or none, as one change for whoever watches; of very many
        (64 or more) some and then the others. Another one makes them one after the other and stops
        at the first that it refuses: what was made until then stays, so the order has to keep that
        harmless. `made` is told what was.

        Raises AlreadyExists for what is to be new and is not, Conflict for what is not as it was
        seen. A key may be put more than once: from the second time on it has to be as the one
        before has left it. Other than that, no key may be named twice, or lie below another one
        that is deleted or has a value.
        """
        ...

    def watch(self, directory: str, after: int, timeout: float) -> Sequence[Event]:
        """Wait for changes below a directory with a revision greater than `after`, oldest first.

        Returns, as soon as there is one, as many as come at once; an empty sequence if nothing came
        within `timeout` seconds. Raises HistoryLost if the store no longer remembers the changes
        after that revision, or StoreReplaced.
        """
        ...
