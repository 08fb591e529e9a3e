"""etcd's v2 API behind the verbs of `store`: the only place that knows its keys and codes.

What it promises:

- A write is sent once, a read may go to another member: see `etcd_requests`.
- A missing key is one that etcd says is missing: with its error code. A 404 without it came from
  something that is not the v2 API. 401 and 403 without it are about who we are.
- Of a user's password etcd makes a hash for every request, 73 ms of a core, and goes on with it
  when nobody waits any more: who gave up and asked again would make the queue longer. So who has
  one waits on as long as etcd answers what needs none, at most `_BUSY_SECONDS`.
- The cluster's id is compared where it matters: a watch compares with the last `tree`.
- Answers of any size become entries as they are parsed: of a whole tree (11 MB for 10,000
  endpoints) the bytes, the text and all of its objects would be too much at once.
- It is imported in a few milliseconds, and a request takes little processor time: that decides how
  large a burst an agent can follow before etcd has forgotten its beginning, since a watch costs one
  request for each event. `docs/decisions/0016` has numbers.

What etcd's watches get wrong for us:

- A watch on a store that was wiped waits for an index that it may never see again. After each
  watch that saw nothing we ask for the current index, on another connection, which also tells a
  silent server from a quiet one. (The headers of a watch hold the index too and come at once, but
  not through `etcd --proxy`, which hosts are advised to run.) A member that lags behind the others
  looks wiped; so it is asked again after it has caught up, which a quorum read waits for.
- `stream=true` would be faster still, but loses events without a word: when it starts at an old
  index, and when its reader is slow.
- etcd hides every key with a part that starts with `_` from listings and live watches.
"""

import json
import time
from base64 import b64encode
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from operator import attrgetter
from typing import Any, TypeVar
from urllib.parse import quote, urlencode

from calico_ctl.datastore import in_order
from calico_ctl.datastore.connection import Answer, Connection
from calico_ctl.datastore.etcd_requests import (
    Ask,
    Client,
    Requests,
    changed_meanwhile,
    left,
    misplaced,
)
from calico_ctl.datastore.etcd_requests import EtcdSettings as EtcdSettings  # noqa: PLC0414
from calico_ctl.datastore.etcd_servers import Round, ServerFailed
from calico_ctl.datastore.store import (
    LARGEST_VALUE,
    Change,
    Entry,
    Event,
    Leaves,
    Made,
    Page,
    Tree,
)
from calico_ctl.errors import AlreadyExists, CalicoError, HistoryLost

# A single change is returned at once; of a backlog, several together, since who takes them in costs
# more by the batch than by the change. The first of a batch waits for the last, 0.2 ms for each.
# What etcd has, it sends within the patience; if it has only changes elsewhere, or is far away, the
# question stays out for the next watch.
_BATCH_LIMIT = 50
_BACKLOG_PATIENCE = 0.002

_T = TypeVar("_T")

_BUSY_SECONDS = 60.0

_VERSION = "/version"

_KEYS = "/v2/keys"
_OK = 200
_FORBIDDEN = {401, 403}
_NOT_V2 = "this etcd does not serve the v2 API: start it with --enable-v2, or set ETCD_API=3"

# Error codes.
_NOT_FOUND = 100
_COMPARE_FAILED = 101
_NOT_A_FILE = 102
_NOT_A_DIRECTORY = 104
_EXISTS = 105
_DIRECTORY_NOT_EMPTY = 108
_UNAUTHORIZED = 110
_RAFT_TROUBLE = range(300, 400)
_HISTORY_LOST = 401
_KEY_ERRORS = {
    _NOT_FOUND,
    _COMPARE_FAILED,
    _NOT_A_FILE,
    _EXISTS,
    _DIRECTORY_NOT_EMPTY,
    _HISTORY_LOST,
}


