"""An HTTP connection on which one thing after another is asked for, and waited for.

It keeps to what an etcd client needs: no redirects, no pools, nothing tried twice. What comes is
taken apart by httptools. `docs/decisions/0016` has what that saves in the time to import it, and
for each answer.

The methods raise ValueError if what comes is not HTTP, OSError if the connection broke.
"""

import select
import socket
import time
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from httptools import HttpParserError, HttpParserUpgrade, HttpResponseParser

if TYPE_CHECKING:
    from ssl import SSLContext

# A peer that vanished without a word (power cut, firewall) is noticed within a minute.
OPTIONS = [
    (socket.IPPROTO_TCP, socket.TCP_NODELAY, 1),
    (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
    (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 20),
    (socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 10),
    (socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 3),
]
_RECEIVE = 1 << 18
_FINAL = 200
"""Before an answer of that status or a greater one there may be some of smaller ones."""


class TlsFailed(OSError):
    """The server speaks no TLS, or one of both does not trust the other; the text says which."""


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer: its status, header fields by their name in lower case, and the content."""

    status: int
    headers: Mapping[str, str]
    text: str


class Connection:
    """One connection. A question whose answer did not come in time stays out: `wait` again.

    `asked` is what is asked for and not answered; empty: nothing. Who reads an answer that goes on,
    with `line`, may call it as is best for finding it again.
    """

    def __init__(
        self, connected: socket.socket, host: str, fields: Sequence[tuple[str, str]] = ()
    ) -> None:
        """Take over a socket; `host` is what the server is to be called.

        `fields` are header fields that go with each question.
        """
        self.host = host
        self._socket = connected
        self._fields = [("Host", host), *fields]
        self._incoming = _Incoming()
        self.asked = ""
        self._line: list[bytes] = []
        self._lines: deque[bytes] = deque()
        self.closed = False

    @classmethod
    def to(
        cls,
        host: str,
        port: int,
        *,
        timeout: float,
        tls: "SSLContext | None" = None,
        fields: Sequence[tuple[str, str]] = (),
    ) -> Self:
        """Connect to a server within `timeout` seconds, with TLS if there is a context for it.

        Raises OSError: TimeoutError, TlsFailed, or what the system says.
        """
        ends = time.monotonic() + timeout
        connected = _connected(host, port, ends)
        try:
            connected.settimeout(_left(ends))
            for option in OPTIONS:
                connected.setsockopt(*option)
            if tls is not None:
                connected = _with_tls(connected, host, tls)
            return cls(connected, f"[{host}]:{port}" if ":" in host else f"{host}:{port}", fields)
        except BaseException:
            connected.close()
            raise

    def can_ask(self, path: str) -> bool:
        """Say whether `path` is asked for already, or the connection is free and alive."""
        # What comes without a question is the end, or nothing that anybody could understand.
        return self.asked == path or not (self.asked or _says_something(self._socket))

    def ask(self, path: str) -> None:
        """Ask for a path unless the question is out already."""
        if self.asked != path:
            self._send("GET", path)

    def put(self, path: str, form: str) -> None:
        """Put a form, as urlencode writes it, to a path."""
        kind = ("Content-Type", "application/x-www-form-urlencoded")
        self._send("PUT", path, [kind, ("Content-Length", str(len(form)))], form)

    def post(self, path: str, content: str, fields: Sequence[tuple[str, str]] = ()) -> None:
        """Post JSON, without letters beyond ASCII, to a path; `fields` go with this question."""
        kind = ("Content-Type", "application/json")
        self._send("POST", path, [kind, ("Content-Length", str(len(content))), *fields], content)

    def delete(self, path: str) -> None:
        """Delete what is at a path."""
        self._send("DELETE", path)

    def wait(self, seconds: float) -> Answer | None:
        """Return the answer, or None if nothing more of it came within that time."""
        self._socket.settimeout(seconds)
        while not self._incoming.is_whole():
            if not self._receive():
                return None
        answer = self._incoming.answer()
        self.asked = ""
        if self._incoming.is_last:
            self.close()
        return answer

    def line(self, seconds: float) -> bytes | None:
        """Return the next line of an answer that goes on, or None if none came within that time.

        Within none at all, 0, it is one that is here already: the system waits for no less than a
        millisecond. What comes after the last end of a line is one too. Raises ConnectionError
        after it.
        """
        ends = time.monotonic() + seconds
        while not self._lines:
            if self._incoming.is_whole():
                raise ConnectionError("the connection was closed")
            self._socket.settimeout(max(ends - time.monotonic(), 0.0001) if seconds else 0)
            if not self._receive():
                return None
            self._take_lines(self._incoming.take_body())
            if self._incoming.is_whole():
                self._take_lines(b"\n")
        return self._lines.popleft()

    def _take_lines(self, data: bytes) -> None:
        first, *rest = data.split(b"\n")
        self._line.append(first)
        for each in rest:
            whole = b"".join(self._line)
            self._line = [each]
            if whole:
                self._lines.append(whole)

    def _receive(self) -> bool:
        """Take in what comes; say whether anything did."""
        try:
            data = self._socket.recv(_RECEIVE)
        except (TimeoutError, BlockingIOError):
            return False
        except OSError as error:
            if _is_nothing_yet(error):
                return False
            raise _in_words(error) from error
        if data:
            self._incoming.take(data)
        elif not self._incoming.ends_here():
            raise ConnectionError("the connection was closed")
        return True

    def close(self) -> None:
        """Close the connection."""
        self.closed = True
        self._socket.close()

    def _send(
        self, verb: str, path: str, fields: Sequence[tuple[str, str]] = (), form: str = ""
    ) -> None:
        head = [f"{name}: {value}" for name, value in (*self._fields, *fields)]
        lines = [f"{verb} {path} HTTP/1.1", *head]
        if " " in path or not all(map(str.isprintable, lines)):
            raise ValueError(f"{path!r} or a header field with it cannot be sent")
        self.asked = path
        self._incoming.begin()
        try:
            self._socket.sendall("\r\n".join([*lines, "", form]).encode("ascii"))
        except OSError as error:
            raise _last_words(self._socket, error) from error


class _Incoming:
    """What has come of an answer. The parser calls the methods that begin with `on_`."""

    def __init__(self) -> None:
        """Wait for the first one."""
        self._parser = HttpResponseParser(self)
        self.begin()

    def begin(self) -> None:
        """Wait for the next one."""
        self._status = 0
        self._headers: dict[str, str] = {}
        self._body: list[bytes] = []
        self._is_whole = False
        # Whether the server closes the connection, or has, with its end.
        self.is_last = False

    def take(self, data: bytes) -> None:
        """Take in what came. Raises ValueError if it is not HTTP."""
        try:
            self._parser.feed_data(data)
        except (HttpParserError, HttpParserUpgrade) as error:
            raise ValueError(str(error)) from error

    def is_whole(self) -> bool:
        """Say whether all of it is there."""
        return self._is_whole

    def ends_here(self) -> bool:
        """Say whether it is whole now that nothing more comes."""
        says_where = {"content-length", "transfer-encoding"} & self._headers.keys()
        if self._status and not says_where:
            self._is_whole = self.is_last = True
        return self._is_whole

    def answer(self) -> Answer:
        """Return it, whole. Raises ValueError if it is not UTF-8."""
        return Answer(self._status, self._headers, self.take_body().decode())

    def take_body(self) -> bytes:
        """Return what came of the content since the last time."""
        body = b"".join(self._body)
        self._body = []
        return body

    def on_message_begin(self) -> None:
        if self._is_whole:
            raise ValueError("an answer that nobody asked for")

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers[name.decode("ascii").lower()] = value.decode("latin-1").strip()

    def on_headers_complete(self) -> None:
        self._status = self._parser.get_status_code()

    def on_body(self, body: bytes) -> None:
        self._body.append(body)

    def on_message_complete(self) -> None:
        if self._status < _FINAL:
            self.begin()
        else:
            self._is_whole = True
            self.is_last = not self._parser.should_keep_alive()


def _connected(host: str, port: int, ends: float) -> socket.socket:
    """Try each address of a name, with an equal share of the time that is left."""
    failure = OSError("the name has no address")
    addresses = socket.getaddrinfo(for_resolver(host), port, type=socket.SOCK_STREAM)
    for at, (family, kind, protocol, _, address) in enumerate(addresses):
        connected = socket.socket(family, kind, protocol)
        connected.settimeout(_left(ends) / (len(addresses) - at))
        try:
            connected.connect(address)
        except OSError as error:
            connected.close()
            failure = error
        else:
            return connected
    raise failure


def for_resolver(host: str) -> bytes | str:
    """Return a name as the resolver takes it soonest: for text, Python loads what IDNA is first."""
    return host.encode() if host.isascii() else host


def _left(ends: float) -> float:
    return max(ends - time.monotonic(), 0.01)  # 0 would mean: do not wait at all


def _says_something(connected: socket.socket) -> bool:
    """Say whether there is anything to be read, were it the end."""
    poll = select.poll()
    poll.register(connected, select.POLLIN)
    if not poll.poll(0):
        return False
    if not _has_tls(connected):
        return True
    # Servers send what a client may resume a session with whenever they like.
    connected.settimeout(0)
    try:
        connected.recv(1)
    except OSError as error:
        return not _is_nothing_yet(error)
    return True


def _is_nothing_yet(error: OSError) -> bool:
    """Say whether it is how TLS says that there is nothing to be read without waiting."""
    return type(error).__name__ == "SSLWantReadError"


def _with_tls(connected: socket.socket, host: str, context: "SSLContext") -> socket.socket:
    try:
        return context.wrap_socket(connected, server_hostname=host.removesuffix("."))
    except TimeoutError:
        raise
    except ConnectionError as error:
        # Who speaks plain HTTP answers in words or hangs up, and which of them arrives is chance.
        raise _in_tls_words(error) from error
    except OSError as error:
        raise _in_words(error) from error


def _last_words(connected: socket.socket, error: OSError) -> OSError:
    """Return why a server hung up while we spoke: with TLS it may have said so before."""
    if not _has_tls(connected):
        return error
    try:
        connected.recv(1)
    except OSError as said:
        return _in_words(said)
    return error


def _in_words(error: OSError) -> OSError:
    """Return what TLS calls an error as one of ours; any other as it is."""
    return _in_tls_words(error) if type(error).__module__ == "ssl" else error


def _in_tls_words(error: OSError) -> TlsFailed:
    from calico_ctl.datastore import etcd_tls

    return TlsFailed(etcd_tls.reason(error))


def _has_tls(connected: socket.socket) -> bool:
    # Without importing ssl: it takes 4 ms, and hardly anybody's etcd speaks it.
    return type(connected) is not socket.socket
