"""An HTTP connection on which one thing after another is asked for, and waited for.

For what the daemons ask all the time, and before they have anything to go by. urllib3 and
python-etcd take 60 ms to be imported, and longer for each answer.

The methods raise ValueError if what comes is not HTTP, OSError if the connection broke.
"""

import select
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Self

import h11

# A peer that vanished without a word (power cut, firewall) is noticed within a minute.
OPTIONS = [
    (socket.IPPROTO_TCP, socket.TCP_NODELAY, 1),
    (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
    (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 20),
    (socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 10),
    (socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 3),
]
_RECEIVE = 1 << 18


class TlsFailed(OSError):
    """The server speaks no TLS, or its certificate is not to be trusted."""


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer: its status, header fields by their name in lower case, and the content."""

    status: int
    headers: Mapping[str, str]
    text: str


class Connection:
    """One connection. A question whose answer did not come in time stays out: `wait` again."""

    def __init__(self, connected: socket.socket, host: str) -> None:
        """Take over a socket; `host` is what the server is to be called."""
        self._socket = connected
        self._host = host
        self._http = h11.Connection(h11.CLIENT)
        self._asked = ""
        self._head: h11.Response | None = None
        self._body: list[bytes] = []
        self.closed = False

    @classmethod
    def to(cls, host: str, port: int, *, name: str, timeout: float, tls: bool) -> Self:
        """Connect within `timeout` seconds to a server that is to be called `name`.

        Raises OSError: TimeoutError, TlsFailed, or what the system says.
        """
        connected = socket.create_connection((host, port), timeout)
        try:
            for option in OPTIONS:
                connected.setsockopt(*option)
            return cls(_with_tls(connected, host) if tls else connected, name)
        except BaseException:
            connected.close()
            raise

    def can_ask(self, path: str) -> bool:
        """Say whether `path` is asked for already, or the connection is free and alive."""
        # What comes without a question is the end, or nothing that anybody could understand.
        return self._asked == path or not (self._asked or _readable(self._socket))

    def ask(self, path: str) -> None:
        """Ask for a path unless the question is out already."""
        if self._asked != path:
            self._send("GET", path)

    def put(self, path: str, form: str) -> None:
        """Put a form, as urlencode writes it, to a path."""
        kind = ("Content-Type", "application/x-www-form-urlencoded")
        self._send("PUT", path, [kind, ("Content-Length", str(len(form)))], form)

    def wait(self, seconds: float) -> Answer | None:
        """Return the answer, or None if nothing more of it came within that time."""
        self._socket.settimeout(seconds)
        while (event := self._next_event()) is not None:
            if isinstance(event, h11.Response):
                self._head = event
            elif isinstance(event, h11.Data):
                self._body.append(bytes(event.data))
            elif isinstance(event, h11.EndOfMessage):
                return self._answered()
            elif isinstance(event, h11.ConnectionClosed):
                raise ConnectionError("the connection was closed")
        return None

    def _next_event(self) -> h11.Event | None:
        try:
            while not isinstance(event := self._http.next_event(), h11.Event):
                self._http.receive_data(self._socket.recv(_RECEIVE))
        except TimeoutError:
            return None
        except h11.RemoteProtocolError as error:
            has_ended = self._http.trailing_data[1]
            if has_ended:
                raise ConnectionError("the connection was closed") from error
            raise ValueError(str(error)) from error
        return event

    def _answered(self) -> Answer:
        assert self._head is not None  # noqa: S101 - h11 ends no message before its head
        headers = {name.decode(): value.decode("latin-1") for name, value in self._head.headers}
        answer = Answer(self._head.status_code, headers, b"".join(self._body).decode())
        self._asked, self._head, self._body = "", None, []
        if self._http.our_state is h11.DONE and self._http.their_state is h11.DONE:
            self._http.start_next_cycle()
        else:
            self.close()
        return answer

    def close(self) -> None:
        """Close the connection."""
        self.closed = True
        self._socket.close()

    def _send(
        self, verb: str, path: str, fields: Sequence[tuple[str, str]] = (), form: str = ""
    ) -> None:
        head = h11.Request(method=verb, target=path, headers=[("Host", self._host), *fields])
        events = [head, *([h11.Data(form.encode())] if form else []), h11.EndOfMessage()]
        self._socket.sendall(b"".join(self._http.send(event) or b"" for event in events))
        self._asked = path


def _readable(connected: socket.socket) -> bool:
    poll = select.poll()
    poll.register(connected, select.POLLIN)
    return bool(poll.poll(0))


def _with_tls(connected: socket.socket, host: str) -> socket.socket:
    import ssl  # 4 ms, and hardly anybody's etcd speaks it

    try:
        return ssl.create_default_context().wrap_socket(connected, server_hostname=host)
    except OSError as error:
        raise TlsFailed(str(error)) from error
