import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from netaddr import IPAddress, IPNetwork

from calico_ctl.bgp import bird, topology
from calico_ctl.bgp.bird import Config
from calico_ctl.bgp.topology import Settings
from calico_ctl.model.bgp import BgpPeer, LogLevel, Reflector
from calico_ctl.model.node import Node
from calico_ctl.model.pool import Pool

BGP = "/calico/bgp/v1"
POOLS = "/calico/ipam/v4/pool"
AFFINITIES = "/calico/ipam/v2/host/h1"
BLOCKS = "/calico/ipam/v2/assignment/ipv4/block"


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
        pools=(Pool(IPNetwork("10.65.0.0/16")), Pool(IPNetwork("fd80::/64"), ipip=True)),
        settings={"": Settings(), "h1": Settings()},
        problems={},
    )


def test_an_empty_ipv6_address_is_an_absent_one():
    seen = topology.read(host("h1", "10.0.0.1", ""))
    assert seen.nodes["h1"].ipv6 is None
    assert seen.problems == {}


def test_a_host_that_the_bgp_directory_does_not_know_is_no_peer():
    assert topology.read({"/calico/host/h2/bird_ip": "10.0.0.2"}).nodes == {}


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


def config_of(values: dict[str, str], hostname: str = "h1") -> Config:
    config = topology.config(topology.read(values), hostname)
    assert config is not None
    return config


def test_peers_reflectors_settings_and_blocks_are_read():
    values = host("h1", "10.0.0.1") | {
        f"{BGP}/global/peer_v4/10.0.0.9": '{"ip": "10.0.0.9", "as_num": "1.10", "password": "x y"}',
        f"{BGP}/host/h1/peer_v6/fd99::9": '{"ip": "fd99::9", "as_num": 65000}',
        f"{BGP}/rr_v4/10.0.0.1": '{"ip": "10.0.0.1", "cluster_id": "1.0.0.1"}',
        f"{BGP}/global/loglevel": "none",
        f"{BGP}/host/h1/loglevel": "debug",
        f"{BGP}/global/accept_default_route": "true",
        f"{BGP}/global/max_prefixes": "500",
        f"{AFFINITIES}/ipv4/block/10.65.0.0-26": "",
        f"{AFFINITIES}/ipv6/block/fd80::40-122": "",
    }
    seen = topology.read(values)
    assert seen.problems == {}
    assert seen.peers == {
        "": (BgpPeer(IPAddress("10.0.0.9"), 65546, "x y"),),
        "h1": (BgpPeer(IPAddress("fd99::9"), 65000),),
    }
    assert seen.reflectors == (Reflector(IPAddress("10.0.0.1"), IPAddress("1.0.0.1")),)
    config = config_of(values)
    assert config.blocks == (IPNetwork("10.65.0.0/26"), IPNetwork("fd80::40/122"))
    assert config.cluster_ids == ((4, IPAddress("1.0.0.1")),)
    assert (config.log_level, config.accept_default_route) == (LogLevel.DEBUG, True)
    assert config.prefix_limit == 500


@pytest.mark.parametrize(
    ("common", "own", "taken"),
    [("", "", False), ("true", "", True), ("true", "false", False), ("false", "true", True)],
)
def test_what_is_set_for_a_host_goes_before_what_is_set_for_all(common, own, taken):
    values = host("h1", "10.0.0.1")
    values[f"{BGP}/global/accept_default_route"] = common
    values[f"{BGP}/host/h1/accept_default_route"] = own
    assert config_of(values).accept_default_route is taken


def test_junk_in_keys_of_others_and_in_shared_ones_disturbs_nobody():
    good = host("h1", "10.0.0.1") | host("h2", "10.0.0.2")
    junk = {
        f"{BGP}/global/peer_v4/10.0.0.9": '{"ip": "10.0.0.9", "as_num": "0"}',
        f"{BGP}/global/peer_v4/127.0.0.1": '{"ip": "127.0.0.1", "as_num": "65000"}',
        f"{BGP}/global/peer_v4/10.0.0.10": '{"ip": "10.0.0.11", "as_num": "65000"}',
        f"{BGP}/global/peer_v4/10.0.0.12": "{",
        f"{BGP}/global/peer_v6/fe80::1": '{"ip": "fe80::1", "as_num": "65000"}',
        f"{BGP}/host/h3/peer_v4/junk": "{}",
        f"{BGP}/host/h1/peer_v4/10.0.0.13": '{"ip": "10.0.0.13", "as_num": true}',
        f"{BGP}/rr_v4/10.0.0.2": '{"ip": "10.0.0.2", "cluster_id": "one"}',
        f"{BGP}/global/loglevel": "debugxyz",
        f"{BGP}/host/h1/loglevel": "INFO",
        f"{BGP}/host/h4/accept_default_route": "yes",
        f"{BGP}/global/max_prefixes": "0",
        f"{AFFINITIES}/ipv4/block/10.65.0.0-24": "",
        f"{AFFINITIES}/ipv4/block/junk": "",
    }
    assert set(topology.read(good | junk).problems) == set(junk)
    assert bird.render(config_of(good | junk)) == bird.render(config_of(good))


