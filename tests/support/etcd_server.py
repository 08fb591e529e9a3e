"""A real etcd of our own on loopback: started, stopped, frozen and emptied at will."""

import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path

from calico_ctl.datastore.etcd import Etcd, EtcdSettings
from calico_ctl.errors import DatastoreUnavailable

_START_DEADLINE = 20.0


class EtcdServer:
    """One member on free ports, with its data below `directory`."""

    def __init__(self, directory: Path, *, v2: bool = True) -> None:
        self.client_port, self._peer_port = _free_ports(2)
        self._data = directory / "etcd"
        self._log = directory / "etcd.log"
        self._v2 = v2
        self._process: subprocess.Popen[bytes] | None = None

    def store(self, **settings: float) -> Etcd:
        """Make a store that speaks to this server."""
        return Etcd(EtcdSettings("127.0.0.1", self.client_port, **settings))  # type: ignore[arg-type]

    def start(self) -> None:
        """Start, and wait until it serves."""
        client = f"http://127.0.0.1:{self.client_port}"
        peer = f"http://127.0.0.1:{self._peer_port}"
        argv = ["etcd", f"--enable-v2={str(self._v2).lower()}", f"--data-dir={self._data}"]
        argv += [f"--listen-client-urls={client}", f"--advertise-client-urls={client}"]
        argv += [f"--listen-peer-urls={peer}", f"--initial-advertise-peer-urls={peer}"]
        argv += [f"--initial-cluster=default={peer}"]
        argv += ["--heartbeat-interval=20", "--election-timeout=100"]  # one member elects itself
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(argv, stdout=log, stderr=log)
        self._wait_until_it_serves()

    def stop(self) -> None:
        """Kill it; its data stays."""
        if self._process is not None:
            self._process.send_signal(signal.SIGCONT)
            self._process.kill()
            self._process.wait()
            self._process = None

    def freeze(self) -> None:
        """Let it accept connections and never answer."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self._signal(signal.SIGCONT)

    def wipe(self) -> None:
        """Delete its data while it is stopped."""
        shutil.rmtree(self._data)

    def _signal(self, number: signal.Signals) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    def _wait_until_it_serves(self) -> None:
        deadline = time.monotonic() + _START_DEADLINE
        while not self._healthy():
            assert self._process is not None
            assert self._process.poll() is None, self._log.read_text()
            assert time.monotonic() < deadline, self._log.read_text()
            time.sleep(0.02)

    def _healthy(self) -> bool:
        if not self._v2:
            with socket.socket() as probe:
                return probe.connect_ex(("127.0.0.1", self.client_port)) == 0
        store = self.store()
        try:
            return store.get("/nothing") is None
        except DatastoreUnavailable:
            return False
        finally:
            store.close()


def _free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    try:
        return [one.getsockname()[1] for one in sockets]
    finally:
        for one in sockets:
            one.close()
