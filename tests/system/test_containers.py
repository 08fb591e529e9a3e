"""What a container gets, and what is left of it afterwards: on real hosts."""

from collections.abc import Iterator

import pytest

from tests.support import cluster as calico
from tests.support import leftovers, probes
from tests.support.cluster import Cluster
from tests.support.lab import Lab

pytestmark = pytest.mark.system

GUIDES_FIELDS = {
    "ipv6_gateway",
    "state",
    "name",
    "ipv4_gateway",
    "ipv6_nets",
    "profile_id",
    "mac",
    "ipv4_nets",
}


@pytest.fixture(scope="module")
def cluster(lab1: Lab) -> Cluster:
    return calico.start(lab1)


@pytest.fixture(autouse=True)
def containers_are_removed(cluster: Cluster) -> Iterator[None]:
    yield
    (host,) = cluster.hosts
    for name in host.docker("ps", "-aq", "--filter", "ancestor=busybox").out.split():
        cluster.calicoctl(host, f"container remove {name}", check=False)
        host.docker("rm", "-f", name)
    calico.nothing_of_containers_left(cluster, host)


def test_a_container_beside_dockers_bridge(cluster: Cluster) -> None:
    (host,) = cluster.hosts
    container = cluster.run(host, "web")
    assert (
        cluster.calicoctl(host, "container add web 192.168.1.5").out
        == "IP 192.168.1.5 added to web\n"
    )

    assert "192.168.1.5/32" in probes.run_in(host, "web", ["ip", "addr", "show", "eth1"]).out
    routes = probes.run_in(host, "web", ["ip", "route"]).out
    assert "default via 10.99.0.1 dev eth1 \n" in routes
    assert "default via 172.17.0.1 dev eth0 metric 1" in routes
    endpoint = cluster.endpoint(host, container)
    assert set(endpoint) == GUIDES_FIELDS
    uuid = cluster.endpoint_key(host, container).rpartition("/")[2]
    assert endpoint == {
        "ipv6_gateway": None,
        "state": "active",
        "name": f"cali{uuid[:11]}",
        "ipv4_gateway": "10.99.0.1",
        "ipv6_nets": [],
        "profile_id": None,
        "mac": endpoint["mac"],
        "ipv4_nets": ["192.168.1.5/32"],
    }
    shown = probes.run_in(host, "web", ["ip", "link", "show", "eth1"]).out
    assert endpoint["mac"] in shown


def test_a_container_without_any_other_network_and_ipv6(cluster: Cluster) -> None:
    (host,) = cluster.hosts
    container = cluster.run(host, "lone", "--net=none")
    cluster.calicoctl(host, "container add lone fd80:24e2:f998:72d6::5 --interface=cal0")

    assert (
        "fd80:24e2:f998:72d6::5/128"
        in probes.run_in(host, "lone", ["ip", "addr", "show", "cal0"]).out
    )
    assert "default via fd99::1 dev cal0" in probes.run_in(host, "lone", ["ip", "-6", "route"]).out
    endpoint = cluster.endpoint(host, container)
    assert endpoint["ipv6_gateway"] == "fd99::1"
    assert endpoint["ipv4_gateway"] is None
    assert endpoint["ipv6_nets"] == ["fd80:24e2:f998:72d6::5/128"]


def test_the_address_works_as_soon_as_the_command_returns(cluster: Cluster) -> None:
    (host,) = cluster.hosts
    cluster.run(host, "web", "--net=none")
    cluster.calicoctl(host, "container add web 192.168.1.5")
    probes.answers(host, probes.HOST_ITSELF, "192.168.1.5")


