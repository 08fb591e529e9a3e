"""Containers started with a real docker client through the proxy of a real node."""

import json
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.support import cluster as calico
from tests.support import leftovers, probes
from tests.support.cluster import Cluster
from tests.support.command import PACE, Result, wait_until
from tests.support.host import Host
from tests.support.lab import Lab

pytestmark = pytest.mark.system

PROXY = "localhost:2377"


@pytest.fixture(scope="module")
def cluster(lab1: Lab) -> Cluster:
    cluster = calico.start(lab1)
    cluster.calicoctl(cluster.hosts[0], "pool add 10.65.0.0/24")
    return cluster


@pytest.fixture
def host(cluster: Cluster) -> Iterator[Host]:
    (host,) = cluster.hosts
    yield host
    calico.remove_containers(cluster, host)


def docker(host: Host, line: str, *, check: bool = True) -> Result:
    """Run `docker <line>` through the proxy."""
    return host.run(f"DOCKER_HOST={PROXY} docker {line}", check=check)


def refused(host: Host, line: str) -> str:
    """Run a line that must be refused; return what was said. Nothing of it must be left."""
    before = host.docker("ps", "-aq").out
    said = docker(host, line, check=False)
    assert said.code != 0
    assert host.docker("ps", "-aq").out == before
    return said.err


def inspected(host: Host, name: str) -> dict[str, object]:
    settings: dict[str, object] = json.loads(
        docker(host, f"inspect -f '{{{{json .NetworkSettings}}}}' {name}").out
    )
    return settings


def test_the_guides_example_works_as_soon_as_docker_returns(cluster: Cluster, host: Host) -> None:
    docker(host, "run -e CALICO_IP=192.168.1.2 -td --name web busybox")
    probes.answers(host, probes.HOST_ITSELF, "192.168.1.2")
    assert inspected(host, "web")["IPAddress"] == "192.168.1.2"
    container = host.docker("inspect", "-f", "{{.Id}}", "web").out.strip()
    assert cluster.endpoint(host, container)["profile_id"] is None
    listed = host.run(f"curl -sS http://{PROXY}/containers/json").out
    networks = json.loads(listed)[0]["NetworkSettings"]["Networks"]
    assert networks["calico"]["IPAddress"] == "192.168.1.2"
    for verb in ("restart -t 0", "stop -t 0", "start"):
        docker(host, f"{verb} web")
    probes.answers(host, probes.HOST_ITSELF, "192.168.1.2")
    hosts = docker(host, "exec web cat /etc/hosts").out
    assert hosts.splitlines().count(f"192.168.1.2\t{container[:12]}") == 1


@pytest.mark.parametrize(
    ("wish", "beginnings"),
    [
        ("auto", [""]),
        ("ipv4,ipv6", ["", "fd80:24e2:f998:72d6:"]),
        ("10.65.0.0/24", ["10.65.0."]),
        ("192.168.1.7,fd80:24e2:f998:72d6::7", ["192.168.1.7", "fd80:24e2:f998:72d6::7"]),
    ],
)
def test_what_can_be_wished(cluster: Cluster, host: Host, wish: str, beginnings: list[str]) -> None:
    docker(host, f"run -e CALICO_IP={wish} -d --name web busybox sleep 1d")
    container = host.docker("inspect", "-f", "{{.Id}}", "web").out.strip()
    endpoint = cluster.endpoint(host, container)
    nets = [*endpoint["ipv4_nets"], *endpoint["ipv6_nets"]]
    assert len(nets) == len(beginnings)
    for net, beginning in zip(nets, beginnings, strict=True):
        assert net.startswith(beginning)
        probes.answers(host, probes.HOST_ITSELF, net.partition("/")[0])


def test_any_other_network_is_overridden(host: Host) -> None:
    host.docker("network", "create", "mine")
    for number, net in enumerate(("host", "bridge", "mine", "none", "container:web0")):
        name = f"web{number}"
        options = " --network-alias=a --ip=172.18.0.9" if net == "mine" else ""
        docker(
            host, f"run -d --net={net}{options} -e CALICO_IP=auto --name {name} busybox sleep 1d"
        )
        links = probes.run_in(host, name, ["ip", "-br", "link"]).out
        assert sorted(line.split()[0].partition("@")[0] for line in links.splitlines()) == [
            "eth1",
            "lo",
        ]
    host.docker("rm", "-f", *(f"web{number}" for number in range(5)))
    host.docker("network", "rm", "mine")


