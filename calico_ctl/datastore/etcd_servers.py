"""The members of an etcd cluster: connections to the one that answers, and when to try another.

One is used until it fails, then the next; those that are kept idle go with it. A `Round` is what
one request may take: so long altogether, each member once. What it tried is in its error.
"""

import socket
import time
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from threading import Thread
from typing import TYPE_CHECKING

from calico_ctl.datastore.connection import Connection, TlsFailed, for_resolver
from calico_ctl.errors import DatastoreUnavailable
from calico_ctl.model.etcd_access import EtcdAuthority, EtcdTls

if TYPE_CHECKING:
    from ssl import SSLContext

_TLS_HINT = (
    "ETCD_SCHEME says whether it is https, ETCD_CA_CERT_FILE who signs its certificate;"
    " ETCD_CERT_FILE and ETCD_KEY_FILE are what it wants to see of us"
)


class ServerFailed(DatastoreUnavailable):
    """One member could not be used. What was asked of it may have been carried out, or not."""

    def __init__(self, server: str, reason: str, *, broke: bool = False) -> None:
        """Remember who and why; `broke`: the connection ended before the answer did."""
        super().__init__(server, reason)
        self.server = server
        self.reason = reason
        self.broke = broke


@dataclass(slots=True)
class Round:
    """One request on its way around the members: its time, and whom it found wanting."""

    seconds: float
    deadline: float
    failed: dict[str, str] = field(default_factory=dict)
    asked_again: bool = False

    def left(self) -> float:
        """Return the seconds that are left, at least a hundredth: sockets take 0 for `at once`."""
        return max(self.deadline - time.monotonic(), 0.01)


class Servers:
    """Makes and keeps connections. Usable from several threads."""

    def __init__(
        self,
        authorities: Sequence[EtcdAuthority],
        *,
        connect_timeout: float,
        tls: EtcdTls | None = None,
        fields: Sequence[tuple[str, str]] = (),
    ) -> None:
        """Contact nobody yet. `fields` go with each question."""
        self._servers = {str(each): each for each in authorities}
        self._order = list(self._servers)
        self._connect_timeout = connect_timeout
        self._tls = tls
        self._context: SSLContext | None = None
        self._fields = fields
        self._current = self._order[0]
        self._resolved: set[str] = set()
        self._kept: list[deque[Connection]] = []

    @property
    def address(self) -> str:
        """All of them, for messages."""
        return ",".join(self._order)

    @property
    def member(self) -> str:
        """The one that is used, as far as it is known."""
        return self._current

    def pool(self) -> "deque[Connection]":
        """Return a new place where connections are kept."""
        kept: deque[Connection] = deque()
        self._kept.append(kept)
        return kept

    def close(self) -> None:
        """Close all that are kept."""
        for kept in self._kept:
            while kept:
                kept.pop().close()

    def round(self, seconds: float) -> Round:
        """Begin a request that may take so long."""
        return Round(seconds, time.monotonic() + seconds)

    def patience(self, turn: Round) -> float:
        """Return how long to wait for a read's answer: the others need their share of the time."""
        untried = len(self._order) - len(turn.failed)
        return turn.left() / max(untried, 1)

    def no_answer(self, server: str, waited: float, turn: Round) -> ServerFailed:
        """Return what to raise if none came: a single one had all of the request's time."""
        limit = turn.seconds if len(self._order) == 1 else waited
        return ServerFailed(server, f"no answer within {limit:.2g} s")

    def connection(self, kept: "deque[Connection]", path: str, turn: Round) -> Connection:
        """Return a kept connection on which `path` can be asked for, or else a new one.

        To connect commits to nothing, so each member is tried. Raises DatastoreUnavailable.
        """
        with suppress(IndexError):
            while True:
                connection = kept.pop()
                if connection.host not in turn.failed and connection.can_ask(path):
                    return connection
                connection.close()
        while True:
            server = self._next(turn)
            try:
                return self._connect(server, self._patience_to_connect(turn))
            except ServerFailed as failure:
                self.leave(failure, turn)
                if self.exhausted(turn):
                    raise self.unavailable(turn) from failure

    def leave(self, failure: ServerFailed, turn: Round) -> None:
        """Use another member from now on, if there is one."""
        turn.failed[failure.server] = failure.reason
        if len(self._order) == 1:
            return
        if self._current == failure.server:
            at = self._order.index(failure.server)
            self._current = self._order[(at + 1) % len(self._order)]
        for kept in self._kept:
            for connection in [each for each in list(kept) if each.host == failure.server]:
                with suppress(ValueError):
                    kept.remove(connection)
                    connection.close()

    def exhausted(self, turn: Round) -> bool:
        """Say whether nobody is left to be tried, or no time."""
        return len(turn.failed) == len(self._order) or time.monotonic() >= turn.deadline

    def unavailable(self, turn: Round) -> DatastoreUnavailable:
        """Return what to raise: all that were tried, in the order in which they were given."""
        tried = [each for each in self._order if each in turn.failed]
        *others, last = tried
        said = "".join(f"{each} ({turn.failed[each]}), " for each in others)
        error = DatastoreUnavailable(said + last, turn.failed[last])
        if any(turn.failed[each].startswith("TLS: ") for each in tried):
            error.hint = _TLS_HINT
        return error

    def _next(self, turn: Round) -> str:
        """Return the one that was good last, or the next that was not tried."""
        at = self._order.index(self._current)
        around = self._order[at:] + self._order[:at]
        return next(each for each in around if each not in turn.failed)

    def _connect(self, server: str, seconds: float) -> Connection:
        authority = self._servers[server]
        self._resolve(server, authority.host, seconds)
        try:
            return Connection.to(
                authority.host,
                authority.port,
                timeout=seconds,
                tls=self._tls_context(),
                fields=self._fields,
            )
        except TimeoutError as error:
            raise ServerFailed(server, f"no connection within {seconds:.2g} s") from error
        except TlsFailed as error:
            raise ServerFailed(server, str(error)) from error
        except OSError as error:
            raise ServerFailed(server, (error.strerror or "no connection").lower()) from error

    def _patience_to_connect(self, turn: Round) -> float:
        if len(self._order) == 1:
            return self._connect_timeout
        return min(self._connect_timeout, self.patience(turn))

    def _tls_context(self) -> "SSLContext | None":
        if self._tls is None:
            return None
        if self._context is None:
            from calico_ctl.datastore import etcd_tls

            self._context = etcd_tls.context(self._tls)
        return self._context

    def _resolve(self, server: str, host: str, seconds: float) -> None:
        """Look the name up, once, in no more time than a connection may take."""
        if server in self._resolved:
            return
        failure = _lookup(host, seconds)
        if failure:
            raise ServerFailed(server, failure)
        self._resolved.add(server)


def _lookup(host: str, patience: float) -> str:
    """Say why a name cannot be resolved, or nothing if it can."""
    outcome = [f"the name server gave no answer within {patience:.2g} s"]

    def ask() -> None:
        try:
            socket.getaddrinfo(for_resolver(host), None, type=socket.SOCK_STREAM)
            outcome[0] = ""
        except (OSError, UnicodeError):
            outcome[0] = "name does not resolve"

    asking = Thread(target=ask, name="resolver", daemon=True)
    asking.start()
    asking.join(patience)
    return outcome[0]
