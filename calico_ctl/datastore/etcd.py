"""python-etcd behind the seven verbs of `store`: the only place that knows it.

What python-etcd gets wrong for us, and how it is kept out:

- urllib3 below it tries everything four times. A compare-and-swap that is tried again reports
  failure for its own success, and a watch lasts four times as long. Retries are off; only a read
  whose connection broke is tried once more.
- Time limits are per connection and per read. Each request here has one limit for both, and the
  resolver, which knows no limit at all, is asked in a thread.
- Any 404 looks like a missing key. A real one carries etcd's error code; without it the answer
  came from something that is not the v2 API.
- It compares the cluster's id with that of the answer before, whoever got that one, and complains
  only after a request was carried out. It is made to forget; a watch compares with the last `tree`.
- It is slow where an agent is busy. A watch costs one request for each event, and python-etcd takes
  300 us of processor time for one, urllib3 alone 270, http.client 160, a `Connection` 60. That
  decides how large a burst an agent can follow before etcd has forgotten its beginning. And of a
  whole tree (11 MB for 10,000 endpoints) it would hold the bytes, the text and all of its objects
  at once. So `watch`, `tree` and `put`, which are all that an agent needs to begin, do without it,
  and it is imported (60 ms) when one of the others is called.

What etcd's watches get wrong for us:

- A watch on a store that was wiped waits for an index that it may never see again. After each
  watch that saw nothing we ask for the current index, on another connection, which also tells a
  silent server from a quiet one. (The headers of a watch hold the index too and come at once, but
  not through `etcd --proxy`, which hosts are advised to run.)
- `stream=true` would be faster still, but loses events without a word: when it starts at an old
  index, and when its reader is slow.
- etcd hides every key with a part that starts with `_` from listings and live watches.
"""

import json
import logging
import socket
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cached_property
from operator import attrgetter
from threading import Thread
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import quote, urlencode

from calico_ctl.datastore.connection import OPTIONS, Answer, Connection, TlsFailed
from calico_ctl.datastore.store import Entry, Event, StoreReplaced, Tree
from calico_ctl.errors import (
    AlreadyExists,
    CalicoError,
    Conflict,
    DatastoreError,
    DatastoreUnavailable,
    HistoryLost,
)

_T = TypeVar("_T")
if TYPE_CHECKING:
    from types import ModuleType

    import etcd

_Verb = Callable[..., Any]

# A single change is returned at once; of a backlog, several together, since who takes them in costs
# more by the batch than by the change. The first of a batch waits for the last, 0.2 ms for each.
# What etcd has, it sends within the patience; if it has only changes elsewhere, or is far away, the
# question stays out for the next watch.
_BATCH_LIMIT = 50
_BACKLOG_PATIENCE = 0.002

_KEYS = "/v2/keys"
_OK = 200
_NOT_V2 = "this etcd does not serve the v2 API: start it with --enable-v2"
_NO_TLS = "TLS failed: is it an https endpoint, is its certificate trusted?"
_NOT_A_FILE = 102
_NOT_A_DIRECTORY = 104
_HISTORY_LOST = 401
_RAFT_TROUBLE = range(300, 400)


@dataclass(frozen=True, slots=True)
class EtcdSettings:
    """Where etcd is and how long it may take.

    `connect_timeout` bounds reaching it, `timeout` a whole request; both are seconds.
    """

    host: str = "127.0.0.1"
    port: int = 4001
    scheme: str = "http"
    connect_timeout: float = 2.0
    timeout: float = 4.0