def test_profiles_decide_who_talks_to_whom(cluster: Cluster, host: Host) -> None:
    for name, profile in (("one", "web,db"), ("two", "web"), ("three", "db"), ("four", "")):
        docker(
            host,
            f"run -d -e CALICO_IP=auto -e CALICO_PROFILE={profile} --name {name} busybox sleep 1d",
        )
    two, three = (str(inspected(host, name)["IPAddress"]) for name in ("two", "three"))
    probes.answers(host, "one", two)
    probes.answers(host, "one", three)
    assert not probes.pings(host, "three", two)
    assert not probes.pings(host, "four", two)


def test_what_is_wrong_is_said_at_once_and_leaves_nothing(cluster: Cluster, host: Host) -> None:
    docker(host, "run -d -e CALICO_IP=192.168.1.2 --name web busybox sleep 1d")
    taken = calico.claims(cluster)
    for wish, reason in (
        ("192.168.1.2", "192.168.1.2 is already assigned"),
        ("10.1.2.3", "in no configured pool"),
        ("10.1.0.0/16", "not a configured pool"),
        ("10.99.0.1", "in no configured pool"),
        ("nonsense", "CALICO_IP"),
        ("", "CALICO_IP"),
        ("192.168.1.3,", "CALICO_IP"),
    ):
        assert reason in refused(host, f"run -d -e CALICO_IP={wish} busybox sleep 1d"), wish
    said = refused(host, "run -d -p 80:80 -e CALICO_IP=192.168.1.3 busybox sleep 1d")
    assert "192.168.1.3" in said
    said = refused(host, "run -d -e CALICO_IP=auto -e CALICO_PROFILE=a/b busybox sleep 1d")
    assert "a/b" in said
    assert calico.claims(cluster) == taken


def test_of_several_that_wish_one_address_at_once_one_gets_it(cluster: Cluster, host: Host) -> None:
    line = "run -d -e CALICO_IP=192.168.1.2 busybox sleep 1d"
    with ThreadPoolExecutor(4) as pool:
        results = list(pool.map(lambda _: docker(host, line, check=False), range(4)))
    assert sorted(each.code == 0 for each in results) == [False, False, False, True]
    for each in results:
        assert each.code == 0 or "192.168.1.2 is already assigned" in each.err
    assert len(host.docker("ps", "-aq", "--filter", "ancestor=busybox").out.split()) == 1
    assert len(calico.claims(cluster)) == 1
    probes.answers(host, probes.HOST_ITSELF, "192.168.1.2")


def test_an_address_can_be_used_again_at_once(host: Host) -> None:
    for _ in range(5):
        docker(host, "run --rm -e CALICO_IP=192.168.1.2 busybox true")
    for _ in range(5):
        docker(host, "run -d --name web -e CALICO_IP=192.168.1.2 busybox sleep 1d")
        docker(host, "rm -f web")


def test_many_at_once_get_an_address_each_and_one_interface(cluster: Cluster, host: Host) -> None:
    def start(number: int) -> str:
        line = f"run -d --name web{number} -e CALICO_IP=10.65.0.0/24 busybox sleep 1d"
        docker(host, line)
        return str(inspected(host, f"web{number}")["IPAddress"])

    with ThreadPoolExecutor(8) as pool:
        addresses = list(pool.map(start, range(12)))
    assert len(set(addresses)) == 12
    for address in addresses:
        probes.answers(host, probes.HOST_ITSELF, address)
    assert len(leftovers.links(host)) == 12


def test_several_doors_at_once_plumb_once(cluster: Cluster, host: Host) -> None:
    docker(host, "create --name web -e CALICO_IP=192.168.1.2 busybox sleep 1d")
    for _ in range(3):
        with ThreadPoolExecutor(4) as pool:
            results = [
                pool.submit(docker, host, "start web"),
                pool.submit(host.docker, "start", "web"),
                pool.submit(cluster.calicoctl, host, "container add web 192.168.1.3", check=False),
            ]
        assert [each.result().code for each in results[:2]] == [0, 0]
        assert results[2].result().code == 1
        # Who comes second is told at once that it runs: only the first one waits for its network.
        wait_until(lambda: probes.pings(host, probes.HOST_ITSELF, "192.168.1.2"), 10, "it works")
        assert len(leftovers.links(host)) == 1
        docker(host, "stop -t 0 web")


