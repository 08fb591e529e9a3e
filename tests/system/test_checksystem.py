"""checksystem on a Docker host that is no node: what is ready, what is not, and Swarm's port."""

import json
from collections.abc import Iterator

import pytest

from tests.support.command import Result
from tests.support.host import Host
from tests.support.lab import Lab

pytestmark = pytest.mark.system


@pytest.fixture(scope="module")
def host() -> Iterator[Host]:
    with Lab(1) as lab:
        yield lab.hosts[0]


def results(found: Result) -> dict[str, str]:
    return {each["name"]: each["result"] for each in json.loads(found.out)["items"]}


def test_a_stock_docker_host_has_all_but_an_etcd(host: Host):
    found = host.calicoctl("checksystem", "--output=json", check=False)
    ready = {"nftables", "conntrack", "veth", "ip_forward", "docker", "port179", "port2377"}
    said = results(found)
    assert {name for name in ready if said[name] != "ok"} == set()
    assert said["etcd"] == "failed"
    assert found.code == 1
    assert "cannot reach etcd at 127.0.0.1:4001" in found.err


def test_swarm_on_the_port_of_the_proxy_is_named(host: Host):
    host.docker("swarm", "init", "--advertise-addr", host.ip, timeout=240)
    try:
        found = host.calicoctl("checksystem", "--output=json", check=False)
    finally:
        host.docker("swarm", "leave", "--force", timeout=240)
    assert results(found)["port2377"] == "failed"
    assert "Docker Swarm's manager listens on 2377" in found.err
    assert "--docker-proxy=127.0.0.1:2378" in found.err
