"""BGP beyond the mesh, on four hosts: route reflectors, routers outside, AS numbers of hosts."""

import contextlib
import json
from collections.abc import Iterator

import pytest

from tests.support import cluster as calico
from tests.support import mesh
from tests.support.cluster import Cluster
from tests.support.frr import Frr
from tests.support.frr import configuration as configuring_frr
from tests.support.host import Host
from tests.support.lab import Lab
from tests.support.outside import Pair, plugged, reflecting
from tests.support.routers import Plain

# the longest may wait for many things, and the first one also for the hosts to be made
pytestmark = [pytest.mark.system, pytest.mark.timeout(1200)]

ROUTER4, ROUTER6, ROUTER_AS = "10.99.0.254", "fd99::254", 65000
NETWORK4, NETWORK6 = "203.0.113.0/24", "2001:db8:7::/48"
SERVER4, SERVER6 = "203.0.113.1", "2001:db8:7::1"
PASSWORD = "open sesame"
NOT_ITS_TO_GIVE = (
    # a container on the second host, and more of its block; the host itself
    *("192.168.2.1/32", "192.168.2.32/27", "10.99.0.2/32"),
    *("fd80:24e2:f998:72d6::201/128", "fd99::2/128"),
)
REFLECTORS, THEIRS = "1.0.0.1", "1.0.0.2"
"""The cluster ids of two pairs of them: two hosts, and two BIRDs of somebody else."""

FRR4, FRR6, FRR_AS = "10.99.0.253", "fd99::253", 65001
FRR_PASSWORD = "alohomora"
FRR_NETWORK4, FRR_NETWORK6 = "198.51.100.0/24", "2001:db8:8::/48"
FRR_SERVER4, FRR_SERVER6 = "198.51.100.1", "2001:db8:8::1"
FRR_MORE4, FRR_MORE6 = "198.51.101.0/24", "2001:db8:a::/48"
FAR_AWAY4, FAR_AWAY6 = "198.51.102.1", "2001:db8:9::1"
"""In no network that anybody announces but by a default route."""


def announced(*prefixes: str) -> str:
    """Routes that a router announces and has not."""
    return " ".join(f"route {prefix} blackhole;" for prefix in prefixes)


CONFIGURATION = f"""\
log stderr all;
router id {ROUTER4};
protocol device {{ scan time 10; }}
protocol direct {{ ipv4; ipv6; interface "eth0"; }}
protocol static announced4 {{ ipv4; {announced(NETWORK4, "0.0.0.0/0", *NOT_ITS_TO_GIVE[:3])} }}
protocol static announced6 {{ ipv6; {announced(NETWORK6, *NOT_ITS_TO_GIVE[3:])} }}
protocol kernel {{ ipv4 {{ export where source = RTS_BGP; }}; }}
protocol kernel {{ ipv6 {{ export where source = RTS_BGP; }}; }}
template bgp hosts {{
  connect delay time 1; connect retry time 1; error wait time 1, 2;
}}
"""
SESSIONS = """\
protocol bgp {name}v4 from hosts {{
  local {ROUTER4} as {ROUTER_AS}; neighbor {ip} external; password "{PASSWORD}";
  ipv4 {{ import all; export where proto = "announced4"; }};
}}
protocol bgp {name}v6 from hosts {{
  local {ROUTER6} as {ROUTER_AS}; neighbor {ip6} external; password "{PASSWORD}";
  ipv6 {{ import all; export where proto = "announced6"; }};
}}
"""


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    """Four Docker hosts: two reflectors, and two hosts that need them."""
    with Lab(4, node_image=True) as lab:
        yield lab


@pytest.fixture(scope="module")
def cluster(lab: Lab) -> Cluster:
    """A node on each, with a container."""
    cluster = calico.start(lab)
    mesh.populate(cluster)
    return cluster


@pytest.fixture(scope="module")
def router(lab: Lab, cluster: Cluster) -> Iterator[Plain]:
    """A router outside on the hosts' network, which waits for all of them to speak to it."""
    with plugged(lab, ROUTER4, ROUTER6, SERVER4, SERVER6) as (namespace, directory):
        router = Plain(254, namespace, directory)
        router.write(configuration(cluster.hosts))
        router.start()
        yield router
        router.stop()