class Etcd:
    """A `Store` over etcd's v2 API. Usable from several threads."""

    def __init__(self, settings: EtcdSettings) -> None:
        """Contact nobody yet."""
        logging.getLogger("etcd").setLevel(logging.CRITICAL)  # what it reports, we raise
        self._settings = settings
        self._host = f"[{settings.host}]" if ":" in settings.host else settings.host
        self._resolved = False
        self._cluster: str | None = None
        # free ones; and those of watches: free, or with a question that is still out
        self._free: deque[Connection] = deque()
        self._watching: deque[Connection] = deque()

    @cached_property
    def _client(self) -> "etcd.Client":
        import urllib3

        settings = self._settings
        client = _library().Client(self._host, settings.port, protocol=settings.scheme)
        client.http = urllib3.PoolManager(retries=False, maxsize=10, socket_options=OPTIONS)
        # there is no public way
        client._read_timeout = urllib3.Timeout(
            total=settings.timeout, connect=settings.connect_timeout
        )
        return client

    @property
    def address(self) -> str:
        """Where etcd is, for messages: `<host>:<port>`."""
        return f"{self._host}:{self._settings.port}"

    def close(self) -> None:
        """Close idle connections; the store stays usable."""
        if "_client" in self.__dict__:
            self._client.http.clear()
        for kept in (self._free, self._watching):
            while kept:
                kept.pop().close()

    def get(self, key: str) -> Entry | None:
        """Return the entry, or None if there is none. Reads are linearized (quorum)."""
        try:
            return _entry(_again_if_broken(lambda: self._call(self._client.read, key, quorum=True)))
        except _library().EtcdKeyNotFound:
            return None

    def tree(self, directory: str) -> Tree:
        """Return everything below a directory; no entries if it does not exist."""
        return _again_if_broken(lambda: self._tree(directory))

    def _tree(self, directory: str) -> Tree:
        path = f"{_path(directory)}?recursive=true&quorum=true&sorted=true"
        with self._asking(path, self._free) as connection:
            answer = self._answer(connection)
            if answer.status != _OK:
                self._require_about_key(directory, _object(answer.text))
            self._cluster = answer.headers.get("x-etcd-cluster-id")
            return Tree(_entries(answer.text, directory), _index(answer))

    def put(self, key: str, value: str, ttl: int | None = None) -> Entry:
        """Write without a condition: only for keys with a single writer."""
        form = urlencode({"value": value} if ttl is None else {"value": value, "ttl": ttl})
        with self._asking(_path(key), self._free, form) as connection:
            said = _object(self._answer(connection).text)
            if said.get("errorCode") == _NOT_A_FILE:
                raise _misplaced(key, "is a directory")
            if "errorCode" in said:
                raise self._refused(key, said["errorCode"], said.get("message"))
            node = said["node"]
            return Entry(node["key"], node["value"], node["modifiedIndex"])

    def create(self, key: str, value: str | None) -> Entry:
        """Make a key, or a directory if `value` is None; raise AlreadyExists if it is there."""
        as_directory = value is None
        try:
            made = self._call(self._client.write, key, value, dir=as_directory, prevExist=False)
        except (_library().EtcdAlreadyExist, _library().EtcdNotFile) as error:
            raise AlreadyExists(f"{key} exists already") from error
        return _entry(made)

    def swap(self, seen: Entry, value: str) -> Entry:
        """Write if the key is still as `seen`; raise Conflict if it changed or is gone."""
        try:
            return _entry(self._call(self._client.write, seen.key, value, prevIndex=seen.revision))
        except (
            _library().EtcdCompareFailed,
            _library().EtcdKeyNotFound,
            _library().EtcdNotFile,
        ) as error:
            raise _changed_meanwhile(seen.key) from error

    def delete(self, key: str, seen: Entry | None = None) -> bool:
        """Delete a key, or a directory with all that is below it; say whether it was there.

        With `seen`, raise Conflict if the key changed since, or is a directory that is not empty.
        """
        if seen is None:
            condition: dict[str, object] = {"recursive": True}
        elif seen.is_directory:
            condition = {"dir": True}
        else:
            condition = {"prevIndex": seen.revision}
        try:
            self._call(self._client.delete, key, **condition)
        except _library().EtcdKeyNotFound:
            return False
        except (
            _library().EtcdCompareFailed,
            _library().EtcdNotFile,
            _library().EtcdDirNotEmpty,
        ) as error:
            raise _changed_meanwhile(key) from error
        return True

    def watch(self, directory: str, after: int, timeout: float) -> Sequence[Event]:
        """Wait for changes below a directory with a revision greater than `after`, oldest first.

        Returns, as soon as there is one, as many as come at once; an empty sequence if nothing came
        within `timeout` seconds. Raises HistoryLost if changes were forgotten, StoreReplaced if the
        store was wiped.
        """
        events = self._changes(directory, after, timeout)
        if not events:
            self._require_same_store(directory, after)
        return events

    def _changes(self, directory: str, after: int, timeout: float) -> list[Event]:
        events: list[Event] = []
        with self._asking(_change_after(directory, after), self._watching) as poll:
            answer = poll.wait(timeout)
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
            raise self._replaced()
        return event

    def _require_same_store(self, directory: str, after: int) -> None:
        """Raise if etcd says nothing at all, or that it has not come as far as `after`."""
        with self._asking(_path(directory), self._free) as connection:
            answer = self._answer(connection)
            self._said(answer, directory)
            if _index(answer) < after:
                raise self._replaced()

    def _said(self, answer: Answer, directory: str) -> dict[str, Any]:
        """Return what etcd says: about a change, or an error about the key."""
        said = _object(answer.text)
        self._require_about_key(directory, said)
        known, self._cluster = self._cluster, answer.headers.get("x-etcd-cluster-id")
        if known is not None and self._cluster != known:
            raise self._replaced()
        return said

    def _require_about_key(self, key: str, said: Mapping[str, Any]) -> None:
        code = said.get("errorCode")
        if code is not None and code not in _KEY_ERRORS:
            raise self._refused(key, code, said.get("message"))

    @contextmanager
    def _asking(
        self, path: str, kept: deque[Connection], form: str | None = None
    ) -> Iterator[Connection]:
        """Lend a connection on which `path` was asked for, or `form` put there.

        It comes from those that are kept, and is kept unless something goes wrong.
        """
        connection = _taken_from(kept, path) or self._connect()
        try:
            if form is None:
                connection.ask(path)
            else:
                connection.put(path, form)
            yield connection
        except BaseException as error:
            connection.close()
            if isinstance(error, OSError):
                raise _ConnectionBroke(self.address, "connection lost") from error
            if isinstance(error, ValueError | KeyError | RecursionError):
                raise self._not_etcd() from error
            raise
        if not connection.closed:
            kept.append(connection)

    def _answer(self, connection: Connection) -> Answer:
        """Wait for an answer no longer than a request may take."""
        answer = connection.wait(self._settings.timeout)
        if answer is None:
            raise DatastoreUnavailable(self.address, self._no_answer)
        return answer

    def _connect(self) -> Connection:
        self._resolve()
        settings = self._settings
        try:
            return Connection.to(
                settings.host,
                settings.port,
                name=self.address,
                timeout=settings.connect_timeout,
                tls=settings.scheme == "https",
            )
        except TimeoutError as error:
            raise DatastoreUnavailable(self.address, self._no_connection) from error
        except TlsFailed as error:
            raise DatastoreUnavailable(self.address, _NO_TLS) from error
        except OSError as error:
            raise DatastoreUnavailable(self.address, _system_error(error)) from error

    def _replaced(self) -> StoreReplaced:
        return StoreReplaced(f"etcd at {self.address} was emptied or replaced")

    def _call(self, verb: _Verb, key: str, *arguments: object, **options: object) -> Any:  # noqa: ANN401
        """Make one request. Errors about the key stay python-etcd's; all others become ours."""
        self._resolve()
        self._client.expected_cluster_id = None
        try:
            return verb(quote(key), *arguments, **options)
        except _library().EtcdConnectionFailed as error:
            raise self._unavailable(error.cause) from error
        except _library().EtcdException as error:
            code = _error_code(error)
            if code in _KEY_ERRORS:
                raise
            raise self._refused(key, code, error) from error

    def _resolve(self) -> None:
        """Look the name up, once, in no more time than a connection may take."""
        if self._resolved:
            return
        failure = _lookup(self._settings.host, self._settings.connect_timeout)
        if failure:
            raise DatastoreUnavailable(self.address, failure)
        self._resolved = True

    def _unavailable(self, cause: BaseException) -> DatastoreUnavailable:
        """Say what urllib3 raised below python-etcd."""
        from urllib3 import exceptions

        reasons: dict[type[BaseException], str] = {
            exceptions.NameResolutionError: "name does not resolve",
            exceptions.NewConnectionError: _system_error(cause.__cause__),
            exceptions.ConnectTimeoutError: self._no_connection,
            exceptions.ReadTimeoutError: self._no_answer,
            exceptions.SSLError: _NO_TLS,
            exceptions.ProtocolError: "connection lost",
        }
        known = (text for kind, text in reasons.items() if isinstance(cause, kind))
        broke = isinstance(cause, exceptions.ProtocolError)
        kind = _ConnectionBroke if broke else DatastoreUnavailable
        return kind(self.address, next(known, type(cause).__name__))

    @property
    def _no_connection(self) -> str:
        return f"no connection within {self._settings.connect_timeout:g} s"

    @property
    def _no_answer(self) -> str:
        return f"no answer within {self._settings.timeout:g} s"

    def _refused(self, key: str, code: int | None, message: object) -> CalicoError:
        if code is None:
            return self._not_etcd()
        if code in _RAFT_TROUBLE:
            return DatastoreUnavailable(self.address, "the etcd cluster has no leader")
        if code == _NOT_A_DIRECTORY:
            return _misplaced(key, "lies below a key that is not a directory")
        return DatastoreError(f"etcd at {self.address} refused {key}: {message}")

    def _not_etcd(self) -> DatastoreError:
        return DatastoreError(f"the answer from {self.address} is not etcd's", hint=_NOT_V2)


