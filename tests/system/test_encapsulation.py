"""Containers in encapsulated pools, on two real hosts with calico-node."""

from collections.abc import Callable, Iterator
from functools import partial

import pytest

from tests.support import cluster as calico
from tests.support import leftovers, probes
from tests.support.cluster import Cluster
from tests.support.host import Host
from tests.support.lab import Lab

pytestmark = pytest.mark.system

PATIENCE = 15
POOLS = "pool add 10.65.0.0/16 fd65::/64 --vxlan"


@pytest.fixture(scope="module")
def cluster(lab2: Lab) -> Cluster:
    return calico.start(lab2)


@pytest.fixture(autouse=True)
def containers_are_removed(cluster: Cluster) -> Iterator[None]:
    yield
    for host in cluster.hosts:
        for name in host.docker("ps", "-aq", "--filter", "ancestor=busybox").out.split():
            host.docker("rm", "-f", name)
    for host in cluster.hosts:
        calico.nothing_of_containers_left(cluster, host)


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


def _has_tunnel(host: Host) -> bool:
    return "vxlan.calico" in _shown(host, "ip link")


def _has_no_tunnel(host: Host) -> bool:
    return leftovers.tunnels(host) == []


def test_a_pool_with_vxlan_from_its_first_packet_to_its_last(cluster: Cluster) -> None:
    one, two = cluster.hosts
    cluster.calicoctl(one, POOLS)
    cluster.calicoctl(one, "profile add web")
    _start(cluster, one, "web", "10.65.1.5 fd65::45")
    _start(cluster, two, "db", "10.65.2.5 fd65::85")

    for target in ("10.65.2.5", "fd65::85"):
        _eventually(f"db answers web at {target}", partial(probes.pings, one, "web", target))
    for device, target in (("vxlan.calico", "10.65.2.5"), ("vxlan-v6.calico", "fd65::85")):
        assert f"dev {device}" in _shown(one, f"ip route get {target}")
    # What BIRD knows of the same blocks stays out of the way, and policy is asked as ever.
    assert "proto bird" not in _shown(one, "ip route show 10.65.2.0/26")
    cluster.calicoctl(one, f"profile web rule add inbound allow icmp from cidr {one.ip}/32")
    _eventually(
        "a container of the other host answers this host",
        lambda: probes.pings(one, probes.HOST_ITSELF, "10.65.2.5"),
    )
    cluster.calicoctl(two, "container db profile remove web")
    _eventually("db is closed", lambda: not probes.pings(one, "web", "10.65.2.5"))
    status = cluster.calicoctl(one, "status", check=False).text
    assert "encapsulation service: up since" in status
    assert "the encapsulation service:" not in status
    cluster.calicoctl(one, "pool remove 10.65.0.0/16 fd65::/64 --force")
    for host in cluster.hosts:
        _eventually("the devices go", partial(_has_no_tunnel, host))


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
        _eventually("the devices come", partial(_has_tunnel, host))
    cluster.calicoctl(two, "node stop")
    assert leftovers.on_host(two) == []
    assert "4081" not in _shown(two, "ip rule; ip -6 rule")
