import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest
from netaddr import IPAddress, IPNetwork

from calico_ctl.bgp import bird, sessions
from calico_ctl.bgp.bird import Config
from calico_ctl.bgp.sessions import Cluster
from calico_ctl.model.bgp import BgpPeer, LogLevel
from calico_ctl.model.node import Node

GOLDEN = Path(__file__).parents[2] / "golden"

NODES = (
    Node("h1", IPAddress("10.0.0.1"), IPAddress("fd99::1")),
    Node("h2", IPAddress("10.0.0.2"), IPAddress("fd99::2")),
    Node("h3", IPAddress("10.0.0.3"), as_number=65003),
)
POOLS = (IPNetwork("10.65.0.0/16"), IPNetwork("192.168.0.0/16"), IPNetwork("fd80:24e2::/64"))
BLOCKS = (IPNetwork("10.65.0.0/26"), IPNetwork("10.65.7.64/26"), IPNetwork("fd80:24e2::40/122"))
ROUTERS = (
    BgpPeer(IPAddress("10.0.0.254"), 65000, "ab $c'd"),
    BgpPeer(IPAddress("fd99::254"), 65000),
)
CLUSTER_ID = IPAddress("1.0.0.1")


def config(
    own: Node,
    nodes: tuple[Node, ...] = (),
    pools: tuple[IPNetwork, ...] = (),
    peers: Mapping[str, tuple[BgpPeer, ...]] | None = None,
    reflectors: Mapping[IPAddress, IPAddress] | None = None,
) -> Config:
    assert own.ipv4 is not None
    known = {node.host: node for node in (own, *nodes)}
    cluster = Cluster(known, 64511, not reflectors, peers or {}, reflectors or {})
    return Config(
        ipv4=own.ipv4,
        ipv6=own.ipv6,
        as_number=own.as_number or 64511,
        pools=pools,
        sessions=tuple(sessions.plan(cluster, own)),
        hosts=frozenset(ip for node in known.values() for ip in (node.ipv4, node.ipv6) if ip),
        as_numbers=frozenset(cluster.as_number(node) for node in known.values()),
    )


WITH_ROUTERS = replace(
    config(NODES[0], NODES, POOLS, {"": ROUTERS}),
    blocks=BLOCKS,
    encapsulated=(POOLS[1],),
    prefix_limit=500,
    log_level=LogLevel.DEBUG,
)
REFLECTORS = {IPAddress("10.0.0.1"): CLUSTER_ID, IPAddress("10.0.0.253"): CLUSTER_ID}
REFLECTING = replace(
    config(NODES[0], NODES, POOLS, {"": (BgpPeer(IPAddress("10.0.0.1"), 64511),)}, REFLECTORS),
    blocks=BLOCKS,
    cluster_ids=((4, CLUSTER_ID),),
)

CASES = {
    "bird-mesh.conf": config(NODES[0], NODES, POOLS),
    "bird-ipv4-only.conf": config(NODES[2], NODES, POOLS),
    "bird-alone-without-pools.conf": config(NODES[0]),
    "bird-routers.conf": WITH_ROUTERS,
    "bird-reflector.conf": REFLECTING,
}


@pytest.mark.parametrize("name", CASES)
def test_the_configuration_is_as_reviewed(name):
    path = GOLDEN / name
    text = bird.render(CASES[name])
    if os.environ.get("UPDATE_GOLDEN"):
        path.write_text(text)
    assert text == path.read_text()


def test_without_an_own_ipv6_address_there_is_nothing_of_ipv6():
    assert "ipv6" not in bird.render(CASES["bird-ipv4-only.conf"])


def test_without_pools_nothing_lies_in_one():
    text = bird.render(CASES["bird-alone-without-pools.conf"])
    assert "function in_pools4() { return false; }" in text


def test_of_two_hosts_one_leaves_it_to_the_other_to_connect_first():
    """A router is left out: nobody here knows what it does."""
    waits = "connect delay time 3;"
    first, second, _ = (bird.render(config(node, NODES, POOLS, {"": ROUTERS})) for node in NODES)
    assert waits not in first
    for session in second.split("protocol bgp ")[1:]:
        name, *_ = session.split()
        assert (waits in session) == (name in {"Mesh_10_0_0_1", "Mesh_fd99__1"}), name


