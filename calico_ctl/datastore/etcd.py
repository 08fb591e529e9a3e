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
  300 us of processor time for one, urllib3 alone 270, http.client (which reads the headers as if
  they were e-mail) 160, `_LongPoll` 60. That decides how large a burst an agent can follow before
  etcd has forgotten its beginning. And of a whole tree (11 MB for 10,000 endpoints) it would hold
  the bytes, the text and all of its objects at once.

What etcd's watches get wrong for us:

- A watch on a store that was wiped waits for an index that it may never see again. After each
  watch that saw nothing we ask for the current index, on another connection, which also tells a
  silent server from a quiet one. (The headers of a watch hold the index too and come at once, but
  not through `etcd --proxy`, which hosts are advised to run.)
- `stream=true` would be faster still, but loses events without a word: when it starts at an old
  index, and when its reader is slow.
- etcd hides every key with a part that starts with `_` from listings and live watches.
"""

import codecs
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
from urllib.parse import quote

import urllib3
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import (
    ConnectTimeoutError,
    HTTPError,
    NameResolutionError,
    NewConnectionError,
    ProtocolError,
    ReadTimeoutError,
    SSLError,
)
from urllib3.util import wait_for_read

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

# A peer that vanished without a word (power cut, firewall) is noticed within a minute.
_KEEPALIVE = [
    *HTTPConnection.default_socket_options,
    (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
    (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 20),
    (socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 10),
    (socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 3),
]

# A single change is returned at once; of a backlog, several together, since who takes them in costs
# more by the batch than by the change. The first of a batch waits for the last, 0.2 ms for each.
# What etcd has, it sends within the patience; if it has only changes elsewhere, or is far away, the
# question stays out for the next watch.
_BATCH_LIMIT = 50
_BACKLOG_PATIENCE = 0.002

_KEYS = "/v2/keys"
_OK = 200
_PIECE = 1 << 20
_NOT_V2 = "this etcd does not serve the v2 API: start it with --enable-v2"
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
        self._http = urllib3.PoolManager(retries=False, maxsize=10, socket_options=_KEEPALIVE)
        self._limit = urllib3.Timeout(connect=settings.connect_timeout, total=settings.timeout)
        self._resolved = False
        self._cluster: str | None = None
        self._polls: deque[_LongPoll] = deque()  # idle, or with a question that is still out

    @cached_property
    def _client(self) -> "etcd.Client":
        client = _library().Client(self._host, self._settings.port, protocol=self._settings.scheme)
        client.http = self._http
        client._read_timeout = self._limit  # there is no public way
        return client

    @property
    def address(self) -> str:
        """Where etcd is, for messages: `<host>:<port>`."""
        return f"{self._host}:{self._settings.port}"

    def close(self) -> None:
        """Close idle connections; the store stays usable."""
        self._http.clear()
        while self._polls:
            self._polls.pop().close()

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
        self._resolve()
        base = f"{self._settings.scheme}://{self.address}"
        url = f"{base}{_path(directory)}?recursive=true&quorum=true&sorted=true"
        text = ""
        try:
            response = self._http.request("GET", url, timeout=self._limit, preload_content=False)
            # Piece by piece: joined at the end, the pieces and the whole would be there at once.
            for piece in codecs.iterdecode(response.stream(_PIECE), "utf-8"):
                text += piece
            if response.status != _OK:
                self._require_about_key(directory, _object(text))
            self._cluster = response.headers.get("x-etcd-cluster-id")
            return Tree(_entries(text, directory), int(response.headers["x-etcd-index"]))
        except HTTPError as error:
            raise self._unavailable(error) from error
        except (ValueError, KeyError, RecursionError) as error:
            raise self._not_etcd() from error

    def put(self, key: str, value: str, ttl: int | None = None) -> Entry:
        """Write without a condition: only for keys with a single writer."""
        try:
            return _entry(self._call(self._client.write, key, value, ttl=ttl))
        except _library().EtcdNotFile as error:
            raise _misplaced(key, "is a directory") from error

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
        with self._asking(_change_after(directory, after)) as poll:
            answer = poll.wait(timeout)
            if answer is None:
                poll.close()  # the question is still out, on a connection that may be dead
            while answer is not None:
                event = self._event(answer, directory, after)
                events.append(event)
                after = event.revision
                if after >= answer.index or len(events) == _BATCH_LIMIT:
                    break
                poll.ask(_change_after(directory, after))
                answer = poll.wait(_BACKLOG_PATIENCE)
        return events

    def _event(self, answer: "_Answer", directory: str, after: int) -> Event:
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
        with self._asking(_path(directory)) as poll:
            answer = poll.wait(self._settings.timeout)
            if answer is None:
                raise DatastoreUnavailable(self.address, self._no_answer)
            self._said(answer, directory)
            if answer.index < after:
                raise self._replaced()

    def _said(self, answer: "_Answer", directory: str) -> dict[str, Any]:
        """Return what etcd says: about a change, or an error about the key."""
        said = _object(answer.body)
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
    def _asking(self, path: str) -> Iterator["_LongPoll"]:
        """Lend a connection on which `path` was asked for; keep it unless something goes wrong."""
        poll = self._waiting_poll(path) or self._new_poll()
        try:
            poll.ask(path)
            yield poll
        except BaseException as error:
            poll.close()
            if isinstance(error, OSError):
                raise _ConnectionBroke(self.address, "connection lost") from error
            if isinstance(error, ValueError | KeyError):
                raise self._not_etcd() from error
            raise
        if not poll.closed:
            self._polls.append(poll)

    def _waiting_poll(self, path: str) -> "_LongPoll | None":
        with suppress(IndexError):
            while True:
                poll = self._polls.pop()
                if poll.can_ask(path):
                    return poll
                poll.close()
        return None

    def _new_poll(self) -> "_LongPoll":
        self._resolve()
        kind = HTTPSConnection if self._settings.scheme == "https" else HTTPConnection
        connection = kind(
            self._settings.host,
            self._settings.port,
            timeout=self._settings.connect_timeout,
            socket_options=_KEEPALIVE,
        )
        try:
            connection.connect()
        except HTTPError as error:
            raise self._unavailable(error) from error
        except OSError as error:
            raise self._unavailable(SSLError(error)) from error
        return _LongPoll(connection, self.address)

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
        reasons: dict[type[BaseException], str] = {
            NameResolutionError: "name does not resolve",
            NewConnectionError: _system_error(cause),
            ConnectTimeoutError: f"no connection within {self._settings.connect_timeout:g} s",
            ReadTimeoutError: self._no_answer,
            SSLError: "TLS failed: is it an https endpoint, is its certificate trusted?",
            ProtocolError: "connection lost",
        }
        known = (text for kind, text in reasons.items() if isinstance(cause, kind))
        kind = _ConnectionBroke if isinstance(cause, ProtocolError) else DatastoreUnavailable
        return kind(self.address, next(known, type(cause).__name__))

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
    # Imported when a key is first read or written: it costs 60 ms, and the agent's watch and first
    # read do without.
    import etcd

    return etcd  # type: ignore[no-any-return]


class _ConnectionBroke(DatastoreUnavailable):
    """The connection ended before the answer was complete."""


@dataclass(frozen=True, slots=True)
class _Answer:
    """An HTTP answer: header fields by their name in lower case, and the content."""

    headers: Mapping[str, str]
    body: bytes

    @property
    def index(self) -> int:
        """How far the store had come when it looked at the question. KeyError: not etcd's."""
        return int(self.headers["x-etcd-index"])


