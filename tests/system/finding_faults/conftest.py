"""The host that all files here share, and how a test finds it."""

from collections.abc import Iterator

import pytest

from tests.support import cluster as calico
from tests.support import command, probes
from tests.support.cluster import Cluster
from tests.support.drop_watch import CLIENT, WEB
from tests.support.host import Host
from tests.support.lab import Lab
from tests.support.told import READY, begun, probe

AGENT = "/run/calico/service/felix"
PATIENCE = 60


@pytest.fixture(scope="package")
def cluster() -> Iterator[Cluster]:
    """Containers web, which denies port 81 by its second rule, and client; all is well."""
    with Lab(1, node_image=True) as lab:
        yield with_containers(calico.start(lab, ipv6=False))


def with_containers(cluster: Cluster) -> Cluster:
    """Start them, on an engine that they outlive."""
    (host,) = cluster.hosts
    for name, address in (("web", WEB), ("client", CLIENT)):
        wish = ("-e", f"CALICO_IP={address}", "-e", f"CALICO_PROFILE={name}")
        made = ("run", "-d", "--name", name, *wish, "busybox", "sleep", "1d")
        host.docker("-H", "localhost:2377", *made)
    cluster.calicoctl(host, "profile web rule add inbound deny tcp to ports 81")
    cluster.calicoctl(host, "profile web rule add inbound allow tcp to ports 80")
    # Containers outlive their engine.
    host.run("echo '{\"live-restore\": true}' >/etc/docker/daemon.json")
    host.run("kill -HUP $(cat /run/docker.pid)")
    is_on = ("info", "--format", "{{.LiveRestoreEnabled}}")
    command.wait_until(lambda: "true" in host.docker(*is_on).out, PATIENCE, "they do")
    command.wait_until(lambda: probe(host, "readyz") == READY, PATIENCE, "it is ready")
    return cluster


@pytest.fixture(scope="package")
def host(cluster: Cluster) -> Host:
    return cluster.hosts[0]


@pytest.fixture(scope="package")
def client(host: Host) -> list[str]:
    """The words in front of a program that is to run as client; Docker may be away later."""
    return probes.inside(host, "client")


@pytest.fixture
def well(cluster: Cluster, host: Host) -> Cluster:
    """All is well; an agent that a former test has ended is back."""
    if agent_is_down(host):
        former = begun(host)
        host.docker("exec", "calico-node", "sv", "up", AGENT)
        # Until then the probes would speak of the one that has ended.
        command.wait_until(
            lambda: begun(host) not in ([], former), PATIENCE, "another agent has begun"
        )
    command.wait_until(lambda: probe(host, "readyz") == READY, PATIENCE, "it is ready")
    return cluster


@pytest.fixture
def agentless(cluster: Cluster, host: Host) -> Cluster:
    """The agent has ended and does not come back by itself."""
    host.docker("exec", "calico-node", "sv", "down", AGENT)
    command.wait_until(lambda: agent_is_down(host), PATIENCE, "the agent ends")
    return cluster


def agent_is_down(host: Host) -> bool:
    """Whether the agent was told to end, and has."""
    shown = host.run(f"docker exec calico-node sv status {AGENT}", quiet=True)
    return shown.out.startswith("down: ")