class Etcd(Client):
    """A `Store` over etcd's v2 API. Usable from several threads."""

    version = 2

    def __init__(self, settings: EtcdSettings) -> None:
        """Contact nobody yet."""
        super().__init__(Requests(settings, _NOT_V2, _authorization(settings)))
        self._patience = settings.timeout
        self._has_password = bool(settings.username)
        self._cluster: str | None = None

    def get(self, key: str) -> Entry | None:
        """Return the entry, or None if there is none. Reads are linearized (quorum)."""

        def read(turn: Round) -> Entry | None:
            with self._requests.asking(
                f"{_path(key)}?quorum=true", self._requests.free, turn
            ) as connection:
                found = self._outcome(
                    key, self._answer(connection, turn, self._servers.patience(turn))
                )
                if isinstance(found, Entry):
                    return found
                if found == _NOT_FOUND:
                    return None
                raise self._refused(key, found, "an error that reading does not lead to")

        return self._requests.read(read)

    def tree(self, directory: str) -> Tree:
        """Return everything below a directory; no entries if it does not exist."""
        return Tree(*self._read_all(directory, partial(_entries, directory)))

    def leaves(
        self, directory: str, without: tuple[str, ...] = (), page: Page | None = None
    ) -> Leaves:
        """Return all keys with values below a directory but those that begin as `without` says."""
        del page  # etcd says it all at once
        return Leaves(*self._read_all(directory, partial(_leaves, directory, without)))

    def _read_all(self, directory: str, understood: Callable[[str], _T]) -> tuple[_T, int]:
        """Return what etcd says of all that is below a directory, and of which revision it is."""
        path = f"{_path(directory)}?recursive=true&quorum=true&sorted=true"

        def read(turn: Round) -> tuple[_T, int]:
            with self._requests.asking(path, self._requests.free, turn) as connection:
                answer = self._answer(connection, turn, self._servers.patience(turn))
                if answer.status != _OK:
                    self._require_about_key(directory, self._object(directory, answer))
                self._cluster = answer.headers.get("x-etcd-cluster-id")
                return understood(answer.text), _index(answer)

        return self._requests.read(read)

    def put(self, key: str, value: str, ttl: int | None = None) -> Entry:
        """Write without a condition: only for keys with a single writer."""
        form = {"value": value} if ttl is None else {"value": value, "ttl": str(ttl)}
        written = self._put(key, "", form)
        if isinstance(written, Entry):
            return written
        if written == _NOT_A_FILE:
            raise misplaced(key, "is a directory")
        raise self._refused(key, written, "an error that writing does not lead to")

    def refresh(self, key: str, ttl: int) -> bool:
        """Let a key that was put with a `ttl` stay for that many seconds from now; tell nobody."""
        form = {"refresh": "true", "ttl": str(ttl)}
        written = self._put(key, "?prevExist=true", form)
        # An etcd before 2.3 does not know how to, and has written an empty value instead.
        return isinstance(written, Entry) and bool(written.value)

    def create(self, key: str, value: str | None) -> Entry:
        """Make a key, or a directory if `value` is None; raise AlreadyExists if it is there."""
        form = {"dir": "true"} if value is None else {"value": value}
        made = self._put(key, "?prevExist=false", form)
        if isinstance(made, Entry):
            return made
        raise AlreadyExists(f"{key} exists already")

    def swap(self, seen: Entry, value: str) -> Entry:
        """Write if the key is still as `seen`; raise Conflict if it changed or is gone."""
        written = self._put(seen.key, f"?prevIndex={seen.revision}", {"value": value})
        if isinstance(written, Entry):
            return written
        raise changed_meanwhile(seen.key)

    def delete(self, key: str, seen: Entry | None = None) -> bool:
        """Delete a key, or a directory with all that is below it; say whether it was there.

        With `seen`, raise Conflict if the key changed since, or is a directory that is not empty.
        """
        if seen is None:
            condition = "recursive=true"
        elif seen.is_directory:
            condition = "dir=true"
        else:
            condition = f"prevIndex={seen.revision}"
        path = f"{_path(key)}?{condition}"
        outcome = self._write(key, path, lambda connection: connection.delete(path))
        if isinstance(outcome, Entry):
            return True
        if outcome == _NOT_FOUND:
            return False
        raise changed_meanwhile(key)

    def write_together(
        self, changes: Sequence[Change], made: Made | None = None
    ) -> Mapping[str, Entry]:
        """Make changes one after the other, up to the first that is refused."""
        return in_order.write(self, changes, made)

    def watch(self, directory: str, after: int, timeout: float) -> Sequence[Event]:
        """Wait for changes below a directory with a revision greater than `after`, oldest first.

        Returns, as soon as there is one, as many as come at once; an empty sequence if nothing came
        within `timeout` seconds. Raises HistoryLost if changes were forgotten, StoreReplaced if the
        store was wiped. If a member fails meanwhile, it goes on at the next: they count alike.
        """
        ends = time.monotonic() + timeout

        def read(turn: Round) -> list[Event]:
            # The connection is kept through many watches. If it breaks, who knows what became of
            # that member's store: it is not asked again without a word to whoever follows.
            turn.asked_again = True
            return self._changes(directory, after, ends, turn)

        events = self._requests.read(read, timeout)
        if not events:
            self._require_same_store(directory, after)
        return events

    def _changes(self, directory: str, after: int, ends: float, turn: Round) -> list[Event]:
        events: list[Event] = []
        with self._requests.asking(_change_after(directory, after), self._watching, turn) as poll:
            answer = poll.wait(left(ends))
            if answer is None:
                poll.close()  # the question is still out, on a connection that may be dead
            while answer is not None:
                event = self._event(answer, directory, after)
                events.append(event)
                after = event.revision
                if after >= _index(answer) or len(events) == _BATCH_LIMIT:
                    break
                poll.ask(_change_after(directory, after))
                answer = poll.wait(_BACKLOG_PATIENCE)
        return events

    def _event(self, answer: Answer, directory: str, after: int) -> Event:
        said = self._said(answer, directory)
        if said.get("errorCode") == _HISTORY_LOST:
            message = f"etcd at {self.address} no longer remembers the changes after {after}"
            raise HistoryLost(message)
        event = _event(said)
        if event.revision <= after:
            raise self._requests.replaced()
        return event

    def _require_same_store(self, directory: str, after: int) -> None:
        """Raise if etcd says nothing at all, or that it has not come as far as `after`."""
        if self._revision(directory) < after and self._revision(directory, "?quorum=true") < after:
            raise self._requests.replaced()

    def _revision(self, directory: str, condition: str = "") -> int:
        def read(turn: Round) -> int:
            with self._requests.asking(
                f"{_path(directory)}{condition}", self._requests.free, turn
            ) as connection:
                answer = self._answer(connection, turn, self._servers.patience(turn))
                self._said(answer, directory)
                return _index(answer)

        return self._requests.read(read)

    def _said(self, answer: Answer, directory: str) -> dict[str, Any]:
        """Return what etcd says: about a change, or an error about the key."""
        said = self._object(directory, answer)
        self._require_about_key(directory, said)
        known, self._cluster = self._cluster, answer.headers.get("x-etcd-cluster-id")
        if known is not None and self._cluster != known:
            raise self._requests.replaced()
        return said

    def _put(self, key: str, condition: str, fields: Mapping[str, str]) -> Entry | int:
        if (size := len(fields.get("value", "").encode())) > LARGEST_VALUE:
            raise self._requests.refused(key, f"a value of {size} bytes is too large")
        path, form = f"{_path(key)}{condition}", urlencode(fields)
        return self._write(key, path, lambda connection: connection.put(path, form))

    def _write(self, key: str, path: str, ask: Ask) -> Entry | int:
        """Send a change, once; return the entry, or the error code if that is about the key."""

        def write(turn: Round) -> Entry | int:
            with self._requests.asking(path, self._requests.free, turn, ask) as connection:
                return self._outcome(key, self._answer(connection, turn, turn.left()))

        return self._requests.write(key, write)

    def _answer(self, connection: Connection, turn: Round, patience: float) -> Answer:
        """Wait for an answer so many seconds; longer if a password is to be looked at first."""
        answer = connection.wait(patience)
        if answer is None and self._has_password:
            answer = self._wait_for_our_turn(connection)
        if answer is None:
            raise self._servers.no_answer(connection.host, patience, turn)
        code = _error_code(answer)
        if code is not None and code in _RAFT_TROUBLE:
            raise ServerFailed(connection.host, "the etcd cluster has no leader")
        return answer

    def _wait_for_our_turn(self, connection: Connection) -> Answer | None:
        """Wait on while the server is busy with passwords; None if it is not, or for too long."""
        ends = time.monotonic() + _BUSY_SECONDS
        answer = None
        while answer is None and time.monotonic() < ends and self._is_alive(connection.host):
            answer = connection.wait(self._patience)
        return answer

    def _is_alive(self, server: str) -> bool:
        """Say whether a server answers what needs no password."""
        turn = self._servers.round(self._patience)
        try:
            with self._requests.asking(_VERSION, self._requests.free, turn) as asked:
                self._requests.answer(asked, turn, turn.left())
                return asked.host == server
        except CalicoError:
            return False

    def _outcome(self, key: str, answer: Answer) -> Entry | int:
        """Return the entry that an answer is about, or its error code if that is about the key."""
        said = self._object(key, answer)
        self._require_about_key(key, said)
        if "errorCode" in said:
            return int(said["errorCode"])
        node = said["node"]
        if node.get("dir"):
            # The root has neither a name nor a revision.
            return Entry(node.get("key", key), None, node.get("modifiedIndex", 0))
        return Entry(node["key"], node.get("value"), node["modifiedIndex"])

    def _object(self, key: str, answer: Answer) -> dict[str, Any]:
        try:
            value = json.loads(answer.text)
        except ValueError:
            value = None
        said: dict[str, Any] = value if isinstance(value, dict) else {}
        if answer.status in _FORBIDDEN and "errorCode" not in said:
            raise self._requests.forbidden(key)
        if not isinstance(value, dict):
            raise ValueError("no JSON object")  # noqa: TRY004 - it is said to be no answer of etcd
        return said

    def _require_about_key(self, key: str, said: Mapping[str, Any]) -> None:
        code = said.get("errorCode")
        if code is not None and code not in _KEY_ERRORS:
            raise self._refused(key, code, said.get("message"))

    def _refused(self, key: str, code: int, message: object) -> CalicoError:
        if code == _NOT_A_DIRECTORY:
            return misplaced(key, "lies below a key that is not a directory")
        if code == _UNAUTHORIZED:
            return self._requests.forbidden(key)
        return self._requests.refused(key, message)


