import pytest
from hypothesis import given
from hypothesis import strategies as st
from netaddr import IPNetwork

from calico_ctl.errors import InvalidValue
from calico_ctl.model import keys
from calico_ctl.model.endpoint import EndpointKey
from calico_ctl.model.keys import Leaf, ParsedKey

KEY = EndpointKey("h1", "docker", "c1", "e1")
V4, V6 = IPNetwork("10.65.0.0/16"), IPNetwork("fd80:24e2::/64")


@pytest.mark.parametrize(
    ("built", "path"),
    [
        (keys.profile_tags("web"), "/calico/policy/profile/web/tags"),
        (keys.profile_rules("web"), "/calico/policy/profile/web/rules"),
        (keys.endpoint(KEY), "/calico/host/h1/workload/docker/c1/endpoint/e1"),
        (keys.host_address("h1", 4), "/calico/host/h1/bird_ip"),
        (keys.host_address("h1", 6), "/calico/host/h1/bird6_ip"),
        (keys.host_config("h1", "marker"), "/calico/host/h1/config/marker"),
        (keys.global_config("InterfacePrefix"), "/calico/config/InterfacePrefix"),
        (keys.pool(V4), "/calico/ipam/v4/pool/10.65.0.0-16"),
        (keys.pool(V6), "/calico/ipam/v6/pool/fd80:24e2::-64"),
        (keys.block(V4), "/calico/ipam/v2/assignment/ipv4/block/10.65.0.0-16"),
        (keys.affinity("h1", V6), "/calico/ipam/v2/host/h1/ipv6/block/fd80:24e2::-64"),
        (keys.handle("ep1"), "/calico/ipam/v2/handle/ep1"),
        (keys.bgp_host_address("h1", 6), "/calico/bgp/v1/host/h1/ip_addr_v6"),
        (keys.bgp_host_as("h1"), "/calico/bgp/v1/host/h1/as_num"),
        (keys.agent_status("h1"), "/calico/felix/v1/host/h1/status"),
        (
            keys.endpoint_status(KEY),
            "/calico/felix/v1/host/h1/workload/docker/c1/endpoint/e1",
        ),
        (keys.bgp_peer(V4.ip), "/calico/bgp/v1/global/peer_v4/10.65.0.0"),
        (keys.bgp_peer(V6.ip, "h1"), "/calico/bgp/v1/host/h1/peer_v6/fd80:24e2::"),
        (keys.bgp_setting("loglevel"), "/calico/bgp/v1/global/loglevel"),
        (keys.bgp_setting("loglevel", "h1"), "/calico/bgp/v1/host/h1/loglevel"),
        (keys.reflector(V4.ip), "/calico/bgp/v1/rr_v4/10.65.0.0"),
        (keys.READY, "/calico/Ready"),
        (keys.NODE_MESH, "/calico/bgp/v1/global/node_mesh"),
    ],
)
def test_paths_are_the_ones_that_orchestrators_write(built: str, path: str) -> None:
    assert built == path


@pytest.mark.parametrize(
    ("key", "parsed"),
    [
        (keys.READY, ParsedKey(Leaf.READY)),
        (keys.profile_tags("web"), ParsedKey(Leaf.PROFILE_TAGS, name="web")),
        (keys.profile_rules("web"), ParsedKey(Leaf.PROFILE_RULES, name="web")),
        (keys.endpoint(KEY), ParsedKey(Leaf.ENDPOINT, host="h1", endpoint=KEY)),
        (keys.host_address("h1", 4), ParsedKey(Leaf.HOST_IPV4, host="h1")),
        (keys.host_address("h1", 6), ParsedKey(Leaf.HOST_IPV6, host="h1")),
        (keys.host_config("h1", "a"), ParsedKey(Leaf.HOST_CONFIG, name="a", host="h1")),
        (keys.global_config("a"), ParsedKey(Leaf.GLOBAL_CONFIG, name="a")),
        (keys.pool(V6), ParsedKey(Leaf.POOL, name="fd80:24e2::-64")),
        (keys.bgp_host_as("h1"), ParsedKey(Leaf.BGP_HOST, name="as_num", host="h1")),
        (keys.DEFAULT_AS, ParsedKey(Leaf.BGP_GLOBAL, name="as_num")),
        (keys.bgp_peer(V6.ip), ParsedKey(Leaf.BGP_PEER, name="fd80:24e2::")),
        (keys.bgp_peer(V4.ip, "h1"), ParsedKey(Leaf.BGP_PEER, name="10.65.0.0", host="h1")),
        (keys.reflector(V4.ip), ParsedKey(Leaf.REFLECTOR, name="10.65.0.0")),
        (keys.affinity("h1", V4), ParsedKey(Leaf.AFFINITY, name="10.65.0.0-16", host="h1")),
        (keys.block(V6), ParsedKey(Leaf.BLOCK, name="fd80:24e2::-64")),
    ],
)
def test_what_is_built_can_be_taken_apart(key: str, parsed: ParsedKey) -> None:
    assert keys.parse(key) == parsed
    assert keys.parse_endpoint(key) == parsed.endpoint


@pytest.mark.parametrize(
    "key",
    [
        "",
        "/",
        "/calico",
        "/calico/v1/Ready",
        "/calico/policy/profile/web",
        keys.endpoint_status(KEY),
        "/calico/policy/profile/web/labels",
        keys.workloads("h1"),
    ],
)
def test_other_keys_are_nobodys(key: str) -> None:
    assert keys.parse(key) is None
    assert keys.parse_endpoint(key) is None


@given(st.text())
def test_any_text_is_a_key_or_none(text: str) -> None:
    for key in (text, f"/calico/{text}", f"/calico/host/h/workload/docker/c/endpoint/{text}"):
        parsed = keys.parse(key)
        assert keys.parse_endpoint(key) == (parsed and parsed.endpoint)


@pytest.mark.parametrize("cidr", [V4, V6, IPNetwork("10.0.0.0/26"), IPNetwork("fd80::/122")])
def test_a_network_survives_being_a_part_of_a_key(cidr: IPNetwork) -> None:
    assert keys.parse_cidr_segment(keys.pool(cidr).rpartition("/")[2]) == cidr


def test_the_endpoints_of_a_host_share_its_name() -> None:
    one, another = (
        keys.parse(keys.endpoint(EndpointKey("h1", "docker", "c1", id_))) for id_ in ("e1", "e2")
    )
    assert one is not None
    assert another is not None
    assert one.host is another.host


@given(st.text())
def test_any_other_part_is_refused(text: str) -> None:
    try:
        keys.parse_cidr_segment(text)
    except InvalidValue:
        return


@pytest.mark.parametrize("cidr", [V4, V6])
def test_a_block_and_the_claim_of_a_host_to_it_lead_to_each_other(cidr: IPNetwork) -> None:
    block, affinity = keys.block(cidr), keys.affinity("h1", cidr)
    assert keys.is_block(block)
    assert not keys.is_block(affinity)
    assert keys.affinity_of_block(block, "h1") == affinity
    assert keys.block_of_affinity(affinity, "h1") == block
    assert keys.block_of_affinity(affinity, "h2") == ""
