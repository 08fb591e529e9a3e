"""checksystem on a Docker host that is no node: what is ready, what is not, and Swarm's port.

What `--fix` does is in `test_finding_faults.py`, where packets show it.
"""

import json
import re
import sys
from collections.abc import Iterator

import pytest

from tests.support import command
from tests.support.command import Result
from tests.support.host import Host
from tests.support.lab import Lab

pytestmark = pytest.mark.system

PROBLEMS = {"warning", "failed"}


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


LISTEN = """
import socket, time
with socket.create_server(("0.0.0.0", 179)):
    time.sleep(86400)
"""


def test_an_uplink_that_takes_less_and_a_port_that_is_taken_are_named(host: Host):
    server = host.spawn([sys.executable, "-I", "-S", "-c", LISTEN], "listen.log")
    listing = "ss --no-header --listening --tcp --numeric 'sport = :179'"
    host.run("ip link set eth0 mtu 1400")
    try:
        command.wait_until(lambda: host.run(listing, quiet=True).out, 10, "somebody listens")
        found = host.calicoctl("checksystem", "--output=json", check=False)
    finally:
        host.run("ip link set eth0 mtu 1500")
        command.stop(server)
    said = results(found)
    assert (found.code, said["port179"], said["mtu"]) == (1, "failed", "warning")
    assert re.search(r"error: python\S* \(process \d+\) listens on port 179, ", found.err)
    assert "warning: the MTU of the uplink eth0 is 1400, less than Ethernet's 1500" in found.err
    assert found.err.count("\nhint: ") == sum(each in PROBLEMS for each in said.values())


def test_swarm_on_the_port_of_the_proxy_is_named(host: Host):
    host.docker("swarm", "init", "--advertise-addr", host.ip, timeout=240)
    try:
        found = host.calicoctl("checksystem", "--output=json", check=False)
    finally:
        host.docker("swarm", "leave", "--force", timeout=240)
    assert results(found)["port2377"] == "failed"
    assert "Docker Swarm's manager listens on 2377" in found.err
    assert "--docker-proxy=127.0.0.1:2378" in found.err
