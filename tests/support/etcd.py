"""A real etcd: on a free loopback port, or in a lab host on the ports that calicoctl expects."""

import http.client
import json
import os
import signal
import subprocess
import tempfile
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.support import command, ports
from tests.support.host import Host


class Etcd:
    """One etcd member with the v2 API. In a host it listens on all its addresses."""

    def __init__(self, host: Host | None = None, port: int = 0) -> None:
        self.host = host
        mine, peers = (2379, 2380) if host else ports.free(2)
        self.port = port or mine
        self._peer_port = peers
        self._scratch = tempfile.TemporaryDirectory(prefix="calico-etcd-")
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def authority(self) -> str:
        """The value for ETCD_AUTHORITY."""
        return f"{self.host.ip if self.host else '127.0.0.1'}:{self.port}"

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.resume()
        self.kill()
        self._scratch.cleanup()

    def start(self) -> None:
        """Start it, with the data that it had, and wait until it is healthy."""
        listen = f"http://{'0.0.0.0' if self.host else '127.0.0.1'}:{self.port}"
        peer = f"http://127.0.0.1:{self._peer_port}"
        argv = [
            *("etcd", "--name=lab", "--enable-v2=true", f"--data-dir={self._scratch.name}/data"),
            *(f"--listen-client-urls={listen}", f"--advertise-client-urls=http://{self.authority}"),
            *(f"--listen-peer-urls={peer}", f"--initial-advertise-peer-urls={peer}"),
            f"--initial-cluster=lab={peer}",
        ]
        if self.host:
            self._process = self.host.spawn(argv, "etcd.log")
        else:
            log = Path(self._scratch.name) / "log"
            self._process = command.spawn([*command.DIES_WITH_US, *argv], log)
        command.wait_until(self._healthy, 20, f"etcd at {self.authority} is healthy")

    def stop(self) -> None:
        """End it in good order; the data stays."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """End it at once; the data stays."""
        self._end(signal.SIGKILL)

    def pause(self) -> None:
        """Let it hang: it accepts connections and answers nothing."""
        assert self._process is not None
        command.freeze(self._process)

    def resume(self) -> None:
        """Let it go on after `pause`."""
        self._signal(signal.SIGCONT)

    def _signal(self, number: int) -> None:
        if self._process is not None and self._process.poll() is None:
            os.killpg(self._process.pid, number)

    def _end(self, number: int) -> None:
        if self._process is not None:
            command.stop(self._process, number)
        self._process = None

    def _healthy(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, "etcd ended"
        try:
            return bool(self.request("GET", "/health").get("health") == "true")
        except (OSError, http.client.HTTPException, command.CommandFailedError):
            return False

    def request(
        self, method: str, path: str, value: str | None = None, *, timeout: int = 30
    ) -> dict[str, Any]:
        """One plain HTTP call, as an orchestrator makes it; the decoded answer, errors included.

        `timeout`: for how many seconds to wait for it.
        """
        if self.host:
            data = ["--data-urlencode", f"value={value}"] if value is not None else []
            url = f"http://{self.authority}{path}"
            argv = ["curl", "-sS", "-L", "-m", str(timeout), "-X", method, url, *data]
            return _decoded(self.host.run(argv, quiet=True).out)
        body = urllib.parse.urlencode({"value": value}).encode() if value is not None else None
        url = f"http://{self.authority}{path}"
        request = urllib.request.Request(url, body, method=method)
        try:
            with urllib.request.urlopen(request, timeout=timeout) as answer:
                return _decoded(answer.read())
        except urllib.error.HTTPError as error:
            with error:
                return _decoded(error.read())

    def wipe(self) -> None:
        """Remove everything below /calico."""
        self.request("DELETE", "/v2/keys/calico?recursive=true&dir=true")

    def keys(self, below: str = "/calico") -> dict[str, str]:
        """All keys and values below a directory."""
        answer = self.request("GET", f"/v2/keys{below}?recursive=true")
        return leaves(answer.get("node", {}))


def leaves(node: dict[str, Any]) -> dict[str, str]:
    """Keys and values of a v2 answer, without directories."""
    found = {node["key"]: node["value"]} if "value" in node else {}
    for child in node.get("nodes", []):
        found |= leaves(child)
    return found


def _decoded(text: str | bytes) -> dict[str, Any]:
    answer: dict[str, Any] = json.loads(text) if text else {}
    return answer
