"""Real packets between containers on two hosts obey the profiles, whoever wrote them."""

import json
import re
from collections.abc import Iterator, Sequence
from contextlib import ExitStack

import pytest

from tests.support import cluster as calico
from tests.support import command, probes
from tests.support.cluster import Cluster
from tests.support.lab import Lab

pytestmark = pytest.mark.system

WEB, CLIENT, NEIGHBOUR = "192.168.1.1", "192.168.1.2", "192.168.1.3"
WEB6, CLIENT6 = "fd80:24e2:f998:72d6::1:1", "fd80:24e2:f998:72d6::1:2"


@pytest.fixture(scope="module")
def cluster(lab2: Lab) -> Iterator[Cluster]:
    """Containers on two hosts: web and neighbour on the first, client on the second."""
    cluster = calico.start(lab2)
    host1, host2 = cluster.hosts
    for host, name, *addresses in (
        (host1, "web", WEB),
        (host1, "web6", WEB6),
        (host1, "neighbour", NEIGHBOUR),
        (host2, "client", CLIENT),
        (host2, "client6", CLIENT6),
    ):
        cluster.run(host, name)
        for address in addresses:
            cluster.calicoctl(host, f"container add {name} {address}")
    with ExitStack() as servers:
        for port in (80, 81):
            servers.callback(command.stop, probes.serve(host1, "web", port))
        yield cluster


@pytest.fixture(autouse=True)
def no_profiles(cluster: Cluster) -> Iterator[None]:
    """Each test starts and ends without profiles."""
    yield
    host1, host2 = cluster.hosts
    for host, names in ((host1, ("web", "web6", "neighbour")), (host2, ("client", "client6"))):
        for name in names:
            cluster.calicoctl(host, f"container {name} profile set")
    for name in cluster.calicoctl(host1, "profile show").out.splitlines()[3:-1]:
        cluster.calicoctl(host1, f"profile remove {name.strip('| ')}")


def test_without_profiles_nothing_passes_and_the_host_always_may(cluster: Cluster) -> None:
    host1, host2 = cluster.hosts
    assert not probes.pings(host2, "client", WEB)
    assert not probes.pings(host1, "neighbour", WEB)
    assert not probes.pings(host2, "client6", WEB6)
    probes.answers(host1, probes.HOST_ITSELF, WEB)


def test_members_of_one_profile_talk_on_one_host_and_between_two(cluster: Cluster) -> None:
    host1, host2 = cluster.hosts
    cluster.calicoctl(host1, "profile add web")
    cluster.calicoctl(host1, "container web profile append web")
    cluster.calicoctl(host1, "container neighbour profile append web")
    cluster.calicoctl(host2, "container client profile append web")
    calico.talks(host2, "client", WEB)
    calico.talks(host2, "client", WEB, 80)
    calico.talks(host1, "neighbour", WEB)
    calico.talks(host1, "web", CLIENT)

    cluster.calicoctl(host1, "profile add other")
    cluster.calicoctl(host2, "container client profile set other")
    calico.is_cut_off(host2, "client", WEB)
    probes.answers(host1, "neighbour", WEB)


def test_ipv6_members_talk_between_hosts(cluster: Cluster) -> None:
    host1, host2 = cluster.hosts
    cluster.calicoctl(host1, "profile add web")
    cluster.calicoctl(host1, "container web6 profile append web")
    cluster.calicoctl(host2, "container client6 profile append web")
    calico.talks(host2, "client6", WEB6)
    calico.talks(host1, "web6", CLIENT6)
    cluster.calicoctl(host2, "container client6 profile remove web")
    calico.is_cut_off(host2, "client6", WEB6)


def test_a_rule_opens_exactly_its_port_and_closes_it_again(cluster: Cluster) -> None:
    host1, host2 = cluster.hosts
    for name in ("web", "other"):
        cluster.calicoctl(host1, f"profile add {name}")
    cluster.calicoctl(host1, "container web profile append web")
    cluster.calicoctl(host2, "container client profile append other")
    assert not probes.reachable(host2, "client", WEB, 80)

    rule = "allow tcp to ports 80"
    cluster.calicoctl(host1, f"profile web rule add inbound {rule}")
    calico.talks(host2, "client", WEB, 80)
    assert not probes.reachable(host2, "client", WEB, 81)
    assert not probes.pings(host2, "client", WEB)

    cluster.calicoctl(host1, f"profile web rule remove inbound {rule}")
    calico.is_cut_off(host2, "client", WEB, 80)


def test_the_first_rule_that_matches_decides(cluster: Cluster) -> None:
    host1, host2 = cluster.hosts
    for name in ("web", "other"):
        cluster.calicoctl(host1, f"profile add {name}")
    cluster.calicoctl(host1, "container web profile append web")
    cluster.calicoctl(host2, "container client profile append other")
    cluster.calicoctl(host1, "profile web rule add inbound allow tcp to ports 80")
    calico.talks(host2, "client", WEB, 80)
    cluster.calicoctl(host1, f"profile web rule add inbound --at=1 deny from cidr {CLIENT}/32")
    calico.is_cut_off(host2, "client", WEB, 80)


