"""Containers in encapsulated pools, on two real hosts with calico-node."""

from collections.abc import Callable

import pytest

from tests.support import cluster as calico
from tests.support import probes
from tests.support.cluster import Cluster
from tests.support.host import Host
from tests.support.lab import Lab

pytestmark = pytest.mark.system

PATIENCE = 90
POOLS = "pool add 10.65.0.0/16 fd65::/64 --vxlan"


@pytest.fixture(scope="module")
def cluster(lab2: Lab) -> Cluster:
    return calico.start(lab2)


def _eventually(what: str, condition: Callable[[], object]) -> None:
    calico.eventually(what, condition, PATIENCE)


def _start(cluster: Cluster, host: Host, name: str, addresses: str) -> None:
    cluster.run(host, name, "--net=none")
    first, *more = addresses.split()
    cluster.calicoctl(host, f"container add {name} {first}")
    for each in more:
        cluster.calicoctl(host, f"container {name} ip add {each}")
    cluster.calicoctl(host, f"container {name} profile append web")


def _shown(host: Host, line: str) -> str:
    return host.run(line, quiet=True, check=False).out


def test_a_pool_with_vxlan_from_its_first_packet_to_its_last(cluster: Cluster) -> None:
    one, two = cluster.hosts
    cluster.calicoctl(one, POOLS)
    cluster.calicoctl(one, "profile add web")
    _start(cluster, one, "web", "10.65.1.5 fd65::45")
    _start(cluster, two, "db", "10.65.2.5 fd65::85")

    for target in ("10.65.2.5", "fd65::85"):
        _eventually(f"db answers web at {target}", lambda ip=target: probes.pings(one, "web", ip))
    for device, target in (("vxlan.calico", "10.65.2.5"), ("vxlan-v6.calico", "fd65::85")):
        assert f"dev {device}" in _shown(one, f"ip route get {target}")
    # What BIRD knows of the same blocks stays out of the way, and policy is asked as ever.
    assert "proto bird" not in _shown(one, "ip route show 10.65.2.0/26")
    _eventually("the host's own packets go too", lambda: probes.pings(one, "", "10.65.2.5"))
    cluster.calicoctl(two, "container db profile remove web")
    _eventually("db is closed", lambda: not probes.pings(one, "web", "10.65.2.5"))
    assert "encapsulation service" not in cluster.calicoctl(one, "status", check=False).text

    for host in cluster.hosts:
        calico.remove_containers(cluster, host)
    cluster.calicoctl(one, "pool remove 10.65.0.0/16 fd65::/64")
    for host in cluster.hosts:
        _eventually("the devices go", lambda on=host: "vxlan" not in _shown(on, "ip link"))


def test_what_this_kernel_cannot_do_is_said_by_status(cluster: Cluster) -> None:
    one = cluster.hosts[0]
    if one.run("ip link add probe type ipip local 10.9.9.9", check=False).code == 0:
        one.run("ip link delete probe")
        cluster.calicoctl(one, "pool add 10.66.0.0/16 --ipip")
        _eventually("the device is up", lambda: "UP" in _shown(one, "ip link show tunl0"))
    else:
        cluster.calicoctl(one, "pool add 10.66.0.0/16 --ipip")
        said = "this kernel makes no IP-in-IP tunnels"
        _eventually(
            "it is said", lambda: said in cluster.calicoctl(one, "status", check=False).text
        )
    cluster.calicoctl(one, "pool remove 10.66.0.0/16")


def test_a_node_that_stops_takes_its_tunnels_with_it(cluster: Cluster) -> None:
    one, two = cluster.hosts
    cluster.calicoctl(one, POOLS)
    for host in cluster.hosts:
        _eventually("the devices come", lambda on=host: "vxlan.calico" in _shown(on, "ip link"))
    cluster.calicoctl(two, "node stop")
    assert "vxlan" not in _shown(two, "ip link")
    assert _shown(two, "ip rule; ip -6 rule").count("4081") == 0
