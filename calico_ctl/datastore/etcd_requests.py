"""How a question gets to etcd and an answer back, whichever of its APIs it is in.

What it promises:

- A write is sent once. Only what was certainly not carried out, because no connection came about,
  goes to another member; a compare-and-swap that is tried again would report failure for its own
  success. A read whose connection broke is tried once more, then at the next member.
- Each request has one limit for reaching etcd and one for all of it, however many members there
  are. The resolver, which knows no limit at all, is asked in a thread.
- What is no answer of etcd at all is told as such, with a hint that each API has of its own.
"""

import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TypeVar

from calico_ctl.datastore.connection import Answer, Connection, TlsFailed
from calico_ctl.datastore.etcd_servers import Round, ServerFailed, Servers
from calico_ctl.datastore.store import Api, StoreReplaced
from calico_ctl.errors import Conflict, DatastoreError
from calico_ctl.model.etcd_access import EtcdAuthority, EtcdTls

_T = TypeVar("_T")


class NotServed(DatastoreError):
    """What answers does not speak the API that was asked in."""


class Forbidden(DatastoreError):
    """We may not do that, or nobody knows who we are."""


Ask = Callable[[Connection], None]


@dataclass(frozen=True, slots=True)
class EtcdSettings:
    """Where etcd is, who we are to it, and how long it may take.

    `others` are more members of the same cluster, tried in this order if the first fails; without
    `tls` it is spoken to in plain HTTP. `connect_timeout` bounds reaching a member, `timeout` a
    whole request, all members together; both are seconds.
    """

    host: str = "127.0.0.1"
    port: int = 4001
    others: Sequence[EtcdAuthority] = ()
    tls: EtcdTls | None = None
    username: str = ""
    password: str = field(default="", repr=False)
    connect_timeout: float = 2.0
    timeout: float = 4.0


class Requests:
    """Sends requests to the members of a cluster. Usable from several threads."""

    def __init__(
        self, settings: EtcdSettings, not_etcd: str, fields: Sequence[tuple[str, str]] = ()
    ) -> None:
        """Contact nobody yet.

        `not_etcd` is the hint for answers that are not of the API spoken; `fields` go with each
        question.
        """
        self._settings = settings
        self._not_etcd = not_etcd
        self.servers = Servers(
            [EtcdAuthority(settings.host, settings.port), *settings.others],
            connect_timeout=settings.connect_timeout,
            tls=settings.tls,
            fields=fields,
        )
        self.free = self.servers.pool()

    @property
    def address(self) -> str:
        """Where etcd is, for messages."""
        return self.servers.address

    def read(self, attempt: Callable[[Round], _T], extra: float = 0.0) -> _T:
        """Read at a member; at the next one if it fails, as long as there is time.

        Once more at the same one if the connection, perhaps an idle one, broke.
        """
        turn = self.servers.round(self._settings.timeout + extra)
        while True:
            try:
                return attempt(turn)
            except ServerFailed as failure:
                if failure.broke and not turn.asked_again:
                    turn.asked_again = True
                    continue
                self.servers.leave(failure, turn)
                if self.servers.exhausted(turn):
                    raise self.servers.unavailable(turn) from failure

    def write(self, key: str, attempt: Callable[[Round], _T]) -> _T:
        """Send a change, once."""
        turn = self.servers.round(self._settings.timeout)
        try:
            return attempt(turn)
        except ServerFailed as failure:
            self.servers.leave(failure, turn)
            error = self.servers.unavailable(turn)
            if not failure.reason.startswith("TLS: "):
                error.hint = f"whether {key} was changed is not known: look before you try again"
            raise error from failure

    @contextmanager
    def asking(
        self, path: str, kept: deque[Connection], turn: Round, ask: Ask | None = None
    ) -> Iterator[Connection]:
        """Lend a connection on which `path` was asked for, or something else by `ask`.

        It comes from those that are kept, and is kept unless something goes wrong.
        """
        connection = self.servers.connection(kept, path, turn)
        try:
            if ask is None:
                connection.ask(path)
            else:
                ask(connection)
            yield connection
        except BaseException as error:
            connection.close()
            if isinstance(error, OSError):
                raise _failed(connection, error) from error
            if isinstance(error, ValueError | KeyError | TypeError | RecursionError):
                raise self.not_etcd() from error
            raise
        if not connection.closed:
            kept.append(connection)

    def answer(self, connection: Connection, turn: Round, patience: float) -> Answer:
        """Wait for an answer so many seconds. Raises ServerFailed."""
        answer = connection.wait(patience)
        if answer is None:
            raise self.servers.no_answer(connection.host, patience, turn)
        return answer

    def not_etcd(self) -> NotServed:
        """Return the error for what is no answer of the API that is spoken."""
        return NotServed(f"the answer from {self.address} is not etcd's", hint=self._not_etcd)

    def replaced(self) -> StoreReplaced:
        """Return the error for a store that is not the one that it was."""
        return StoreReplaced(f"etcd at {self.address} was emptied or replaced")

    def refused(self, key: str, message: object) -> DatastoreError:
        """Return the error for what etcd does not do."""
        return DatastoreError(f"etcd at {self.address} refused {key}: {message}")

    def forbidden(self, key: str) -> Forbidden:
        """Return the error for what we may not do, as far as etcd says why."""
        user = self._settings.username
        if not user:
            hint = "it wants to know who asks: set ETCD_USERNAME and ETCD_PASSWORD_FILE"
        else:
            hint = (
                f"a wrong password and a missing right look alike: is ETCD_PASSWORD_FILE that of"
                f" user {user}, and has the user a role that may read and write /calico/*?"
            )
        return Forbidden(
            f"etcd at {self.address} refused {key}: insufficient credentials", hint=hint
        )


class Client:
    """What the clients of both APIs have in common: which etcd it is, and how to leave it."""

    version: int
    """Of the API."""

    def __init__(self, requests: Requests) -> None:
        """Contact nobody yet."""
        self._requests = requests
        self._servers = requests.servers
        # those of watches: free, or with a question that is still out
        self._watching = self._servers.pool()

    @property
    def address(self) -> str:
        """Where etcd is, for messages: `<host>:<port>`, or several with commas between."""
        return self._servers.address

    @property
    def member(self) -> str:
        """Which of them answers, as far as it is known."""
        return self._servers.member

    @property
    def api(self) -> Api:
        """Which of etcd's APIs this is."""
        return Api(self.version, "ETCD_API says so")

    def close(self) -> None:
        """Close idle connections; the store stays usable."""
        self._servers.close()


def left(ends: float) -> float:
    """Return the seconds until then, at least a hundredth: sockets take 0 for `at once`."""
    return max(ends - time.monotonic(), 0.01)


def changed_meanwhile(key: str) -> Conflict:
    """Return the error for a key that is not as it was seen."""
    return Conflict(f"{key} was changed by somebody else meanwhile", hint="try again")


def misplaced(key: str, why: str) -> DatastoreError:
    """Return the error for a key that cannot be written where it is."""
    return DatastoreError(f"cannot write {key}: it {why}")


def _failed(connection: Connection, error: OSError) -> ServerFailed:
    if isinstance(error, TlsFailed):
        return ServerFailed(connection.host, str(error))
    return ServerFailed(connection.host, "connection lost", broke=True)
