"""Addresses and pools on three hosts: who gets which, and where packets to them end."""

import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from itertools import cycle

import pytest
from netaddr import IPAddress, IPNetwork

from calico_ctl.ipam import block
from calico_ctl.ipam.block import Owner
from calico_ctl.model import keys
from tests.support import cluster as calico
from tests.support import mesh, probes
from tests.support.capture import Capture
from tests.support.cluster import Cluster
from tests.support.command import Result
from tests.support.host import Host
from tests.support.lab import Lab

# the longest may wait for many things, and the first one also for the hosts to be made
pytestmark = [pytest.mark.system, pytest.mark.timeout(1200)]

Session = tuple[str, str]
"""A host's name, and the address of its peer."""


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    """Three Docker hosts."""
    with Lab(3, node_image=True) as lab:
        yield lab


@pytest.fixture(scope="module")
def cluster(lab: Lab) -> Cluster:
    """A node on each with a container, which have all routes."""
    return mesh.start(lab)


def test_of_hosts_that_want_the_same_addresses_at_once_one_gets_each(cluster: Cluster) -> None:
    addresses = ("192.168.50.1", "fd80:24e2:f998:72d6::5001")
    for address in addresses:

        def add(host: Host, address: str = address) -> Result:
            return cluster.calicoctl(
                host, f"container {mesh.name(host)} ip add {address}", check=False
            )

        with ThreadPoolExecutor() as pool:
            results = dict(zip(cluster.hosts, pool.map(add, cluster.hosts), strict=True))
        (winner,) = [host for host, result in results.items() if result.code == 0]
        for host in cluster.hosts:
            if host is not winner:
                assert results[host].code == 1
                assert address in results[host].err
                mesh.reaches(host, address)
        cluster.calicoctl(winner, f"container {mesh.name(winner)} ip remove {address}")
    assert cluster.calicoctl(cluster.hosts[1], "ipam check").code == 0


@pytest.mark.parametrize("address", [mesh.ipv4, mesh.ipv6])
def test_what_is_for_an_address_that_no_container_has_ends_at_the_host_of_its_block(
    lab: Lab, cluster: Cluster, address: Callable[[Host], str]
) -> None:
    """The block drops it there: the host's default route does not take it out again."""
    here, there, _ = cluster.hosts
    own, unused = address(there), str(IPAddress(address(there)) + 9)
    back = here.ip if address is mesh.ipv4 else here.ip6
    there.run(f"ip route add default via {back} metric 4000")
    with Capture(lab.underlay, f"port{there.number}") as cable:
        inside = probes.inside(here, mesh.name(here))
        lost = here.run([*inside, "ping", "-n", "-c", "3", "-W", "1", unused], check=False)
        mesh.reaches(here, own)
        passed = Counter((each.source, each.target) for each in cable.passed())
    ways = {ip: there.run(f"ip route get {ip}", check=False).code for ip in (own, unused)}
    there.run(f"ip route del default via {back} metric 4000")
    assert lost.code == 1
    assert 1 <= passed[address(here), unused] <= 3
    assert ways[own] == 0
    assert ways[unused] != 0


def test_a_pool_that_is_disabled_or_removed_gives_nothing_though_hosts_have_blocks_of_it(
    cluster: Cluster,
) -> None:
    first, *_ = cluster.hosts
    new, default = ("10.67.0.0/24", "fd67::/120"), ("192.168.0.0/16", "fd80:24e2:f998:72d6::/64")
    cluster.calicoctl(first, f"pool add {' '.join(new)}")
    cluster.calicoctl(first, f"pool add {' '.join(default)} --disabled")
    of_new = drawn(cluster)
    for host in cluster.hosts:
        mesh.reaches(host, *of_new)
    cluster.calicoctl(first, f"pool add {' '.join(default)}")
    cluster.calicoctl(first, f"pool remove {' '.join(new)} --force")
    of_default = drawn(cluster)
    for addresses, pools in ((of_new, new), (of_default, default)):
        assert len(addresses) == 2 * len(cluster.hosts)
        assert {pool_of(address, (*new, *default)) for address in addresses} == set(pools)
    for address, host in (of_new | of_default).items():
        cluster.calicoctl(host, f"container {mesh.name(host)} ip remove {address}")
    assert cluster.calicoctl(first, "ipam check").code == 0


