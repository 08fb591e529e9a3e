"""A real etcd of our own on loopback: started, stopped, frozen and emptied at will."""

import http.client
import json
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from threading import Thread
from typing import Any, BinaryIO
from urllib.parse import quote, quote_plus

from calico_ctl.datastore import etcd_v3_messages
from calico_ctl.datastore.etcd import Etcd
from calico_ctl.datastore.etcd_requests import EtcdSettings, Forbidden
from calico_ctl.datastore.etcd_v3 import EtcdV3
from calico_ctl.errors import DatastoreError, DatastoreUnavailable
from calico_ctl.model.etcd_access import EtcdAuthority, EtcdTls
from tests.support import command, ports
from tests.support.certificates import Certificates

_START_DEADLINE = 120.0
_PATIENT: dict[str, float | str] = {"connect_timeout": 30.0, "timeout": 30.0}
"""A busy machine may take long to write to its disk; commands and services wait for less."""


class EtcdServer:
    """One member on free ports, with its data below `directory`.

    Without `v2` it speaks the v3 API only, which it speaks in any case. Alone, or, with `name` and
    `peers` (name → peer URL, its own among them), one of a cluster.
    `prefix` is put before the command line: `nsenter`, to be in another network namespace.
    `program` is another release than that of this machine; `options` come after our own.
    """

    def __init__(
        self,
        directory: Path,
        *,
        v2: bool = True,
        host: str = "127.0.0.1",
        name: str = "default",
        peers: dict[str, str] | None = None,
        prefix: Sequence[str] = (),
    ) -> None:
        self.client_port, peer_port = ports.free(2)
        self.host = host
        self.name = name
        self._peers = peers or {name: f"http://{host}:{peer_port}"}
        self._directory = directory
        self._log = directory / f"{name}.log"
        self.v2 = v2
        self._prefix = prefix
        self.program = "etcd"
        self.options: tuple[str, ...] = ()
        self._certificates: Certificates | None = None
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def data(self) -> Path:
        """Where its data is."""
        return self._directory / self.name

    @property
    def authority(self) -> EtcdAuthority:
        """Where it listens."""
        return EtcdAuthority(self.host, self.client_port)

    @property
    def tls(self) -> EtcdTls | None:
        """What its clients trust and show; None: plain HTTP."""
        files = self._certificates
        if files is None:
            return None
        return EtcdTls(files.certificate("ca"), files.certificate("client"), files.key("client"))

    def settings(self, **settings: float | str) -> EtcdSettings:
        """Return what leads to this server, with the patience that a busy machine takes."""
        where = EtcdSettings(self.host, self.client_port, tls=self.tls)
        return replace(where, **(_PATIENT | settings))  # type: ignore[arg-type]

    def store(self, **settings: float | str) -> Etcd:
        """Make a store that speaks to this server, and waits for it as long as that may take."""
        return Etcd(self.settings(**settings))

    def store_v3(self, **settings: float | str) -> EtcdV3:
        """Make one that speaks the v3 API."""
        return EtcdV3(self.settings(**settings))

    def own_store(self, **settings: float | str) -> Etcd | EtcdV3:
        """Make one that speaks the API which this server is there for."""
        return self.store(**settings) if self.v2 else self.store_v3(**settings)

    def ask_v3(self, path: str, wanted: dict[str, Any], token: str = "") -> dict[str, Any]:
        """Ask something in the v3 API, in plain HTTP, as whoever has a token; return the answer."""
        connection = http.client.HTTPConnection(self.host, self.client_port, timeout=30)
        try:
            headers = {"Authorization": token} if token else {}
            connection.request("POST", f"/v3/{path}", json.dumps(wanted), headers)
            said: dict[str, Any] = json.load(connection.getresponse())
        finally:
            connection.close()
        return said

    def forget(self) -> None:
        """Let the v3 store forget all that it was before its present revision."""
        status = self.ask_v3("kv/range", {"key": etcd_v3_messages.coded("/nothing")})
        wanted = {"revision": status["header"]["revision"], "physical": True}
        said = self.ask_v3("kv/compaction", wanted)
        assert "header" in said, said

    def start(self) -> None:
        """Start, and wait until it serves."""
        self.launch()
        self.wait_until_it_serves()

    def launch(self) -> None:
        """Start without waiting: a member of a cluster serves once most are there."""
        client = f"{'http' if self.tls is None else 'https'}://{self.host}:{self.client_port}"
        peer = self._peers[self.name]
        argv = [*command.DIES_WITH_US, *self._prefix, self.program, f"--name={self.name}"]
        argv += [f"--enable-v2={str(self.v2).lower()}", f"--data-dir={self.data}"]
        argv += [f"--listen-client-urls={client}", f"--advertise-client-urls={client}"]
        argv += [f"--listen-peer-urls={peer}", f"--initial-advertise-peer-urls={peer}"]
        argv += [f"--initial-cluster={_cluster(self._peers)}"]
        if (files := self._certificates) is not None:
            argv += [f"--cert-file={files.certificate('server')}"]
            argv += [f"--key-file={files.key('server')}", "--client-cert-auth"]
            argv += [f"--trusted-ca-file={files.certificate('ca')}"]
        # One member elects itself; among several a busy machine must not look like a dead leader.
        beat, patience = (20, 100) if len(self._peers) == 1 else (50, 500)
        argv += [f"--heartbeat-interval={beat}", f"--election-timeout={patience}"]
        self._spawn([*argv, *self.options])

    def launch_proxy_of(self, server: "EtcdServer") -> None:
        """Start as a proxy, as hosts without a member of their own run one."""
        client = f"http://{self.host}:{self.client_port}"
        argv = [*command.DIES_WITH_US, "etcd", "--proxy=on", f"--data-dir={self.data}"]
        argv += [f"--listen-client-urls={client}", f"--initial-cluster={_cluster(server._peers)}"]
        self._spawn(argv)

    def stop(self) -> None:
        """Kill it; its data stays."""
        if self._process is not None:
            self._process.send_signal(signal.SIGCONT)
            self._process.kill()
            self._process.wait()
            self._process = None

    def freeze(self) -> None:
        """Let it accept connections and never answer."""
        assert self._process is not None
        command.freeze(self._process)

    def thaw(self) -> None:
        self._signal(signal.SIGCONT)

    def wipe(self) -> None:
        """Delete its data while it is stopped."""
        shutil.rmtree(self.data)

    def save(self, snapshot: Path) -> None:
        """Save the v3 store, as whoever makes backups does."""
        self._etcdctl("snapshot", "save", str(snapshot))

    def restore(self, snapshot: Path) -> None:
        """Have the v3 store as it was saved, while the server is stopped, in place of its data."""
        self.wipe()
        self._etcdctl(
            *("snapshot", "restore", str(snapshot), f"--name={self.name}"),
            *(f"--data-dir={self.data}", f"--initial-cluster={_cluster(self._peers)}"),
            f"--initial-advertise-peer-urls={self._peers[self.name]}",
        )

    def _etcdctl(self, *words: str) -> None:
        environment = {"ETCDCTL_API": "3", "ETCDCTL_ENDPOINTS": f"http://{self.authority}"}
        command.run(["etcdctl", *words], env=command.clean_environment(environment))

    def is_leader(self) -> bool:
        """Say whether this member leads its cluster."""
        said = self.ask_v3("maintenance/status", {})
        return bool(said.get("leader", "0") == said["header"]["member_id"])

    def wait_until_it_serves(self) -> None:
        deadline = time.monotonic() + _START_DEADLINE
        while not self._healthy():
            assert self._process is not None
            assert self._process.poll() is None, self._log.read_text()
            assert time.monotonic() < deadline, self._log.read_text()
            time.sleep(0.02)

    def _spawn(self, argv: Sequence[str]) -> None:
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(argv, stdout=log, stderr=log)

    def _signal(self, number: signal.Signals) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    def _healthy(self) -> bool:
        store = self.own_store()
        try:
            return store.get("/nothing") is None
        except Forbidden:  # it wants to know who asks
            return True
        except (DatastoreUnavailable, DatastoreError):  # a proxy that knows no member answers
            return False
        finally:
            store.close()


