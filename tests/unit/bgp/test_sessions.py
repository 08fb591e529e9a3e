import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from netaddr import IPAddress

from calico_ctl.bgp import sessions
from calico_ctl.bgp.sessions import Cluster, Peer, Role, Session
from calico_ctl.model.bgp import BgpPeer
from calico_ctl.model.node import Node

OWN = Node("h1", IPAddress("10.0.0.1"), IPAddress("fd99::1"))
CLUSTER_ID = IPAddress("1.0.0.1")


def hosts(*numbers: int) -> dict[str, Node]:
    made = [Node(f"h{n}", IPAddress(f"10.0.0.{n}"), IPAddress(f"fd99::{n}")) for n in numbers]
    return {node.host: node for node in made}


def peer(ip: str, as_number: int = 64511, password: str = "") -> BgpPeer:
    return BgpPeer(IPAddress(ip), as_number, password)


def mesh(*others: Node, own: Node = OWN) -> list[Session]:
    nodes = {node.host: node for node in [own, *others]}
    return sessions.plan(Cluster(nodes, default_as=64511), own)


def planned(cluster: Cluster, host: str) -> dict[str, Role]:
    return {each.name: each.role for each in sessions.plan(cluster, cluster.nodes[host])}


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


@pytest.mark.parametrize("other", ["h0", "h2"])
def test_a_node_that_claims_our_own_address_is_no_neighbour(other):
    assert mesh(Node(other, IPAddress("10.0.0.1"))) == []


def test_the_order_in_which_nodes_are_known_does_not_matter():
    nodes = [Node(f"h{n}", IPAddress(f"10.0.0.{n}")) for n in (10, 9, 2)]
    assert mesh(*nodes) == mesh(*reversed(nodes))
    assert [str(session.neighbour) for session in mesh(*nodes)] == [
        "10.0.0.2",
        "10.0.0.9",
        "10.0.0.10",
    ]


def test_a_router_outside_is_a_peer_beside_the_mesh():
    peers = {"": (peer("10.0.0.254", 65000),), "h1": (peer("fd99::254", 65001),)}
    cluster = Cluster(hosts(1, 2), 64511, peers=peers)
    assert [each for each in sessions.plan(cluster, OWN) if each.role is Role.ROUTER] == [
        Session("Global_10_0_0_254", IPAddress("10.0.0.254"), 65000, Role.ROUTER),
        Session("Node_fd99__254", IPAddress("fd99::254"), 65001, Role.ROUTER),
    ]
    assert "Node_fd99__254" not in planned(cluster, "h2")


def test_an_ipv6_peer_gets_a_name_that_is_one():
    cluster = Cluster(hosts(1), 64511, peers={"": (peer("fd99:0:0:7::254", 65000),)})
    assert list(planned(cluster, "h1")) == ["Global_fd99_0_0_7__254"]


def test_there_is_one_session_for_a_neighbour_and_the_nearest_reason_names_it():
    everywhere = (peer("10.0.0.2"), peer("10.0.0.254", 65000))
    cluster = Cluster(
        hosts(1, 2), 64511, peers={"": everywhere, "h1": (peer("10.0.0.254", 65009, "ours"),)}
    )
    plan = {each.name: each for each in sessions.plan(cluster, OWN)}
    assert list(plan) == ["Global_10_0_0_2", "Node_10_0_0_254", "Mesh_fd99__2"]
    assert plan["Node_10_0_0_254"].as_number == 65009
    assert plan["Node_10_0_0_254"].password == "ours"


def test_a_host_that_has_this_one_as_its_peer_is_a_peer_of_this_one():
    cluster = Cluster(hosts(1, 2, 3), 64511, mesh=False, peers={"h2": (peer("10.0.0.1"),)})
    assert planned(cluster, "h1") == {"Host_10_0_0_2": Role.HOST}
    assert planned(cluster, "h2") == {"Node_10_0_0_1": Role.HOST}
    assert planned(cluster, "h3") == {}


def test_a_host_is_no_peer_of_itself():
    cluster = Cluster(hosts(1), 64511, peers={"": (peer("10.0.0.1"),), "h1": (peer("fd99::1"),)})
    assert planned(cluster, "h1") == {}


def test_of_a_host_the_as_number_is_its_own_whatever_its_peers_were_told():
    cluster = Cluster(hosts(1, 2), 64511, mesh=False, peers={"": (peer("10.0.0.2", 65000),)})
    assert sessions.plan(cluster, OWN)[0].as_number == 64511


