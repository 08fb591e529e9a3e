"""etcd over connections that are kept: for filling a store fast, and for timing. v2 or v3 API.

The product's own client is not used: a benchmark must not get faster or slower with it, and asking
and reading the answer are two steps here, so that a change can be seen in the kernel in between.
Nor is http.client: it writes at a third of this speed, and takes the processor from the agent.
"""

import json
import socket
from abc import ABC, abstractmethod
from base64 import b64decode, b64encode
from collections import deque
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote_plus

from tests.support.netns import NetNs

_PATIENCE = 30.0
_PAGE = 1_000

Leaves = dict[str, tuple[str, int]]
"""Key → (value, revision)."""


@dataclass(frozen=True)
class Address:
    """Where etcd listens, a port on the loopback of a network namespace, and which API to speak."""

    namespace: NetNs
    port: int
    api: int = 2


@dataclass(frozen=True)
class Changed:
    """A key that was written (None: deleted), and the revision of that."""

    key: str
    value: str | None
    revision: int


def connect(address: Address) -> "Store":
    """Connect to etcd from inside its network namespace."""
    return V2(address) if address.api == 2 else V3(address)


class Store(ABC):
    """One connection to etcd. Use from one thread."""

    def __init__(self, address: Address) -> None:
        """Connect from inside etcd's network namespace."""
        self._address = address
        with address.namespace.entered():
            self._socket = socket.create_connection(("127.0.0.1", address.port), _PATIENCE)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._answers = self._socket.makefile("rb")

    def close(self) -> None:
        """Close the connection."""
        self._answers.close()
        self._socket.close()

    @abstractmethod
    def send_put(self, key: str, value: str, ttl: int | None = None) -> None:
        """Send a write; `answer` has to follow."""

    @abstractmethod
    def send_delete(self, key: str) -> None:
        """Send a deletion of a key or a directory; `answer` has to follow."""

    @abstractmethod
    def answer(self) -> int:
        """Read the answer to a write; return the store's revision."""

    @abstractmethod
    def refresh(self, key: str, ttl: int) -> None:
        """Let a key that was put with `ttl` stay for so many seconds from now."""

    @abstractmethod
    def tree(self, directory: str) -> tuple[Leaves, int]:
        """Return all leaves below a directory, and the store's revision."""

    @abstractmethod
    def event(self, directory: str, revision: int) -> Changed:
        """Wait for the first change below a directory from a revision on."""

    def put(self, key: str, value: str, ttl: int | None = None) -> int:
        """Write, for `ttl` seconds if that is given; return the store's revision."""
        self.send_put(key, value, ttl)
        return self.answer()

    def delete(self, key: str) -> int:
        """Delete a key or a directory; return the store's revision."""
        self.send_delete(key)
        return self.answer()

    def give_up_after(self, seconds: float) -> None:
        """Let any answer that takes longer raise TimeoutError."""
        self._socket.settimeout(max(seconds, 0.001))

    def _send(self, method: str, path: str, body: str = "", kind: str = "") -> None:
        head = f"{method} {path} HTTP/1.1\r\nHost: etcd\r\n"
        if kind:
            head += f"Content-Type: application/{kind}\r\n"
        self._socket.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n{body}".encode())

    def _receive(self) -> tuple[bytes, dict[bytes, bytes]]:
        """Read an answer: its body, and its header. A missing key is an answer too."""
        status, headers = self._head()
        length = headers.get(b"content-length")
        body = (
            b"".join(iter(self._chunk, b"")) if length is None else self._answers.read(int(length))
        )
        if status >= 300 and status != 404:
            raise RuntimeError(f"etcd answered {status}: {body.decode()}")
        return body, headers

    def _head(self) -> tuple[int, dict[bytes, bytes]]:
        status = int(self._answers.readline().split()[1])
        headers = {}
        while line := self._answers.readline().strip():
            name, _, value = line.partition(b": ")
            headers[name.lower()] = value
        return status, headers

    def _chunk(self) -> bytes:
        """Read a piece of an answer; empty: it was the last."""
        piece = self._answers.read(int(self._answers.readline(), 16))
        self._answers.readline()
        return piece


class V2(Store):
    """The v2 API."""

    def send_put(self, key: str, value: str, ttl: int | None = None) -> None:
        """Do as `Store` says."""
        lifetime = "" if ttl is None else f"&ttl={ttl}"
        self._form(key, f"value={quote_plus(value)}{lifetime}")

    def send_delete(self, key: str) -> None:
        """Do as `Store` says."""
        self._send("DELETE", f"/v2/keys{key}?recursive=true")

    def answer(self) -> int:
        """Do as `Store` says."""
        return int(self._receive()[1][b"x-etcd-index"])

    def refresh(self, key: str, ttl: int) -> None:
        """Do as `Store` says."""
        self._form(f"{key}?prevExist=true", f"refresh=true&ttl={ttl}")
        self.answer()

    def tree(self, directory: str) -> tuple[Leaves, int]:
        """Do as `Store` says."""
        self._send("GET", f"/v2/keys{directory}?recursive=true&quorum=true")
        body, headers = self._receive()
        answer = json.loads(body)
        leaves = _leaves(answer["node"]) if "node" in answer else {}
        return leaves, int(headers[b"x-etcd-index"])

    def event(self, directory: str, revision: int) -> Changed:
        """Do as `Store` says."""
        self._send("GET", f"/v2/keys{directory}?wait=true&recursive=true&waitIndex={revision}")
        node = json.loads(self._receive()[0])["node"]
        return Changed(node["key"], node.get("value"), node["modifiedIndex"])

    def _form(self, path: str, form: str) -> None:
        self._send("PUT", f"/v2/keys{path}", form, "x-www-form-urlencoded")


