from netaddr import IPAddress, IPNetwork

from calico_ctl.bgp import topology
from calico_ctl.model.node import Node

BGP = "/calico/bgp/v1"
POOLS = "/calico/ipam/v4/pool"


def host(name: str, ipv4: str = "", ipv6: str = "", as_number: str | None = None) -> dict[str, str]:
    values = {f"{BGP}/host/{name}/ip_addr_v4": ipv4, f"{BGP}/host/{name}/ip_addr_v6": ipv6}
    if as_number is not None:
        values[f"{BGP}/host/{name}/as_num"] = as_number
    return values


def test_an_empty_store_gives_the_defaults_and_is_not_ready():
    seen = topology.read({})
    assert (seen.ready, seen.default_as, seen.mesh, seen.pools) == (False, 64511, True, ())
    assert topology.config(seen, "h1") is None


def test_hosts_pools_and_numbers_are_read():
    seen = topology.read(
        host("h1", "10.0.0.1", "fd99::1", "65000")
        | {
            "/calico/Ready": "true",
            f"{BGP}/global/as_num": "1.10",
            f"{BGP}/global/node_mesh": '{"enabled": false}',
            f"{POOLS}/10.65.0.0-16": '{"cidr": "10.65.0.0/16"}',
            "/calico/ipam/v6/pool/fd80::-64": '{"cidr": "fd80::/64", "ipip": "tunl0"}',
        }
    )
    assert seen == topology.Topology(
        ready=True,
        nodes={"h1": Node("h1", IPAddress("10.0.0.1"), IPAddress("fd99::1"), 65000)},
        default_as=65546,
        mesh=False,
        pools=(IPNetwork("10.65.0.0/16"), IPNetwork("fd80::/64")),
        problems={},
    )


def test_an_empty_ipv6_address_is_an_absent_one():
    seen = topology.read(host("h1", "10.0.0.1", ""))
    assert seen.nodes["h1"].ipv6 is None
    assert seen.problems == {}


def test_a_host_known_only_by_its_gateway_address_is_a_peer_too():
    seen = topology.read({"/calico/host/h2/bird_ip": "10.0.0.2"})
    assert seen.nodes["h2"].ipv4 == IPAddress("10.0.0.2")


def test_a_host_directory_without_an_address_disturbs_nobody():
    values = host("h1", "10.0.0.1") | host("h2", "10.0.0.2")
    values |= {f"{BGP}/host/h3/peer_v4/10.0.0.9": "{}", f"{BGP}/host/h4/as_num": "65000"}
    config = topology.config(topology.read(values), "h1")
    assert config is not None
    assert [session.name for session in config.sessions] == ["Mesh_10_0_0_2"]


def test_junk_is_left_out_and_named_with_its_key():
    junk = {
        f"{BGP}/host/h2/ip_addr_v4": "10.0.0",
        f"{BGP}/host/h3/ip_addr_v4": "224.0.0.5",
        f"{BGP}/host/h4/ip_addr_v6": "fe80::4",
        f"{BGP}/host/h5/as_num": "0",
        f"{BGP}/global/as_num": "junk",
        f"{BGP}/global/node_mesh": "no",
        f"{POOLS}/10.66.0.0-16": "{",
        f"{POOLS}/nonsense": '{"cidr": "10.67.0.0/16"}',
    }
    seen = topology.read(host("h1", "10.0.0.1") | junk)
    assert set(seen.problems) == set(junk)
    assert (seen.default_as, seen.mesh, seen.pools) == (64511, True, ())
    config = topology.config(seen, "h1")
    assert config is not None
    assert config.sessions == ()


def test_without_the_mesh_there_are_no_sessions():
    values = host("h1", "10.0.0.1") | host("h2", "10.0.0.2")
    values[f"{BGP}/global/node_mesh"] = '{"enabled": false}'
    config = topology.config(topology.read(values), "h1")
    assert config is not None
    assert config.sessions == ()


def test_only_keys_about_hosts_numbers_and_pools_are_followed():
    followed = [*host("h1", as_number="1"), f"{POOLS}/10.65.0.0-16", "/calico/Ready"]
    assert all(topology.follows(key) for key in followed)
    assert not topology.follows("/calico/policy/profile/web/tags")
    assert not topology.follows("/calico/host/h1/workload/docker/c/endpoint/e")
    assert not topology.follows("/elsewhere")
