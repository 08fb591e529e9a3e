"""etcd's v2 API over connections that are kept: for filling a store fast, and for timing.

The product's own client is not used: a benchmark must not get faster or slower with it, and asking
and reading the answer are two steps here, so that a change can be seen in the kernel in between.
Nor is http.client: it writes at a third of this speed, and takes the processor from the agent.
"""

import json
import socket
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote_plus

from tests.support.netns import NetNs

_PATIENCE = 30.0

Leaves = dict[str, tuple[str, int]]
"""Key → (value, revision)."""


@dataclass(frozen=True)
class Address:
    """Where etcd listens: a port on the loopback of a network namespace."""

    namespace: NetNs
    port: int


class Store:
    """One connection to etcd. Use from one thread."""

    def __init__(self, address: Address) -> None:
        """Connect from inside etcd's network namespace."""
        with address.namespace.entered():
            self._socket = socket.create_connection(("127.0.0.1", address.port), _PATIENCE)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._answers = self._socket.makefile("rb")

    def close(self) -> None:
        """Close the connection."""
        self._answers.close()
        self._socket.close()

    def send_put(self, key: str, value: str, ttl: int | None = None) -> None:
        """Send a write; `answer` has to follow."""
        lifetime = "" if ttl is None else f"&ttl={ttl}"
        self._send("PUT", key, f"value={quote_plus(value)}{lifetime}")

    def send_delete(self, key: str) -> None:
        """Send a deletion of a key or a directory; `answer` has to follow."""
        self._send("DELETE", f"{key}?recursive=true")

    def answer(self) -> int:
        """Read the answer to a write; return the store's index."""
        return self._receive()[1]

    def put(self, key: str, value: str, ttl: int | None = None) -> int:
        """Write, for `ttl` seconds if that is given; return the store's index."""
        self.send_put(key, value, ttl)
        return self.answer()

    def refresh(self, key: str, ttl: int) -> int:
        """Let a key stay for so many seconds from now; return the store's index."""
        self._send("PUT", f"{key}?prevExist=true", f"refresh=true&ttl={ttl}")
        return self.answer()

    def delete(self, key: str) -> int:
        """Delete a key or a directory; return the store's index."""
        self.send_delete(key)
        return self.answer()

    def tree(self, directory: str) -> tuple[Leaves, int]:
        """Return all leaves below a directory, and the store's index."""
        self._send("GET", f"{directory}?recursive=true&quorum=true")
        body, index = self._receive()
        answer = json.loads(body)
        return (_leaves(answer["node"]) if "node" in answer else {}), index

    def event(self, directory: str, index: int) -> dict[str, Any]:
        """Wait for the first change below a directory from an index on; return its node."""
        self._send("GET", f"{directory}?wait=true&recursive=true&waitIndex={index}")
        node: dict[str, Any] = json.loads(self._receive()[0])["node"]
        return node

    def give_up_after(self, seconds: float) -> None:
        """Let any answer that takes longer raise TimeoutError."""
        self._socket.settimeout(max(seconds, 0.001))

    def _send(self, method: str, path: str, form: str = "") -> None:
        head = f"{method} /v2/keys{path} HTTP/1.1\r\nHost: etcd\r\n"
        if form:
            head += "Content-Type: application/x-www-form-urlencoded\r\n"
        self._socket.sendall(f"{head}Content-Length: {len(form)}\r\n\r\n{form}".encode())

    def _receive(self) -> tuple[bytes, int]:
        """Read an answer: its body, and the store's index. A missing key is an answer too."""
        status = int(self._answers.readline().split()[1])
        headers = {}
        while line := self._answers.readline().strip():
            name, _, value = line.partition(b": ")
            headers[name.lower()] = value
        length = headers.get(b"content-length")
        body = self._chunks() if length is None else self._answers.read(int(length))
        if status >= 300 and status != 404:
            raise RuntimeError(f"etcd answered {status}: {body.decode()}")
        return body, int(headers[b"x-etcd-index"])

    def _chunks(self) -> bytes:
        parts = []
        while size := int(self._answers.readline(), 16):
            parts.append(self._answers.read(size))
            self._answers.readline()
        self._answers.readline()
        return b"".join(parts)


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
    connection = Store(address)
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
