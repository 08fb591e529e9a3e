"""Containers in encapsulated pools, on three real hosts with calico-node.

Two hosts are in one network and the third one in another, behind a router that knows no container.
"""

from collections.abc import Callable, Iterator
from functools import partial
from itertools import permutations

import pytest

from tests.support import cluster as calico
from tests.support import leftovers, mesh, probes
from tests.support.capture import Capture, Passed
from tests.support.cluster import Cluster
from tests.support.host import Host
from tests.support.lab import Lab

# the first one may wait for many things, and also for the hosts to be made
pytestmark = [pytest.mark.system, pytest.mark.timeout(1200)]

PATIENCE = 15
POOLS = "pool add 10.65.0.0/16 fd65::/64 --vxlan"
CROSS_SUBNET_POOLS = "pool add 10.68.0.0/16 fd68::/64 --vxlan --cross-subnet --nat-outgoing"
NAMES = ("web", "db", "far")
"""The container on each host."""


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    """Three Docker hosts."""
    with Lab(3, node_image=True) as lab:
        put_behind_a_router(lab, lab.hosts[2])
        yield lab


@pytest.fixture(scope="module")
def cluster(lab: Lab) -> Cluster:
    """A node on each, with a container that has no network yet."""
    cluster = calico.start(lab)
    for host, name in zip(cluster.hosts, NAMES, strict=True):
        cluster.run(host, name, "--net=none")
    cluster.calicoctl(cluster.hosts[0], "profile add web")
    return cluster


def put_behind_a_router(lab: Lab, host: Host) -> None:
    """Move a host into a network of its own; the namespace between the hosts routes to it."""
    lab.underlay.run(
        ["ip", "-batch", "-"],
        stdin="link add behind type bridge mcast_snooping 0\nlink set behind up\n"
        f"link set port{host.number} master behind\n"
        "addr add 10.99.0.254/24 dev underlay\naddr add fd99::254/64 dev underlay nodad\n"
        "addr add 10.99.1.254/24 dev behind\naddr add fd99:1::254/64 dev behind nodad\n",
    )
    forward = ("net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1")
    lab.underlay.run(["sysctl", "-q", "-w", *forward])
    for other in lab.hosts:
        if other is not host:
            other.run("ip route add 10.99.1.0/24 via 10.99.0.254")
            other.run("ip -6 route add fd99:1::/64 via fd99::254")
    host.ip, host.ip6 = f"10.99.1.{host.number}", f"fd99:1::{host.number}"
    host.run(
        ["ip", "-batch", "-"],
        stdin="addr flush dev eth0 scope global\n"
        f"addr add {host.ip}/24 dev eth0\naddr add {host.ip6}/64 dev eth0 nodad\n"
        "route add default via 10.99.1.254\nroute add default via fd99:1::254\n",
    )


def _eventually(what: str, condition: Callable[[], object]) -> None:
    calico.eventually(what, condition, PATIENCE)


def _addresses(host: Host, pool: str) -> tuple[str, str]:
    """The addresses of a host's container in the pools 10.<pool>.0.0/16 and fd<pool>::/64."""
    return f"10.{pool}.{host.number}.5", f"fd{pool}::{host.number}45"


def _give_addresses(cluster: Cluster, pool: str) -> None:
    for host, name in zip(cluster.hosts, NAMES, strict=True):
        ip, ip6 = _addresses(host, pool)
        cluster.calicoctl(host, f"container add {name} {ip}")
        cluster.calicoctl(host, f"container {name} ip add {ip6}")
        cluster.calicoctl(host, f"container {name} profile append web")


def _take_addresses(cluster: Cluster) -> None:
    for host, name in zip(cluster.hosts, NAMES, strict=True):
        cluster.calicoctl(host, f"container remove {name}")
    for host in cluster.hosts:
        calico.nothing_of_containers_left(cluster, host)


def _reach_each_other(cluster: Cluster, pool: str) -> None:
    """Wait until packets that are too large for one frame are answered, in both families."""
    named = list(zip(cluster.hosts, NAMES, strict=True))
    for (host, name), (other, _) in permutations(named, 2):
        for target in _addresses(other, pool):
            _eventually(
                f"{name} reaches {target}",
                partial(mesh.pings, host, target, "-s", "1472", container=name),
            )


def _shown(host: Host, line: str) -> str:
    return host.run(line, quiet=True, check=False).out


def _has_tunnel(host: Host) -> bool:
    return "vxlan.calico" in _shown(host, "ip link")


def _has_no_tunnel(host: Host) -> bool:
    return leftovers.tunnels(host) == []