def test_no_problem_shows_a_password():
    words = [
        '{"ip": "10.0.0.9", "as_num": "65000", "password": "sesam\\u00f6"}',
        '{"ip": "10.0.0.9", "as_num": "65000", "password": "sesam\\"}"}',
        '{"ip": "10.0.0.9", "as_num": "65000", "password": ["sesam"]}',
        '{"ip": "10.0.0.9", "password": "sesam"',
        '{"ip": "10.0.0.9", "as_num": "0", "password": "sesam"}',
        '{"ip": "10.0.0.8", "as_num": "1", "password": "sesam"}',
        "sesam",
    ]
    for text in words:
        seen = topology.read({f"{BGP}/global/peer_v4/10.0.0.9": text})
        assert len(seen.problems) == 1
        assert "sesam" not in str(seen.problems)


def test_a_block_that_says_another_hosts_name_is_not_this_ones():
    values = host("h1", "10.0.0.1")
    for block in ("10.65.0.0-26", "10.65.0.64-26", "10.65.0.128-26", "10.65.0.192-26"):
        values[f"{AFFINITIES}/ipv4/block/{block}"] = ""
    values[f"{BLOCKS}/10.65.0.0-26"] = '{"affinity": "host:h1"}'
    values[f"{BLOCKS}/10.65.0.64-26"] = '{"affinity": "host:h2"}'
    values[f"{BLOCKS}/10.65.0.128-26"] = '{"affinity": null}'
    assert config_of(values).blocks == (IPNetwork("10.65.0.0/26"), IPNetwork("10.65.0.192/26"))


@settings(max_examples=30, deadline=None)
@given(st.randoms(use_true_random=False))
def test_the_order_of_keys_does_not_matter(random):
    values = host("h1", "10.0.0.1") | host("h2", "10.0.0.2") | host("h3", "10.0.0.2")
    for n in range(4):
        peer = {"ip": f"10.0.1.{n}", "as_num": "65000"}
        values[f"{BGP}/global/peer_v4/10.0.1.{n}"] = json.dumps(peer)
        values[f"{AFFINITIES}/ipv4/block/10.65.{n}.0-26"] = ""
        values[f"{POOLS}/10.{65 + n}.0.0-16"] = f"10.{65 + n}.0.0/16"
    items = list(values.items())
    random.shuffle(items)
    assert bird.render(config_of(dict(items))) == bird.render(config_of(values))


def test_routes_of_encapsulated_pools_are_left_to_others():
    values = host("h1", "10.0.0.1") | {
        f"{POOLS}/10.65.0.0-16": '{"cidr": "10.65.0.0/16"}',
        f"{POOLS}/10.66.0.0-16": '{"cidr": "10.66.0.0/16", "ipip": "tunl0"}',
    }
    assert config_of(values).encapsulated == (IPNetwork("10.66.0.0/16"),)
    assert len(config_of(values).pools) == 2


def test_only_keys_about_hosts_peers_pools_and_own_blocks_are_followed():
    followed = [
        *host("h2", as_number="1"),
        f"{POOLS}/10.65.0.0-16",
        "/calico/Ready",
        f"{BGP}/global/peer_v4/10.0.0.9",
        f"{BGP}/host/h2/peer_v6/fd99::9",
        f"{BGP}/rr_v4/10.0.0.1",
        f"{AFFINITIES}/ipv4/block/10.65.0.0-26",
    ]
    assert all(topology.follows(key, "h1") for key in followed)
    assert not topology.follows(f"{AFFINITIES}/ipv4/block/10.65.0.0-26", "h2")
    assert not topology.follows("/calico/policy/profile/web/tags", "h1")
    assert not topology.follows("/calico/host/h1/workload/docker/c/endpoint/e", "h1")
    assert not topology.follows("/elsewhere", "h1")
