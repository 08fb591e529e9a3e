"""`calicoctl drops` on a real host, with the real agent: and nothing is left of it afterwards."""

import json
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest

from tests.support import cluster as calico
from tests.support import command, probes
from tests.support.cluster import ETCD, Cluster
from tests.support.host import Host
from tests.support.lab import Lab

pytestmark = pytest.mark.system

WEB, CLIENT = "192.168.1.1", "192.168.1.2"
PATIENCE = 60


@pytest.fixture(scope="module")
def cluster(lab1: Lab) -> Cluster:
    """Containers web, which denies port 81 by its second rule, and client."""
    cluster = calico.start(lab1)
    (host,) = cluster.hosts
    for name, address in (("web", WEB), ("client", CLIENT)):
        cluster.run(host, name)
        cluster.calicoctl(host, f"container add {name} {address}")
        cluster.calicoctl(host, f"profile add {name}")
        cluster.calicoctl(host, f"container {name} profile append {name}")
    cluster.calicoctl(host, "profile web rule add inbound deny tcp to ports 81")
    cluster.calicoctl(host, "profile web rule add inbound allow tcp to ports 80")
    return cluster


@pytest.fixture
def host(cluster: Cluster) -> Iterator[Host]:
    (host,) = cluster.hosts
    yield host
    assert tables(host) == []


def tables(host: Host) -> list[str]:
    """The tables of whoever looks at drops."""
    listed = host.run("nft list tables", quiet=True).out
    return [line for line in listed.splitlines() if "calico_watch" in line]


def watch(host: Host, log: str) -> tuple[subprocess.Popen[bytes], int]:
    """Start to look; return the process and its id inside the host."""
    script = f"echo $$ >{host.directory}/drops.pid; exec calicoctl drops --follow --output=json"
    running = host.spawn(["sh", "-c", script], log, {"ETCD_AUTHORITY": ETCD})
    command.wait_until(lambda: tables(host), PATIENCE, "packets are traced")
    return running, int((host.directory / "drops.pid").read_text())


def told(host: Host, log: str) -> list[dict[str, Any]]:
    """What was told so far; the last line may not be there as a whole."""
    *lines, _ = (host.directory / log).read_text().split("\n")
    return [json.loads(line) for line in lines if line.startswith("{")]


def test_a_denied_packet_is_told_with_container_profile_and_rule(cluster, host):
    before = calico_repairs(cluster, host)
    running, pid = watch(host, "drops.log")

    def is_told() -> bool:
        assert not probes.reachable(host, "client", WEB, 81)
        return any(each["port"] == 81 for each in told(host, "drops.log"))

    command.wait_until(is_told, PATIENCE, "the drop is told")
    drop = next(each for each in told(host, "drops.log") if each["port"] == 81)
    endpoint = cluster.endpoint_key(host, drop["workload"]).rpartition("/")[2]
    assert (drop["container"], drop["endpoint"], drop["hostname"]) == ("web", endpoint, host.name)
    assert (drop["direction"], drop["source"], drop["destination"]) == ("inbound", CLIENT, WEB)
    assert (drop["why"], drop["profile"], drop["position"]) == ("rule", "web", 2)

    host.run(f"kill -INT {pid}")
    assert running.wait(PATIENCE) == 130
    assert calico_repairs(cluster, host) == before


def test_who_was_killed_leaves_no_table(host):
    running, pid = watch(host, "killed.log")
    host.run(f"kill -KILL {pid}")
    running.wait(PATIENCE)
    command.wait_until(lambda: not tables(host), PATIENCE, "the table is gone")


def test_one_container_can_be_looked_at_for_a_while(cluster, host):
    shown = cluster.calicoctl(host, "drops web --for=1s")
    assert "in 1 s" in shown.err
    assert all(" web " in line for line in shown.out.splitlines())


def test_explain_says_what_the_kernel_does(cluster, host):
    denied = cluster.calicoctl(host, "explain client web tcp 81", check=False)
    assert denied.code == 1
    assert "inbound rule 2 of profile web denies it" in denied.out
    assert cluster.calicoctl(host, "explain client web tcp 80").out.startswith("allowed: ")


def calico_repairs(cluster: Cluster, host: Host) -> object:
    """How often the agent had to mend something."""
    report = cluster.curl(f"KEYS/calico/felix/v1/host/{host.name}/status")
    return json.loads(report["node"]["value"])["repairs"]