def test_without_the_agent_only_containers_of_ours_fail_and_soon(host: Host) -> None:
    """However many start at once: the engine, which takes seconds for so many, starts none."""
    docker(host, "run -d --name running -e CALICO_IP=192.168.1.3 busybox sleep 1d")
    create = "docker create --net=none -e CALICO_IP=192.168.1.2 --name $each busybox sleep 1d"
    host.run(f"for each in web {' '.join(OTHERS)}; do {create}; done")
    runs_since = since(host, "running")
    # It waits: an agent that is still ending may still answer.
    service = "docker exec calico-node sv -w 60 {} /run/calico/service/felix"
    host.run(service.format("down"))
    try:
        with ThreadPoolExecutor(4) as pool:
            many = pool.submit(start_at_once, host, [*OTHERS] * 20)
            refused = [
                pool.submit(docker, host, line, check=False)
                for line in ("start web", "restart -t 0 running")
            ]
            docker(host, "run --rm busybox true")
        for each in refused:
            assert each.result().code != 0
            assert "left as it is: the policy agent on" in each.result().err
        assert [status for status, _ in many.result()] == [504] * 20 * len(OTHERS)
        assert max(seconds for _, seconds in many.result()) < 10 * PACE
        assert {since(host, name) for name in ("web", *OTHERS)} == {"0001-01-01T00:00:00Z"}
        assert since(host, "running") == runs_since
        probes.answers(host, probes.HOST_ITSELF, "192.168.1.3")
    finally:
        host.run(service.format("up"))
    wait_until(lambda: docker(host, "start web", check=False).code == 0, 20, "the agent is back")
    probes.answers(host, probes.HOST_ITSELF, "192.168.1.2")


OTHERS = tuple(f"web{number}" for number in range(4))


def since(host: Host, name: str) -> str:
    """Return when a container was started last."""
    return host.docker("inspect", "-f", "{{.State.StartedAt}}", name).out.strip()


def start_at_once(host: Host, names: list[str]) -> list[tuple[int, float]]:
    """Start containers through the proxy, all together; return each status, and its seconds."""
    targets = (f"-o /dev/null http://{PROXY}/containers/{name}/start" for name in names)
    at_once = f"--parallel --parallel-immediate --parallel-max {len(names)}"
    told = f"curl -sS -X POST {at_once} -w '%{{http_code}} %{{time_total}}\\n' {' '.join(targets)}"
    lines = host.run(told, quiet=True).out.splitlines()
    return [(int(status), float(seconds)) for status, seconds in map(str.split, lines)]


def test_without_etcd_only_containers_of_ours_fail(host: Host) -> None:
    docker(host, "create --name web -e CALICO_IP=192.168.1.2 busybox sleep 1d")
    host.docker("stop", "-t", "0", "calico-etcd")
    try:
        began = time.monotonic()
        for line in ("run -d -e CALICO_IP=auto busybox sleep 1d", "start web"):
            said = docker(host, line, check=False)
            assert said.code != 0
            assert "etcd" in said.err
        assert time.monotonic() - began < 10 * PACE
        docker(host, "run --rm busybox true")
        assert inspected(host, "web")["IPAddress"] == "192.168.1.2"
    finally:
        host.docker("start", "calico-etcd")
    wait_until(lambda: docker(host, "start web", check=False).code == 0, 20, "etcd is back")


def test_a_docker_that_is_away_is_named_and_comes_back(host: Host) -> None:
    host.stop_docker()
    # With its engine every container ended, the proxy's too.
    assert docker(host, "version", check=False).code != 0
    host.start_docker()
    wait_until(lambda: docker(host, "version", check=False).code == 0, 20, "the proxy is back")


def test_an_interactive_shell_works(host: Host) -> None:
    line = f"echo 'ip -o -4 addr show eth1; exit 3' | DOCKER_HOST={PROXY} docker"
    docker(host, "run -d --name web -e CALICO_IP=192.168.1.2 busybox sleep 1d")
    said = host.run(f"{line} exec -i web sh", check=False)
    assert "192.168.1.2" in said.out
    assert said.code == 3