def test_any_free_address_of_a_family_or_of_a_pool(cluster: Cluster) -> None:
    (host,) = cluster.hosts
    cluster.calicoctl(host, "pool add 10.65.0.0/24")
    for name, request, beginning in (
        ("one", "ipv4", ""),
        ("two", "ipv6", "fd80:24e2:f998:72d6:"),
        ("three", "10.65.0.0/24", "10.65.0."),
    ):
        cluster.run(host, name, "--net=none")
        said = cluster.calicoctl(host, f"container add {name} {request}").out
        assert said.startswith(f"IP {beginning}")
        assert said.endswith(f" added to {name}\n")
    for name in ("one", "two", "three"):
        cluster.calicoctl(host, f"container remove {name}")
    cluster.calicoctl(host, "pool remove 10.65.0.0/24")


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("container add nosuch 192.168.1.9", "nosuch"),
        ("container add stopped 192.168.1.9", "not running"),
        ("container add hostly 192.168.1.9", "no network of its own"),
        ("container add web 10.1.2.3", "10.1.2.3"),
        ("container add web 10.99.0.1", "10.99.0.1"),
        ("container add web 10.77.0.0/16", "10.77.0.0/16"),
        ("container add web 192.168.1", "invalid"),
        ("container add web 192.168.1.77", "already assigned"),
        ("container add web 192.168.1.9 --interface=eth0", "eth0"),
        ("container add web 192.168.1.9 --interface=averyveryverylongname", "interface name"),
        ("container add taken 192.168.1.9", "already has Calico networking"),
    ],
)
def test_a_refused_add_leaves_nothing(cluster: Cluster, line: str, reason: str) -> None:
    (host,) = cluster.hosts
    for name, options in (("web", ()), ("hostly", ("--net=host",)), ("stopped", ()), ("taken", ())):
        cluster.run(host, name, *options)
    host.docker("kill", "stopped")
    cluster.calicoctl(host, "container add taken 192.168.1.77")

    refused = cluster.calicoctl(host, line, check=False)

    assert refused.code == 1
    assert reason in refused.err
    assert "Traceback" not in refused.err
    assert refused.out == ""
    assert len(calico.claims(cluster)) == 1
    assert len(leftovers.links(host)) == 1
    assert host.run("ls /var/lib/calico/intents").out == ""
    assert "default via 172.17.0.1 dev eth0 \n" in probes.run_in(host, "web", ["ip", "route"]).out


def test_an_agent_that_does_not_answer_is_named_and_nothing_is_left(cluster: Cluster) -> None:
    (host,) = cluster.hosts
    cluster.run(host, "web")
    sv = "docker exec calico-node sv"
    host.run(f"{sv} -w 60 down /run/calico/service/felix")
    try:
        refused = cluster.calicoctl(host, "container add web 192.168.1.9 --timeout=1", check=False)
    finally:
        host.run(f"{sv} up /run/calico/service/felix")
    assert refused.code == 1
    assert "agent on host1" in refused.err
    assert leftovers.links(host) == []
    assert calico.claims(cluster) == []


def test_etcd_gone_in_the_middle_leaves_nothing_once_it_is_back(cluster: Cluster) -> None:
    (host,) = cluster.hosts
    cluster.run(host, "web")
    host.run("docker exec calico-node sv -w 60 down /run/calico/service/felix")
    try:
        # the command waits for the agent, so everything else is done by then
        adding = host.spawn(
            ["calicoctl", "container", "add", "web", "192.168.1.9"],
            "adding.log",
            {"ETCD_AUTHORITY": calico.ETCD},
        )
        calico.eventually("the endpoint is published", lambda: _published(cluster))
        host.docker("kill", "calico-etcd")
        assert adding.wait(20) == 1
    finally:
        host.docker("start", "calico-etcd")
        host.run("docker exec calico-node sv up /run/calico/service/felix")
    said = (host.directory / "adding.log").read_text()
    assert "cannot reach etcd at 10.99.0.1:2379" in said
    assert "Traceback" not in said
    assert leftovers.links(host) == []
    calico.eventually("etcd answers", lambda: _below(cluster, "/calico/Ready"))
    calico.nothing_of_containers_left(cluster, host)


def test_a_killed_add_is_taken_back(cluster: Cluster) -> None:
    (host,) = cluster.hosts
    cluster.run(host, "web")
    host.run("docker exec calico-node sv -w 60 down /run/calico/service/felix")
    adding = host.spawn(
        ["calicoctl", "container", "add", "web", "192.168.1.9"],
        "killed.log",
        {"ETCD_AUTHORITY": calico.ETCD},
    )
    calico.eventually("the endpoint is published", lambda: _published(cluster))
    host.run("pkill -9 -f '[c]ontainer add web 192.168.1.9'")
    adding.wait(10)
    host.run("docker exec calico-node sv up /run/calico/service/felix")
    calico.nothing_of_containers_left(cluster, host)


def test_removing_from_a_container_that_is_gone(cluster: Cluster) -> None:
    (host,) = cluster.hosts
    container = cluster.run(host, "web")
    cluster.calicoctl(host, "container add web 192.168.1.5")
    # Else it would be released before anybody could ask for it.
    service = "docker exec calico-node sv {} /run/calico/service/lifecycle"
    host.run(service.format("down"))
    host.docker("rm", "-f", "web")
    cluster.calicoctl(host, f"container remove {container[:12]}")
    calico.nothing_of_containers_left(cluster, host)
    host.run(service.format("up"))
    again = cluster.calicoctl(host, f"container remove {container}", check=False)
    assert again.code == 1


def _published(cluster: Cluster) -> bool:
    return any("/endpoint/" in key for key in _below(cluster, "/calico/host/host1/workload"))


def _below(cluster: Cluster, directory: str) -> dict[str, str]:
    """Return the leaves of a directory; none as long as etcd does not answer."""
    try:
        return cluster.leaves(directory)
    except AssertionError:
        return {}
