"""Hosts that change their address or their name, and hosts that are removed for good."""

import json
import time

import pytest

from tests.support import cluster as calico
from tests.support import leftovers, probes
from tests.support.cluster import Cluster
from tests.support.host import Host
from tests.support.lab import Lab

pytestmark = pytest.mark.system

PATIENCE = 90.0
"""Seconds for what takes a few: BGP tries a session that failed again only after a while."""

NEW, NEW6 = "10.99.0.12", "fd99::12"
WEB, DB = "192.168.1.5", "192.168.2.5"
WEB6, DB6 = "fd80:24e2:f998:72d6::1:5", "fd80:24e2:f998:72d6::2:5"


@pytest.fixture(scope="module")
def cluster(lab2: Lab) -> Cluster:
    """The container web on the first host and db on the second, who may reach each other.

    One cluster for all tests, each of which leaves the second host a node with db: a start of two
    hosts takes longer than the tests.
    """
    cluster = calico.start(lab2)
    first, second = lab2.hosts
    cluster.calicoctl(first, "profile add app")
    give_network(cluster, first, "web", WEB, WEB6)
    give_network(cluster, second, "db", DB, DB6)
    return cluster


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
    first, second = cluster.hosts
    for host, name, ips in ((first, "web", (DB, DB6)), (second, "db", (WEB, WEB6))):
        for ip in ips:
            soon(f"{name} reaches {ip}", lambda h=host, n=name, i=ip: probes.pings(h, n, i))


def sessions(cluster: Cluster, host: Host) -> dict[str, str]:
    """Return the states of a host's BGP sessions by the address of the peer."""
    shown = cluster.calicoctl(host, "status --output=json", check=False).out
    (item,) = json.loads(shown)["items"]
    return {each["ip"]: each["info"] for each in item["bgp_sessions"]}


def mentioning(cluster: Cluster, name: str) -> list[str]:
    return [f"{k}={v}" for k, v in cluster.leaves("/calico").items() if name in f"{k} {v}"]


def test_containers_keep_working_when_their_host_changes_its_addresses(cluster: Cluster) -> None:
    first, second = cluster.hosts
    reach_each_other(cluster)
    pid = second.container_pid("db")
    readdress(second, f"{NEW}/24 {NEW6}/64")
    said = cluster.calicoctl(second, f"node --ip={NEW} --ip6={NEW6}")
    began = time.monotonic()
    assert f"{NEW}, {NEW6}" in said.out
    assert "1 container gets this host's new address" in said.err
    reach_each_other(cluster)
    print(f"all four ways work {time.monotonic() - began:.1f} s after the command")
    assert second.container_pid("db") == pid
    endpoint = cluster.endpoint(second, second.docker("inspect", "-f", "{{.Id}}", "db").out.strip())
    assert (endpoint["ipv4_gateway"], endpoint["ipv6_gateway"]) == (NEW, NEW6)
    assert f"default via {NEW} dev eth1" in probes.run_in(second, "db", ["ip", "route"]).out
    assert f"default via {NEW6} dev eth1" in probes.run_in(second, "db", ["ip", "-6", "route"]).out
    assert f"via {NEW} dev eth0" in first.run(f"ip route get {DB}").out
    soon("the old sessions are gone", lambda: set(sessions(cluster, first)) == {NEW, NEW6})
    assert "nothing changed" in cluster.calicoctl(second, "node").out


def test_a_host_with_another_hostname_stays_the_node_that_it_was(cluster: Cluster) -> None:
    _, second = cluster.hosts
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
    first, second = cluster.hosts
    cluster.calicoctl(first, "node remove host2 --force")
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
    _, second = cluster.hosts
    second.run("hostname newname")
    cluster.calicoctl(second, "node stop --force")
    assert leftovers.on_host(second) == []
    assert mentioning(cluster, "host2") == []
    readdress(second, f"{NEW}/24 {NEW6}/64")
    started = cluster.calicoctl(second, f"node --ip={NEW} --ip6={NEW6}").out
    assert f"(newname: {NEW}, {NEW6})" in started
    give_network(cluster, second, "db", DB, DB6)
    reach_each_other(cluster)


def test_a_host_that_burnt_down_is_removed_from_another_one(cluster: Cluster) -> None:
    first, second = cluster.hosts
    name = second.run("cat /var/lib/calico/nodename").out.strip()

    def route() -> str:
        return first.run(f"ip route show match {DB}").out

    refused = cluster.calicoctl(first, f"node remove {name}", check=False)
    assert refused.code == 1
    assert f"{name} is alive" in refused.err
    assert len(sessions(cluster, first)) == 2
    soon("there is a route", lambda: "via" in route())
    second.power_cut()
    removed = cluster.calicoctl(first, f"node remove {name} --force").out
    assert removed == f"removed host {name} (1 endpoint, 2 addresses)\n"
    assert mentioning(cluster, name) == []
    soon("no session is left", lambda: not sessions(cluster, first))
    soon("no route is left", lambda: "via" not in route())
    refused = cluster.calicoctl(first, f"node remove {name}", check=False)
    assert "does not exist" in refused.err
    cluster.calicoctl(first, f"container web ip add {DB}")
