"""What the Docker Engine tells, and what the services in calico-node tell through it."""

import json
import threading
import time
from collections.abc import Iterable, Mapping
from functools import partial

from calico_ctl.dataplane import bird
from calico_ctl.diagnostics import redact
from calico_ctl.diagnostics.collector import Collector, Evidence
from calico_ctl.diagnostics.platform import Docker, Json, Platform
from calico_ctl.docker_api import etcd_container, node_container
from calico_ctl.errors import CalicoError

NODE = node_container.NAME
OURS = {NODE, etcd_container.NAME}

_OUTPUT_LINES = 2000
_SECONDS_TO_INSPECT = 30.0

_AND_ITS_CODE = '"$@" 2>&1; echo "(exit code $?)"'

_INSIDE = {
    "node/services": ["sh", "-c", "sv status /run/calico/service/*"],
    "node/bird.conf": ["cat", bird.CONFIG],
    "node/bird-status": ["birdc", "-r", "-s", bird.SOCKET, "show", "status"],
    "node/bird-protocols": ["birdc", "-r", "-s", bird.SOCKET, "show", "protocols", "all"],
    "node/bird-routes": ["birdc", "-r", "-s", bird.SOCKET, "show", "route", "all"],
    "node/versions": ["sh", "-c", "calicoctl version; bird --version; nft --version"],
}


class _Door:
    """The way to the engine. One that does not answer is waited for once, not by everybody."""

    def __init__(self, platform: Platform) -> None:
        self._platform = platform
        self._lock = threading.Lock()
        self._version: Json | CalicoError | None = None

    def version(self) -> Json:
        """Return what the engine said of its version; raise what became of the question."""
        with self._lock:
            if self._version is None:
                try:
                    self._version = self._platform.docker.hurried().version()
                except CalicoError as error:
                    self._version = error
        if isinstance(self._version, CalicoError):
            raise self._version
        return self._version

    def docker(self) -> Docker:
        """Return the engine, in a hurry; raise as `version` if it does not answer."""
        self.version()
        return self._platform.docker.hurried()


def collectors(platform: Platform) -> list[Collector]:
    """Return the collectors; none of them changes anything."""
    door = _Door(platform)
    return [
        Collector("docker/version", partial(_version, door)),
        Collector("docker/info", partial(_info, door)),
        Collector("docker/containers", partial(_listing, door)),
        Collector("docker/inspect", partial(_inspected, door), 2 * _SECONDS_TO_INSPECT),
        Collector("node/output", partial(_output, door)),
        *(Collector(name, partial(_inside, door, argv)) for name, argv in sorted(_INSIDE.items())),
    ]


def _version(door: _Door) -> str:
    return _shown(redact.value(door.version()))


def _info(door: _Door) -> str:
    return _shown(redact.value(door.docker().info()))


def _listing(door: _Door) -> str:
    containers = door.docker().listing()
    # The command line may hold a password.
    return _shown([{**each, "Command": redact.PLACEHOLDER} for each in containers])


def _output(door: _Door) -> str:
    return door.docker().output(NODE, _OUTPUT_LINES)


def _inside(door: _Door, argv: list[str]) -> str:
    """Run a program in calico-node; return what it printed and how it ended."""
    return door.docker().execute(NODE, ["sh", "-c", _AND_ITS_CODE, "sh", *argv])


def _inspected(door: _Door) -> Evidence:
    """Inspect our own containers, and all others that have to do with Calico."""
    docker = door.docker()
    until = time.monotonic() + _SECONDS_TO_INSPECT
    files: dict[str, str] = {}
    secrets: set[str] = set()
    for listed in docker.listing():
        name = _name(listed)
        if time.monotonic() > until:
            files["docker/inspect/incomplete"] = "the engine takes too long for the others\n"
            break
        found = _inspect(docker, str(listed.get("Id")))
        if isinstance(found, CalicoError):
            files[f"docker/inspect/{name}"] = f"not collected: {found.message}\n"
            continue
        secrets.update(redact.secrets_in(_variables(found)))
        if name in OURS or any(each.startswith("CALICO_") for each, _ in _variables(found)):
            shown = redact.inspected(found, ours=name in OURS)
            files[f"docker/inspect/{name}"] = _shown(shown)
    none = {"docker/inspect": "no container has to do with Calico\n"}
    return Evidence(files or none, frozenset(secrets))


def _inspect(docker: Docker, container_id: str) -> Json | CalicoError:
    # One that is just being started does not answer until it is; the others do.
    try:
        return docker.inspect(container_id)
    except CalicoError as error:
        return error


def _name(listed: Json) -> str:
    names = listed.get("Names")
    first = str(names[0]) if isinstance(names, list) and names else str(listed.get("Id"))
    return first.removeprefix("/")


def _variables(container: Json) -> list[tuple[str, str]]:
    config = container.get("Config")
    lines = config.get("Env") if isinstance(config, Mapping) else None
    split: Iterable[tuple[str, str, str]] = (str(line).partition("=") for line in lines or ())
    return [(name, value) for name, _, value in split]


def _shown(given: object) -> str:
    return json.dumps(given, indent=2, default=str) + "\n"
