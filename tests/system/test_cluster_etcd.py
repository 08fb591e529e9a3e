"""Three hosts with an etcd of three members over TLS: the leader dies, one host has only a proxy.

The members answer nobody without a client's certificate: the first two hosts have one, and so has
the proxy of the third, which asks nobody on its own machine for one.
"""

import json
import signal
import subprocess
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import pytest

from tests.support import cluster as calico
from tests.support import command, mesh
from tests.support.certificates import Certificates
from tests.support.cluster import Cluster
from tests.support.command import Result
from tests.support.host import Host
from tests.support.lab import Lab

# the longest may wait for many things, and the first one also for the hosts to be made
pytestmark = [pytest.mark.system, pytest.mark.timeout(1200)]

ADDED = 4
"""Containers on each host while a member dies."""


@dataclass(frozen=True)
class Members(Cluster):
    """A cluster whose first two hosts know all members of etcd; the third has a proxy."""

    files: Certificates
    processes: dict[str, "subprocess.Popen[bytes]"] = field(default_factory=dict)

    def calicoctl(self, host: Host, line: str, *, check: bool = True, stdin: str = "") -> Result:
        """Run `calicoctl <line>`; on the third host without saying where etcd is."""
        settings = {
            "ETCD_AUTHORITY": ",".join(f"{each.ip}:2379" for each in self.hosts),
            "ETCD_SCHEME": "https",
            "ETCD_CA_CERT_FILE": self.files.certificate("ca"),
            "ETCD_CERT_FILE": self.files.certificate("client"),
            "ETCD_KEY_FILE": self.files.key("client"),
        }
        env = {} if host is self.hosts[2] else settings
        return host.calicoctl(*line.split(), env=env, check=check, stdin=stdin)

    def ask(self, host: Host, path: str) -> str:
        """What the member on a host answers; nothing if it does not."""
        argv = ["curl", "-sS", "-m", "30", "--cacert", self.files.certificate("ca")]
        argv += ["--cert", self.files.certificate("client"), "--key", self.files.key("client")]
        argv += [f"https://{host.ip}:2379{path}"]
        return host.run(argv, check=False, quiet=True).out

    def leader(self) -> Host:
        """The host of the member that leads."""
        return next(host for host in self.hosts if self._leads(host))

    def _leads(self, host: Host) -> bool:
        state: dict[str, str] = json.loads(self.ask(host, "/v2/stats/self") or "{}")
        return state.get("state") == "StateLeader"


@pytest.fixture(scope="module")
def cluster() -> Iterator[Members]:
    """Three nodes with a container on each."""
    with Lab(3, node_image=True) as lab:
        files = Certificates(lab.directory, [host.ip for host in lab.hosts])
        cluster = Members(lab.hosts, files)
        initial = ",".join(f"{host.name}=http://{host.ip}:2380" for host in lab.hosts)
        for host in lab.hosts:
            cluster.processes[host.name] = host.spawn(
                [
                    *("etcd", "--enable-v2", f"--name={host.name}"),
                    # a busy machine is not to look like a dead leader
                    *("--data-dir=/run/etcd", "--heartbeat-interval=250"),
                    "--election-timeout=2500",
                    f"--initial-cluster={initial}",
                    f"--listen-peer-urls=http://{host.ip}:2380",
                    f"--initial-advertise-peer-urls=http://{host.ip}:2380",
                    f"--listen-client-urls=https://{host.ip}:2379",
                    f"--advertise-client-urls=https://{host.ip}:2379",
                    *("--client-cert-auth", f"--cert-file={files.certificate('server')}"),
                    f"--key-file={files.key('server')}",
                    f"--trusted-ca-file={files.certificate('ca')}",
                ],
                "etcd.log",
            )
        for host in lab.hosts:
            is_healthy(cluster, host)
        *_, last = lab.hosts
        last.spawn(
            [
                *("etcd", "--enable-v2", "--proxy=on", "--data-dir=/run/etcd-proxy"),
                "--listen-client-urls=http://127.0.0.1:4001",
                f"--initial-cluster={initial}",
                f"--cert-file={files.certificate('client')}",
                f"--key-file={files.key('client')}",
                f"--trusted-ca-file={files.certificate('ca')}",
            ],
            "etcd-proxy.log",
        )
        command.wait_until(
            lambda: "true" in last.run("curl -sS -m 30 127.0.0.1:4001/health", check=False).out,
            mesh.PATIENCE,
            "the proxy answers",
        )
        calico.make_nodes(cluster, lab.hosts)
        mesh.populate(cluster)
        yield cluster


def is_healthy(cluster: Members, host: Host) -> None:
    command.wait_until(
        lambda: '"health":"true"' in cluster.ask(host, "/health"),
        mesh.PATIENCE,
        f"the member of etcd on {host.name} is healthy",
    )


def test_a_host_without_settings_works_through_a_proxy_at_the_usual_address(
    cluster: Members,
) -> None:
    mesh.all_reach_each_other(cluster)
    *_, last = cluster.hosts
    shown = cluster.calicoctl(last, "status", check=False).out
    assert "etcd at 127.0.0.1:4001 answers" in shown
    assert "routing service: up since" in shown


def test_containers_are_added_while_the_leader_of_etcd_dies(cluster: Members) -> None:
    """A command that etcd left in doubt says so; typed again it succeeds."""
    mesh.all_reach_each_other(cluster)
    names = [f"new{number}" for number in range(ADDED)]
    for host in cluster.hosts:
        host.run(f"for n in {' '.join(names)}; do docker run -d --name $n busybox sleep 1d; done")
    dying = cluster.leader()
    half_way = threading.Barrier(
        len(cluster.hosts),
        action=lambda: command.stop(cluster.processes[dying.name], signal.SIGKILL),
        timeout=300,
    )

    def add(host: Host) -> None:
        for number, name in enumerate(names):
            if number == ADDED // 2:
                half_way.wait()
            insists(cluster, host, f"container add {name} {address(host, number)}")
            insists(cluster, host, f"container {name} profile append {mesh.PROFILE}")

    with ThreadPoolExecutor() as pool:
        list(pool.map(add, cluster.hosts))
    assert not cluster.ask(dying, "/health")
    for host in cluster.hosts:
        others = [other for other in cluster.hosts if other is not host]
        mesh.reaches(host, *(address(each, number) for each in others for number in range(ADDED)))


def address(host: Host, number: int) -> str:
    """An address in a block of its own, so that a route has to travel."""
    return f"192.168.{host.number}{number}.1"


def insists(cluster: Members, host: Host, line: str) -> None:
    """Type a command until it is done; assert that each failure is one of etcd's, and named."""
    failures: list[str] = []

    def done() -> bool:
        result = cluster.calicoctl(host, line, check=False)
        # the failed one may have done it all, but for hearing of it
        if result.code == 0 or (failures and "already has Calico networking" in result.err):
            return True
        assert result.code == 1
        assert "etcd" in result.err
        assert "Traceback" not in result.err
        failures.append(result.err)
        return False

    command.wait_until(done, mesh.PATIENCE, line)
    print(f"{line}: {len(failures)} failures")
