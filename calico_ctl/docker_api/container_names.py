"""The names of the engine's containers, for who cannot wait for docker-py to be imported.

Asked without a version, which every engine answers. An engine behind TLS is not asked.
"""

import json
import socket
from collections.abc import Mapping
from http.client import HTTPConnection, HTTPException
from urllib.parse import urlsplit

from calico_ctl.docker_api.client import SOCKET, with_scheme
from calico_ctl.errors import DockerUnavailable

_PATH = "/containers/json?all=1"
_OK = 200


def read(environment: Mapping[str, str], seconds: float) -> list[str]:
    """Return the names, sorted, of the engine that DOCKER_HOST names.

    Each step may take `seconds`. Raises DockerUnavailable for whatever goes wrong.
    """
    address = with_scheme(environment.get("DOCKER_HOST") or SOCKET)
    try:
        with _connected(address, seconds) as connected:
            return sorted(_ask(connected))
    except (OSError, ValueError, HTTPException, LookupError, TypeError) as error:
        raise DockerUnavailable(f"cannot ask Docker at {address} ({error})") from error


def _connected(address: str, seconds: float) -> socket.socket:
    parts = urlsplit(address)
    if parts.scheme in {"tcp", "http"}:
        return socket.create_connection((parts.hostname, parts.port), seconds)
    connected = socket.socket(socket.AF_UNIX)
    try:
        connected.settimeout(seconds)
        connected.connect(parts.path)
    except BaseException:
        connected.close()
        raise
    return connected


def _ask(connected: socket.socket) -> list[str]:
    http = HTTPConnection("docker")
    http.sock = connected
    http.request("GET", _PATH)
    answer = http.getresponse()
    content = answer.read()
    if answer.status != _OK:
        raise ValueError(f"it answers {answer.status}")
    return [str(name).removeprefix("/") for each in json.loads(content) for name in each["Names"]]
