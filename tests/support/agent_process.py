"""A policy agent as a process, with a real etcd, in a network namespace that is its host.

Containers are further namespaces. Etcd listens on the host namespace's loopback. The agent goes by
this machine's name.
"""

import contextlib
import json
import signal
import socket
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from netaddr import IPAddress

from calico_ctl.dataplane.network import KernelNetwork
from calico_ctl.datastore import endpoints, status
from calico_ctl.datastore.etcd import Etcd
from calico_ctl.datastore.etcd_v3 import EtcdV3
from calico_ctl.datastore.status import AgentStatus
from calico_ctl.model.endpoint import Endpoint, EndpointKey, State
from calico_ctl.model.interface import Interface
from tests.support import command
from tests.support.etcd_server import EtcdServer
from tests.support.netns import NetNs, private_netns
from tests.support.probes import ECHO

HOSTNAME = socket.gethostname()
GATEWAYS = (IPAddress("10.99.0.1"), IPAddress("fd99::1"))
CHECKOUT = Path(__file__).resolve().parents[2]
PATIENCE = 30
"""Seconds until an answer that has to come is given up."""


@dataclass
class AgentHost:
    """The namespace, its etcd, the agent, and the containers that were plugged in."""

    namespace: NetNs
    server: EtcdServer
    store: Etcd | EtcdV3
    directory: Path
    _agent: Any = None
    _plugged: dict[str, tuple[NetNs, Endpoint, int]] = field(default_factory=dict)

    def start_agent(self) -> None:
        """Start the agent, and wait until it reports."""
        self.store.delete(f"/calico/felix/v1/host/{HOSTNAME}/status")
        argv = [sys.executable, str(CHECKOUT / "calicoctl.py"), "daemon", "felix"]
        environment = command.clean_environment(
            {
                "ETCD_AUTHORITY": f"127.0.0.1:{self.server.client_port}",
                "CALICO_METRICS_DIRECTORY": str(self.directory / "metrics"),
            }
        )
        self._agent = command.spawn(
            [*command.DIES_WITH_US, *argv], self.directory / "agent.log", environment
        )
        command.wait_until(lambda: self.report() is not None, 20, "the agent reports")

    def end_agent(self, number: int = signal.SIGTERM) -> int:
        """Signal the agent; return its exit code."""
        command.stop(self._agent, number)
        code: int = self._agent.returncode
        return code

    @property
    def pid(self) -> int:
        """The agent's process."""
        pid: int = self._agent.pid
        return pid

    def log(self) -> str:
        """What the agent has said."""
        return (self.directory / "agent.log").read_text()

    def report(self) -> AgentStatus | None:
        """What the agent reports of itself."""
        return status.read_agent(self.store, HOSTNAME)

    def plug(self, name: str, *addresses: str, profiles: tuple[str, ...] = ()) -> NetNs:
        """Give a container (a namespace) an endpoint, and wait for the agent's acknowledgement."""
        number = len(self._plugged) + 1
        key = EndpointKey(HOSTNAME, "docker", name, f"{number:032x}")
        ips = tuple(IPAddress(text) for text in addresses)
        mac = f"02:00:00:00:00:{number:02x}"
        endpoint = Endpoint(key, State.ACTIVE, f"cali{name}", mac, profiles, ips, *GATEWAYS)
        container = self._containers.enter_context(private_netns())
        gateways = tuple(g for g in GATEWAYS if g.version in {ip.version for ip in ips})
        KernelNetwork().plug(
            Interface(endpoint.name, str(container.path), "eth1", mac, ips, gateways)
        )
        revision = endpoints.create(self.store, endpoint)
        status.wait_for_endpoint(self.store, key, revision, time.monotonic() + 10, _MonotonicClock)
        self._plugged[name] = (container, endpoint, revision)
        return container

    def write_rules(self, profile: str, inbound: list[Any], outbound: list[Any]) -> None:
        """Write a profile's rules."""
        value = json.dumps({"inbound": inbound, "outbound": outbound})
        self.store.put(f"/calico/policy/profile/{profile}/rules", value)

    def __post_init__(self) -> None:
        self._containers = contextlib.ExitStack()

    def close(self) -> None:
        """End what runs here."""
        if self._agent is not None:
            command.stop(self._agent)
        self._containers.close()
        self.store.close()
        self.server.stop()


class _MonotonicClock:
    monotonic = staticmethod(time.monotonic)


@contextlib.contextmanager
def agent_host(directory: Path, *, v2: bool = True) -> Iterator[AgentHost]:
    """A host with a running agent and an empty cluster; this thread is inside.

    Without `v2` its etcd speaks the v3 API only.
    """
    with private_netns() as namespace, namespace.entered():
        for ip in GATEWAYS:
            length = 32 if ip.version == 4 else 128
            namespace.run(["ip", "addr", "add", f"{ip}/{length}", "dev", "lo"])
        server = EtcdServer(directory, v2=v2)
        server.start()
        host = AgentHost(namespace, server, server.own_store(), directory)
        try:
            host.store.create("/calico/Ready", "true")
            host.start_agent()
            yield host
        finally:
            host.close()


@dataclass
class Conversation:
    """A connection with an echo server, held open over changes of policy."""

    client: socket.socket

    def goes_on(self) -> bool:
        """Whether what is said comes back, on a busy machine too."""
        return self._answers(PATIENCE)

    def is_cut(self) -> bool:
        """Whether what is said has not come back within a second."""
        return not self._answers(1)

    def _answers(self, seconds: float) -> bool:
        self.client.settimeout(seconds)
        try:
            self.client.send(b"hello")
            return self.client.recv(100) == b"hello"
        except TimeoutError:
            return False


@contextlib.contextmanager
def conversation(
    client: NetNs, server: NetNs, address: str, port: int = 80, kind: str = "tcp"
) -> Iterator[Conversation]:
    """Start an echo server in one container, and a conversation with it from another."""
    kinds = {"tcp": socket.SOCK_STREAM, "udp": socket.SOCK_DGRAM}
    prefix = ["nsenter", "--target", str(server.pid), "--net"]
    echo = command.spawn(
        [*command.DIES_WITH_US, *prefix, *ECHO, "serve", kind, str(port)], Path("/dev/null")
    )
    try:
        listing = ["ss", "-Hln", f"--{kind}", f"sport = :{port}"]
        command.wait_until(lambda: server.run(listing, quiet=True).out, 5, "the server listens")
        with client.entered():
            family = socket.AF_INET6 if ":" in address else socket.AF_INET
            talking = socket.socket(family, kinds[kind])
        with talking:
            talking.settimeout(PATIENCE)
            talking.connect((address, port))
            yield Conversation(talking)
    finally:
        command.stop(echo)
