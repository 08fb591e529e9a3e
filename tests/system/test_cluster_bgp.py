"""Three hosts in a full mesh: who reaches whom, how soon, and through which restarts."""

import statistics
import time
from collections.abc import Iterator

import pytest

from tests.support import cluster as calico
from tests.support import flow, mesh
from tests.support.cli import cells
from tests.support.cluster import Cluster
from tests.support.host import Host
from tests.support.lab import Lab

# the longest may wait for many things, and the first one also for the hosts to be made
pytestmark = [pytest.mark.system, pytest.mark.timeout(1200)]

RUNS = 4
SERVICES = "/run/calico/service"


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """Three nodes with a container each, which have all routes."""
    with Lab(3, node_image=True) as lab:
        yield mesh.start(lab)


def birdc(host: Host, words: str) -> str:
    """What BIRD answers; nothing if it is not up."""
    argv = f"docker exec calico-node birdc -s /run/calico/bird.ctl {words}"
    return host.run(argv, check=False, quiet=True).out


def test_every_host_has_a_session_in_each_family_with_each_other(cluster: Cluster) -> None:
    for host in cluster.hosts:
        others = [other for other in cluster.hosts if other is not host]
        wanted = {address for other in others for address in (other.ip, other.ip6)}
        calico.eventually(
            f"{host.name} has exchanged a block with each peer",
            lambda host=host: mesh.exchanged(cluster, host) == [(1, 1)] * 4,
            timeout=mesh.PATIENCE,
        )
        found = mesh.sessions(cluster, host)
        assert found.keys() == wanted
        for each in found.values():
            assert each["type"] == "node-to-node mesh"
            assert (each["state"], each["info"]) == ("up", "Established")
            assert each["since"]
        rows = cells(cluster.calicoctl(host, "status", check=False).out)
        table = {row[0]: row[1:] for row in rows if row[0] in wanted}
        assert table.keys() == wanted
        for kind, state, since, info, received, exported in table.values():
            assert (kind, state, info) == ("node-to-node mesh", "up", "Established")
            assert (received, exported) == ("1", "1")
            assert since


@pytest.mark.parametrize("address_in", ["192.168.{}.1", "fd80:24e2:f998:72d6::{}:1"])
def test_a_container_is_soon_reached_from_another_host(cluster: Cluster, address_in: str) -> None:
    """Each has an address in a block that the host did not have, so that a route has to travel."""
    here, _, there = cluster.hosts
    names = [f"new{number}" for number in range(RUNS)]
    here.run(f"for n in {' '.join(names)}; do docker run -d --name $n busybox sleep 1d; done")
    took = []
    for number, name in enumerate(names):
        address = address_in.format(100 + number)
        began = time.monotonic()
        mesh.add(cluster, here, name, address)
        mesh.reaches(there, address)
        took.append(time.monotonic() - began)
    print(f"reached after {statistics.median(took):.2f} s (of {RUNS} runs; {max(took):.2f} s)")
    assert statistics.median(took) <= 10
    for name in names:
        cluster.calicoctl(here, f"container remove {name}")
    here.docker("rm", "-f", *names)


def test_log_levels_of_one_host_and_of_all_reach_bird(cluster: Cluster) -> None:
    first, second, third = cluster.hosts
    cluster.calicoctl(first, "config bgp loglevel none")
    cluster.calicoctl(second, "config node bgp loglevel debug")
    for host, said in ((first, "{ error,"), (second, "all;"), (third, "{ error,")):
        calico.eventually(
            f"BIRD of {host.name} writes {said}",
            lambda host=host, said=said: (
                f"log stderr {said}"
                in host.docker("exec", "calico-node", "cat", "/etc/calico/bird.conf").out
            ),
            timeout=mesh.PATIENCE,
        )
    address = "192.168.66.1"
    for host in (third, second):
        cluster.calicoctl(host, f"container {mesh.name(host)} ip add {address}")
        mesh.reaches(first, address)
        cluster.calicoctl(host, f"container {mesh.name(host)} ip remove {address}")
    calico.eventually(
        f"BIRD of {second.name} has written of {address}",
        lambda: f" > added [best] {address}/32 " in written_by_bird(second),
        timeout=mesh.PATIENCE,
    )
    assert address not in written_by_bird(third)
    cluster.calicoctl(first, "config bgp loglevel --remove")
    cluster.calicoctl(second, "config node bgp loglevel --remove")


def written_by_bird(host: Host) -> str:
    """The log of a host's BIRD."""
    return host.run("cat /var/log/calico/bird/*", quiet=True).out


