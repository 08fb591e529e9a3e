"""The programs in examples/ do what their first lines say."""

import pytest

from tests.support import cluster as calico
from tests.support import probes
from tests.support.cluster import Cluster
from tests.support.command import Result
from tests.support.host import Host
from tests.support.lab import Lab
from tests.support.paths import CHECKOUT

pytestmark = pytest.mark.system


@pytest.fixture(scope="module")
def cluster(lab1: Lab) -> Cluster:
    return calico.start(lab1, ipv6=False)


def run(host: Host, name: str, *arguments: str, check: bool = True) -> Result:
    return host.run([str(CHECKOUT / "examples" / name), *arguments], check=check)


def took_everything_away(cluster: Cluster) -> None:
    (host,) = cluster.hosts
    assert host.docker("ps", "-aq", "--filter", "ancestor=busybox").out == ""
    calico.nothing_of_containers_left(cluster, host)
    assert cluster.calicoctl(host, "profile show --output=name").out == ""


def test_a_web_server_and_its_database(cluster: Cluster) -> None:
    said = run(cluster.hosts[0], "web-and-database.sh").out.splitlines()
    assert said[-3:] == [
        "a visitor asks web: I am web",
        "web asks db: I am db",
        "a visitor asks db: no answer",
    ]
    took_everything_away(cluster)


def test_an_orchestrator_made_of_curl(cluster: Cluster) -> None:
    said = run(cluster.hosts[0], "orchestrate-with-curl.sh").out
    assert said.startswith("192.168.")
    assert said.endswith("/32 has profile by-curl\n")
    took_everything_away(cluster)


def test_a_container_in_quarantine_runs_and_is_cut_off(cluster: Cluster) -> None:
    (host,) = cluster.hosts
    cluster.calicoctl(host, "profile add office")
    for name, address in (("suspect", "192.168.1.51"), ("desk", "192.168.1.52")):
        cluster.run(host, name, "--net=none")
        cluster.calicoctl(host, f"container add {name} {address}")
        cluster.calicoctl(host, f"container {name} profile append office")
    calico.talks(host, "desk", "192.168.1.51")

    said = run(host, "quarantine.sh", "suspect").out

    assert said.endswith("it had these profiles: office\n")
    calico.is_cut_off(host, "desk", "192.168.1.51")
    calico.is_cut_off(host, "suspect", "192.168.1.52")
    assert host.docker("inspect", "-f", "{{.State.Running}}", "suspect").out == "true\n"
    probes.answers(host, probes.HOST_ITSELF, "192.168.1.51")
    calico.remove_containers(cluster, host)
    for profile in ("office", "quarantine"):
        cluster.calicoctl(host, f"profile remove {profile}")


def test_quarantine_of_nobody_fails_and_changes_nothing(cluster: Cluster) -> None:
    (host,) = cluster.hosts
    refused = run(host, "quarantine.sh", "nobody", check=False)
    assert refused.code == 1
    assert "there is no container nobody" in refused.err
    assert cluster.calicoctl(host, "profile show --output=name").out == ""
