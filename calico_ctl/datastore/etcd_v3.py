"""etcd's v3 API, as JSON over HTTP, behind the verbs of `store`.

What it promises beside what `etcd_requests` does:

- Keys, values and errors are those of the v2 API. What v2 refuses to do with a directory or below a
  key is refused here by conditions of the same transaction. `etcd_v3_messages` says what a
  directory is.
- A tree of any size is read in pages, all of the revision of the first one.
- A watch is a stream that stays open while it is continued. A watch that saw nothing is ended, and
  the store asked for its revision on another connection: that tells a silent server from a quiet
  one, and a store that was wiped; the next watch begins anew right after the last event. (etcd's
  own word that nothing happened comes every ten minutes.)
- A lifetime is a lease of its own, granted with each write; `refresh` keeps it alive. That of the
  write before ends by itself, with no key attached.
- The token that a password is exchanged for is renewed when etcd does not know it any more.

`docs/decisions/0021` says why this is no library.
"""

import itertools
import json
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from calico_ctl.datastore import etcd_v3_messages as messages
from calico_ctl.datastore import etcd_v3_session
from calico_ctl.datastore.connection import Connection
from calico_ctl.datastore.etcd_requests import (
    Client,
    EtcdSettings,
    changed_meanwhile,
    left,
    misplaced,
)
from calico_ctl.datastore.etcd_servers import Round
from calico_ctl.datastore.etcd_v3_messages import Object
from calico_ctl.datastore.etcd_v3_paging import Paging
from calico_ctl.datastore.etcd_v3_session import Question, ReadText, Session, TokenRefused
from calico_ctl.datastore.etcd_v3_transaction import BELOW_A_KEY, Transaction
from calico_ctl.datastore.store import Change, Entry, Event, Leaves, Made, Page, Put, Tree
from calico_ctl.errors import HistoryLost

_PAGE = 2000
"""Keys that are read at once: 2 MB of endpoints."""

_READINGS = 5
"""How often a tree is begun if its revision is compacted away while it is read."""

# A single change is returned at once; of a backlog, several together, since who takes them in costs
# more by the batch than by the change. Seconds to wait for the next: if etcd has more, and if not.
_BATCH_LIMIT = 50
_BACKLOG_PATIENCE = 0.002

_WATCHES = 8
"""Streams that are kept for whoever continues them."""

_Pages = tuple[list[Object], int]

_RANGE = "/v3/kv/range"
_TXN = "/v3/kv/txn"
_GRANT = "/v3/lease/grant"
_KEEP_ALIVE = "/v3/lease/keepalive"
_WATCH = "/v3/watch"


