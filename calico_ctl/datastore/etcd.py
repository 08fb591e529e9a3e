"""python-etcd behind the seven verbs of `store`: the only place that knows it.

What python-etcd gets wrong for us, and how it is kept out:

- urllib3 below it tries everything four times. A compare-and-swap that is tried again reports
  failure for its own success, and a watch lasts four times as long. Retries are off; only a read
  whose connection broke is tried once more.
- Time limits are per connection and per read. Each request here has one limit for both, and the
  resolver, which knows no limit at all, is asked in a thread.
- Any 404 looks like a missing key. A real one carries etcd's error code; without it the answer
  came from something that is not the v2 API.
- A watch on a store that was wiped waits for an index that it may never see again. After each
  watch that saw nothing we ask for the current index, which also tells a silent server from a
  quiet one.
- A watch that is answered by a cluster with another id than the read before it has lost its
  history. python-etcd keeps that id per client, so whoever watches has an `Etcd` of its own; and it
  complains about it only after a request was carried out, so only watches may.
- etcd hides every key with a part that starts with `_` from listings and live watches.
"""

import logging
import socket
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from threading import Thread
from typing import Any
from urllib.parse import quote

import etcd
import urllib3
from urllib3.exceptions import (
    ConnectTimeoutError,
    NameResolutionError,
    NewConnectionError,
    ProtocolError,
    ReadTimeoutError,
    SSLError,
)

from calico_ctl.datastore.store import Entry, Event, Tree
from calico_ctl.errors import (
    AlreadyExists,
    CalicoError,
    Conflict,
    DatastoreError,
    DatastoreUnavailable,
    HistoryLost,
)

_Verb = Callable[..., Any]