@pytest.fixture(scope="module")
def frr(lab: Lab, cluster: Cluster) -> Iterator[Frr]:
    """Another one, with FRR in place of BIRD."""
    servers = (FRR_SERVER4, FRR_SERVER6, FAR_AWAY4, FAR_AWAY6)
    with plugged(lab, FRR4, FRR6, *servers) as (namespace, directory):
        frr = Frr(namespace, directory)
        neighbours = [address for host in cluster.hosts for address in (host.ip, host.ip6)]
        networks = [FRR_NETWORK4, FRR_MORE4, FRR_NETWORK6, FRR_MORE6]
        frr.start(configuring_frr(FRR4, FRR_AS, networks, neighbours, FRR_PASSWORD))
        yield frr
        frr.stop()


def configuration(hosts: list[Host]) -> str:
    """What the router's BIRD shall do."""
    own = {"ROUTER4": ROUTER4, "ROUTER6": ROUTER6, "ROUTER_AS": ROUTER_AS, "PASSWORD": PASSWORD}
    return CONFIGURATION + "".join(
        SESSIONS.format(name=host.name, ip=host.ip, ip6=host.ip6, **own) for host in hosts
    )


def test_without_the_mesh_hosts_have_the_routes_of_their_peers_and_of_a_reflector(
    cluster: Cluster,
) -> None:
    hub, *others = cluster.hosts
    mesh.all_reach_each_other(cluster)
    cluster.calicoctl(hub, "bgp node-mesh off")
    try:
        speak_to_the_hub_only(cluster)
        clients = [address for host in others for address in (host.ip, host.ip6)]
        has_sessions(cluster, hub, dict.fromkeys(clients, "host that peers with this one"))
        lacks_routes(others[0], others[1])
        lacks_routes(others[1], others[0])

        for address in (hub.ip, hub.ip6):
            cluster.calicoctl(hub, f"bgp route-reflector add {address} cluster 1.0.0.1")
        has_sessions(cluster, hub, dict.fromkeys(clients, "reflector client"))
        mesh.all_reach_each_other(cluster)
        for here, there in (others[:2], others[1::-1]):
            leads_straight_to(here, there)
    finally:
        back_to_the_mesh(cluster)
    mesh.all_reach_each_other(cluster)


def test_of_two_pairs_of_reflectors_one_of_each_is_enough(cluster: Cluster, lab: Lab) -> None:
    """The first two hosts reflect for the third one, two BIRDs of somebody else for the fourth.

    Sessions of reflectors with their clients are signed, be these hosts of ours or not.
    """
    one, two, here, there = cluster.hosts
    ours = [(host.ip, host.ip6) for host in (one, two)]
    theirs = [(f"10.99.0.{number}", f"fd99::{number}") for number in (251, 252)]
    cluster.run(here, "late")
    cluster.calicoctl(one, "bgp node-mesh off")
    with contextlib.ExitStack() as stack:
        stack.callback(back_to_the_mesh_from_pairs, cluster)
        third, fourth = (
            stack.enter_context(reflector(lab, pair, [*ours, *theirs], (there.ip, there.ip6)))
            for pair in theirs
        )
        write_reflectors(cluster, {here: (REFLECTORS, ours), there: (THEIRS, theirs)})
        for pair, host in ((ours, here), (theirs, there)):
            has_sessions(cluster, host, dict.fromkeys(flat(pair), "node specific"))
        for host in (one, two):
            others = [pair for pair in (*ours, *theirs) if pair != (host.ip, host.ip6)]
            wanted = dict.fromkeys(flat(others), "route reflector")
            client = dict.fromkeys((here.ip, here.ip6), "reflector client")
            has_sessions(cluster, host, {**wanted, **client})
        mesh.all_reach_each_other(cluster)
        leads_straight_to(here, there)
        leads_straight_to(there, here)

        stack.callback(bird_is, one, "up")
        bird_is(one, "down")
        third.stop()
        mesh.add(cluster, here, "late", "192.168.91.1")
        cluster.calicoctl(here, "container late ip add fd80:24e2:f998:72d6::9101")
        mesh.reaches(there, "192.168.91.1", "fd80:24e2:f998:72d6::9101")
        calico.eventually(
            "the other BIRD has sessions with the second host and with its client only",
            lambda: len(fourth.established()) == 4,
            timeout=mesh.PATIENCE,
        )
    mesh.all_reach_each_other(cluster)


@contextlib.contextmanager
def reflector(lab: Lab, own: Pair, all_of_them: list[Pair], client: Pair) -> Iterator[Plain]:
    """A BIRD of somebody else that reflects: to its client, and what that says to all others."""
    with plugged(lab, *own) as (namespace, directory):
        plain = Plain(int(own[0].rpartition(".")[2]), namespace, directory)
        fellows = [pair for pair in all_of_them if pair != own]
        plain.write(reflecting(own, THEIRS, fellows, client, PASSWORD))
        plain.start()
        try:
            yield plain
        finally:
            plain.stop()


