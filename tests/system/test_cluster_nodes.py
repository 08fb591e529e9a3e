"""Hosts that change their address or their name, and hosts that are removed for good."""

import json
import time
from collections.abc import Iterator

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


@pytest.fixture
def cluster(lab2: Lab) -> Iterator[Cluster]:
    """The container web on the first host and db on the second, who may reach each other."""
    cluster = calico.start(lab2)
    first, second = lab2.hosts
    cluster.calicoctl(first, "profile add app")
    for host, name, ips in ((first, "web", (WEB, WEB6)), (second, "db", (DB, DB6))):
        cluster.run(host, name, "--net=none")
        cluster.calicoctl(host, f"container add {name} {ips[0]}")
        cluster.calicoctl(host, f"container {name} ip add {ips[1]}")
        cluster.calicoctl(host, f"container {name} profile set app")
    yield cluster
    for host in reversed(lab2.hosts):
        host.run(f"hostname {host.name}")
        if host is second:
            readdress(host, f"{host.ip}/24 {host.ip6}/64")
        for name in host.docker("ps", "-aq", "--filter", "ancestor=busybox").out.split():
            host.docker("rm", "-f", name)
        cluster.calicoctl(host, "node stop --force", check=False)
        assert leftovers.on_host(host) == []
    first.run("rm -rf /var/lib/calico/etcd")


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
    assert set(sessions(cluster, first)) == {NEW, NEW6}
    assert "nothing changed" in cluster.calicoctl(second, "node").out


def test_a_host_with_another_hostname_stays_the_node_that_it_was(cluster: Cluster) -> None:
    _, second = cluster.hosts
    second.run("hostname newname")
    refused = cluster.calicoctl(second, "node", check=False)
    assert refused.code == 1
    assert "the hostname is newname, but etcd knows this host as host2" in refused.err
    assert DB in cluster.calicoctl(second, "container db endpoint show --detailed").out
    second.docker("restart", "calico-node")
    reach_each_other(cluster)
    second.docker("restart", "-t", "0", "db")
    reach_each_other(cluster)
    assert mentioning(cluster, "newname") == []
    cluster.calicoctl(second, "node stop --force")
    assert mentioning(cluster, "host2") == []
    assert "(newname: 10.99.0.2" in cluster.calicoctl(second, f"node --ip6={second.ip6}").out
    cluster.calicoctl(second, f"container add db {DB}")
    cluster.calicoctl(second, "container db profile set app")
    cluster.calicoctl(second, f"container db ip add {DB6}")
    reach_each_other(cluster)
    cluster.calicoctl(second, "node stop --force")


def test_a_host_that_burnt_down_is_removed_from_another_one(cluster: Cluster) -> None:
    first, second = cluster.hosts
    reach_each_other(cluster)
    assert len(sessions(cluster, first)) == 2
    second.power_cut()
    try:
        refused = cluster.calicoctl(first, "node remove host2", check=False)
        assert refused.code == 1
        assert "host2 is alive" in refused.err
        removed = cluster.calicoctl(first, "node remove host2 --force").out
        assert removed == "removed host host2 (1 endpoint, 2 addresses)\n"
        assert mentioning(cluster, "host2") == []
        soon("no session is left", lambda: not sessions(cluster, first))
        soon("no route is left", lambda: f"{DB} via" not in first.run(f"ip route get {DB}").out)
        assert "does not exist" in cluster.calicoctl(first, "node remove host2", check=False).err
        cluster.calicoctl(first, f"container web ip add {DB}")
    finally:
        second.power_cycle()


def test_a_host_that_was_removed_while_it_runs_says_so_and_comes_back(cluster: Cluster) -> None:
    first, second = cluster.hosts
    cluster.calicoctl(first, "node remove host2 --force")
    found = cluster.calicoctl(second, "status", check=False)
    time.sleep(10)
    found = cluster.calicoctl(second, "status", check=False)
    print(mentioning(cluster, "host2"))
    assert found.code == 1
    assert "host2" in found.err
    cluster.calicoctl(second, f"node --ip6={second.ip6}")
