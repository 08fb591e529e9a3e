"""Gives one file to one client by HTTP, at an address that nobody can guess, and nothing else.

It is over when a client has all of the file, or when the time is: whoever is slow delays neither.
A download that breaks off does not count. Plain HTTP: whoever can read the network reads along.
"""

import os
import secrets
import socket
import threading
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from netaddr import IPAddress

from calico_ctl.errors import CalicoError

_PATIENCE = 30.0
"""Seconds that a client may be silent, or take nothing."""

_CLIENTS_AT_ONCE = 16
_PIECE = 1 << 16
_LOOK_SECONDS = 0.2


class OneFileServer:
    """Listens from when it is made; answers while `serve` runs."""

    def __init__(self, ip: IPAddress, name: str, descriptor: int, size: int) -> None:
        """Listen on some free port of `ip`; the file is what `descriptor` has, `size` bytes of it.

        Raises CalicoError if the address is not this machine's.
        """
        self.path = f"/{secrets.token_urlsafe(24)}/{name}"
        self.descriptor, self.size = descriptor, size
        self.fetched = threading.Event()
        self.busy = threading.Lock()
        server = _Server6 if ip.version == 6 else _Server
        try:
            self._server = server((str(ip), 0), _Client)
        except OSError as error:
            raise CalicoError(
                f"cannot listen on {ip}: {error.strerror}",
                hint="`ip -brief address` shows this machine's addresses",
            ) from error
        self._server.file = self
        shown = f"[{ip}]" if ip.version == 6 else str(ip)
        self.url = f"http://{shown}:{self._server.server_port}{self.path}"

    def fileno(self) -> int:
        """Return the descriptor of the socket that listens."""
        return self._server.fileno()

    def serve(self, seconds: float) -> bool:
        """Answer until the file was fetched, or for `seconds`; say whether it was. Stop listening.

        Clients that are not done then are left to the end of the process.
        """
        poll = {"poll_interval": _LOOK_SECONDS}
        threading.Thread(target=self._server.serve_forever, kwargs=poll, daemon=True).start()
        try:
            return self.fetched.wait(seconds)
        finally:
            self._server.shutdown()
            self.close()

    def close(self) -> None:
        """Stop listening; nothing is answered any more."""
        self._server.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    file: OneFileServer

    def __init__(self, *arguments: Any) -> None:  # noqa: ANN401 - the library's own
        self._free = threading.BoundedSemaphore(_CLIENTS_AT_ONCE)
        super().__init__(*arguments)

    def server_bind(self) -> None:
        # Not the library's: it looks its own name up, which takes long where no resolver answers.
        self.socket.bind(self.server_address)
        self.server_address = self.socket.getsockname()
        self.server_name, self.server_port = "", self.server_address[1]

    def process_request(self, request: Any, client_address: Any) -> None:  # noqa: ANN401
        if self._free.acquire(blocking=False):
            super().process_request(request, client_address)
        else:
            self.shutdown_request(request)

    def process_request_thread(self, request: Any, client_address: Any) -> None:  # noqa: ANN401
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._free.release()

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ANN401
        """Say nothing: a client that hung up is no matter, and there is nobody to tell."""


class _Server6(_Server):
    address_family = socket.AF_INET6


class _Client(BaseHTTPRequestHandler):
    server: _Server
    timeout = _PATIENCE
    server_version, sys_version = "calicoctl", ""

    def do_HEAD(self) -> None:
        """Say that it is there, which does not count as fetching it."""
        if self._is_it():
            self._head()

    def do_GET(self) -> None:
        """Give the file, unless somebody has it or is just getting it."""
        if not self._is_it():
            return
        file = self.server.file
        if not file.busy.acquire(blocking=False):
            self.send_error(HTTPStatus.SERVICE_UNAVAILABLE, "somebody else is fetching it")
            return
        try:
            self._head()
            self._body()
            file.fetched.set()
        finally:
            # Who comes after a whole download finds nobody, or this.
            if not file.fetched.is_set():
                file.busy.release()

    def log_message(self, *_arguments: object) -> None:
        """Say nothing."""

    def _is_it(self) -> bool:
        # In constant time: how far a guess was right must not show.
        found = secrets.compare_digest(self.path.encode(), self.server.file.path.encode())
        if not found:
            self.send_error(HTTPStatus.NOT_FOUND)
        return found

    def _head(self) -> None:
        self.send_response(HTTPStatus.OK)
        self.send_header("Content-Type", "application/gzip")
        self.send_header("Content-Length", str(self.server.file.size))
        self.send_header("Cache-Control", "no-store")
        self.end_headers()

    def _body(self) -> None:
        file, at = self.server.file, 0
        while at < file.size:
            piece = os.pread(file.descriptor, min(_PIECE, file.size - at), at)
            if not piece:
                raise ConnectionAbortedError
            self.wfile.write(piece)
            at += len(piece)
        # It is fetched when the client has hung up, not when the kernel has taken the last bytes.
        self.connection.shutdown(socket.SHUT_WR)
        self.connection.settimeout(_PATIENCE)
        while self.connection.recv(_PIECE):
            pass
