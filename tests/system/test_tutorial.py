"""The tutorial and how-to pages do on two Docker hosts what they say, word for word."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import cluster as calico
from tests.support import document, leftovers
from tests.support.certificates import Certificates
from tests.support.cluster import Cluster
from tests.support.frozen import Frozen
from tests.support.host import Host
from tests.support.lab import Lab
from tests.support.paths import CHECKOUT

pytestmark = pytest.mark.system

TUTORIALS = CHECKOUT / "docs/tutorials"
HOW_TO = CHECKOUT / "docs/how-to"
PKI = "/etc/calico/pki"
HOME = "/run/home"
"""Of whoever types on the second host, as the machine's own is nobody's business."""


@pytest.fixture
def one_file(lab2: Lab, frozen_calicoctl: Frozen) -> Iterator[None]:
    """The hosts have for a while what a reader has: calicoctl as one file."""
    programs = [Path(f"/proc/{host.pid}/root/run/lab/bin/calicoctl") for host in lab2.hosts]
    before = [program.read_text() for program in programs]
    for program in programs:
        program.write_text(f'#!/bin/sh\nexec {frozen_calicoctl.file} "$@"\n')
    yield
    for program, text in zip(programs, before, strict=True):
        program.write_text(text)


def follow(lab: Lab, page: Path) -> int:
    return document.play(page, {host.name: host for host in lab.hosts})


@pytest.mark.usefixtures("one_file")
def test_the_tutorial_works_from_nothing_and_leaves_nothing(lab2: Lab) -> None:
    assert follow(lab2, TUTORIALS / "first-network.md") > 12
    assert follow(lab2, TUTORIALS / "first-policy.md") > 20
    for host in lab2.hosts:
        assert leftovers.on_host(host) == []


@pytest.fixture
def cluster(lab2: Lab) -> Iterator[Cluster]:
    """Both hosts are nodes, and everybody has a new terminal."""
    for host in lab2.hosts:
        host.run(f"rm -f {document.STATE}", quiet=True)
    cluster = calico.start(lab2, ipv6=False)
    lab2.hosts[1].run(f"echo export ETCD_AUTHORITY={calico.ETCD} >{document.STATE}", quiet=True)
    yield cluster
    remove_containers(cluster)


def remove_containers(cluster: Cluster) -> None:
    """On all hosts, before anybody looks what is left: an address is everybody's."""
    for host in cluster.hosts:
        for container in host.docker("ps", "-aq", "--filter", "ancestor=busybox").out.split():
            host.docker("rm", "-f", container)
    for host in cluster.hosts:
        calico.nothing_of_containers_left(cluster, host)


def profiles(cluster: Cluster) -> list[str]:
    return cluster.calicoctl(cluster.hosts[0], "profile show --output=name").out.split()


@pytest.mark.parametrize("page", ["add-a-container.md", "isolate-with-profiles.md"])
def test_what_a_how_to_page_says_works_on_hosts_that_are_nodes(
    lab2: Lab, cluster: Cluster, page: str
) -> None:
    assert follow(lab2, HOW_TO / page) > 5
    assert profiles(cluster) == []


def test_what_the_page_about_scripts_says_works(lab2: Lab, cluster: Cluster) -> None:
    """On a host that has a container with the address that the page names."""
    host = lab2.hosts[0]
    cluster.run(host, "web", "--net=none")
    cluster.calicoctl(host, "container add web 192.168.1.5")
    assert follow(lab2, HOW_TO / "use-from-scripts.md") > 5
    take_away_profile(cluster, "web")


def test_what_the_page_about_the_proxy_says_works(
    lab2: Lab, cluster: Cluster, tmp_path: Path
) -> None:
    """On hosts that have certificates where the page says."""
    server, client = lab2.hosts
    Certificates(tmp_path, [server.ip])
    put(server, PKI, tmp_path, {"server": "host1", "server-key": "host1-key", "ca": "clients-ca"})
    place = f"{HOME}/.docker/host1"
    put(client, place, tmp_path, {"ca": "ca", "client": "cert", "client-key": "key"})
    client.run(f"echo export HOME={HOME} >>{document.STATE}", quiet=True)
    assert follow(lab2, HOW_TO / "run-containers-through-the-proxy.md") > 12
    take_away_profile(cluster, "web")


def put(host: Host, place: str, made: Path, names: dict[str, str]) -> None:
    """Put certificates and keys into a folder of a host, by the names that a page gives them."""
    folder = Path(f"/proc/{host.pid}/root{place}")
    folder.mkdir(parents=True)
    for name, theirs in names.items():
        shutil.copy(made / f"{name}.pem", folder / f"{theirs}.pem")


def take_away_profile(cluster: Cluster, name: str) -> None:
    remove_containers(cluster)
    cluster.calicoctl(cluster.hosts[0], f"profile remove {name}")
    assert profiles(cluster) == []


def test_what_the_page_about_hosts_that_go_says_works(lab2: Lab, cluster: Cluster) -> None:
    """They are as the page says in the beginning; the second host gets its address back."""
    first, second = lab2.hosts
    second.run(f"rm {document.STATE}", quiet=True)  # the page gets it from the node
    cluster.calicoctl(first, "profile add app")
    for host, name, address in ((first, "web", "192.168.1.5"), (second, "db", "192.168.1.6")):
        cluster.run(host, name, "--net=none")
        cluster.calicoctl(host, f"container add {name} {address}")
        cluster.calicoctl(host, f"container {name} profile append app")
    try:
        assert follow(lab2, HOW_TO / "replace-or-remove-a-host.md") > 15
    finally:
        back = f"ip -4 addr flush dev eth0 && ip addr add {second.ip}/24 dev eth0"
        second.run(f"hostname {second.name} && {back}")
    take_away_profile(cluster, "app")


def test_what_the_page_about_ipv6_says_works(lab2: Lab, cluster: Cluster) -> None:
    """The last one: it gives the nodes more addresses than other pages show."""
    assert follow(lab2, HOW_TO / "use-ipv6.md") > 5
    assert profiles(cluster) == []