def drawn(cluster: Cluster) -> dict[str, Host]:
    """Give each container any address of each family, which another host finds to be its own."""
    found = {}
    for host, other in zip(cluster.hosts, [*cluster.hosts[1:], cluster.hosts[0]], strict=True):
        for wish in ("ipv4", "ipv6"):
            said = cluster.calicoctl(host, f"container {mesh.name(host)} ip add {wish}").out
            address = said.split()[1]
            shown = cluster.calicoctl(other, f"ipam info {address} --output=json").out
            (item,) = json.loads(shown)["items"]
            assert (item["address"], item["hostname"]) == (address, host.name)
            found[address] = host
    return found


def pool_of(address: str, pools: Iterable[str]) -> str:
    """The pool that has an address."""
    (pool,) = [pool for pool in pools if IPAddress(address) in IPNetwork(pool)]
    return pool


@pytest.mark.parametrize(
    ("small", "wider"), [("10.66.0.0/29", "10.66.0.0/16"), ("fd66::/125", "fd66::/64")]
)
def test_a_pool_smaller_than_a_block_is_shared_and_goes_when_nobody_uses_it(
    cluster: Cluster, small: str, wider: str
) -> None:
    """Its one block belongs to one host; the others borrow, and their routes are for one each.

    BIRD takes up all of this without a new session.
    """
    first, *_ = cluster.hosts
    of_it = []
    before = up_since(cluster)
    cluster.calicoctl(first, f"pool add {small}")
    overlapping = cluster.calicoctl(first, f"pool add {wider}", check=False)
    assert overlapping.code == 1
    assert small in overlapping.err
    for host in cluster.hosts:
        name = f"small{host.number}"
        cluster.run(host, name)
        said = cluster.calicoctl(host, f"container add {name} {small}").out
        of_it.append(said.split()[1])
        cluster.calicoctl(host, f"container {name} profile append {mesh.PROFILE}")
    assert len(set(of_it)) == len(cluster.hosts)
    for host in cluster.hosts:
        mesh.reaches(host, *of_it)
    refused = cluster.calicoctl(first, f"pool remove {small}", check=False)
    assert refused.code == 1
    assert "in use" in refused.err
    cluster.calicoctl(first, f"pool remove {small} --force")
    cluster.calicoctl(first, f"pool add {small} --disabled")
    mesh.reaches(first, *of_it)
    cluster.run(first, "late")
    late = cluster.calicoctl(first, f"container add late {small}", check=False)
    assert late.code == 1
    assert "disabled" in late.err
    first.docker("rm", "-f", "late")
    for host in cluster.hosts:
        cluster.calicoctl(host, f"container remove small{host.number}")
        host.docker("rm", "-f", f"small{host.number}")
    cluster.calicoctl(first, f"pool remove {small}")
    assert new_sessions(before, up_since(cluster)) == set()


def new_sessions(before: Mapping[Session, float], now: Mapping[Session, float]) -> set[Session]:
    """Those that came up, or went, since before; BIRD is off by milliseconds, a session by more."""
    stayed = {each for each in before.keys() & now.keys() if abs(now[each] - before[each]) < 1}
    return (before.keys() | now.keys()) - stayed


def up_since(cluster: Cluster) -> dict[Session, float]:
    """At which second of the day each session came up."""
    return {
        (host.name, ip): of_the_day(str(each["since"]))
        for host in cluster.hosts
        for ip, each in mesh.sessions(cluster, host).items()
    }


def of_the_day(time_of_day: str) -> float:
    """The seconds since midnight."""
    hours, minutes, seconds = time_of_day.split(":")
    return int(hours) * 3600 + int(minutes) * 60 + float(seconds)


