from random import Random

import pytest
from netaddr import IPAddress, IPNetwork

from calico_ctl.datastore import addresses, config, endpoints, nodes, pools
from calico_ctl.model import keys
from calico_ctl.model.address import AnyAddress
from calico_ctl.model.endpoint import Endpoint, EndpointKey, State
from calico_ctl.model.node import Node
from calico_ctl.model.pool import Pool
from tests.support.memory_store import MemoryStore

H1 = Node("h1", IPAddress("172.16.0.1"))
H2 = Node("h2", IPAddress("172.16.0.2"), IPAddress("fd99::2"), 65000)


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


def values(store: MemoryStore) -> dict[str, str]:
    return {e.key: e.value for e in store.tree("/calico").entries if e.value is not None}


def test_a_first_node_writes_all_that_the_cluster_needs(store: MemoryStore) -> None:
    nodes.register(store, H1)
    assert values(store) == {
        "/calico/Ready": "true",
        "/calico/bgp/v1/global/as_num": "64511",
        "/calico/bgp/v1/global/node_mesh": '{"enabled": true}',
        "/calico/bgp/v1/host/h1/ip_addr_v4": "172.16.0.1",
        "/calico/bgp/v1/host/h1/ip_addr_v6": "",
        "/calico/config/InterfacePrefix": "cali",
        "/calico/config/IpInIpEnabled": "false",
        "/calico/config/LogFilePath": "none",
        "/calico/config/LogSeverityFile": "none",
        "/calico/config/LogSeverityScreen": "info",
        "/calico/host/h1/bird_ip": "172.16.0.1",
        "/calico/host/h1/config/DefaultEndpointToHostAction": "RETURN",
        "/calico/host/h1/config/marker": "created",
        "/calico/ipam/v4/pool/192.168.0.0-16": '{"cidr": "192.168.0.0/16"}',
        "/calico/ipam/v6/pool/fd80:24e2:f998:72d6::-64": '{"cidr": "fd80:24e2:f998:72d6::/64"}',
    }
    for directory in (
        "/calico/host/h1/workload",
        "/calico/ipam/v2/host/h1/ipv4/block",
        "/calico/ipam/v2/host/h1/ipv6/block",
    ):
        entry = store.get(directory)
        assert entry is not None
        assert entry.is_directory


def test_ready_is_written_last(store: MemoryStore) -> None:
    nodes.register(store, H1)
    ready = store.get(keys.READY)
    assert ready is not None
    assert ready.revision == store.tree("/").revision


def test_the_same_registration_again_changes_nothing(store: MemoryStore) -> None:
    nodes.register(store, H2)
    revision = store.tree("/").revision
    assert nodes.register(store, H2) == H2
    assert store.tree("/").revision == revision


def test_T34_what_is_not_given_again_is_kept(store: MemoryStore) -> None:
    nodes.register(store, H2)
    moved = nodes.register(store, Node("h2", IPAddress("172.16.9.9")))
    assert moved == Node("h2", IPAddress("172.16.9.9"), IPAddress("fd99::2"), 65000)
    assert nodes.get(store, "h2") == moved


def test_global_settings_of_others_are_kept(store: MemoryStore) -> None:
    store.create(keys.NODE_MESH, '{"enabled": false}')
    store.create(keys.host_config("h1", "DefaultEndpointToHostAction"), "DROP")
    pools.create(store, Pool(IPNetwork("10.0.0.0/8")))
    nodes.register(store, H1)
    written = values(store)
    assert written[keys.NODE_MESH] == '{"enabled": false}'
    assert config.get(store, "DefaultEndpointToHostAction", "h1") == "DROP"
    assert [str(pool.cidr) for pool in pools.all(store, 4)] == ["10.0.0.0/8"]


def test_ready_is_put_right(store: MemoryStore) -> None:
    store.create(keys.READY, "false")
    nodes.register(store, H1)
    assert values(store)[keys.READY] == "true"


def test_all_nodes_are_listed_by_name(store: MemoryStore) -> None:
    nodes.register(store, H2)
    nodes.register(store, H1)
    assert nodes.all(store) == [H1, H2]
    assert nodes.names(store) == ["h1", "h2"]


def test_a_host_that_is_half_registered_harms_nobody(store: MemoryStore) -> None:
    nodes.register(store, H1)
    store.create(keys.bgp_host_as("only-as"), "65001")
    store.create(keys.workloads("only-workloads"), None)
    store.create(keys.host_address("only-bird-ip", 4), "172.16.0.7")
    store.create(keys.bgp_host_address("broken", 4), "not an address")
    store.create(keys.bgp_host_address("swapped", 4), "fd99::5")
    store.create(keys.bgp_host_address("bad-as", 4), "172.16.0.8")
    store.create(keys.bgp_host_as("bad-as"), "many")
    assert nodes.all(store) == [
        Node("bad-as", IPAddress("172.16.0.8")),
        H1,
        Node("only-bird-ip", IPAddress("172.16.0.7")),
    ]
    for host in ("only-as", "only-workloads", "only-bird-ip", "broken", "nobody"):
        assert nodes.get(store, host) is None


def test_a_node_that_is_removed_leaves_nothing(store: MemoryStore) -> None:
    nodes.register(store, H1)
    before = store.tree("/calico")
    nodes.register(store, H2)
    key = EndpointKey("h2", "docker", "c1", "e1")
    ip = addresses.claim(store, "h2", AnyAddress.IPV4, key.id, Random())
    endpoints.create(store, Endpoint(key, State.ACTIVE, "calie1", None, (), (ip,)))
    store.put(keys.endpoint_status(key), "{}")
    assert nodes.remove(store, "h2")
    left = {entry.key for entry in store.tree("/calico").entries if entry.value is not None}
    assert left == {entry.key for entry in before.entries if entry.value is not None}
    assert "h2" not in str(store.tree("/calico").entries)
    assert addresses.assigned(store, ip) is None
    assert not nodes.remove(store, "h2")
    assert nodes.all(store) == [H1]
