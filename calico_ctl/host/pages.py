"""Gives small pages of text to whoever asks by HTTP, and nothing else: one question a connection.

Few clients at a time, and each has a few seconds for all that it does: whoever is slow, or sends
without end, is let go and delays nobody for long. Plain HTTP: whoever can read the network reads
along.
"""

import errno
import socket
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import dataclass

from netaddr import IPAddress

from calico_ctl.errors import AlreadyExists, CalicoError

CLIENTS_AT_ONCE = 16
SECONDS = 5.0
"""What a client has for its question, and again for the answer."""

_HEAD_LIMIT = 16 * 1024
_PIECE = 4096
_LOOK_SECONDS = 0.5
_LINGER_SECONDS = 0.5
_BACKLOG = 64

_REASONS = {
    200: "OK",
    400: "Bad Request",
    404: "Not Found",
    405: "Method Not Allowed",
    431: "Request Header Fields Too Large",
    500: "Internal Server Error",
    503: "Service Unavailable",
}


@dataclass(frozen=True, slots=True)
class Page:
    """An answer: its status code, its text, and of what type that is."""

    status: int
    text: str
    content_type: str = "text/plain; charset=utf-8"


Answer = Callable[[str], Page]
"""Makes the page of a path, without its query; called in several threads."""


def listen(ip: IPAddress, port: int) -> socket.socket:
    """Listen on an address and port of this machine; port 0: some free one.

    Raises AlreadyExists if somebody else does, CalicoError if nobody can.
    """
    family = socket.AF_INET if ip.version == 4 else socket.AF_INET6
    with ExitStack() as undo:
        try:
            listener = undo.enter_context(socket.socket(family, socket.SOCK_STREAM))
            _bind(listener, ip, port)
        except OSError as error:
            shown = f"{ip}:{port}" if ip.version == 4 else f"[{ip}]:{port}"
            if error.errno == errno.EADDRINUSE:
                raise AlreadyExists(f"something else listens on {shown} already") from error
            raise CalicoError(f"nobody can listen on {shown}: {error.strerror}") from error
        undo.pop_all()
        return listener


def _bind(listener: socket.socket, ip: IPAddress, port: int) -> None:
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if ip.version == 6:
        listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    listener.bind((str(ip), port))
    listener.listen(_BACKLOG)


def serve(listener: socket.socket, answer: Answer, stopping: threading.Event) -> None:
    """Answer until `stopping` is set. A mistake in `answer` costs that client its page only."""
    listener.settimeout(_LOOK_SECONDS)
    free = threading.BoundedSemaphore(CLIENTS_AT_ONCE)
    while not stopping.is_set():
        try:
            client, _ = listener.accept()
        except TimeoutError:
            continue
        except OSError:
            # The client was gone already, or this process has too many files open.
            stopping.wait(_LOOK_SECONDS)
            continue
        if free.acquire(blocking=False):
            arguments = (client, answer, free)
            threading.Thread(target=_attend, args=arguments, name="client", daemon=True).start()
        else:
            _refuse(client)


def _refuse(client: socket.socket) -> None:
    with client, suppress(OSError):
        client.setblocking(False)
        client.send(_written(Page(503, "too many clients\n"), bodiless=False))


def _attend(client: socket.socket, answer: Answer, free: threading.BoundedSemaphore) -> None:
    try:
        with client, suppress(OSError):
            head = _head(client)
            if head is None:
                return
            page, bodiless = _page(head, answer)
            client.settimeout(SECONDS)
            client.sendall(_written(page, bodiless=bodiless))
            _let_go(client)
    finally:
        free.release()


def _head(client: socket.socket) -> bytes | None:
    """Return what the client asks, or None if it does not in time; OSError: it is gone."""
    ends, head = time.monotonic() + SECONDS, b""
    while b"\r\n\r\n" not in head and b"\n\n" not in head and len(head) <= _HEAD_LIMIT:
        client.settimeout(max(ends - time.monotonic(), 0.001))
        piece = client.recv(_PIECE)
        if not piece or time.monotonic() > ends:
            return None
        head += piece
    return head


def _page(head: bytes, answer: Answer) -> tuple[Page, bool]:
    """Return the page that is asked for, and whether only its head is."""
    if len(head) > _HEAD_LIMIT:
        return Page(431, "the question is too long\n"), False
    words = head.splitlines()[0].decode("latin-1").split(" ")
    if len(words) != 3 or not words[2].startswith("HTTP/1."):
        return Page(400, "this is not HTTP/1\n"), False
    method, target, _ = words
    if method not in {"GET", "HEAD"}:
        return Page(405, "these pages can only be read\n"), False
    try:
        return answer(target.partition("?")[0]), method == "HEAD"
    except Exception as error:  # noqa: BLE001 - a mistake of ours ends one answer, not the service
        return Page(500, f"{error}\n"), method == "HEAD"


def _written(page: Page, *, bodiless: bool) -> bytes:
    body = page.text.encode()
    lines = [
        f"HTTP/1.1 {page.status} {_REASONS[page.status]}",
        f"Content-Type: {page.content_type}",
        f"Content-Length: {len(body)}",
        "Cache-Control: no-store",
        "Connection: close",
    ]
    if page.status == 405:
        lines.append("Allow: GET, HEAD")
    head = "".join(f"{line}\r\n" for line in lines).encode() + b"\r\n"
    return head if bodiless else head + body


def _let_go(client: socket.socket) -> None:
    """End so that our last bytes are not lost to what the client sent and nobody read."""
    client.shutdown(socket.SHUT_WR)
    ends = time.monotonic() + _LINGER_SECONDS
    while (left := ends - time.monotonic()) > 0:
        client.settimeout(left)
        if not client.recv(_PIECE):
            return