def test_a_block_that_no_pool_holds_as_a_whole_is_no_aggregate():
    pools = (IPNetwork("10.65.0.0/28"), IPNetwork("fd80:24e2::/64"))
    text = bird.render(replace(WITH_ROUTERS, pools=pools))
    assert "protocol static blocks4" not in text
    assert "function in_own_blocks4() { return false; }" in text
    assert "route fd80:24e2::40/122 blackhole;" in text


def test_a_block_with_machines_in_it_is_no_aggregate():
    """A host's address in one of another subnet; and a block in the subnet of this host."""
    nodes = (*NODES, Node("far", IPAddress("10.65.7.70")))
    subnets = (IPNetwork("10.65.0.0/25"), IPNetwork("fd80:24e2::/64"), IPNetwork("10.0.0.1/32"))
    blocks = (*BLOCKS, IPNetwork("10.65.0.128/26"))
    text = bird.render(replace(config(NODES[0], nodes, POOLS), blocks=blocks, subnets=subnets))
    assert text.count(" blackhole;") == 1
    assert "route 10.65.0.128/26 blackhole;" in text
    assert "function in_own_blocks4() { return net ~ [ 10.65.0.128/26+ ]; }" in text
    assert "function in_own_subnet4() { return net ~ [ 10.65.0.0/25{25,31} ]; }" in text
    assert "function in_own_subnet6() { return net ~ [ fd80:24e2::/64{64,127} ]; }" in text


def test_a_default_route_is_taken_only_if_that_was_configured():
    refusal = "if net = 0.0.0.0/0 then reject;"
    assert refusal in bird.render(WITH_ROUTERS)
    assert refusal not in bird.render(replace(WITH_ROUTERS, accept_default_route=True))


@pytest.mark.parametrize(
    ("mesh", "peers", "reflectors", "are_heard"),
    [
        (True, ROUTERS, {}, True),
        (False, ROUTERS, {}, False),
        # Of the mesh only one host is left.
        (False, (*ROUTERS, BgpPeer(IPAddress("10.0.0.2"), 64511)), {}, False),
        (
            False,
            (*ROUTERS, BgpPeer(IPAddress("10.0.0.2"), 64511)),
            {IPAddress("10.0.0.2"): CLUSTER_ID},
            True,
        ),
        # This host is the reflector.
        (
            False,
            (*ROUTERS, BgpPeer(IPAddress("10.0.0.1"), 64511)),
            {IPAddress("10.0.0.1"): CLUSTER_ID},
            True,
        ),
    ],
)
def test_parts_of_any_block_are_the_hosts_where_their_own_word_is_heard(
    mesh, peers, reflectors, are_heard
):
    cluster = Cluster({node.host: node for node in NODES}, 64511, mesh, {"": peers}, reflectors)
    planned = tuple(sessions.plan(cluster, NODES[0]))
    text = bird.render(replace(WITH_ROUTERS, sessions=planned))
    assert text.count("|| (in_pools4() && net.len > 26)") == are_heard
    assert text.count("|| (in_pools6() && net.len > 122)") == (are_heard and not reflectors)
    # Whatever way a route came: in the mesh a host says itself what it was lent.
    assert text.count("if bgp_path.last ~ [ 64511, 65003 ] then accept;") == (0 if mesh else 2)


def test_a_client_in_another_as_is_a_plain_neighbour():
    blocks = bird.render(REFLECTING).split("protocol bgp ")
    assert any("10.0.0.2 as 64511" in block and "rr client" in block for block in blocks)
    assert any("10.0.0.3 as 65003" in block and "rr client" not in block for block in blocks)


@pytest.mark.parametrize(
    ("level", "lines"),
    [
        (LogLevel.NONE, ["log stderr { error, fatal, bug };"]),
        (
            LogLevel.INFO,
            [
                "log stderr { info, remote, warning, error, auth, fatal, bug, trace };",
                "debug protocols { states };",
            ],
        ),
        (LogLevel.DEBUG, ["log stderr all;", "debug protocols all;"]),
    ],
)
def test_the_log_level_says_how_much_bird_writes(level, lines):
    text = bird.render(replace(WITH_ROUTERS, log_level=level))
    found = [line for line in text.splitlines() if line.startswith(("log ", "debug "))]
    assert found == lines


def test_a_password_is_in_no_representation_of_what_holds_it():
    assert "ab $c'd" in bird.render(WITH_ROUTERS)
    assert "ab $c'd" not in repr(WITH_ROUTERS)
    assert "ab $c'd" not in repr(ROUTERS)