def write_reflectors(cluster: Cluster, clusters: dict[Host, tuple[str, list[Pair]]]) -> None:
    """Write who reflects for which host, as an orchestrator does."""
    for host, (cluster_id, pairs) in clusters.items():
        for pair in pairs:
            for version, address in zip((4, 6), pair, strict=True):
                said = {"ip": address, "cluster_id": cluster_id}
                cluster.put(f"/calico/bgp/v1/rr_v{version}/{address}", said)
                peer = {"ip": address, "as_num": "64511", "password": PASSWORD}
                cluster.put(f"/calico/bgp/v1/host/{host.name}/peer_v{version}/{address}", peer)


def back_to_the_mesh_from_pairs(cluster: Cluster) -> None:
    """Undo everything, as far as it was done."""
    one, _, here, there = cluster.hosts
    cluster.calicoctl(here, "container remove late", check=False)
    here.docker("rm", "-f", "late")
    below = [*(f"host/{host.name}/peer" for host in (here, there)), "rr"]
    for directory in below:
        for version in (4, 6):
            cluster.delete(f"/calico/bgp/v1/{directory}_v{version}")
    cluster.calicoctl(one, "bgp node-mesh on")


def flat(pairs: list[Pair]) -> list[str]:
    """The addresses of both families."""
    return [address for pair in pairs for address in pair]


def bird_is(host: Host, wanted: str) -> None:
    """Start or stop a host's BIRD; wait until it is."""
    service = "/run/calico/service/bird"
    host.docker("exec", "calico-node", "sv", wanted, service)
    calico.eventually(
        f"BIRD of {host.name} is {wanted}",
        lambda: (
            host.docker("exec", "calico-node", "cat", f"{service}/supervise/stat").out.strip()
            in {"down": {"down"}, "up": {"run"}}[wanted]
        ),
        timeout=mesh.PATIENCE,
    )


def password_file(host: Host, password: str = PASSWORD) -> str:
    """The option that gives a peer the password of this file."""
    path = host.directory / "bgp-password"
    path.write_text(f"{password}\n")
    return f"--password-file={path}"


def speak_to_the_hub_only(cluster: Cluster) -> None:
    """Make the first host a peer of the others; wait until they reach its container."""
    hub, *others = cluster.hosts
    for host in others:
        for address in (hub.ip, hub.ip6):
            cluster.calicoctl(host, f"node bgp peer add {address} as 64511")
        has_sessions(cluster, host, dict.fromkeys((hub.ip, hub.ip6), "node specific"))
        mesh.reaches(host, mesh.ipv4(hub), mesh.ipv6(hub))


def leads_straight_to(here: Host, there: Host) -> None:
    """Assert that the other host is the next hop, not the reflector."""
    for address, hop in ((mesh.ipv4(there), there.ip), (mesh.ipv6(there), there.ip6)):
        assert f"via {hop} " in here.run(f"ip route get {address}").out


def back_to_the_mesh(cluster: Cluster) -> None:
    """Undo everything, as far as it was done."""
    hub, *others = cluster.hosts
    cluster.calicoctl(hub, "bgp node-mesh on")
    for address in (hub.ip, hub.ip6):
        cluster.calicoctl(hub, f"bgp route-reflector remove {address}", check=False)
        for host in others:
            cluster.calicoctl(host, f"node bgp peer remove {address}", check=False)


def test_a_router_outside_gets_the_blocks_of_all_hosts_and_gives_its_networks(
    cluster: Cluster, router: Plain
) -> None:
    speak_to_the_router(cluster)
    has_routes(cluster, router)
    first, *_ = cluster.hosts
    for cidr in (NETWORK4, NETWORK6):
        cluster.calicoctl(first, f"profile {mesh.PROFILE} rule add inbound allow from cidr {cidr}")
    for host in cluster.hosts:
        mesh.reaches(host, SERVER4, SERVER6)
        is_reached_from(router, (SERVER4, SERVER6), (mesh.ipv4(host), mesh.ipv6(host)))
        # It offers a default route, which nobody here asked for, and what is the second host's.
        taken = learned(host)
        assert {NETWORK4, NETWORK6} <= taken
        assert not taken & {
            each.removesuffix("/32").removesuffix("/128") for each in (*NOT_ITS_TO_GIVE, "default")
        }
    mesh.all_reach_each_other(cluster)


