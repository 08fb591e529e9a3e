"""The measured host: a private network namespace with an etcd, the agent and its interfaces.

etcd listens on the namespace's own loopback and keeps its data in memory, so that no disk is
measured. The local host is called as the machine is. Whatever is started here dies with us.
"""

import contextlib
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from benchmarks import store
from benchmarks.cluster import Endpoint
from benchmarks.store import Store
from calico_ctl.model import keys
from tests.support import command
from tests.support.netns import NetNs
from tests.support.paths import CHECKOUT

HOSTNAME = socket.gethostname()
MEMORY = Path("/dev/shm")

_PORT, _PEER_PORT = 4001, 4002
_ROUTE_PROTOCOL = 80


@dataclass(frozen=True)
class Memory:
    """Resident memory in MB: now, and the most that it ever was."""

    now: float
    peak: float


class Agent:
    """A running `calicoctl daemon felix`."""

    def __init__(self, process: subprocess.Popen[bytes], log: Path, started: float) -> None:
        self._process = process
        self._log = log
        self.started = started

    @property
    def pid(self) -> int:
        """Its process."""
        return self._process.pid

    def memory(self) -> Memory:
        """Ask the kernel how much memory it has."""
        lines = Path(f"/proc/{self.pid}/status").read_text().splitlines()
        sizes = {line.split(":")[0]: line.split()[1] for line in lines if line.startswith("Vm")}
        return Memory(int(sizes["VmRSS"]) / 1024, int(sizes["VmHWM"]) / 1024)

    def cpu_seconds(self) -> float:
        """Return the time that it and the programs that it ran have computed."""
        after_name = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        ticks = sum(int(field) for field in after_name[11:15])
        return ticks / os.sysconf("SC_CLK_TCK")

    def check(self) -> None:
        """Fail with the end of its log if it has ended by itself."""
        if self._process.poll() is not None:
            log = self._log.read_text()[-2000:]
            raise RuntimeError(f"the agent ended with {self._process.returncode}:\n{log}")

    def stop(self) -> None:
        """End it in good order; the table stays."""
        command.stop(self._process)


class Host:
    """The namespace, and what runs in it."""

    def __init__(self, scratch: Path, checkout: Path, api: int) -> None:
        """Make it; the agent will be run from `checkout`, and both speak that API of etcd."""
        self.namespace = NetNs()
        self.address = store.Address(self.namespace, _PORT, api)
        self._scratch = scratch
        self._checkout = checkout
        self._etcd: subprocess.Popen[bytes] | None = None
        self._agents: list[Agent] = []
        self.run("ip", "link", "set", "lo", "up")
        self.run("sysctl", "-qw", "net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1")

    def close(self) -> None:
        """End all of it."""
        for agent in self._agents:
            agent.stop()
        self.stop_etcd()
        self.namespace.close()

    def run(self, *argv: str, stdin: str = "", check: bool = True) -> str:
        """Run a program in the namespace; return what it printed."""
        return self.namespace.run(argv, stdin=stdin, check=check, quiet=True).out

    def start_etcd(self) -> None:
        """Start an empty one and wait until it serves."""
        client, peer = f"http://127.0.0.1:{_PORT}", f"http://127.0.0.1:{_PEER_PORT}"
        argv = ["etcd", "--name=bench", "--enable-v2=true", f"--data-dir={self._scratch}/etcd"]
        argv += [f"--listen-client-urls={client}", f"--advertise-client-urls={client}"]
        argv += [f"--listen-peer-urls={peer}", f"--initial-advertise-peer-urls={peer}"]
        argv += [f"--initial-cluster=bench={peer}"]
        argv += ["--heartbeat-interval=20", "--election-timeout=100"]  # one member elects itself
        with self.namespace.entered():
            self._etcd = command.spawn([*command.DIES_WITH_US, *argv], self._scratch / "etcd.log")
        command.wait_until(self._etcd_serves, 20, "etcd serves")

    def stop_etcd(self) -> None:
        """Kill it."""
        if self._etcd is not None:
            command.stop(self._etcd)
            self._etcd = None

    def store(self) -> Store:
        """Connect to etcd."""
        return store.connect(self.address)

    def start_agent(self) -> Agent:
        """Start an agent as calico-node does; it has not done anything yet."""
        calicoctl = self._scratch / "calicoctl"
        calicoctl.write_text(
            f'#!/bin/sh\nexec {sys.executable} {self._checkout}/calicoctl.py "$@"\n'
        )
        calicoctl.chmod(0o755)
        argv = ["sh", str(self._checkout / "calico_node/service/felix/run")]
        # which API it is was found out by `calicoctl node`
        api = str(self.address.api)
        settings = {"ETCD_AUTHORITY": f"127.0.0.1:{_PORT}", "ETCD_API": api}
        environment = command.clean_environment(settings)
        environment["PATH"] = f"{self._scratch}:{environment['PATH']}"
        # As where it is installed: what it imports was compiled by an earlier start.
        del environment["PYTHONDONTWRITEBYTECODE"]
        log = self._scratch / "agent.log"
        started = time.monotonic()
        with self.namespace.entered():
            process = command.spawn([*command.DIES_WITH_US, *argv], log, environment)
        agent = Agent(process, log, started)
        self._agents.append(agent)
        return agent

    def forget(self) -> None:
        """Take away what an agent has left in the kernel and in etcd, as after a reboot."""
        self.run("nft", "delete", "table", "inet", "calico", check=False)
        for family in ("-4", "-6"):
            self.run("ip", family, "route", "flush", "proto", str(_ROUTE_PROTOCOL), check=False)
        connection = self.store()
        connection.delete(keys.host_status(HOSTNAME))
        connection.close()

    def plug(self, names: Iterable[str], far: NetNs) -> None:
        """Make those interfaces that are not there; their other ends are in another namespace."""
        with self.namespace.entered():
            present = {name for _, name in socket.if_nameindex()}
        missing = [name for name in names if name not in present]
        add = [f"link add {name} type veth peer name {name} netns {far.pid}" for name in missing]
        up = "".join(f"link set {name} up\n" for name in missing)
        self.run("ip", "-batch", "-", stdin="".join(f"{line}\n" for line in add) + up)
        far.run(["ip", "-batch", "-"], stdin=up, quiet=True)

    def _etcd_serves(self) -> bool:
        assert self._etcd is not None
        assert self._etcd.poll() is None, (self._scratch / "etcd.log").read_text()
        try:
            connection = self.store()
        except ConnectionRefusedError:
            return False
        try:
            connection.put("/serves", "yes")
        except RuntimeError:  # no leader yet
            return False
        finally:
            connection.close()
        return True


