"""The Docker API proxy as a process of its own, with workloads that only pretend.

Addresses say what shall fail: 10.65.0.99 is taken, 10.65.0.98 cannot be reserved, 10.65.0.97 gets
no network. What the proxy asked is in its log, one line each.

    python -m tests.support.docker_proxy ENGINE_SOCKET PORT
"""

import contextlib
import http.client
import importlib
import json
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from netaddr import IPAddress

from calico_ctl import logs
from calico_ctl.daemons import docker_proxy
from calico_ctl.daemons.docker_proxy import ProxySettings
from calico_ctl.errors import Conflict, DeadlineExceeded, DockerError, PoolExhausted
from calico_ctl.model.endpoint import Endpoint, EndpointKey, State
from calico_ctl.model.wish import Wish
from tests.support import command
from tests.support.wire import Wire

TAKEN, NOT_RESERVED, NOT_CONNECTED = (IPAddress(f"10.65.0.{n}") for n in (99, 98, 97))
_FREE = IPAddress("10.65.0.1")
_CHECKOUT = Path(__file__).resolve().parents[2]


class PretendedWorkloads:
    """Implements `docker_proxy.Workloads`: endpoints are made at reserve and end at release."""

    def __init__(self, engine_socket: str) -> None:
        self._engine = engine_socket
        self._endpoints: dict[str, Endpoint] = {}

    def check(self, wish: Wish) -> None:
        _say(" ".join(["check", _first(wish), *wish.profiles]))
        if TAKEN in wish.requests:
            raise Conflict(f"{TAKEN} is taken", hint="choose another")

    def reserve(self, container_id: str, wish: Wish) -> None:
        _say(f"reserve {container_id}")
        if NOT_RESERVED in wish.requests:
            self.remove(container_id)
            raise PoolExhausted("no address is left")
        addresses = tuple(each for each in wish.requests if isinstance(each, IPAddress))
        self._endpoints[container_id] = Endpoint(
            EndpointKey("host-a", "docker", container_id, "e1"),
            State.INACTIVE,
            "cali1",
            "02:42:0a:41:00:01",
            wish.profiles,
            addresses or (_FREE,),
            IPAddress("172.17.8.101"),
        )

    def identify(self, name: str) -> str | None:
        container_id = self._id(name)
        return container_id if container_id in self._endpoints else None

    def wishes(self, name: str) -> bool:
        return self.identify(name) is not None

    def await_agent(self, container_id: str, seconds: float, *, unless_running: bool) -> None:
        """There is one: what it shall fail at is said by addresses."""

    def connect(self, container: str, seconds: float) -> None:
        container_id = self.identify(container)
        if container_id is None:
            return
        _say(f"connect {container_id}")
        found = self._endpoints[container_id]
        if NOT_CONNECTED in found.addresses:
            self.stop(container_id)
            raise DeadlineExceeded("the agent does not answer", hint="look at its log")
        self._endpoints[container_id] = replace(found, state=State.ACTIVE)

    def release(self, container_id: str) -> None:
        _say(f"release {container_id}")
        del self._endpoints[container_id]

    def stop(self, container_id: str) -> None:
        _Engine(self._engine).ask("POST", f"/containers/{container_id}/kill")

    def remove(self, container_id: str) -> None:
        _Engine(self._engine).ask("DELETE", f"/containers/{container_id}?force=1")

    def endpoint(self, container_id: str) -> Endpoint | None:
        return self._endpoints.get(container_id)

    def _id(self, name: str) -> str:
        status, body = _Engine(self._engine).ask("GET", f"/containers/{name}/json")
        if status != http.HTTPStatus.OK:
            raise DockerError("no such container")
        return str(json.loads(body)["Id"])


class _Engine:
    """The engine as the pretended workloads ask it: one call, one connection."""

    def __init__(self, path: str) -> None:
        self._path = path

    def ask(self, method: str, target: str) -> tuple[int, bytes]:
        with Wire(self._path) as connection:
            answer = connection.ask(f"{method} {target}")
            return answer.status, answer.body


def _first(wish: Wish) -> str:
    return str(wish.requests[0])


def _say(line: str) -> None:
    print(line, flush=True)


@dataclass(frozen=True)
class RunningProxy:
    """A proxy that listens on loopback."""

    port: int
    pid: int
    log: Path

    @property
    def address(self) -> tuple[str, int]:
        return "127.0.0.1", self.port

    @property
    def docker_host(self) -> str:
        return f"tcp://127.0.0.1:{self.port}"

    def said(self, line: str) -> int:
        """How often it logged exactly this line."""
        return self.log.read_text().splitlines().count(line)


@contextlib.contextmanager
def running(engine_socket: str) -> Iterator[RunningProxy]:
    """A proxy in front of an engine; it must not have failed anywhere in the end."""
    with tempfile.TemporaryDirectory() as directory:
        log = Path(directory) / "log"
        argv = [sys.executable, "-m", "tests.support.docker_proxy", engine_socket, "0"]
        environment = command.clean_environment({"PYTHONPATH": str(_CHECKOUT)})
        process = command.spawn([*command.DIES_WITH_US, *argv], log, environment)
        try:
            port = _port(process, log)
            yield RunningProxy(port, process.pid, log)
        finally:
            command.stop(process)
        text = log.read_text()
        assert "Traceback" not in text, text
        assert process.returncode == 0, text


def _port(process: "subprocess.Popen[bytes]", log: Path) -> int:
    mark = "listening at "

    def listens() -> bool:
        assert process.poll() is None, log.read_text()
        return mark in log.read_text()

    command.wait_until(listens, 20, "the proxy listens")
    return int(log.read_text().split(mark)[1].split()[0])


def main(engine_socket: str, port: int) -> None:
    """Serve until SIGTERM, with all in memory that the real service has there."""
    for module in ("calico_ctl.daemons.docker_proxy_service", "docker", "etcd"):
        importlib.import_module(module)
    stopping = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stopping.set())
    logs.to_stderr()
    settings = ProxySettings("127.0.0.1", port, engine_socket=engine_socket)
    docker_proxy.run(
        settings,
        PretendedWorkloads(engine_socket),
        stopping,
        lambda _host, bound: _say(f"listening at {bound} "),
    )


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
