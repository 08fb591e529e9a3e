"""BGP beyond the mesh, on four hosts: route reflectors, a router outside, AS numbers of hosts."""

import json
from collections.abc import Iterator

import pytest

from tests.support import cluster as calico
from tests.support import mesh, netns
from tests.support.cluster import Cluster
from tests.support.host import Host
from tests.support.lab import Lab
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
REFLECTORS = "1.0.0.1"
"""The cluster id that a pair of them shares."""


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
    with netns.private_netns() as namespace:
        port = ["link", "add", "router", "type", "veth", "peer", "name", "eth0"]
        lab.underlay.run(["ip", *port, "netns", str(namespace.pid)])
        lab.underlay.run(["ip", "link", "set", "router", "master", "underlay", "up"])
        namespace.run(
            ["ip", "-batch", "-"],
            stdin=f"link set eth0 up\naddr add {ROUTER4}/24 dev eth0\n"
            f"addr add {ROUTER6}/64 dev eth0 nodad\n"
            f"addr add {SERVER4}/32 dev lo\naddr add {SERVER6}/128 dev lo\n",
        )
        directory = lab.directory / "router"
        directory.mkdir()
        router = Plain(254, namespace, directory)
        router.write(configuration(cluster.hosts))
        router.start()
        yield router
        router.stop()


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


def test_of_a_pair_of_reflectors_one_is_enough(cluster: Cluster) -> None:
    """Sessions of hosts are signed, too, where their peers have passwords."""
    one, two, here, there = cluster.hosts
    reflectors = [address for host in (one, two) for address in (host.ip, host.ip6)]
    cluster.run(here, "late")
    cluster.calicoctl(one, "bgp node-mesh off")
    try:
        for address in reflectors:
            cluster.calicoctl(one, f"bgp route-reflector add {address} cluster {REFLECTORS}")
            cluster.calicoctl(one, f"bgp peer add {address} as 64511 {password_file(one)}")
        for host in (here, there):
            has_sessions(cluster, host, dict.fromkeys(reflectors, "global"))
        mesh.all_reach_each_other(cluster)
        leads_straight_to(here, there)

        bird_is(one, "down")
        # What was there would go on: routes survive a BIRD that may come back.
        mesh.add(cluster, here, "late", "192.168.90.1")
        mesh.reaches(there, "192.168.90.1")
    finally:
        bird_is(one, "up")
        cluster.calicoctl(here, "container remove late", check=False)
        here.docker("rm", "-f", "late")
        cluster.calicoctl(one, "bgp node-mesh on")
        for address in reflectors:
            cluster.calicoctl(one, f"bgp route-reflector remove {address}", check=False)
            cluster.calicoctl(one, f"bgp peer remove {address}", check=False)
    mesh.all_reach_each_other(cluster)


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


def password_file(host: Host) -> str:
    """The option that gives a peer the password of this file."""
    path = host.directory / "bgp-password"
    path.write_text(f"{PASSWORD}\n")
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
        for source, address in ((SERVER4, mesh.ipv4(host)), (SERVER6, mesh.ipv6(host))):
            calico.eventually(
                f"the network outside reaches {address}",
                lambda source=source, address=address: answers(router, source, address),
                timeout=mesh.PATIENCE,
            )
        # It offers a default route, which nobody here asked for, and what is the second host's.
        taken = learned(host)
        assert {NETWORK4, NETWORK6} <= taken
        assert not taken & {
            each.removesuffix("/32").removesuffix("/128") for each in (*NOT_ITS_TO_GIVE, "default")
        }
    mesh.all_reach_each_other(cluster)


def learned(host: Host) -> set[str]:
    """The prefixes of BIRD's routes in a kernel; those of single addresses without a length."""
    lines = host.run("ip route show proto bird; ip -6 route show proto bird").out.splitlines()
    return {line.removeprefix("blackhole ").split()[0] for line in lines}


def test_hosts_with_as_numbers_of_their_own_reach_each_other_and_the_router(
    cluster: Cluster, router: Plain
) -> None:
    speak_to_the_router(cluster)
    for host in cluster.hosts:
        said = cluster.calicoctl(host, f"node --ip={host.ip} --ip6={host.ip6} --as={own_as(host)}")
        assert f"AS {own_as(host)})" in said.out
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


def own_as(host: Host) -> int:
    return 65100 + host.number


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


def has_routes(cluster: Cluster, router: Plain) -> None:
    """Wait until the router knows exactly the hosts' blocks."""
    wanted = set().union(*(mesh.blocks(host) for host in cluster.hosts))
    calico.eventually(
        f"the router has {wanted}", lambda: router.routes() == wanted, timeout=mesh.PATIENCE
    )


def answers(router: Plain, source: str, address: str) -> bool:
    """Whether a container answers an echo request from the network outside."""
    argv = ["ping", "-n", "-i", "0.1", "-c", "1", "-w", "3", "-I", source, address]
    return router.namespace.run(argv, check=False).code == 0


def paths(router: Plain, block: str) -> set[str]:
    """The AS paths by which the router knows a block."""
    lines = router.ask("show", "route", "for", block, "all").splitlines()
    return {line.partition(":")[2].strip() for line in lines if "BGP.as_path:" in line}