# A peer that vanished without a word (power cut, firewall) is noticed within a minute.
_KEEPALIVE = [
    *urllib3.connection.HTTPConnection.default_socket_options,
    (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
    (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 20),
    (socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 10),
    (socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 3),
]

_BATCH_LIMIT = 200
_BACKLOG_PATIENCE = 0.02
_NOT_V2 = "this etcd does not serve the v2 API: start it with --enable-v2"
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
    """A `Store` over etcd's v2 API. Usable from several threads; give each watcher its own."""

    def __init__(self, settings: EtcdSettings) -> None:
        """Contact nobody yet."""
        logging.getLogger("etcd").setLevel(logging.CRITICAL)  # what it reports, we raise
        self._settings = settings
        self._host = f"[{settings.host}]" if ":" in settings.host else settings.host
        self._client = etcd.Client(self._host, settings.port, protocol=settings.scheme)
        self._client.http = urllib3.PoolManager(
            retries=False, maxsize=10, socket_options=_KEEPALIVE
        )
        self._client._read_timeout = urllib3.Timeout(  # there is no public way
            connect=settings.connect_timeout, total=settings.timeout
        )
        self._resolved = False

    @property
    def address(self) -> str:
        """Where etcd is, for messages: `<host>:<port>`."""
        return f"{self._host}:{self._settings.port}"

    def close(self) -> None:
        """Close idle connections; the store stays usable."""
        self._client.http.clear()

    def get(self, key: str) -> Entry | None:
        """Return the entry, or None if there is none. Reads are linearized (quorum)."""
        try:
            return _entry(self._read(key, quorum=True))
        except etcd.EtcdKeyNotFound:
            return None

    def tree(self, directory: str) -> Tree:
        """Return everything below a directory; no entries if it does not exist."""
        try:
            found = self._read(directory, quorum=True, recursive=True, sorted=True)
        except etcd.EtcdKeyNotFound as error:
            return Tree((), int(error.payload["index"]))
        # The library's own walk makes an object of every node; this is what it parsed.
        return Tree(tuple(_below(found._children)), found.etcd_index)

    def put(self, key: str, value: str, ttl: int | None = None) -> Entry:
        """Write without a condition: only for keys with a single writer."""
        try:
            return _entry(self._call(self._client.write, key, value, ttl=ttl))
        except etcd.EtcdNotFile as error:
            raise _misplaced(key, "is a directory") from error

    def create(self, key: str, value: str | None) -> Entry:
        """Make a key, or a directory if `value` is None; raise AlreadyExists if it is there."""
        as_directory = value is None
        try:
            made = self._call(self._client.write, key, value, dir=as_directory, prevExist=False)
        except (etcd.EtcdAlreadyExist, etcd.EtcdNotFile) as error:
            raise AlreadyExists(f"{key} exists already") from error
        return _entry(made)

    def swap(self, seen: Entry, value: str) -> Entry:
        """Write if the key is still as `seen`; raise Conflict if it changed or is gone."""
        try:
            return _entry(self._call(self._client.write, seen.key, value, prevIndex=seen.revision))
        except (etcd.EtcdCompareFailed, etcd.EtcdKeyNotFound, etcd.EtcdNotFile) as error:
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
        except etcd.EtcdKeyNotFound:
            return False
        except (etcd.EtcdCompareFailed, etcd.EtcdNotFile, etcd.EtcdDirNotEmpty) as error:
            raise _changed_meanwhile(key) from error
        return True

    def watch(self, directory: str, after: int, timeout: float) -> Sequence[Event]:
        """Wait for changes below a directory with a revision greater than `after`, oldest first.

        Takes as many as are waiting. Returns an empty sequence if nothing came within `timeout`
        seconds; raises HistoryLost if changes were forgotten, or the store was wiped since.
        """
        found = self._next(directory, after, timeout)
        if found is None:
            self._require_index(directory, after)
            return ()
        events = []
        while found is not None:
            event, current = found
            events.append(event)
            if event.revision >= current or len(events) == _BATCH_LIMIT:
                break
            found = self._next(directory, event.revision, _BACKLOG_PATIENCE)
        return events

    def _next(self, directory: str, after: int, timeout: float) -> tuple[Event, int] | None:
        """Return the next change and the store's index when we asked, or None in time."""
        limit = urllib3.Timeout(connect=self._settings.connect_timeout, read=timeout)
        try:
            found = self._request(
                self._client.read,
                directory,
                wait=True,
                waitIndex=after + 1,
                recursive=True,
                timeout=limit,
            )
        except etcd.EtcdWatchTimedOut:
            return None
        except etcd.EtcdEventIndexCleared as error:
            message = f"etcd at {self.address} no longer remembers the changes after {after}"
            raise HistoryLost(message) from error
        if found.modifiedIndex <= after:
            raise self._wiped()
        return _event(found), found.etcd_index

    def _require_index(self, directory: str, after: int) -> None:
        try:
            current = self._request(self._client.read, directory).etcd_index
        except etcd.EtcdKeyNotFound as error:
            current = int(error.payload["index"])
        if current < after:
            raise self._wiped()

    def _wiped(self) -> HistoryLost:
        return HistoryLost(f"etcd at {self.address} was emptied or replaced")

    def _read(self, key: str, **options: bool) -> Any:  # noqa: ANN401 - python-etcd has no types
        """Read; once more if the connection, perhaps an idle one, broke under it."""
        try:
            return self._call(self._client.read, key, **options)
        except _ConnectionBroke:
            return self._call(self._client.read, key, **options)

    def _call(self, verb: _Verb, key: str, *arguments: object, **options: object) -> Any:  # noqa: ANN401
        """Make a request that any cluster may answer."""
        self._client.expected_cluster_id = None
        return self._request(verb, key, *arguments, **options)

    def _request(self, verb: _Verb, key: str, *arguments: object, **options: object) -> Any:  # noqa: ANN401
        """Make one request. Errors about the key stay python-etcd's; all others become ours."""
        self._resolve()
        try:
            return verb(quote(key), *arguments, **options)
        except etcd.EtcdWatchTimedOut:
            raise
        except etcd.EtcdConnectionFailed as error:
            raise self._unavailable(error.cause) from error
        except etcd.EtcdClusterIdChanged as error:
            raise self._wiped() from error
        except etcd.EtcdException as error:
            code = _error_code(error)
            if code in _KEY_ERRORS:
                raise
            raise self._refused(key, error, code) from error

    def _resolve(self) -> None:
        """Look the name up, once, in no more time than a connection may take."""
        if self._resolved:
            return
        failure = _lookup(self._settings.host, self._settings.connect_timeout)
        if failure:
            raise DatastoreUnavailable(self.address, failure)
        self._resolved = True

    def _unavailable(self, cause: BaseException) -> DatastoreUnavailable:
        reasons: dict[type[BaseException], str] = {
            NameResolutionError: "name does not resolve",
            NewConnectionError: _system_error(cause),
            ConnectTimeoutError: f"no connection within {self._settings.connect_timeout:g} s",
            ReadTimeoutError: f"no answer within {self._settings.timeout:g} s",
            SSLError: "TLS failed: is it an https endpoint, is its certificate trusted?",
            ProtocolError: "connection lost",
        }
        known = (text for kind, text in reasons.items() if isinstance(cause, kind))
        kind = _ConnectionBroke if isinstance(cause, ProtocolError) else DatastoreUnavailable
        return kind(self.address, next(known, type(cause).__name__))

    def _refused(self, key: str, error: Exception, code: int | None) -> CalicoError:
        if code is None:
            message = f"the answer from {self.address} is not etcd's"
            return DatastoreError(message, hint=_NOT_V2)
        if code in _RAFT_TROUBLE:
            return DatastoreUnavailable(self.address, "the etcd cluster has no leader")
        if isinstance(error, etcd.EtcdNotDir):
            return _misplaced(key, "lies below a key that is not a directory")
        return DatastoreError(f"etcd at {self.address} refused {key}: {error}")


class _ConnectionBroke(DatastoreUnavailable):
    """The connection ended before the answer was complete."""


# Not found, compare failed, not a file, exists, directory not empty, index cleared.
_KEY_ERRORS = frozenset({100, 101, 102, 105, 108, 401})


def _system_error(error: BaseException) -> str:
    cause = error.__cause__
    return (cause.strerror or "no connection").lower() if isinstance(cause, OSError) else str(error)


def _error_code(error: Exception) -> int | None:
    payload = getattr(error, "payload", None) or {}
    code = payload.get("errorCode")
    return code if isinstance(code, int) else None


def _entry(node: Any) -> Entry:  # noqa: ANN401 - python-etcd has no types
    return Entry(node.key, None if node.dir else node.value, node.modifiedIndex)


def _below(nodes: Iterable[dict[str, Any]]) -> Iterator[Entry]:
    for node in nodes:
        value = None if node.get("dir") else str(node.get("value", ""))
        yield Entry(node["key"], value, node["modifiedIndex"])
        yield from _below(node.get("nodes", ()))


def _event(found: Any) -> Event:  # noqa: ANN401 - python-etcd has no types
    deleted = found.action in {"delete", "compareAndDelete", "expire"}
    value = None if deleted or found.dir else found.value
    return Event(found.key, value, found.modifiedIndex, deleted)


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