def test_reflectors_make_clients_of_the_hosts_that_have_them_as_peers():
    """Two clusters of two reflectors: h1, h2 serve h5, and h3, h4 serve h6."""
    nodes = hosts(1, 2, 3, 4, 5, 6)
    ids = {1: "1.0.0.1", 2: "1.0.0.1", 3: "1.0.0.2", 4: "1.0.0.2"}
    reflectors = {IPAddress(f"10.0.0.{n}"): IPAddress(id_) for n, id_ in ids.items()}
    peers = {
        "h5": (peer("10.0.0.1"), peer("10.0.0.2")),
        "h6": (peer("10.0.0.3"), peer("10.0.0.4")),
    }
    cluster = Cluster(nodes, 64511, False, peers, reflectors)
    assert planned(cluster, "h1") == {
        "Reflector_10_0_0_2": Role.FELLOW,
        "Reflector_10_0_0_3": Role.FELLOW,
        "Reflector_10_0_0_4": Role.FELLOW,
        "Client_10_0_0_5": Role.CLIENT,
    }
    assert planned(cluster, "h4") == {
        "Reflector_10_0_0_1": Role.FELLOW,
        "Reflector_10_0_0_2": Role.FELLOW,
        "Reflector_10_0_0_3": Role.FELLOW,
        "Client_10_0_0_6": Role.CLIENT,
    }
    assert planned(cluster, "h5") == {
        "Node_10_0_0_1": Role.REFLECTOR,
        "Node_10_0_0_2": Role.REFLECTOR,
    }


def test_a_reflector_that_is_a_peer_of_all_hosts_has_all_of_them_as_clients():
    reflectors = {IPAddress("10.0.0.1"): CLUSTER_ID}
    cluster = Cluster(hosts(1, 2, 3), 64511, False, {"": (peer("10.0.0.1"),)}, reflectors)
    assert planned(cluster, "h1") == {
        "Client_10_0_0_2": Role.CLIENT,
        "Client_10_0_0_3": Role.CLIENT,
    }
    assert planned(cluster, "h3") == {"Global_10_0_0_1": Role.REFLECTOR}


def test_within_the_mesh_a_reflector_reflects_to_its_clients_only():
    reflectors = {IPAddress("10.0.0.1"): CLUSTER_ID}
    cluster = Cluster(hosts(1, 2, 3), 64511, True, {"h2": (peer("10.0.0.1"),)}, reflectors)
    of_ipv4 = {k: v for k, v in planned(cluster, "h1").items() if "fd99" not in k}
    assert of_ipv4 == {"Client_10_0_0_2": Role.CLIENT, "Mesh_10_0_0_3": Role.HOST}


def test_a_reflector_that_is_no_host_belongs_to_the_cluster():
    reflectors = {IPAddress("10.0.0.253"): CLUSTER_ID}
    cluster = Cluster(hosts(1, 2), 64511, False, {"": (peer("10.0.0.253", 65000),)}, reflectors)
    assert sessions.plan(cluster, OWN) == [
        Session("Global_10_0_0_253", IPAddress("10.0.0.253"), 65000, Role.REFLECTOR)
    ]


addresses = st.sampled_from([f"10.0.0.{n}" for n in range(1, 6)])
tables = st.dictionaries(
    st.sampled_from(["", "h1", "h2", "h3", "h4"]),
    st.lists(st.builds(peer, addresses, st.just(64511), st.sampled_from(["", "a", "b"]))),
)


@settings(max_examples=30, deadline=None)
@given(tables, st.booleans(), st.sets(addresses))
def test_both_ends_make_the_session_and_choose_the_same_password(table, mesh_on, reflecting):
    peers = {host: tuple({each.ip: each for each in some}.values()) for host, some in table.items()}
    reflectors = {IPAddress(ip): CLUSTER_ID for ip in reflecting}
    cluster = Cluster(hosts(1, 2, 3, 4), 64511, mesh_on, peers, reflectors)
    ends: dict[tuple[IPAddress | None, IPAddress | None], Session] = {
        (node.ipv4, each.neighbour): each
        for node in cluster.nodes.values()
        for each in sessions.plan(cluster, node)
        if each.family == 4 and each.role is not Role.ROUTER
    }
    known = {node.ipv4 for node in cluster.nodes.values()}
    for (here, there), session in ends.items():
        if there in known:
            assert ends[there, here].password == session.password


@pytest.mark.parametrize(
    "text", ["10.99.0.2", "fd99::2", "::1", "2001:db8:1:2:3:4:5:6", "fd80:0:0:1::", "1::"]
)
@pytest.mark.parametrize("beginning", sessions.KINDS)
def test_a_session_is_known_by_its_name(text, beginning):
    ip = IPAddress(text)
    found = sessions.peer_of(f"{beginning}_{sessions.escape(ip)}")
    assert found == Peer(ip, sessions.KINDS[beginning])
    assert found.family == ip.version


@pytest.mark.parametrize("name", ["kernel4", "Mesh_", "Mesh_10_0_0", "Other_10_0_0_2", "", "Mesh"])
def test_a_protocol_of_another_name_is_no_session_of_ours(name):
    assert sessions.peer_of(name) is None