def test_a_router_with_frr_gets_the_blocks_of_all_hosts_and_gives_its_networks(
    cluster: Cluster, frr: Frr
) -> None:
    first, *_ = cluster.hosts
    cluster.calicoctl(first, "config node bgp max_prefixes 1")
    for ip in (FRR4, FRR6):
        option = password_file(first, FRR_PASSWORD)
        cluster.calicoctl(first, f"bgp peer add {ip} as {FRR_AS} {option}")
    for cidr in (FRR_NETWORK4, FRR_NETWORK6):
        cluster.calicoctl(first, f"profile {mesh.PROFILE} rule add inbound allow from cidr {cidr}")
    for host in cluster.hosts:
        has_sessions(cluster, host, dict.fromkeys((FRR4, FRR6), "global"))
    has_routes(cluster, frr)
    calico.eventually(
        "FRR has put them into its kernel",
        lambda: frr.installed() == frr.routes(),
        timeout=mesh.PATIENCE,
    )
    takes_no_more_routes_than_it_may(cluster, first)
    for host in cluster.hosts:
        mesh.reaches(host, FRR_SERVER4, FRR_SERVER6)
        is_reached_from(frr, (FRR_SERVER4, FRR_SERVER6), (mesh.ipv4(host), mesh.ipv6(host)))
        wanted = {FRR_NETWORK4, FRR_MORE4, FRR_NETWORK6, FRR_MORE6}
        calico.eventually(
            f"{host.name} has {wanted}",
            lambda host=host, wanted=wanted: wanted <= learned(host),
            timeout=mesh.PATIENCE,
        )
        assert "default" not in learned(host)
    takes_a_default_route_when_told_to(cluster, first)


def takes_no_more_routes_than_it_may(cluster: Cluster, host: Host) -> None:
    """Wait until it has one of FRR's networks of each family; until it has both, once it may."""
    families = {FRR4: {FRR_NETWORK4, FRR_MORE4}, FRR6: {FRR_NETWORK6, FRR_MORE6}}
    for peer, both in families.items():
        said = f"Global_{peer.replace('.', '_').replace(':', '_')} hits route import limit (1)"
        calico.eventually(
            f"BIRD of {host.name} says that it leaves something out: {said}",
            lambda said=said: said in host.run("cat /var/log/calico/bird/*", quiet=True).out,
            timeout=mesh.PATIENCE,
        )
        calico.eventually(
            f"{host.name} has one of {both}",
            lambda both=both: len(both & learned(host)) == 1,
            timeout=mesh.PATIENCE,
        )
    cluster.calicoctl(host, "config node bgp max_prefixes --remove")
    all_of_them = set().union(*families.values())
    calico.eventually(
        f"{host.name} has {all_of_them}",
        lambda: all_of_them <= learned(host),
        timeout=mesh.PATIENCE,
    )


def takes_a_default_route_when_told_to(cluster: Cluster, host: Host) -> None:
    """Until then its container does not reach what lies in no network that is announced."""
    for address in (FAR_AWAY4, FAR_AWAY6):
        assert not mesh.pings(host, address)
    cluster.calicoctl(host, "config node bgp accept_default_route true")
    mesh.reaches(host, FAR_AWAY4, FAR_AWAY6)
    cluster.calicoctl(host, "config node bgp accept_default_route --remove")
    calico.eventually(
        f"{host.name} has no default route",
        lambda: "default" not in learned(host),
        timeout=mesh.PATIENCE,
    )


def is_reached_from(router: Plain | Frr, servers: Pair, container: Pair) -> None:
    """Wait until a container answers the servers behind a router."""
    for source, address in zip(servers, container, strict=True):
        calico.eventually(
            f"{source} reaches {address}",
            lambda source=source, address=address: answers(router, source, address),
            timeout=mesh.PATIENCE,
        )


def learned(host: Host) -> set[str]:
    """The prefixes of BIRD's routes in a kernel; those of single addresses without a length."""
    lines = host.run("ip route show proto bird; ip -6 route show proto bird").out.splitlines()
    return {line.removeprefix("blackhole ").split()[0] for line in lines}


