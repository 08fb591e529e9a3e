"""Questions in etcd's v3 API, asked as the user that we are, and what its errors mean.

A password is exchanged for a token. etcd forgets a token after some minutes without use, and with a
restart; then it is asked for another one, and the question once more, of which nothing was done.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from calico_ctl.datastore import etcd_v3_messages as messages
from calico_ctl.datastore.connection import Answer, Connection
from calico_ctl.datastore.etcd_requests import EtcdSettings, Requests
from calico_ctl.datastore.etcd_servers import Round, ServerFailed
from calico_ctl.datastore.etcd_v3_messages import Object
from calico_ctl.errors import HistoryLost

_T = TypeVar("_T")

Following = Callable[[str], Mapping[str, Any] | None]
"""Says what to ask next, given the text of an answer; None: nothing."""

ReadText = Callable[[str], Object]
"""Reads the text of an answer. Raises ValueError, KeyError or TypeError if it is none of etcd's."""

_AUTHENTICATE = "/v3/auth/authenticate"
_FORBIDDEN = {401, 403}

_NOT_V3 = (
    "this etcd does not serve the v3 API as JSON, which is there from 3.4 on unless it is started"
    " with --enable-grpc-gateway=false"
)
_HINTS = {
    "space exceeded": "`etcdctl compact` and `etcdctl defrag` free some, then `alarm disarm`",
    "too many operations": "etcd's --max-txn-ops has to be 128 at least, as it is by default",
}
_UNKNOWN_USER = (
    "invalid auth token",
    "revision of auth store is old",
    "auth: revision in header is old",
    "user name is empty",
)
_NO_USERS = "authentication is not enabled"


class TokenRefused(Exception):
    """Whoever sent it is not known, or not any more; nothing was done."""


class _NoUsers(Exception):
    """This etcd asks nobody who they are."""


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked, and the key that it is about, for messages."""

    key: str
    path: str
    wanted: Mapping[str, Any]
    read: ReadText = messages.read


class Session:
    """Asks questions. Usable from several threads."""

    def __init__(self, settings: EtcdSettings) -> None:
        """Contact nobody yet."""
        self._settings = settings
        self._token: str | None = None if settings.username else ""
        self.requests = Requests(settings, _NOT_V3)

    def read(self, question: Question) -> Object:
        """Ask something that may be asked twice."""

        def read(token: str) -> Object:
            return self.requests.read(lambda turn: self.asked(question, turn, token))

        return self.as_user(question.key, read)

    def write(self, question: Question) -> Object:
        """Ask for a change, once."""

        def write(token: str) -> Object:
            return self.requests.write(
                question.key, lambda turn: self.asked(question, turn, token, turn.left())
            )

        return self.as_user(question.key, write)

    def as_user(self, key: str, attempt: Callable[[str], _T]) -> _T:
        """Do something with our token; once more with a new one if that is refused."""
        try:
            return attempt(self._new_token(key) if self._token is None else self._token)
        except TokenRefused:
            if not self._settings.username:
                raise self.requests.forbidden(key) from None
        try:
            return attempt(self._new_token(key))
        except TokenRefused:
            raise self.requests.forbidden(key) from None

    def asked(
        self, question: Question, turn: Round, token: str, patience: float | None = None
    ) -> Object:
        """Ask one member; return the answer. Raises ServerFailed, TokenRefused.

        Without `patience` it has its share of the time that is left.
        """
        return self.asked_in_turn(question, lambda _: None, turn, token, patience)[0]

    def asked_in_turn(
        self,
        question: Question,
        following: Following,
        turn: Round,
        token: str,
        patience: float | None = None,
    ) -> list[Object]:
        """Ask one member one question after the other, as `asked` does; return the answers.

        What is `following` an answer is asked before that answer is read.
        """
        said: list[Object] = []
        wanted: Mapping[str, Any] | None = question.wanted
        fields = authorization(token)

        def ask(connection: Connection) -> None:
            connection.post(question.path, json.dumps(wanted), fields)

        while wanted is not None:
            # A connection that is closed after an answer is one for each of them.
            with self.requests.asking(question.path, self.requests.free, turn, ask) as connection:
                while wanted is not None and not connection.closed:
                    seconds = self.requests.servers.patience(turn) if patience is None else patience
                    answer = self.requests.answer(connection, turn, seconds)
                    wanted = following(answer.text)
                    if wanted is not None and not connection.closed:
                        ask(connection)
                    said.append(self._read(question, answer, connection.host))
        return said

    def _read(self, question: Question, answer: Answer, member: str) -> Object:
        try:
            said = question.read(answer.text)
        except ValueError:
            if answer.status in _FORBIDDEN:
                raise self.requests.forbidden(question.key) from None
            raise
        self.require_no_trouble(question.key, said, member)
        # A KeyError says that it is no answer of etcd. Some come as the first of a stream.
        _ = said.get("result", said)["header"]["cluster_id"]
        return said

    def require_no_trouble(self, key: str, said: Object, member: str) -> None:
        """Raise what an answer, or a part of one that goes on, says of an error."""
        trouble = messages.trouble(said)
        if trouble is None:
            return
        code, message = trouble
        if code in {messages.UNAVAILABLE, messages.TIMED_OUT}:
            reason = "the etcd cluster has no leader" if "leader" in message else message
            raise ServerFailed(member, reason)
        if code == messages.UNAUTHENTICATED or any(each in message for each in _UNKNOWN_USER):
            raise TokenRefused
        if _NO_USERS in message:
            raise _NoUsers
        if code == messages.DENIED or "authentication failed" in message:
            raise self.requests.forbidden(key)
        if code == messages.OUT_OF_RANGE:
            raise HistoryLost(f"etcd at {self.requests.address}: {message}")
        error = self.requests.refused(key, message)
        error.hint = next((hint for words, hint in _HINTS.items() if words in message), "")
        raise error

    def _new_token(self, key: str) -> str:
        """Exchange the password for a token; it is empty if this etcd has no users."""
        login = self._settings
        wanted = {"name": login.username, "password": login.password}
        question = Question(key, _AUTHENTICATE, wanted)
        try:
            said = self.requests.read(lambda turn: self.asked(question, turn, ""))
            self._token = str(said["token"])
        except _NoUsers:
            self._token = ""
        except KeyError as error:
            raise self.requests.not_etcd() from error
        return self._token


def is_about_who_asks(reason: str) -> bool:
    """Say whether a watch was cancelled for what we may not, or are not known to be allowed."""
    return any(each in reason for each in (*_UNKNOWN_USER, "permission denied"))


def authorization(token: str) -> list[tuple[str, str]]:
    """Return the header fields that say who asks."""
    return [("Authorization", token)] if token else []
