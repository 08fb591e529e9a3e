"""A Docker Engine that does what a test says, on a real Unix socket."""

import contextlib
import socket
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Self

from tests.support.strict_http import Reader, Seen

PATIENCE = 60.0
"""Seconds after which a test that waits for something has failed."""


class Peer:
    """One connection as the engine has it."""

    def __init__(self, opened: socket.socket) -> None:
        opened.settimeout(PATIENCE)
        self.socket = opened
        self._reader = Reader()
        self._seen: list[Seen] = []

    def request(self) -> Seen:
        """Wait for the next whole request; EOFError if none comes any more."""
        while not self._seen:
            data = self.socket.recv(1 << 18)
            if not data:
                raise EOFError
            self._seen += self._reader.feed(data)
        return self._seen.pop(0)

    def send(self, data: bytes) -> None:
        """Say something."""
        self.socket.sendall(data)

    def read(self, count: int) -> bytes:
        """Wait for exactly so many raw bytes; EOFError if they do not come."""
        data = b""
        while len(data) < count:
            more = self.socket.recv(count - len(data))
            if not more:
                raise EOFError(data)
            data += more
        return data

    def wait_for_end(self) -> None:
        """Wait until the other side sends no more, however it says so."""
        with contextlib.suppress(ConnectionError):
            while self.socket.recv(1 << 18):
                pass

    def end(self) -> None:
        """Send no more, and go on listening."""
        self.socket.shutdown(socket.SHUT_WR)


class FakeEngine:
    """Listens at `path`; each connection is handled in a thread of its own and closed then."""

    def __init__(self, path: Path, handle: Callable[[Peer], None]) -> None:
        self.path = path
        self._handle = handle
        self._threads: list[threading.Thread] = []
        self._peers: list[Peer] = []
        self._listener = socket.socket(socket.AF_UNIX)
        self.error: Exception | None = None

    def __enter__(self) -> Self:
        self._listener.bind(str(self.path))
        self._listener.listen(1024)
        self._run(self._accept)
        return self

    def __exit__(self, *_error: object) -> None:
        """End as a killed engine does; raise what a handler raised."""
        for each in (self._listener, *(peer.socket for peer in self._peers)):
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.path.unlink()
        for thread in self._threads:
            thread.join(PATIENCE)
        if self.error:
            raise self.error

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                peer = Peer(self._listener.accept()[0])
                self._peers.append(peer)
                self._run(partial(self._serve, peer))

    def _serve(self, peer: Peer) -> None:
        with peer.socket:
            try:
                self._handle(peer)
            except (EOFError, ConnectionError):
                pass  # the client is gone
            except Exception as error:
                self.error = error
                raise

    def _run(self, work: Callable[[], None]) -> None:
        thread = threading.Thread(target=work, daemon=True)
        self._threads.append(thread)
        thread.start()