class _LongPoll:
    """A connection on which one thing after another is asked for, and waited for again and again.

    A question whose answer did not come in time stays out: `wait` can be called for it again.
    Methods raise OSError if the connection broke, ValueError or KeyError if that is not HTTP.
    """

    def __init__(self, connection: HTTPConnection, host: str) -> None:
        """Take over a connection that has been made."""
        self._connection = connection
        self._socket: socket.socket = connection.sock
        self._host = host
        self._asked = ""
        self._received = b""
        self.closed = False

    def can_ask(self, path: str) -> bool:
        """Say whether `path` is asked for already, or the connection is free and alive."""
        return self._asked == path or not (self._asked or wait_for_read(self._socket, timeout=0))

    def ask(self, path: str) -> None:
        """Ask for a path unless the question is out already."""
        if self._asked != path:
            self._socket.sendall(f"GET {path} HTTP/1.1\r\nHost: {self._host}\r\n\r\n".encode())
            self._asked = path

    def wait(self, seconds: float) -> _Answer | None:
        """Return the answer, or None if nothing more of it came within that time."""
        self._socket.settimeout(seconds)
        while (answer := _parse(self._received)) is None:
            try:
                received = self._socket.recv(65536)
            except TimeoutError:
                return None
            if not received:
                raise ConnectionError("the connection was closed")
            self._received += received
        self._asked, self._received = "", b""
        return answer

    def close(self) -> None:
        """Close the connection."""
        self.closed = True
        self._connection.close()


def _parse(received: bytes) -> _Answer | None:
    """Return the HTTP answer that was received, or None if it is not complete."""
    head, complete, rest = received.partition(b"\r\n\r\n")
    if not complete:
        return None
    status, *lines = head.decode("latin-1").split("\r\n")
    if not status.startswith("HTTP/1."):
        raise ValueError(status)
    fields = (line.partition(":") for line in lines)
    headers = {name.lower(): value.strip() for name, _, value in fields}
    if headers.get("transfer-encoding") == "chunked":
        body = _unchunked(rest)
    else:
        body = rest if len(rest) >= int(headers["content-length"]) else None
    return None if body is None else _Answer(headers, body)


def _unchunked(rest: bytes) -> bytes | None:
    """Join chunks: each has its length in hex digits before it; an empty one is the last."""
    body = b""
    while True:
        size, complete, rest = rest.partition(b"\r\n")
        length = int(size, 16) if complete else 0
        if not complete or len(rest) < length + 2:
            return None
        if length == 0:
            return body
        body += rest[:length]
        rest = rest[length + 2 :]


# Not found, compare failed, not a file, exists, directory not empty, index cleared.
_KEY_ERRORS = frozenset({100, 101, 102, 105, 108, _HISTORY_LOST})


def _system_error(error: BaseException) -> str:
    cause = error.__cause__
    return (cause.strerror or "no connection").lower() if isinstance(cause, OSError) else str(error)


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


def _object(text: str | bytes) -> dict[str, Any]:
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