def _authorization(settings: EtcdSettings) -> list[tuple[str, str]]:
    if not settings.username:
        return []
    words = b64encode(f"{settings.username}:{settings.password}".encode()).decode()
    return [("Authorization", f"Basic {words}")]


def _error_code(answer: Answer) -> int | None:
    """Return etcd's error code, if it is one that a server in trouble gives."""
    if answer.status < 500:
        return None
    try:
        code = json.loads(answer.text).get("errorCode")
    except (ValueError, AttributeError, RecursionError):
        return None
    return code if isinstance(code, int) else None


def _index(answer: Answer) -> int:
    """Return how far the store had come when it looked at the question. KeyError: not etcd's."""
    return int(answer.headers["x-etcd-index"])


def _entries(directory: str, text: str) -> tuple[Entry, ...]:
    """Return what is below a directory according to an answer, in the order of keys.

    Each node becomes an Entry as soon as it is parsed, and nothing else of it stays.
    """
    entries: list[Entry] = []

    def take(node: dict[str, Any]) -> None:
        if "modifiedIndex" in node:
            entries.append(Entry(node["key"], node.get("value"), node["modifiedIndex"]))

    json.loads(text, object_hook=take)
    if entries and entries[-1].key == directory:
        entries.pop()
    entries.sort(key=attrgetter("key"))
    return tuple(entries)


def _leaves(directory: str, without: tuple[str, ...], text: str) -> dict[str, tuple[str, int]]:
    """Return the keys with values below a directory according to an answer, but for some."""
    leaves: dict[str, tuple[str, int]] = {}

    def take(node: dict[str, Any]) -> None:
        if "value" in node and not node["key"].startswith(without):
            leaves[node["key"]] = node["value"], node["modifiedIndex"]

    json.loads(text, object_hook=take)
    leaves.pop(directory, None)
    return leaves


def _event(said: Mapping[str, Any]) -> Event:
    node = said["node"]
    deleted = said["action"] in {"delete", "compareAndDelete", "expire"}
    return Event(
        node["key"], None if deleted else node.get("value"), node["modifiedIndex"], deleted
    )


def _path(key: str) -> str:
    return _KEYS + quote(key)


def _change_after(directory: str, after: int) -> str:
    return f"{_path(directory)}?wait=true&recursive=true&waitIndex={after + 1}"
