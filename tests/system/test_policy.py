"""Real packets between containers on two hosts obey the profiles, whoever wrote them."""

import json
import re
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass

import pytest

from tests.support import cluster as calico
from tests.support import command, outside, probes
from tests.support.cluster import Cluster
from tests.support.host import Host
from tests.support.lab import Lab
from tests.support.netns import NetNs

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


OUTSIDE = "10.99.0.150"
WEB_RULES = (
    "allow tcp from tag client to ports 80",
    f"allow udp from cidr {OUTSIDE}/32 to ports 53",
    f"allow icmp type 8 from cidr {OUTSIDE}/32",
    "deny tcp to ports 81",
)
ASKED = {
    (CLIENT, WEB, "tcp", 80): "allowed",
    (CLIENT, WEB, "tcp", 81): "denied",
    (CLIENT, WEB, "udp", 53): "denied",
    (CLIENT, WEB, "icmp", None): "denied",
    (OUTSIDE, WEB, "tcp", 80): "denied",
    (OUTSIDE, WEB, "udp", 53): "allowed",
    (OUTSIDE, WEB, "icmp", None): "allowed",
    (CLIENT, OUTSIDE, "tcp", 80): "allowed",
    (CLIENT, OUTSIDE, "udp", 53): "denied",
    (CLIENT, OUTSIDE, "icmp", None): "allowed",
}
"""Packets between two hosts, and with a machine that is no part of it: what they come to."""


Asked = tuple[str, str, str, int | None]


@dataclass(frozen=True)
class Judged:
    """What explain says on the second host, and what becomes of a packet."""

    cluster: Cluster
    client: list[str]
    outside: NetNs

    def explain(self, asked: Asked, form: str = "--output=name") -> str:
        """Return the answer, of which the exit code says the same."""
        words = " ".join(str(each) for each in asked if each is not None)
        host = self.cluster.hosts[1]
        found = self.cluster.calicoctl(host, f"explain {words} {form}", check=False)
        assert found.code == (1 if found.out.startswith("denied") else 0)
        return found.out.removesuffix("\n")

    def try_it(self, asked: Asked) -> str:
        """Send what is asked about, which may take a while to pass if it is to; see whether."""
        if ASKED[asked] == "allowed":
            calico.eventually(f"{asked} passes", lambda: self.passes(asked))
            return "allowed"
        return "allowed" if self.passes(asked) else "denied"

    def passes(self, asked: Asked) -> bool:
        """Send what is asked about, from the client or from outside; say if it is answered."""
        source, target, kind, port = asked
        argv = ["ping", "-n", "-c", "1", "-W", "1", target]
        if port is not None:
            argv = [*probes.ECHO, "probe", kind, target, str(port)]
        if source == OUTSIDE:
            return self.outside.run(argv, check=False).code == 0
        return self.cluster.hosts[1].run([*self.client, *argv], check=False).code == 0


@pytest.fixture(scope="module")
def somebody(cluster: Cluster, lab2: Lab) -> Iterator[NetNs]:
    """A machine outside that knows where the containers are, and answers; so does web's port 53."""
    host1, host2 = cluster.hosts
    with outside.plugged(lab2, OUTSIDE, "fd99::96") as (machine, directory), ExitStack() as servers:
        for address, host in ((WEB, host1), (CLIENT, host2)):
            machine.run(["ip", "route", "add", address, "via", host.ip])
        enter = [*command.DIES_WITH_US, "nsenter", "--target", str(machine.pid), "--net"]
        for kind, port in (("tcp", "80"), ("udp", "53")):
            serve = [*enter, *probes.ECHO, "serve", kind, port]
            servers.callback(command.stop, command.spawn(serve, directory / f"{kind}.log"))
        servers.callback(command.stop, probes.serve(host1, "web", 53, "udp"))
        yield machine


@pytest.fixture
def judged(cluster: Cluster, somebody: NetNs) -> Judged:
    """Profiles for web and client, and whom to ask about them."""
    host1, host2 = cluster.hosts
    manifests = [stated_profile(*WEB_RULES)]
    manifests += [stated_profile(name="client", tags=["client"], outbound=["deny udp", "allow"])]
    cluster.calicoctl(host1, "apply -f -", stdin="".join(f"---\n{each}\n" for each in manifests))
    cluster.calicoctl(host1, "container web profile append web")
    cluster.calicoctl(host2, "container client profile append client")
    return Judged(cluster, probes.inside(host2, "client"), somebody)


def test_what_explain_says_of_who_asks_whom_is_what_packets_do(judged: Judged) -> None:
    allowed_first = sorted(ASKED, key=lambda each: ASKED[each])
    with ThreadPoolExecutor(4) as pool:
        really = dict(zip(allowed_first, pool.map(judged.try_it, allowed_first), strict=True))
        said = dict(zip(ASKED, pool.map(judged.explain, ASKED), strict=True))
    assert really == ASKED
    assert said == ASKED


def test_explain_knows_ends_by_every_name_and_what_would_have_to_change(judged: Judged) -> None:
    cluster = judged.cluster
    host1, host2 = cluster.hosts
    # A name is known on the container's own host, what else it is called everywhere.
    spelt = [(source, WEB, "tcp", 80) for source in ("client", *called(cluster, host2, "client"))]
    spelt += [(CLIENT, target, "tcp", 80) for target in called(cluster, host1, "web")]
    with ThreadPoolExecutor(4) as pool:
        assert set(pool.map(judged.explain, spelt)) == {"allowed"}

    yes = judged.explain((CLIENT, WEB, "tcp", 80), "")
    assert "outbound on host2: allowed, outbound rule 2 of profile client allows it" in yes
    assert "inbound on host1: allowed, inbound rule 1 of profile web allows it" in yes
    assert f"{CLIENT} carries tag client through profile client" in yes
    closed = (OUTSIDE, WEB, "tcp", 80)
    no = judged.explain(closed, "")
    assert f"From  {OUTSIDE}, outside\n" in no
    assert "inbound on host1: denied, no inbound rule of web matches" in no
    assert f"      no: {OUTSIDE} does not carry tag client\n" in no
    # What would have to change is all that has to.
    advice = no.partition("\nTo allow it:\n")[2].splitlines()
    assert advice
    assert not judged.passes(closed)
    for line in advice:
        cluster.calicoctl(host2, line.removeprefix("  calicoctl "))
    calico.eventually("it passes now", lambda: judged.passes(closed))
    assert judged.explain(closed) == "allowed"


def test_explain_without_an_etcd_says_so_and_nothing_else(cluster: Cluster) -> None:
    host2 = cluster.hosts[1]
    gone = {"ETCD_AUTHORITY": f"{host2.ip}:2379"}
    found = host2.calicoctl("explain", CLIENT, WEB, "tcp", "80", env=gone, check=False)
    assert (found.code, found.out) == (1, "")
    assert found.err.startswith(f"error: cannot reach etcd at {host2.ip}:2379 (")
    assert "\nhint: " in found.err


def called(cluster: Cluster, host: Host, name: str) -> list[str]:
    """Return what a container of a host can be called everywhere."""
    container = host.docker("inspect", "-f", "{{.Id}}", name).out.strip()
    endpoint = cluster.endpoint_key(host, container).rpartition("/")[2]
    return [container, container[:12], endpoint, endpoint[:12]]


def stated_profile(
    *rules: str,
    name: str = "web",
    tags: Sequence[str] = ("web",),
    outbound: Sequence[str] = ("allow",),
) -> str:
    """Return a profile with these inbound rules, as a file for `apply`."""
    whole = {"inbound": rules, "outbound": outbound}
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
