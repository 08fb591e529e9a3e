import pytest
from netaddr import IPAddress

from calico_ctl.bgp import sessions
from calico_ctl.bgp.sessions import Peer, Session
from calico_ctl.model.node import Node

OWN = Node("h1", IPAddress("10.0.0.1"), IPAddress("fd99::1"))


def mesh(*others: Node, own: Node = OWN) -> list[Session]:
    return sessions.mesh([own, *others], own, default_as=64511)


def test_every_other_node_is_a_neighbour_per_family_that_both_have():
    both = Node("h2", IPAddress("10.0.0.2"), IPAddress("fd99::2"))
    only_ipv4 = Node("h3", IPAddress("10.0.0.3"))
    assert mesh(only_ipv4, both) == [
        Session("Mesh_10_0_0_2", IPAddress("10.0.0.2"), 64511),
        Session("Mesh_10_0_0_3", IPAddress("10.0.0.3"), 64511),
        Session("Mesh_fd99__2", IPAddress("fd99::2"), 64511),
    ]


def test_a_node_without_ipv6_has_no_ipv6_sessions():
    own = Node("h1", IPAddress("10.0.0.1"))
    both = Node("h2", IPAddress("10.0.0.2"), IPAddress("fd99::2"))
    assert [session.family for session in mesh(both, own=own)] == [4]


def test_a_node_of_which_no_address_is_known_is_left_out():
    assert mesh(Node("h2")) == []


def test_a_nodes_own_as_number_wins_over_the_default():
    other = Node("h2", IPAddress("10.0.0.2"), as_number=65001)
    assert mesh(other)[0].as_number == 65001


def test_an_address_that_two_nodes_claim_gives_one_session():
    twice = [Node("h3", IPAddress("10.0.0.2"), as_number=3), Node("h2", IPAddress("10.0.0.2"))]
    assert mesh(*twice) == [Session("Mesh_10_0_0_2", IPAddress("10.0.0.2"), 64511)]


def test_a_node_that_claims_our_own_address_is_no_neighbour():
    assert mesh(Node("h2", IPAddress("10.0.0.1"))) == []


def test_the_order_in_which_nodes_are_known_does_not_matter():
    nodes = [Node(f"h{n}", IPAddress(f"10.0.0.{n}")) for n in (10, 9, 2)]
    assert mesh(*nodes) == mesh(*reversed(nodes))
    assert [str(session.neighbour) for session in mesh(*nodes)] == [
        "10.0.0.2",
        "10.0.0.9",
        "10.0.0.10",
    ]


@pytest.mark.parametrize(
    "text", ["10.99.0.2", "fd99::2", "::1", "2001:db8:1:2:3:4:5:6", "fd80:0:0:1::", "1::"]
)
def test_a_session_is_known_by_its_name(text):
    ip = IPAddress(text)
    found = sessions.peer_of(f"Mesh_{sessions.escape(ip)}")
    assert found == Peer(ip, "node-to-node mesh")
    assert found.family == ip.version
    assert sessions.peer_of(f"Node_{sessions.escape(ip)}") == Peer(ip, "node specific")
    assert sessions.peer_of(f"Global_{sessions.escape(ip)}") == Peer(ip, "global")


@pytest.mark.parametrize("name", ["kernel4", "Mesh_", "Mesh_10_0_0", "Other_10_0_0_2", "", "Mesh"])
def test_a_protocol_of_another_name_is_no_session_of_ours(name):
    assert sessions.peer_of(name) is None