class SecureEtcdServer(EtcdServer):
    """One that speaks TLS and wants certificates of its clients."""

    def __init__(self, directory: Path, certificates: Certificates) -> None:
        super().__init__(directory)
        self._certificates = certificates


class EtcdCluster:
    """Three members on loopback, each with data of its own below `directory`."""

    def __init__(self, directory: Path, *, v2: bool = True) -> None:
        peers = {f"m{at}": f"http://127.0.0.1:{port}" for at, port in enumerate(ports.free(3))}
        self.members = [EtcdServer(directory, v2=v2, name=name, peers=peers) for name in peers]

    def start(self) -> None:
        """Start, and wait until all members serve."""
        for member in self.members:
            member.launch()
        for member in self.members:
            member.wait_until_it_serves()

    def stop(self) -> None:
        """Kill all members."""
        for member in self.members:
            member.stop()

    def leader_first(self) -> list[EtcdServer]:
        """Return the members, of which all are there; the first one leads."""
        command.wait_until(lambda: any(each.is_leader() for each in self.members), 10, "a leader")
        return sorted(self.members, key=lambda member: not member.is_leader())


def write_fast(server: EtcdServer, contents: Iterable[tuple[str, str]], writers: int = 4) -> None:
    """Write keys as fast as etcd takes them, each writer in the order given.

    A writer asks for all of its part before it looks at an answer, so that it costs the machine,
    and whoever is watched in this process, next to nothing.
    """
    listed = list(contents)
    threads = [
        Thread(target=_write_all, args=(server, listed[first::writers])) for first in range(writers)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def _write_all(server: EtcdServer, contents: Sequence[tuple[str, str]]) -> None:
    put = _put if server.v2 else _put_v3
    requests = b"".join(put(key, value) for key, value in contents)
    with socket.create_connection((server.host, server.client_port), 30) as connection:
        asking = Thread(target=connection.sendall, args=(requests,))
        asking.start()
        answers = connection.makefile("rb")
        for _ in contents:
            _skip_answer(answers)
        asking.join()
        answers.close()


def _put(key: str, value: str) -> bytes:
    body = f"value={quote_plus(value)}"
    head = f"PUT /v2/keys{quote(key)} HTTP/1.1\r\nHost: etcd\r\nContent-Length: {len(body)}\r\n"
    return f"{head}Content-Type: application/x-www-form-urlencoded\r\n\r\n{body}".encode()


def _put_v3(key: str, value: str) -> bytes:
    coded = etcd_v3_messages.coded
    body = json.dumps({"key": coded(key), "value": coded(value)})
    head = f"POST /v3/kv/put HTTP/1.1\r\nHost: etcd\r\nContent-Length: {len(body)}\r\n"
    return f"{head}\r\n{body}".encode()


def _skip_answer(answers: BinaryIO) -> None:
    status, length, in_chunks = answers.readline(), 0, False
    assert status.startswith((b"HTTP/1.1 200", b"HTTP/1.1 201")), status
    while (line := answers.readline()) != b"\r\n":
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            length = int(value)
        in_chunks |= name.lower() == b"transfer-encoding"
    answers.read(length)
    while in_chunks:  # as etcd answers for a large value
        size = int(answers.readline(), 16)
        answers.read(size + len(b"\r\n"))
        in_chunks = size > 0


def _cluster(peers: dict[str, str]) -> str:
    return ",".join(f"{name}={url}" for name, url in peers.items())
