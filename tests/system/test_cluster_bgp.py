"""Three hosts in a full mesh: who reaches whom, how soon, and through which restarts."""

import json
import statistics
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor

import pytest
from netaddr import IPAddress, IPNetwork

from calico_ctl.ipam import block
from calico_ctl.ipam.block import Owner
from calico_ctl.model import keys
from tests.support import cluster as calico
from tests.support import flow, mesh, probes
from tests.support.capture import Capture
from tests.support.cli import cells
from tests.support.cluster import Cluster
from tests.support.command import Result
from tests.support.host import Host
from tests.support.lab import Lab

# the longest may wait for many things, and the first one also for the hosts to be made
pytestmark = [pytest.mark.system, pytest.mark.timeout(1200)]

RUNS = 4
Session = tuple[str, str]
"""A host's name, and the address of its peer."""
SERVICES = "/run/calico/service"


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    """Three Docker hosts."""
    with Lab(3, node_image=True) as lab:
        yield lab


@pytest.fixture(scope="module")
def cluster(lab: Lab) -> Cluster:
    """A node on each with a container, which have all routes."""
    cluster = calico.start(lab)
    mesh.populate(cluster)
    mesh.all_reach_each_other(cluster)
    return cluster


def sessions(cluster: Cluster, host: Host) -> dict[str, dict[str, object]]:
    """The BGP sessions that status shows, by the address of the peer."""
    shown = cluster.calicoctl(host, "status --output=json", check=False).out
    return {each["ip"]: each for each in json.loads(shown)["items"][0]["bgp_sessions"] or []}


def exchanged(cluster: Cluster, host: Host) -> list[tuple[object, object]]:
    """How many routes came and went with each session."""
    found = sessions(cluster, host).values()
    return [(each["received"], each["exported"]) for each in found]


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
            lambda host=host: exchanged(cluster, host) == [(1, 1)] * 4,
            timeout=mesh.PATIENCE,
        )
        found = sessions(cluster, host)
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
        for ip, each in sessions(cluster, host).items()
    }


def of_the_day(time_of_day: str) -> float:
    """The seconds since midnight."""
    hours, minutes, seconds = time_of_day.split(":")
    return int(hours) * 3600 + int(minutes) * 60 + float(seconds)


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
    """Of its eight addresses three are hosts' and one is a peer's."""
    first, *_ = cluster.hosts
    assert "has the address of host host1 in it" in cluster.calicoctl(first, f"pool add {pool}").err
    cluster.calicoctl(first, f"bgp peer add {peer} as 65000")
    of_it = {}
    for host in (*cluster.hosts, first):
        said = cluster.calicoctl(host, f"container {mesh.name(host)} ip add {pool}").out
        of_it[said.split()[1]] = host
    assert of_it.keys() == {str(IPNetwork(pool)[number]) for number in (0, 5, 6, 7)}
    refused = cluster.calicoctl(first, f"container {mesh.name(first)} ip add {pool}", check=False)
    assert f"no free address is left in {pool}" in refused.err
    cluster.calicoctl(first, f"bgp peer remove {peer}")
    mesh.all_reach_each_other(cluster)
    for host in cluster.hosts:
        mesh.reaches(host, *of_it)
        calico.eventually(
            f"{host.name} has its sessions",
            lambda host=host: len(exchanged(cluster, host)) == 4,
            timeout=mesh.PATIENCE,
        )
    for address, host in of_it.items():
        cluster.calicoctl(host, f"container {mesh.name(host)} ip remove {address}")
    cluster.calicoctl(first, f"pool remove {pool}")


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
        "host/junk%205/bird_ip": "10.99.0.1",
        "ipam/v4/pool/10.0.0.0-8": "}",
        "ipam/v2/host/junk1/ipv4/block/192.168.0-26": "",
    }
    for key, value in junk.items():
        cluster.curl(f"-X PUT 'KEYS/calico/{key}' --data-urlencode 'value={value}'")
    here.docker("run", "-d", "--name", "late", "busybox", "sleep", "1d")
    try:
        mesh.add(cluster, here, "late", "192.168.90.1")
        mesh.reaches(there, "192.168.90.1")
        mesh.all_reach_each_other(cluster)
        for host in cluster.hosts:
            names(cluster, host, "/calico/bgp/v1/host/junk1/ip_addr_v4")
            assert [each["info"] for each in sessions(cluster, host).values()] == [
                "Established"
            ] * 4
    finally:
        here.docker("rm", "-f", "late")
        for key in junk:
            cluster.curl(f"-X DELETE 'KEYS/calico/{key}'")


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
