from collections.abc import Sequence
from pathlib import Path

import pytest
from netaddr import IPAddress, IPNetwork

from calico_ctl.bgp import bird, sessions
from calico_ctl.bgp.bird import Config
from calico_ctl.model.node import Node

GOLDEN = Path(__file__).parents[2] / "golden"

NODES = [
    Node("h1", IPAddress("10.0.0.1"), IPAddress("fd99::1")),
    Node("h2", IPAddress("10.0.0.2"), IPAddress("fd99::2")),
    Node("h3", IPAddress("10.0.0.3"), as_number=65003),
]
POOLS = (IPNetwork("10.65.0.0/16"), IPNetwork("192.168.0.0/16"), IPNetwork("fd80:24e2::/64"))


def config(own: Node, nodes: Sequence[Node] = (), pools: tuple[IPNetwork, ...] = ()) -> Config:
    assert own.ipv4 is not None
    return Config(
        ipv4=own.ipv4,
        ipv6=own.ipv6,
        as_number=own.as_number or 64511,
        pools=pools,
        sessions=tuple(sessions.mesh(nodes, own, 64511)),
    )


CASES = {
    "bird-mesh.conf": config(NODES[0], NODES, POOLS),
    "bird-ipv4-only.conf": config(NODES[2], NODES, POOLS),
    "bird-alone-without-pools.conf": config(NODES[0]),
}


@pytest.mark.parametrize("name", CASES)
def test_the_configuration_is_as_reviewed(name, request):
    path = GOLDEN / name
    text = bird.render(CASES[name])
    if request.config.getoption("--golden", default=False):
        path.write_text(text)
    assert text == path.read_text()


def test_without_an_own_ipv6_address_there_is_nothing_of_ipv6():
    assert "ipv6" not in bird.render(CASES["bird-ipv4-only.conf"])


def test_without_pools_every_filter_that_asks_for_one_rejects():
    text = bird.render(CASES["bird-alone-without-pools.conf"])
    assert "[" not in text
    assert "if false then accept;" in text
