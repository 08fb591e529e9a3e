"""Hosts that change their address or their name, and hosts that are removed for good.

It is always the second one of three; the others have to notice, and to go on.
"""

import json
import time
from collections.abc import Iterator
from itertools import permutations

import pytest

from tests.support import cluster as calico
from tests.support import leftovers, probes
from tests.support.cluster import Cluster
from tests.support.host import Host
from tests.support.lab import Lab

# the first one may wait for many things, and also for the hosts to be made
pytestmark = [pytest.mark.system, pytest.mark.timeout(1200)]

PATIENCE = 90.0
"""Seconds for what takes a few: BGP tries a session that failed again only after a while."""

NEW, NEW6 = "10.99.0.12", "fd99::12"
DB, DB6 = "192.168.2.5", "fd80:24e2:f998:72d6::2:5"
CONTAINERS = {
    "web": ("192.168.1.5", "fd80:24e2:f998:72d6::1:5"),
    "db": (DB, DB6),
    "cache": ("192.168.3.5", "fd80:24e2:f998:72d6::3:5"),
}
"""The container on each host, and its addresses in blocks of that."""


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """Three hosts with a container each, all of which may reach each other.

    One cluster for all tests, each of which leaves the second host a node with db: a start of
    hosts takes longer than the tests.
    """
    with Lab(3, node_image=True) as lab:
        cluster = calico.start(lab)
        cluster.calicoctl(lab.hosts[0], "profile add app")
        for host, (name, addresses) in zip(lab.hosts, CONTAINERS.items(), strict=True):
            give_network(cluster, host, name, *addresses)
        yield cluster


def give_network(cluster: Cluster, host: Host, name: str, ip: str, ip6: str) -> None:
    """Give a container, which is made if it is not there, two addresses."""
    if not host.docker("ps", "-q", "--filter", f"name=^{name}$").out:
        cluster.run(host, name, "--net=none")
    cluster.calicoctl(host, f"container add {name} {ip}")
    cluster.calicoctl(host, f"container {name} ip add {ip6}")
    cluster.calicoctl(host, f"container {name} profile set app")


def readdress(host: Host, addresses: str) -> None:
    """Give a host's cable other addresses in place of those that it has."""
    lines = ["ip addr flush dev eth0 scope global"]
    lines += [f"ip addr add {each} dev eth0" for each in addresses.split()]
    host.run(" && ".join(lines).replace("/64 dev eth0", "/64 dev eth0 nodad"))


def soon(what: str, condition: object) -> None:
    calico.eventually(what, condition, timeout=PATIENCE)


def reach_each_other(cluster: Cluster) -> None:
    """Wait until all containers do, in both families."""
    for (host, name), (_, other) in permutations(zip(cluster.hosts, CONTAINERS, strict=True), 2):
        for ip in CONTAINERS[other]:
            soon(f"{name} reaches {ip}", lambda h=host, n=name, i=ip: probes.pings(h, n, i))


def stays_the_network_of_the_others(cluster: Cluster, *second: str) -> None:
    """Wait until each other host has sessions with the other one, and these addresses.

    And routes to db's addresses, if there are any of the second host.
    """
    first, _, third = cluster.hosts
    for host, other in ((first, third), (third, first)):
        wanted = {other.ip, other.ip6, *second}
        soon(
            f"{host.name} has sessions with {wanted}",
            lambda h=host, w=wanted: set(sessions(cluster, h)) == w,
        )
        soon(
            f"{host.name} has routes to db or not",
            lambda h=host: ["via" in route(h, ip) for ip in (DB, DB6)] == [bool(second)] * 2,
        )


def route(host: Host, ip: str) -> str:
    """What is in a host's kernel for an address, besides a default route."""
    family = "-6" if ":" in ip else "-4"
    return host.run(f"ip {family} route show match {ip} proto bird", quiet=True).out


def sessions(cluster: Cluster, host: Host) -> dict[str, str]:
    """Return the states of a host's BGP sessions by the address of the peer."""
    shown = cluster.calicoctl(host, "status --output=json", check=False).out
    (item,) = json.loads(shown)["items"]
    return {each["ip"]: each["info"] for each in item["bgp_sessions"]}


def mentioning(cluster: Cluster, name: str) -> list[str]:
    return [f"{k}={v}" for k, v in cluster.leaves("/calico").items() if name in f"{k} {v}"]