@contextlib.contextmanager
def host(checkout: Path = CHECKOUT, api: int = 2) -> Iterator[Host]:
    """Have a host with an empty etcd, gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="calico-bench-", dir=MEMORY) as scratch:
        made = Host(Path(scratch), checkout, api)
        try:
            made.start_etcd()
            yield made
        finally:
            made.close()


@contextlib.contextmanager
def far_side() -> Iterator[NetNs]:
    """Have a namespace for the other ends of the interfaces, gone afterwards."""
    namespace = NetNs()
    try:
        namespace.run(["ip", "link", "set", "lo", "up"], quiet=True)
        yield namespace
    finally:
        namespace.close()


def wait_in_sync(
    host: Host, agent: Agent, revision: int, endpoints: Mapping[Endpoint, int], timeout: float
) -> float:
    """Wait until an agent says that it has done everything up to a revision.

    That is its status, written by this process, and the acknowledgement of each endpoint at the
    revision of its key. Returns the seconds since its start, infinity if it does not come to that.
    """
    wanted = {endpoint.status_key: changed for endpoint, changed in endpoints.items()}

    def done(statuses: Mapping[str, str]) -> bool:
        own = json.loads(statuses.get(keys.agent_status(HOSTNAME), "{}"))
        if own.get("pid") != agent.pid or own.get("in_sync_revision", 0) < revision:
            return False
        return all(
            json.loads(statuses.get(key, "{}")).get("revision") == changed
            for key, changed in wanted.items()
        )

    seen = until_statuses(host, done, timeout)
    return seen - agent.started


def until_statuses(host: Host, done: Callable[[Mapping[str, str]], bool], timeout: float) -> float:
    """Follow the statuses of the host in etcd until they are as wanted; return when that was."""
    end = time.monotonic() + timeout
    connection = host.store()
    leaves, index = connection.tree(keys.host_status(HOSTNAME))
    statuses = {key: value for key, (value, _) in leaves.items()}
    try:
        while not done(statuses):
            connection.give_up_after(end - time.monotonic())
            changed = connection.event(keys.host_status(HOSTNAME), index + 1)
            index = changed.revision
            if changed.value is None:
                statuses.pop(changed.key, None)
            else:
                statuses[changed.key] = changed.value
        return time.monotonic()
    except TimeoutError:
        return float("inf")
    finally:
        connection.close()