class EtcdV3(Client):
    """A `Store` over etcd's v3 API. Usable from several threads."""

    version = 3

    def __init__(self, settings: EtcdSettings) -> None:
        """Contact nobody yet."""
        self._session = Session(settings)
        super().__init__(self._session.requests)
        self._cluster: str | None = None
        # of keys that were put with a lifetime: with which lease
        self._leases: dict[str, str] = {}

    def get(self, key: str) -> Entry | None:
        """Return the entry, or None if there is none. Reads are linearized (quorum)."""
        if key == "/":
            return Entry(key, None, 0)
        answered = self._session.read(Question(key, _TXN, {"success": messages.whether(key)}))
        itself, inside = (messages.found_in(each) for each in answered["responses"])
        if itself:
            return itself[0]
        return Entry(key, None, inside[0].revision) if inside else None

    def tree(self, directory: str) -> Tree:
        """Return everything below a directory; no entries if it does not exist."""
        said, revision = self._read_all(directory, (), lambda: messages.read)
        found = (entry for page in said for entry in messages.found_in(page))
        return Tree(messages.tree(found, directory), revision)

    def leaves(
        self, directory: str, without: tuple[str, ...] = (), page: Page | None = None
    ) -> Leaves:
        """Return all keys with values below a directory but those that begin as `without` says.

        Each page is given to `page` while etcd puts the next one together.
        """
        said, revision = self._read_all(directory, without, partial(_leaf_reader, page))
        found: dict[str, tuple[str, int]] = {}
        for each in said:
            found |= each["kvs"]
        return Leaves(found, revision)

    def _read_all(
        self, directory: str, without: tuple[str, ...], reader: Callable[[], ReadText]
    ) -> _Pages:
        """Return pages with all keys below a directory, and of which revision they are.

        Whenever it begins, `reader` returns what reads the pages.
        """

        def read(token: str) -> _Pages:
            return self._requests.read(
                lambda turn: self._pages(
                    Paging(directory, without, _PAGE), directory, reader(), turn, token
                )
            )

        for _ in range(_READINGS):
            try:
                return self._session.as_user(directory, read)
            except HistoryLost:
                continue
        raise self._requests.refused(directory, "it is compacted faster than it can be read")

    def _pages(
        self, paging: Paging, directory: str, read_page: ReadText, turn: Round, token: str
    ) -> _Pages:
        first = Question(directory, _RANGE, paging.first(), read_page)
        said = self._session.asked_in_turn(first, paging.following, turn, token)
        if not paging.fits(said):
            raise self._requests.not_etcd()
        self._cluster = said[0]["header"]["cluster_id"]
        return said, _revision(said[0])

    def put(self, key: str, value: str, ttl: int | None = None) -> Entry:
        """Write without a condition: only for keys with a single writer."""
        lease = ""
        if ttl is not None:
            lease = self._session.read(Question(key, _GRANT, {"TTL": str(ttl)}))["ID"]
        said = self._write(
            key,
            {
                "compare": messages.placeable(key),
                "success": [messages.putting(key, value, lease)],
                "failure": messages.whether(key),
            },
        )
        if said.get("succeeded"):
            self._leases[key] = lease
            return Entry(key, value, _revision(said))
        _, inside = (messages.found_in(each) for each in said["responses"])
        raise misplaced(key, "is a directory" if inside else BELOW_A_KEY)

    def refresh(self, key: str, ttl: int) -> bool:
        """Let a key that was put here with this `ttl` stay for that many seconds from now."""
        del ttl  # a lease is for as long as it was granted
        lease = self._leases.get(key)
        if not lease or self.get(key) is None:
            return False
        said = self._session.read(Question(key, _KEEP_ALIVE, {"ID": lease}))
        return "TTL" in said["result"]

    def create(self, key: str, value: str | None) -> Entry:
        """Make a key, or a directory if `value` is None; raise AlreadyExists if it is there."""
        return self.write_together([Put(key, value)])[key]

    def swap(self, seen: Entry, value: str) -> Entry:
        """Write if the key is still as `seen`; raise Conflict if it changed or is gone."""
        return self.write_together([Put(seen.key, value, seen)])[seen.key]

    def delete(self, key: str, seen: Entry | None = None) -> bool:
        """Delete a key, or a directory with all that is below it; say whether it was there.

        With `seen`, raise Conflict if the key changed since, or is a directory that is not empty.
        """
        itself = {"key": messages.coded(key)}
        marker = {"key": messages.coded(f"{key}/")}
        if seen is None:
            conditions, gone = [], [itself, messages.below(key)]
        elif seen.is_directory:
            inside = {**messages.below(key), "key": messages.coded(f"{key}/\0")}
            conditions, gone = messages.absent(itself, inside), [marker]
        else:
            conditions, gone = [messages.unchanged(seen)], [itself]
        said = self._write(
            key,
            {
                "compare": conditions,
                "success": messages.deleting(*gone),
                "failure": messages.whether(key),
            },
        )
        if said.get("succeeded"):
            return messages.deleted_in(said) > 0
        if any(messages.found_in(each) for each in said["responses"]):
            raise changed_meanwhile(key)
        return False

    def write_together(
        self, changes: Sequence[Change], made: Made | None = None
    ) -> Mapping[str, Entry]:
        """Make changes, all or none; of more than etcd takes at once, some and then the others."""
        written: dict[str, Entry] = {}
        waiting = deque(changes)
        while waiting:
            transaction = Transaction(written)
            while waiting and transaction.takes(waiting[0]):
                waiting.popleft()
            said = self._write(transaction.key, transaction.wanted())
            if not said.get("succeeded"):
                raise transaction.refusal([messages.found_in(each) for each in said["responses"]])
            written |= transaction.written(_revision(said))
            if made is not None:
                for change in transaction.changes:
                    made(change)
        return written

    def watch(self, directory: str, after: int, timeout: float) -> Sequence[Event]:
        """Wait for changes below a directory with a revision greater than `after`, oldest first.

        Returns, as soon as there is one, as many as come at once; an empty sequence if nothing came
        within `timeout` seconds. Raises HistoryLost if changes were compacted away, StoreReplaced
        if the store was wiped. If a member fails meanwhile, it goes on at the next.
        """
        ends = time.monotonic() + timeout

        def read(token: str) -> list[Event]:
            def attempt(turn: Round) -> list[Event]:
                # The stream is kept through many watches. If it breaks, who knows what became of
                # that member's store: it is not asked again without a word to whoever follows.
                turn.asked_again = True
                return self._changes(directory, after, ends, turn, token)

            return self._requests.read(attempt, timeout)

        events = self._session.as_user(directory, read)
        if not events:
            self._require_same_store(directory, after)
        return events

    def _changes(
        self, directory: str, after: int, ends: float, turn: Round, token: str
    ) -> list[Event]:
        """Return what comes, by the stream that was left where this watch begins, or a new one."""
        name = _stream_name(directory, after)
        lent = self._left_behind(name, turn)

        def ask(connection: Connection) -> None:
            if connection.asked != name:
                wanted = {"create_request": _watched(directory, after)}
                connection.post(_WATCH, json.dumps(wanted), etcd_v3_session.authorization(token))
                connection.asked = name

        with self._requests.asking(name, lent, turn, ask) as stream:
            events = self._events(stream, directory, after, ends)
            if events:
                stream.asked = _stream_name(directory, events[-1].revision)
            else:
                stream.close()  # nobody knows whether anything would still come by it
        self._keep(lent)
        return events

    def _events(self, stream: Connection, directory: str, after: int, ends: float) -> list[Event]:
        """Return events; none if nothing came, or the member has not come as far as `after`."""
        events: list[Event] = []
        line = stream.line(left(ends))
        while line is not None:
            said = self._told(stream, line, directory, after)
            if "created" in said and _revision(said) < after:
                break
            events += messages.events(said.get("events", ()), directory)
            if not events:
                line = stream.line(left(ends)) if time.monotonic() < ends else None
                continue
            if events[0].revision <= after:
                raise self._requests.replaced()
            if len(events) >= _BATCH_LIMIT:
                break
            is_behind = _revision(said) > events[-1].revision
            try:
                line = stream.line(_BACKLOG_PATIENCE if is_behind else 0)
            except OSError:
                break  # what came is whole; whoever goes on from here is told
        return events

    def _told(self, stream: Connection, line: bytes, directory: str, after: int) -> Object:
        """Return what a stream says; raise what it says of its end."""
        said = messages.read(line.decode())
        self._session.require_no_trouble(directory, said, stream.host)
        told: Object = said["result"]
        self._require_known_cluster(told)
        if int(told.get("compact_revision", 0)):
            message = f"etcd at {self.address} no longer remembers the changes after {after}"
            raise HistoryLost(message)
        if told.get("canceled"):
            reason = str(told.get("cancel_reason", ""))
            if etcd_v3_session.is_about_who_asks(reason):
                raise TokenRefused  # a token that is not known any more looks like a missing right
            raise self._requests.refused(directory, reason or "the watch was cancelled")
        return told

    def _left_behind(self, name: str, turn: Round) -> "deque[Connection]":
        """Return the stream that somebody left, taken out of those that are kept, or nothing."""
        for each in list(self._watching):
            if each.asked == name and each.host not in turn.failed:
                try:
                    self._watching.remove(each)
                except ValueError:
                    continue  # another thread was faster
                return deque([each])
        return deque()

    def _keep(self, lent: "deque[Connection]") -> None:
        self._watching.extend(lent)
        while len(self._watching) > _WATCHES:
            self._watching.popleft().close()

    def _require_same_store(self, directory: str, after: int) -> None:
        """Raise if etcd says nothing at all, or that it has not come as far as `after`.

        Who lags behind is asked again after it has caught up. While there is no leader, that takes
        long; so all others are not asked like that.
        """
        for local in (True, False):
            wanted = {"key": messages.coded(directory), "count_only": True, "serializable": local}
            said = self._session.read(Question(directory, _RANGE, wanted))
            self._require_known_cluster(said)
            if _revision(said) >= after:
                return
        raise self._requests.replaced()

    def _require_known_cluster(self, said: Mapping[str, Any]) -> None:
        known, self._cluster = self._cluster, said["header"]["cluster_id"]
        if known is not None and self._cluster != known:
            raise self._requests.replaced()

    def _write(self, key: str, wanted: Mapping[str, Any]) -> Object:
        return self._session.write(Question(key, _TXN, wanted))


def _leaf_reader(page: Page | None) -> ReadText:
    """Return what reads one page after the other, and gives them to `page`."""
    numbers = itertools.count()

    def read(text: str) -> Object:
        said = messages.read_leaves(text)
        if page is not None:
            page(next(numbers), said["kvs"])
        return said

    return read


def _revision(said: Mapping[str, Any]) -> int:
    return int(said["header"]["revision"])


def _watched(directory: str, after: int) -> Object:
    return {**messages.around(directory), "start_revision": str(after + 1)}


def _stream_name(directory: str, after: int) -> str:
    """Return what a stream is called that tells what happens to a directory after a revision."""
    return f"{directory} after {after}"