def _library() -> "ModuleType":
    import etcd

    return etcd  # type: ignore[no-any-return]


class _ConnectionBroke(DatastoreUnavailable):
    """The connection ended before the answer was complete."""


# Not found, compare failed, not a file, exists, directory not empty, index cleared.
_KEY_ERRORS = frozenset({100, 101, 102, 105, 108, _HISTORY_LOST})


def _system_error(error: BaseException | None) -> str:
    said = error.strerror if isinstance(error, OSError) else None
    return (said or "no connection").lower()


def _taken_from(kept: deque[Connection], path: str) -> Connection | None:
    """Take a connection on which `path` can be asked for; close those on which it cannot."""
    with suppress(IndexError):
        while True:
            connection = kept.pop()
            if connection.can_ask(path):
                return connection
            connection.close()
    return None


def _index(answer: Answer) -> int:
    """Return how far the store had come when it looked at the question. KeyError: not etcd's."""
    return int(answer.headers["x-etcd-index"])


def _error_code(error: Exception) -> int | None:
    payload = getattr(error, "payload", None) or {}
    code = payload.get("errorCode")
    return code if isinstance(code, int) else None


def _entry(node: Any) -> Entry:  # noqa: ANN401 - python-etcd has no types
    return Entry(node.key, None if node.dir else node.value, node.modifiedIndex)