def test_an_address_that_was_lost_is_released_from_another_host(cluster: Cluster) -> None:
    first, _, third = cluster.hosts
    for lost in ("192.168.77.7", "fd80:24e2:f998:72d6::7707"):
        ip = IPAddress(lost)
        cidr = block.cidr_of(ip)
        claimed = block.empty(cidr, third.name).claim(ip, Owner("gone", {"host": third.name}))
        cluster.write(keys.block(cidr), block.encode(claimed))
        refused = cluster.calicoctl(
            first, f"container {mesh.name(first)} ip add {lost}", check=False
        )
        assert refused.code == 1
        assert f"{lost} is already assigned to endpoint gone" in refused.err
        said = cluster.calicoctl(first, f"ipam release {lost} --wait=0").out
        assert said == f"address {lost} is free\n"
        cluster.calicoctl(first, f"container {mesh.name(first)} ip add {lost}")
        mesh.reaches(third, lost)
        cluster.calicoctl(first, f"container {mesh.name(first)} ip remove {lost}")
    cluster.calicoctl(first, "ipam check --fix")
    assert cluster.calicoctl(first, "ipam check").code == 0


@pytest.mark.parametrize(
    ("pool", "peer"), [("10.99.0.0/29", "10.99.0.4"), ("fd99::/125", "fd99::4")]
)
def test_a_pool_over_the_hosts_own_network_gives_no_hosts_address_and_cuts_nobody_off(
    cluster: Cluster, pool: str, peer: str
) -> None:
    """Of its eight addresses three are hosts' and one is a peer's; every router answers fd99::."""
    first, *_ = cluster.hosts
    assert "has the address of host host1 in it" in cluster.calicoctl(first, f"pool add {pool}").err
    cluster.calicoctl(first, f"bgp peer add {peer} as 65000")
    of_it = {}
    left = (5, 6, 7) if ":" in pool else (0, 5, 6, 7)
    for _, host in zip(left, cycle(cluster.hosts), strict=False):
        said = cluster.calicoctl(host, f"container {mesh.name(host)} ip add {pool}").out
        of_it[said.split()[1]] = host
    assert of_it.keys() == {str(IPNetwork(pool)[number]) for number in left}
    refused = cluster.calicoctl(first, f"container {mesh.name(first)} ip add {pool}", check=False)
    assert f"no free address is left in {pool}" in refused.err
    cluster.calicoctl(first, f"bgp peer remove {peer}")
    nobody_is_cut_off(cluster, of_it)
    for address, host in of_it.items():
        cluster.calicoctl(host, f"container {mesh.name(host)} ip remove {address}")
    cluster.calicoctl(first, f"pool remove {pool}")


def test_a_pool_of_a_whole_block_over_the_hosts_own_network_cuts_nobody_off(
    cluster: Cluster,
) -> None:
    """A block of hosts is announced by none: who drops the rest of it would drop the hosts."""
    first, *_ = cluster.hosts
    pools = ("10.99.0.0/26", "fd99::/122")
    cluster.calicoctl(first, f"pool add {' '.join(pools)}")
    of_it = {}
    for host in cluster.hosts:
        for address in (f"10.99.0.3{host.number}", f"fd99::3{host.number}"):
            cluster.calicoctl(host, f"container {mesh.name(host)} ip add {address}")
            of_it[address] = host
    nobody_is_cut_off(cluster, of_it)
    for host in cluster.hosts:
        shown = host.run("ip route show proto bird; ip -6 route show proto bird").out
        assert not set(pools) & set(shown.split())
    for address, host in of_it.items():
        cluster.calicoctl(host, f"container {mesh.name(host)} ip remove {address}")
    cluster.calicoctl(first, f"pool remove {' '.join(pools)}")


def nobody_is_cut_off(cluster: Cluster, addresses: Iterable[str]) -> None:
    """Wait until all containers reach each other, and these addresses; hosts have all sessions."""
    mesh.all_reach_each_other(cluster)
    for host in cluster.hosts:
        mesh.reaches(host, *addresses)
        calico.eventually(
            f"{host.name} has its sessions",
            lambda host=host: len(mesh.exchanged(cluster, host)) == 4,
            timeout=mesh.PATIENCE,
        )