def test_hosts_with_as_numbers_of_their_own_reach_each_other_and_the_router(
    cluster: Cluster, router: Plain
) -> None:
    speak_to_the_router(cluster)
    *those, last = cluster.hosts
    for host in those:
        typed = ASDOT.get(own_as(host), own_as(host))
        said = cluster.calicoctl(host, f"node --ip={host.ip} --ip6={host.ip6} --as={typed}")
        assert f"AS {own_as(host)})" in said.out
    cluster.calicoctl(last, f"bgp default-node-as {own_as(last)}")
    for host in cluster.hosts:
        others = [other for other in cluster.hosts if other is not host]
        in_mesh = [address for other in others for address in (other.ip, other.ip6)]
        has_sessions(cluster, host, dict.fromkeys(in_mesh, "node-to-node mesh"))
    mesh.all_reach_each_other(cluster)
    has_routes(cluster, router)
    for host in cluster.hosts:
        mesh.reaches(host, SERVER4, SERVER6)
        for block in mesh.blocks(host):
            # No host passes on what another one said: the paths are of one AS.
            calico.eventually(
                f"{block} comes from AS {own_as(host)} alone",
                lambda block=block, host=host: paths(router, block) == {str(own_as(host))},
                timeout=mesh.PATIENCE,
            )
    lent_addresses_are_reached(cluster, router)


ASDOT = {65546: "1.10"}
"""How such numbers are typed."""


def own_as(host: Host) -> int:
    """A host's AS number; that of the last one is the default of all."""
    return 65546 if host.number == 1 else 65100 + host.number


def lent_addresses_are_reached(cluster: Cluster, router: Plain) -> None:
    """Give a container addresses out of another host's blocks; wait until all find it."""
    here, there, *_ = cluster.hosts
    lent = ("192.168.2.9", "fd80:24e2:f998:72d6::209")
    for address in lent:
        cluster.calicoctl(here, f"container {mesh.name(here)} ip add {address}")
    for host in cluster.hosts[1:]:
        mesh.reaches(host, *lent)
    for address, hop in zip(lent, (here.ip, here.ip6), strict=True):
        assert f"via {hop} " in there.run(f"ip route get {address}").out
    wanted = {f"{lent[0]}/32", f"{lent[1]}/128"}
    calico.eventually(
        f"the router has {wanted}", lambda: wanted <= router.routes(), timeout=mesh.PATIENCE
    )
    is_reached_from(router, (SERVER4, SERVER6), lent)


def speak_to_the_router(cluster: Cluster) -> None:
    """Make the router a peer of all hosts; wait until they are."""
    for ip in (ROUTER4, ROUTER6):
        first = cluster.hosts[0]
        cluster.calicoctl(first, f"bgp peer add {ip} as {ROUTER_AS} {password_file(first)}")
    for host in cluster.hosts:
        has_sessions(cluster, host, dict.fromkeys((ROUTER4, ROUTER6), "global"))


def has_sessions(cluster: Cluster, host: Host, wanted: dict[str, str]) -> None:
    """Wait until status shows established sessions with these peers, of these types."""

    def established() -> dict[str, str]:
        shown = cluster.calicoctl(host, "status --output=json", check=False).out
        found = json.loads(shown)["items"][0]["bgp_sessions"] or []
        return {each["ip"]: each["type"] for each in found if each["established"]}

    calico.eventually(
        f"{host.name} has sessions with {', '.join(wanted)}",
        lambda: wanted.items() <= established().items(),
        timeout=mesh.PATIENCE,
    )


def lacks_routes(here: Host, there: Host) -> None:
    """Wait until a host has no route to the containers of another one."""
    shown = "ip route show proto bird; ip -6 route show proto bird"
    calico.eventually(
        f"{here.name} has no routes to {there.name}",
        lambda: not mesh.blocks(there) & set(here.run(shown, quiet=True).out.split()),
        timeout=mesh.PATIENCE,
    )
    assert not mesh.pings(here, mesh.ipv4(there))


def has_routes(cluster: Cluster, router: Plain | Frr) -> None:
    """Wait until the router knows exactly the hosts' blocks."""
    wanted = set().union(*(mesh.blocks(host) for host in cluster.hosts))
    calico.eventually(
        f"the router has {wanted}", lambda: router.routes() == wanted, timeout=mesh.PATIENCE
    )


def answers(router: Plain | Frr, source: str, address: str) -> bool:
    """Whether a container answers an echo request from the network outside."""
    argv = ["ping", "-n", "-i", "0.1", "-c", "1", "-w", "3", "-I", source, address]
    return router.namespace.run(argv, check=False).code == 0


def paths(router: Plain, block: str) -> set[str]:
    """The AS paths by which the router knows a block."""
    lines = router.ask("show", "route", "for", block, "all").splitlines()
    return {line.partition(":")[2].strip() for line in lines if "BGP.as_path:" in line}
