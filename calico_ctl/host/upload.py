"""Sending a file to a server of the operator's by HTTP PUT."""

import base64
import os
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection
from urllib.parse import unquote, urlsplit

from calico_ctl.errors import CalicoError, InvalidValue

_PATIENCE = 60.0
_MOST_OF_AN_ANSWER = 1 << 16


@dataclass(frozen=True, slots=True)
class Target:
    """Where a file goes to. `login` is what goes into a header, empty for none."""

    scheme: str
    host: str
    port: int | None
    path: str
    login: str = ""

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}{f':{self.port}' if self.port else ''}{self.path}"


def parse(text: str, what: str, name: str) -> Target:
    """Read an address; one that ends with a slash gets the file's `name`.

    Raises InvalidValue, without the password that may be in it.
    """
    expected = "http://<host>[:<port>]/<path> or https://..."
    try:
        found = urlsplit(text)
        port = found.port
    except ValueError as error:
        raise InvalidValue(what, "(its host or port)", expected) from error
    if found.scheme not in {"http", "https"} or not found.hostname or not text.isascii():
        raise InvalidValue(what, text.rpartition("@")[2], expected)
    path = found.path or "/"
    path += name if path.endswith("/") else ""
    path += f"?{found.query}" if found.query else ""
    if any(character <= " " for character in path):
        raise InvalidValue(what, text.rpartition("@")[2], "an address without spaces")
    return Target(found.scheme, found.hostname, port, path, _login(found.username, found.password))


def put(target: Target, descriptor: int, size: int) -> str:
    """Send `size` bytes of the file; return what the server answers.

    Raises CalicoError if it cannot be reached, or answers anything but a success.
    """
    kind = HTTPSConnection if target.scheme == "https" else HTTPConnection
    connection = kind(target.host, target.port, timeout=_PATIENCE)
    try:
        answer = _asked(connection, target, descriptor, size)
        said = answer.read(_MOST_OF_AN_ANSWER).decode(errors="replace").strip()
    except (OSError, HTTPException) as error:
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        raise CalicoError(
            f"cannot upload to {target}: {reason}", hint="the file above can be sent otherwise"
        ) from error
    finally:
        connection.close()
    if answer.status // 100 != 2:
        where = answer.getheader("Location")
        raise CalicoError(
            f"{target} refused the upload: {answer.status} {answer.reason}"
            + (f" ({said.splitlines()[0][:200]})" if said else ""),
            hint=f"it names another address: {where}" if where else "",
        )
    return said


def _asked(connection: HTTPConnection, target: Target, descriptor: int, size: int) -> HTTPResponse:
    fields = {"Content-Type": "application/gzip", "Content-Length": str(size)}
    if target.login:
        fields["Authorization"] = target.login
    with os.fdopen(os.dup(descriptor), "rb") as file:
        file.seek(0)
        connection.request("PUT", target.path, body=file, headers=fields)
        return connection.getresponse()


def _login(user: str | None, password: str | None) -> str:
    if user is None:
        return ""
    plain = f"{unquote(user)}:{unquote(password or '')}"
    return f"Basic {base64.b64encode(plain.encode()).decode()}"