def test_a_pool_with_vxlan_from_its_first_packet_to_its_last(cluster: Cluster) -> None:
    one, two, _ = cluster.hosts
    cluster.calicoctl(one, POOLS)
    _give_addresses(cluster, "65")
    _reach_each_other(cluster, "65")
    for device, size in (("vxlan.calico", 1450), ("vxlan-v6.calico", 1430)):
        assert f"mtu {size} " in _shown(one, f"ip link show {device}")
    _eventually(
        "its packets fit when they are wrapped up",
        lambda: "mtu 1430 " in probes.run_in(one, "web", ["ip", "link", "show", "eth1"]).out,
    )
    for host, other in permutations(cluster.hosts, 2):
        for device, target in zip(("vxlan", "vxlan-v6"), _addresses(other, "65"), strict=True):
            assert f"dev {device}.calico" in _shown(host, f"ip route get {target}")
    # What BIRD knows of the same blocks stays out of the way, and policy is asked as ever.
    assert "proto bird" not in _shown(one, "ip route show 10.65.2.0/26")
    cluster.calicoctl(one, f"profile web rule add inbound allow icmp from cidr {one.ip}/32")
    for host in cluster.hosts[1:]:
        target, _ = _addresses(host, "65")
        _eventually(
            f"{target} on another host answers this host",
            partial(probes.pings, one, probes.HOST_ITSELF, target),
        )
    cluster.calicoctl(two, "container db profile remove web")
    target, _ = _addresses(two, "65")
    _eventually("db is closed", lambda: not probes.pings(one, "web", target))
    status = cluster.calicoctl(one, "status", check=False).text
    assert "encapsulation service: up since" in status
    assert "the encapsulation service:" not in status
    cluster.calicoctl(one, "pool remove 10.65.0.0/16 fd65::/64 --force")
    for host in cluster.hosts:
        _eventually("the devices go", partial(_has_no_tunnel, host))
    _take_addresses(cluster)


def test_across_subnets_packets_are_wrapped_up_and_within_one_they_are_not(
    cluster: Cluster, lab: Lab
) -> None:
    """As seen on the cable of the first host. What leaves the cluster is masqueraded."""
    one, two, far = cluster.hosts
    cluster.calicoctl(one, CROSS_SUBNET_POOLS)
    _give_addresses(cluster, "68")
    _reach_each_other(cluster, "68")
    with Capture(lab.underlay, f"port{one.number}") as cable:
        for family in (4, 6):
            here, near, there = (_of(family, _addresses(each, "68")) for each in cluster.hosts)
            own, other = (_of(family, (each.ip, each.ip6)) for each in (one, far))
            assert _ways(cable, one, "web", here, near) == {
                Passed(here, near),
                Passed(near, here),
            }
            assert _ways(cable, one, "web", here, there) == {
                Passed(here, there, (own, other)),
                Passed(there, here, (other, own)),
            }
            # It has no route to a container.
            router = _of(family, ("10.99.0.254", "fd99::254"))
            assert _ways(cable, one, "web", own, router) == {
                Passed(own, router),
                Passed(router, own),
            }
        # From the host itself there is no difference: the answer takes the way of the question.
        here, near, there = (_addresses(each, "68")[0] for each in cluster.hosts)
        assert _ways(cable, one, probes.HOST_ITSELF, one.ip, near) == {
            Passed(one.ip, near),
            Passed(near, one.ip),
        }
        assert _ways(cable, one, probes.HOST_ITSELF, one.ip, there) == {
            Passed(one.ip, there, (one.ip, far.ip)),
            Passed(there, one.ip, (far.ip, one.ip)),
        }
    assert f"via {two.ip} " in _shown(one, f"ip route get {near}")
    _take_addresses(cluster)
    cluster.calicoctl(one, "pool remove 10.68.0.0/16 fd68::/64")


def _of(family: int, pair: tuple[str, str]) -> str:
    return pair[0] if family == 4 else pair[1]


def _ways(cable: Capture, host: Host, name: str, source: str, target: str) -> set[Passed]:
    """Ask once more, and return how what was asked and answered passed by."""
    cable.passed()
    _eventually(f"{target} answers", partial(probes.pings, host, name, target))
    both = {source, target}
    return {each for each in cable.passed() if {each.source, each.target} == both}


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
    one, two, _ = cluster.hosts
    cluster.calicoctl(one, POOLS)
    for host in cluster.hosts:
        _eventually("the devices come", partial(_has_tunnel, host))
    cluster.calicoctl(two, "node stop")
    assert leftovers.on_host(two) == []
    assert "4081" not in _shown(two, "ip rule; ip -6 rule")