def test_what_explain_says_of_a_file_is_what_packets_do_once_it_is_applied(
    cluster: Cluster,
) -> None:
    _, host2 = cluster.hosts

    def says(port: int, *stated: str) -> str:
        what_if = "--what-if -f - " if stated else ""
        line = f"explain {CLIENT} {WEB} tcp {port} {what_if}--output=name"
        found = cluster.calicoctl(host2, line, check=False, stdin="".join(stated))
        assert found.code == (0 if found.out == "allowed\n" else 1)
        return found.out.strip()

    for host, name in zip(cluster.hosts, ("web", "client"), strict=True):
        cluster.calicoctl(host, f"profile add {name}")
        cluster.calicoctl(host, f"container {name} profile append {name}")
    opens = stated_profile("allow tcp from tag client to ports 80")
    assert (says(80, opens), says(81, opens), says(80)) == ("allowed", "denied", "denied")
    assert not probes.reachable(host2, "client", WEB, 80)

    cluster.calicoctl(host2, "apply -f -", stdin=opens)
    calico.talks(host2, "client", WEB, 80)
    assert not probes.reachable(host2, "client", WEB, 81)

    # Of what it says of two profiles, neither alone would do.
    tagged = stated_profile("allow", name="client", tags=["client", "friend"])
    moves = stated_profile("deny tcp to ports 80", "allow tcp from tag friend")
    moves = f"---\n{tagged}\n---\n{moves}\n"
    assert (says(80, moves), says(81, moves), says(80)) == ("denied", "allowed", "allowed")
    cluster.calicoctl(host2, "apply -f -", stdin=moves)
    calico.talks(host2, "client", WEB, 81)
    calico.is_cut_off(host2, "client", WEB, 80)


def stated_profile(*rules: str, name: str = "web", tags: Sequence[str] = ("web",)) -> str:
    """Return a profile with these inbound rules, as a file for `apply`."""
    whole = {"inbound": rules, "outbound": ["allow"]}
    manifest = {"schema": 1, "kind": "profile", "name": name, "tags": tags, "rules": whole}
    return json.dumps(manifest)


def test_icmp_types_are_told_apart(cluster: Cluster) -> None:
    host1, host2 = cluster.hosts
    for name in ("web", "other"):
        cluster.calicoctl(host1, f"profile add {name}")
    cluster.calicoctl(host1, "container web profile append web")
    cluster.calicoctl(host2, "container client profile append other")
    cluster.calicoctl(host1, "profile web rule add inbound allow icmp type 8")
    calico.talks(host2, "client", WEB)
    assert not probes.reachable(host2, "client", WEB, 80)
    cluster.calicoctl(host1, "profile web rule add inbound --at=1 deny icmp type 8")
    calico.is_cut_off(host2, "client", WEB)


def test_everything_by_plain_http_as_in_the_guide(cluster: Cluster) -> None:
    host1, host2 = cluster.hosts
    web = host1.docker("inspect", "-f", "{{.Id}}", "web").out.strip()
    client = host2.docker("inspect", "-f", "{{.Id}}", "client").out.strip()
    rules = {
        "inbound": [{"src_tag": "logger", "protocol": "tcp", "dst_ports": [80]}],
        "outbound": [{"action": "allow"}],
    }
    cluster.make_directory("/calico/policy/profile/logging")
    cluster.put("/calico/policy/profile/logging/rules", rules)
    cluster.make_directory("/calico/policy/profile/source")
    cluster.put(
        "/calico/policy/profile/source/rules", {"inbound": [], "outbound": [{"action": "allow"}]}
    )
    _set_profile(cluster, cluster.endpoint_key(host1, web), "logging")
    _set_profile(cluster, cluster.endpoint_key(host2, client), "source")
    assert not probes.reachable(host2, "client", WEB, 80)

    # as the guide writes it, where the shell takes the quotes away
    cluster.write("/calico/policy/profile/source/tags", "[logger]")
    calico.talks(host2, "client", WEB, 80)
    assert not probes.reachable(host2, "client", WEB, 81)

    rules["inbound"] = []
    cluster.put("/calico/policy/profile/logging/rules", rules)
    calico.is_cut_off(host2, "client", WEB, 80)
    rules["inbound"] = [{"action": "allow"}]
    cluster.put("/calico/policy/profile/logging/rules", rules)
    calico.talks(host2, "client", WEB, 81)
    cluster.delete("/calico/policy/profile/logging")
    calico.is_cut_off(host2, "client", WEB, 81)


def test_a_source_address_that_is_not_its_own_goes_nowhere(cluster: Cluster) -> None:
    host1, host2 = cluster.hosts
    cluster.calicoctl(host1, "profile add open")
    cluster.calicoctl(host1, "profile open rule add inbound allow")
    cluster.calicoctl(host1, "container web profile append open")
    cluster.calicoctl(host2, "container client profile append open")
    calico.talks(host2, "client", WEB)
    probes.run_in(host2, "client", ["ip", "addr", "add", "192.168.1.99/32", "dev", "eth1"])
    spoofed = probes.run_in(
        host2, "client", ["ping", "-c1", "-W1", "-I", "192.168.1.99", WEB], check=False
    )
    probes.run_in(host2, "client", ["ip", "addr", "del", "192.168.1.99/32", "dev", "eth1"])
    assert spoofed.code != 0
    counted = host2.run("nft list set inet calico spoofed").out
    assert re.search(r"counter packets [1-9]", counted)


def test_rules_and_routes_stay_when_the_services_restart(cluster: Cluster) -> None:
    host1, host2 = cluster.hosts
    cluster.calicoctl(host1, "profile add web")
    cluster.calicoctl(host1, "container web profile append web")
    cluster.calicoctl(host2, "container client profile append web")
    calico.talks(host2, "client", WEB)
    pinging = [*probes.inside(host2, "client"), "ping", "-i", "0.05", "-c", "120", "-W", "1", WEB]
    running = host2.spawn(pinging, "ping.log")
    host1.docker("restart", "calico-node")
    assert running.wait(60) == 0
    assert " 0% packet loss" in (host2.directory / "ping.log").read_text()


def _set_profile(cluster: Cluster, key: str, profile: str) -> None:
    value = json.loads(cluster.read(key)) | {"profile_id": profile}
    cluster.put(key, value)
