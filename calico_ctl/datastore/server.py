"""The etcd server itself, beside what it stores: its version and its clock."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING

from calico_ctl.datastore.connection import Connection
from calico_ctl.errors import DatastoreUnavailable
from calico_ctl.model.etcd_access import EtcdAuthority, EtcdTls

if TYPE_CHECKING:
    from ssl import SSLContext

_SECONDS = 4.0


@dataclass(frozen=True, slots=True)
class Server:
    """What a server says of itself; `time` (to the second) is None if it does not tell."""

    version: str
    time: datetime | None


def ask(authority: EtcdAuthority, tls: EtcdTls | None = None) -> Server:
    """Ask a member of etcd.

    Raises DatastoreUnavailable if it does not answer as etcd does, InvalidValue for files of `tls`
    that cannot be used.
    """
    context = None
    if tls is not None:
        from calico_ctl.datastore import etcd_tls

        context = etcd_tls.context(tls)
    try:
        return _asked(authority, context)
    except ValueError as error:
        reason = "what listens there is not etcd"
        raise DatastoreUnavailable(str(authority), reason) from error
    except OSError as error:
        raise DatastoreUnavailable(str(authority), error.strerror or str(error)) from error


def _asked(authority: EtcdAuthority, context: "SSLContext | None") -> Server:
    connection = Connection.to(authority.host, authority.port, timeout=_SECONDS, tls=context)
    try:
        connection.ask("/version")
        answer = connection.wait(_SECONDS)
    finally:
        connection.close()
    if answer is None:
        raise TimeoutError("no answer in time")
    return Server(_version(answer.text), _time(answer.headers))


def _version(text: str) -> str:
    said = json.loads(text)
    return str(said.get("etcdserver", "unknown")) if isinstance(said, dict) else "unknown"


def _time(headers: Mapping[str, str]) -> datetime | None:
    # A date that cannot be read is a ValueError: none.
    try:
        time = parsedate_to_datetime(headers.get("date", ""))
    except ValueError:
        return None
    return time if time.tzinfo is not None else None