class V3(Store):
    """The v3 API as JSON. A directory is what its keys begin with."""

    def __init__(self, address: Address) -> None:
        """Connect."""
        super().__init__(address)
        self._leases: dict[str, str] = {}
        self._watched: _Watched | None = None

    def close(self) -> None:
        """Do as `Store` says."""
        if self._watched is not None:
            self._watched.stream.close()
        super().close()

    def send_put(self, key: str, value: str, ttl: int | None = None) -> None:
        """Do as `Store` says."""
        wanted = {"key": _coded(key), "value": _coded(value)}
        if ttl is not None:
            self._leases[key] = wanted["lease"] = self._asked("lease/grant", {"TTL": ttl})["ID"]
        self._ask("kv/put", wanted)

    def send_delete(self, key: str) -> None:
        """Do as `Store` says."""
        ranges = ({"key": _coded(key)}, _below(key))
        self._ask("kv/txn", {"success": [{"request_delete_range": each} for each in ranges]})

    def answer(self) -> int:
        """Do as `Store` says."""
        return int(json.loads(self._receive()[0])["header"]["revision"])

    def refresh(self, key: str, ttl: int) -> None:
        """Do as `Store` says."""
        self._asked("lease/keepalive", {"ID": self._leases[key]})

    def tree(self, directory: str) -> tuple[Leaves, int]:
        """Do as `Store` says."""
        leaves: Leaves = {}
        wanted = _below(directory) | {"limit": _PAGE}
        while True:
            said = self._asked("kv/range", wanted)
            for each in said.get("kvs", ()):
                value = b64decode(each.get("value", "")).decode()
                leaves[b64decode(each["key"]).decode()] = (value, int(each["mod_revision"]))
            revision = int(said["header"]["revision"])
            if not said.get("more"):
                return leaves, revision
            wanted |= {"key": _coded(f"{[*leaves][-1]}\0"), "revision": revision}

    def event(self, directory: str, revision: int) -> Changed:
        """Do as `Store` says."""
        watched = self._watched
        if watched is None or (watched.directory, watched.next) != (directory, revision):
            watched = self._watched = self._watch(directory, revision)
        watched.stream.give_up_after(self._socket.gettimeout() or _PATIENCE)
        while not watched.events:
            said = json.loads(watched.stream._line())["result"]
            watched.events.extend(said.get("events", ()))
        event = watched.events.popleft()
        kv = event["kv"]
        watched.next = int(kv["mod_revision"]) + 1
        value = None if event.get("type") == "DELETE" else b64decode(kv.get("value", "")).decode()
        return Changed(b64decode(kv["key"]).decode(), value, int(kv["mod_revision"]))

    def _watch(self, directory: str, revision: int) -> "_Watched":
        """Begin a stream, which goes on, on a connection of its own.

        From a revision that is past, etcd begins one only ten times a second.
        """
        if self._watched is not None:
            self._watched.stream.close()
        stream = V3(self._address)
        stream._ask("watch", {"create_request": _below(directory) | {"start_revision": revision}})
        stream._head()
        return _Watched(directory, revision, stream)

    def _line(self) -> bytes:
        """Read what a stream says next."""
        line = self._chunk()
        while not line.endswith(b"\n"):
            line += self._chunk()
        return line

    def _ask(self, what: str, wanted: Mapping[str, Any]) -> None:
        self._send("POST", f"/v3/{what}", json.dumps(wanted), "json")

    def _asked(self, what: str, wanted: Mapping[str, Any]) -> dict[str, Any]:
        self._ask(what, wanted)
        said: dict[str, Any] = json.loads(self._receive()[0])
        return said


@dataclass
class _Watched:
    """A stream of changes below a directory; `next` is the revision from which on it goes on."""

    directory: str
    next: int
    stream: V3
    events: deque[dict[str, Any]] = field(default_factory=deque)


def write_all(address: Address, writes: Sequence[tuple[str, str | None]], writers: int = 4) -> None:
    """Write all, or delete where the value is None, with several writers at full speed."""
    shares = [writes[first::writers] for first in range(writers)]
    with ThreadPoolExecutor(writers) as pool:
        # Asked for the results, the pool raises what went wrong in a writer.
        list(pool.map(lambda share: _write(address, share), shares))


def fill(address: Address, contents: Mapping[str, str]) -> None:
    """Write all of it."""
    write_all(address, list(contents.items()))


def _write(address: Address, writes: Sequence[tuple[str, str | None]]) -> None:
    connection = connect(address)
    for key, value in writes:
        if value is None:
            connection.delete(key)
        else:
            connection.put(key, value)
    connection.close()


def _leaves(node: dict[str, Any]) -> Leaves:
    if "value" in node:
        return {node["key"]: (node["value"], node["modifiedIndex"])}
    found: Leaves = {}
    for child in node.get("nodes", []):
        found |= _leaves(child)
    return found


def _coded(text: str) -> str:
    return b64encode(text.encode()).decode()


def _below(directory: str) -> dict[str, Any]:
    return {"key": _coded(f"{directory}/"), "range_end": _coded(f"{directory}0")}