def test_keys_of_hosts_that_make_no_sense_disturb_no_other(cluster: Cluster) -> None:
    here, _, there = cluster.hosts
    junk = {
        "bgp/v1/host/junk1/ip_addr_v4": "10.99.0",
        "bgp/v1/host/junk1/ip_addr_v6": "fd99::g",
        "bgp/v1/host/junk2/as_num": "0",
        "bgp/v1/host/junk2/peer_v6/fd99::77": "{nonsense",
        "bgp/v1/host/junk3/loglevel": "loud",
        "bgp/v1/host/host2/as_num": "many",
        "bgp/v1/host/host2/peer_v4/10.99.0.300": '{"ip": "10.99.0.300", "as_num": "1"}',
        "bgp/v1/global/peer_v4/10.99.0.78": '{"ip": "10.99.0.79", "as_num": "x\\"; }"}',
        "host/junk4/bird_ip": "\\x00;",
        "host/junk 5/bird_ip": "10.99.0.1",
        "host/junk6/bird_ip": "10.99.0.79",
        "ipam/v4/pool/10.0.0.0-8": "}",
        "ipam/v2/host/junk1/ipv4/block/192.168.0-26": "",
    }
    for key, value in junk.items():
        cluster.write(f"/calico/{key}", value)
    here.docker("run", "-d", "--name", "late", "busybox", "sleep", "1d")
    try:
        mesh.add(cluster, here, "late", "192.168.90.1")
        mesh.reaches(there, "192.168.90.1")
        mesh.all_reach_each_other(cluster)
        for host in cluster.hosts:
            names(cluster, host, "/calico/bgp/v1/host/junk1/ip_addr_v4")
            assert [each["info"] for each in mesh.sessions(cluster, host).values()] == [
                "Established"
            ] * 4
    finally:
        here.docker("rm", "-f", "late")
        for key in junk:
            cluster.delete(f"/calico/{key}")


def names(cluster: Cluster, host: Host, key: str) -> None:
    """Wait until status names a key that cannot be used, with the reason."""
    calico.eventually(
        f"status on {host.name} names {key}",
        lambda: f"{key}: " in cluster.calicoctl(host, "status", check=False).out,
        timeout=mesh.PATIENCE,
    )


def test_restarts_of_agent_bird_and_node_lose_no_packet(cluster: Cluster) -> None:
    """Each BIRD once only: routes that were kept for one restart are given up at a second one."""
    here, there, third = cluster.hosts
    all_are_settled(cluster)
    flow.answer(there, mesh.name(there))
    flows = [
        flow.start(host, mesh.name(host), address)
        for host in (here, third)
        for address in (mesh.ipv4(there), mesh.ipv6(there))
    ]
    again(here, "felix", "restart")
    again(there, "felix", "kill")
    go_on(cluster, flows)
    again(here, "bird", "restart")
    go_on(cluster, flows)
    again(third, "bird", "kill")
    go_on(cluster, flows)
    there.docker("restart", "calico-node")
    go_on(cluster, flows)
    assert [each.lost() for each in flows] == [[]] * len(flows)


def again(host: Host, service: str, how: str) -> None:
    """End a service of calico-node, in order or not; wait until a new process of it is up."""
    before = process(host, service)
    # it gives up after seven seconds, and is not what decides here
    argv = ["exec", "calico-node", "sv", how, f"{SERVICES}/{service}"]
    host.docker(*argv, check=False)
    calico.eventually(
        f"{service} of {host.name} is up again",
        lambda: process(host, service) not in {"", before},
        timeout=mesh.PATIENCE,
    )


def process(host: Host, service: str) -> str:
    """The process of a service that is up."""
    path = f"{SERVICES}/{service}/supervise/pid"
    return host.docker("exec", "calico-node", "cat", path, check=False).out.strip()


def go_on(cluster: Cluster, flows: list[flow.Flow]) -> None:
    """Wait until BGP has settled, and datagrams have been answered since then."""
    all_are_settled(cluster)
    for each in flows:
        each.goes_on()


def all_are_settled(cluster: Cluster) -> None:
    for host in cluster.hosts:
        is_settled(host)


def is_settled(host: Host) -> None:
    """Wait until a BIRD has its sessions, and neither it nor a peer still restarts."""

    def settled() -> bool:
        status, shown = birdc(host, "show status"), birdc(host, "show protocols all")
        restarting = "recovery" in status or "graceful restart active" in shown
        lines = [line.split() for line in shown.splitlines()]
        return lines.count(["BGP", "state:", "Established"]) == 4 and not restarting

    calico.eventually(f"BIRD of {host.name} is settled", settled, timeout=mesh.PATIENCE)