def _entries(text: str, directory: str) -> tuple[Entry, ...]:
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


def _event(said: Mapping[str, Any]) -> Event:
    node = said["node"]
    deleted = said["action"] in {"delete", "compareAndDelete", "expire"}
    return Event(
        node["key"], None if deleted else node.get("value"), node["modifiedIndex"], deleted
    )


def _again_if_broken(read: Callable[[], _T]) -> _T:
    """Read; once more if the connection, perhaps an idle one, broke under it."""
    try:
        return read()
    except _ConnectionBroke:
        return read()


def _object(text: str) -> dict[str, Any]:
    value = json.loads(text)
    if isinstance(value, dict):
        return value
    raise ValueError("no JSON object")


def _path(key: str) -> str:
    return _KEYS + quote(key)


def _change_after(directory: str, after: int) -> str:
    return f"{_path(directory)}?wait=true&recursive=true&waitIndex={after + 1}"


def _changed_meanwhile(key: str) -> Conflict:
    return Conflict(f"{key} was changed by somebody else meanwhile", hint="try again")


def _misplaced(key: str, why: str) -> DatastoreError:
    return DatastoreError(f"cannot write {key}: it {why}")


def _lookup(host: str, patience: float) -> str:
    """Say why a name cannot be resolved, or nothing if it can."""
    outcome = [f"the name server gave no answer within {patience:g} s"]

    def ask() -> None:
        try:
            socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
            outcome[0] = ""
        except (OSError, UnicodeError):
            outcome[0] = "name does not resolve"

    asking = Thread(target=ask, name="resolver", daemon=True)
    asking.start()
    asking.join(patience)
    return outcome[0]