def test_containers_keep_working_when_their_host_changes_its_addresses(cluster: Cluster) -> None:
    first, second, third = cluster.hosts
    reach_each_other(cluster)
    pid = second.container_pid("db")
    readdress(second, f"{NEW}/24 {NEW6}/64")
    said = cluster.calicoctl(second, f"node --ip={NEW} --ip6={NEW6}")
    began = time.monotonic()
    assert f"{NEW}, {NEW6}" in said.out
    assert "1 container gets this host's new address" in said.err
    reach_each_other(cluster)
    print(f"all ways work {time.monotonic() - began:.1f} s after the command")
    assert second.container_pid("db") == pid
    endpoint = cluster.endpoint(second, second.docker("inspect", "-f", "{{.Id}}", "db").out.strip())
    assert (endpoint["ipv4_gateway"], endpoint["ipv6_gateway"]) == (NEW, NEW6)
    assert f"default via {NEW} dev eth1" in probes.run_in(second, "db", ["ip", "route"]).out
    assert f"default via {NEW6} dev eth1" in probes.run_in(second, "db", ["ip", "-6", "route"]).out
    for host in (first, third):
        assert f"via {NEW} dev eth0" in host.run(f"ip route get {DB}").out
        assert f"via {NEW6} dev eth0" in host.run(f"ip route get {DB6}").out
    stays_the_network_of_the_others(cluster, NEW, NEW6)
    assert "nothing changed" in cluster.calicoctl(second, "node").out


def test_a_host_with_another_hostname_stays_the_node_that_it_was(cluster: Cluster) -> None:
    _, second, _ = cluster.hosts
    second.run("hostname newname")
    try:
        refused = cluster.calicoctl(second, "node", check=False)
        assert refused.code == 1
        assert "the hostname is newname, but etcd knows this host as host2" in refused.err
        assert DB in cluster.calicoctl(second, "container db endpoint show").out
        second.docker("restart", "calico-node")
        second.docker("restart", "-t", "0", "db")
        reach_each_other(cluster)
        assert mentioning(cluster, "newname") == []
    finally:
        second.run("hostname host2")
    assert "nothing changed" in cluster.calicoctl(second, "node").out


def test_a_host_that_was_removed_while_it_runs_says_so_and_comes_back(cluster: Cluster) -> None:
    first, second, _ = cluster.hosts
    cluster.calicoctl(first, "node remove host2 --force")
    stays_the_network_of_the_others(cluster)
    found = cluster.calicoctl(second, "status", check=False)
    assert found.code == 1
    assert "does not know this host, host2" in found.err
    # Others may get its addresses.
    soon("db is cut off", lambda: not probes.pings(second, "db", second.ip))
    cluster.calicoctl(second, "node stop")
    readdress(second, f"{NEW}/24 {NEW6}/64")
    cluster.calicoctl(second, f"node --ip={NEW} --ip6={NEW6}")
    give_network(cluster, second, "db", DB, DB6)
    reach_each_other(cluster)


def test_a_host_that_is_renamed_is_stopped_and_started(cluster: Cluster) -> None:
    _, second, _ = cluster.hosts
    second.run("hostname newname")
    cluster.calicoctl(second, "node stop --force")
    assert leftovers.on_host(second) == []
    assert mentioning(cluster, "host2") == []
    stays_the_network_of_the_others(cluster)
    readdress(second, f"{NEW}/24 {NEW6}/64")
    started = cluster.calicoctl(second, f"node --ip={NEW} --ip6={NEW6}").out
    assert f"(newname: {NEW}, {NEW6})" in started
    give_network(cluster, second, "db", DB, DB6)
    reach_each_other(cluster)


def test_a_host_that_burnt_down_is_removed_from_another_one(cluster: Cluster) -> None:
    first, second, third = cluster.hosts
    name = second.run("cat /var/lib/calico/nodename").out.strip()
    refused = cluster.calicoctl(first, f"node remove {name}", check=False)
    assert refused.code == 1
    assert f"{name} is alive" in refused.err
    stays_the_network_of_the_others(cluster, NEW, NEW6)
    second.power_cut()
    removed = cluster.calicoctl(first, f"node remove {name} --force").out
    assert removed == f"removed host {name} (1 endpoint, 2 addresses)\n"
    assert mentioning(cluster, name) == []
    stays_the_network_of_the_others(cluster)
    for ip in CONTAINERS["cache"]:
        soon(f"web still reaches {ip}", lambda ip=ip: probes.pings(first, "web", ip))
    refused = cluster.calicoctl(first, f"node remove {name}", check=False)
    assert "does not exist" in refused.err
    # Its addresses are free for anybody.
    cluster.calicoctl(first, f"container web ip add {DB}")
    cluster.calicoctl(third, f"container cache ip add {DB6}")
    soon("web reaches what db had", lambda: probes.pings(first, "web", DB6))
    soon("cache reaches what db had", lambda: probes.pings(third, "cache", DB))
