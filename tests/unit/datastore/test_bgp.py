import pytest
from netaddr import IPAddress

from calico_ctl.datastore import bgp
from calico_ctl.errors import InvalidValue, NotFound
from calico_ctl.model import keys
from calico_ctl.model.bgp import BgpPeer, Reflector
from tests.support.memory_store import MemoryStore

V4, V6 = IPAddress("10.0.0.9"), IPAddress("fd99::9")


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


def value(store: MemoryStore, key: str) -> str | None:
    entry = store.get(key)
    return None if entry is None else entry.value


@pytest.mark.parametrize("host", [None, "h1"])
def test_peers_are_written_read_replaced_and_removed(store, host):
    assert bgp.set_peer(store, BgpPeer(V4, 65000, "sesam"), host)
    assert bgp.set_peer(store, BgpPeer(V6, 65001), host)
    assert bgp.peers(store, 4, host) == ([BgpPeer(V4, 65000, "sesam")], [])
    assert bgp.peers(store, 6, host) == ([BgpPeer(V6, 65001)], [])
    assert not bgp.set_peer(store, BgpPeer(V6, 65001), host)
    assert bgp.set_peer(store, BgpPeer(V4, 65002), host)
    assert bgp.peers(store, 4, host) == ([BgpPeer(V4, 65002)], [])
    bgp.remove_peer(store, V4, host)
    assert bgp.peers(store, 4, host) == ([], [])
    with pytest.raises(NotFound, match=r"10\.0\.0\.9 is no BGP peer of"):
        bgp.remove_peer(store, V4, host)


def test_the_json_is_the_one_that_other_tools_write_and_read(store):
    bgp.set_peer(store, BgpPeer(V4, 65000))
    bgp.set_peer(store, BgpPeer(V6, 65000, "sesam"), "h1")
    bgp.set_reflector(store, Reflector(V4, IPAddress("1.0.0.1")))
    assert value(store, keys.bgp_peer(V4)) == '{"ip": "10.0.0.9", "as_num": "65000"}'
    assert value(store, keys.bgp_peer(V6, "h1")) == (
        '{"ip": "fd99::9", "as_num": "65000", "password": "sesam"}'
    )
    assert value(store, keys.reflector(V4)) == '{"ip": "10.0.0.9", "cluster_id": "1.0.0.1"}'


def test_the_peers_of_one_host_are_not_those_of_another(store):
    bgp.set_peer(store, BgpPeer(V4, 65000), "h1")
    assert bgp.peers(store, 4) == bgp.peers(store, 4, "h2") == ([], [])


def test_a_peer_that_cannot_be_read_is_named_and_can_be_removed(store):
    store.put(keys.bgp_peer(V4), '{"password": "sesam"')
    store.put(f"{keys.bgp_peers(4)}/junk", "{}")
    peers, problems = bgp.peers(store, 4)
    assert peers == []
    assert [each.key for each in problems] == [keys.bgp_peer(V4), f"{keys.bgp_peers(4)}/junk"]
    assert "sesam" not in str(problems)
    bgp.remove_peer(store, V4)


def test_reflectors_of_both_families_are_read(store):
    for ip in (V4, V6):
        assert bgp.set_reflector(store, Reflector(ip, IPAddress("1.0.0.1")))
    assert [each.ip for each in bgp.reflectors(store)[0]] == [V4, V6]
    bgp.remove_reflector(store, V4)
    assert [each.ip for each in bgp.reflectors(store)[0]] == [V6]
    with pytest.raises(NotFound, match="no route reflector"):
        bgp.remove_reflector(store, V4)


def test_the_mesh_is_on_unless_somebody_says_otherwise(store):
    assert bgp.mesh(store)
    bgp.set_mesh(store, False)
    assert not bgp.mesh(store)
    store.put(keys.NODE_MESH, "no")
    with pytest.raises(InvalidValue, match="node_mesh"):
        bgp.mesh(store)
    bgp.set_mesh(store, True)
    assert bgp.mesh(store)


def test_the_default_as_number_is_64511_unless_somebody_says_otherwise(store):
    assert bgp.default_as(store) == 64511
    bgp.set_default_as(store, 65546)
    assert value(store, keys.DEFAULT_AS) == "65546"
    assert bgp.default_as(store) == 65546


@pytest.mark.parametrize("host", [None, "h1"])
def test_settings_are_set_and_removed(store, host):
    assert bgp.setting(store, "loglevel", host) is None
    assert bgp.set_setting(store, "loglevel", "debug", host)
    assert not bgp.set_setting(store, "loglevel", "debug", host)
    assert bgp.setting(store, "loglevel", host) == "debug"
    assert bgp.remove_setting(store, "loglevel", host)
    assert not bgp.remove_setting(store, "loglevel", host)
