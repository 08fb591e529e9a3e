"""A first look at a container without docker-py, whose import takes longer than the whole command.

One request over the engine's socket, in HTTP/1.0, so that the answer ends where the connection
does. All that is not plain (another kind of address, a refusal, an engine that is not there) is
docker-py's, and so are its errors; but one that hangs is waited for once.
"""

import json
import re
import socket
from contextlib import suppress
from typing import cast

from calico_ctl.docker_api.client import Engine, Json
from calico_ctl.errors import NotFound

_UNIX = "unix://"
_UDP, _ANY_PORT = socket.SOCK_DGRAM, 9
_OK, _NOT_FOUND = 200, 404
_LARGEST_ANSWER = 16 << 20
_CONTAINER = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")
_HEAD_END = b"\r\n\r\n"


class QuickEngine(Engine):
    """An engine that looks at containers quickly where it can, and is like any other else."""

    def is_local(self) -> bool:
        """Say whether the engine is on this machine: whether its process ids mean anything here."""
        scheme, _, rest = self.address.partition("://")
        if scheme.endswith("unix"):
            return True
        place = rest.partition("/")[0]
        host = place.rpartition(":")[0] or place
        return scheme != "ssh" and _is_own(host.strip("[]"))

    def hurried(self) -> "QuickEngine":
        """Return the same without our own proxy between, and with little time to answer."""
        plain = super().hurried()
        return QuickEngine(plain._environment, plain.seconds)

    def _inspect(self, name: str) -> Json:
        if self.address.startswith(_UNIX) and _CONTAINER.fullmatch(name):
            # What goes wrong here goes wrong again below, where it is put into words.
            with suppress(OSError, ValueError):
                status, body = self._asked_once(f"/containers/{name}/json")
                if status == _OK:
                    return cast("Json", json.loads(body))
                if status == _NOT_FOUND and b"No such container" in body:
                    hint = "`docker ps --all` lists containers"
                    raise NotFound(f"there is no container {name}", hint=hint)
        return super()._inspect(name)

    def _asked_once(self, target: str) -> tuple[int, bytes]:
        """Ask; one that hangs is not waited for again by docker-py."""
        try:
            return _get(self._path, target, self.seconds)
        except TimeoutError as error:
            from calico_ctl.docker_api import failures

            raise failures.silent(self.address) from error

    @property
    def _path(self) -> str:
        """The socket's path. `unix://var/run/docker.sock` was once common, and means the same."""
        return "/" + self.address.removeprefix(_UNIX).lstrip("/")


def _is_own(host: str) -> bool:
    """Say whether a host is this machine; nothing is sent.

    To an address of its own, the kernel speaks from that very address.
    """
    with suppress(OSError, UnicodeError):
        for family, kind, _, _, there in socket.getaddrinfo(host, _ANY_PORT, type=_UDP):
            if there[0] == "::1" or str(there[0]).startswith("127."):
                return True
            with suppress(OSError), socket.socket(family, kind) as probe:
                probe.connect(there)
                if probe.getsockname()[0] == there[0]:
                    return True
    return False


def _get(path: str, target: str, seconds: float) -> tuple[int, bytes]:
    """Ask once; return the answer's status and body. ValueError: this is no whole answer."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(seconds)
        connection.connect(path)
        connection.sendall(f"GET {target} HTTP/1.0\r\nHost: docker\r\n\r\n".encode())
        answer = bytearray()
        while piece := connection.recv(1 << 16):
            answer += piece
            if len(answer) > _LARGEST_ANSWER:
                raise ValueError("too long an answer")
    head, separator, body = bytes(answer).partition(_HEAD_END)
    found = re.match(rb"HTTP/1\.[01] ([0-9]{3})", head)
    if not separator or found is None or re.search(rb"(?i)transfer-encoding", head):
        raise ValueError("not a whole answer")
    length = re.search(rb"(?i)\r\ncontent-length: *([0-9]+)", head)
    if length is not None and int(length[1]) != len(body):
        raise ValueError("the answer broke off")
    return int(found[1]), body
