"""Removing a host that is gone: nothing of it stays, and nothing of others goes."""

from random import Random

import pytest
from netaddr import IPAddress

from calico_ctl.datastore import addresses, bgp, endpoints, nodes, status
from calico_ctl.datastore.status import AgentStatus, EndpointStatus, ServiceStatus
from calico_ctl.errors import Conflict, DatastoreUnavailable, NotFound
from calico_ctl.model import keys
from calico_ctl.model.bgp import BgpPeer
from calico_ctl.model.endpoint import DOCKER, Endpoint, EndpointKey, State
from calico_ctl.model.node import Node
from calico_ctl.model.root import ROOT
from calico_ctl.workload import node_removal
from calico_ctl.workload.node_removal import Removed
from tests.support.memory_store import MemoryStore

HERE, GONE = "host1", "host2"


def give_it_an_endpoint(store: MemoryStore, host: str, name: str, ip: str) -> None:
    addresses.claim(store, host, IPAddress(ip), name, Random(1))
    key = EndpointKey(host, DOCKER, name, name)
    endpoints.create(
        store, Endpoint(key, State.ACTIVE, f"cali{name}", None, addresses=(IPAddress(ip),))
    )
    status.write_endpoint(store, key, EndpointStatus(status.UP, 1))


@pytest.fixture
def store() -> MemoryStore:
    """A cluster of two hosts, each with an endpoint, whose services do not report."""
    store = MemoryStore()
    for number, host in enumerate((HERE, GONE), 1):
        nodes.register(store, Node(host, IPAddress(f"10.99.0.{number}"), as_number=65000 + number))
        give_it_an_endpoint(store, host, f"web{number}", f"192.168.{number}.5")
    return store


def mentioning(store: MemoryStore, text: str) -> list[str]:
    return [e.key for e in store.tree(ROOT).entries if text in e.key + (e.value or "")]


def contents(store: MemoryStore) -> list[tuple[str, str | None]]:
    return [(each.key, each.value) for each in store.tree(ROOT).entries]


def test_nothing_of_the_host_stays_and_all_of_the_others(store):
    others = mentioning(store, HERE) + mentioning(store, "web1")
    bgp.set_peer(store, BgpPeer(IPAddress("10.0.0.9"), 65000), GONE)
    assert node_removal.remove(store, GONE, HERE, force=False) == Removed(1, 1)
    assert mentioning(store, GONE) == []
    assert mentioning(store, "web2") == []
    assert addresses.assigned(store, IPAddress("192.168.2.5")) is None
    assert mentioning(store, HERE) + mentioning(store, "web1") == others


def test_a_host_that_is_not_there_is_not_found_and_those_that_are_get_named(store):
    before = contents(store)
    for name in ("host22", "", "..", "host2/workload"):
        with pytest.raises(NotFound, match="does not exist") as caught:
            node_removal.remove(store, name, HERE, force=True)
        assert "etcd knows host1, host2" in caught.value.hint
    assert contents(store) == before
    with pytest.raises(NotFound) as caught:
        node_removal.remove(store, "hots2", HERE, force=False)
    assert caught.value.hint.startswith("did you mean host2?")
    with pytest.raises(NotFound) as caught:
        node_removal.remove(MemoryStore(), GONE, HERE, force=False)
    assert caught.value.hint == "etcd knows no host at all"


def test_a_second_removal_finds_nothing_more(store):
    node_removal.remove(store, GONE, HERE, force=False)
    with pytest.raises(NotFound):
        node_removal.remove(store, GONE, HERE, force=False)
    node_removal.forget(store, GONE)


@pytest.mark.parametrize("by_agent", [True, False])
def test_a_host_whose_services_report_is_removed_only_by_force(store, by_agent):
    if by_agent:
        status.write_agent(store, GONE, AgentStatus("now"))
    else:
        status.write_service(store, GONE, status.ROUTING, ServiceStatus("now"))
    before = contents(store)
    service = status.FELIX if by_agent else status.ROUTING
    with pytest.raises(Conflict, match=rf"host2 is alive.*60 s \({service}\)") as caught:
        node_removal.remove(store, GONE, HERE, force=False)
    assert "node stop --force" in caught.value.hint
    assert contents(store) == before
    node_removal.remove(store, GONE, HERE, force=True)
    assert mentioning(store, GONE) == []


def test_a_host_is_dead_once_its_last_report_has_run_out(store):
    status.write_agent(store, GONE, AgentStatus("then"))
    store.advance(status.LIFETIME + 1)
    assert node_removal.remove(store, GONE, HERE, force=False).endpoints == 1


def test_this_host_is_stopped_rather_than_removed(store):
    with pytest.raises(Conflict, match="host1 is this host") as caught:
        node_removal.remove(store, HERE, HERE, force=False)
    assert "node stop --force" in caught.value.hint
    node_removal.remove(store, HERE, HERE, force=True)
    assert node_removal.known(store) == [GONE]


def test_endpoints_that_nobody_can_read_go_as_well(store):
    store.put(f"{keys.workloads(GONE)}/docker/x/endpoint/broken", "not JSON")
    assert node_removal.remove(store, GONE, HERE, force=False) == Removed(1, 1)
    assert mentioning(store, GONE) == []


class Breaking(MemoryStore):
    """A store that goes away after so many more writes."""

    def __init__(self) -> None:
        super().__init__()
        self.left: int | None = None

    def _begin(self, *, reading: bool = False) -> None:
        super()._begin(reading=reading)
        if self.left is not None and not reading:
            if self.left == 0:
                raise DatastoreUnavailable(self.address, "it broke")
            self.left -= 1


def left(store: MemoryStore) -> list[str]:
    """Return what is left; a handle may name too many blocks after a crash (`ipam check`)."""
    found = mentioning(store, GONE) + mentioning(store, "web2")
    return [key for key in found if not key.startswith(keys.handles())]


def test_a_removal_that_broke_off_anywhere_is_repeated():
    for writes in range(100):
        broken = Breaking()
        nodes.register(broken, Node(GONE, IPAddress("10.99.0.2")))
        give_it_an_endpoint(broken, GONE, "web2", "192.168.2.5")
        broken.left = writes
        try:
            node_removal.remove(broken, GONE, HERE, force=False)
        except DatastoreUnavailable:
            broken.left = None
            if left(broken):
                node_removal.remove(broken, GONE, HERE, force=False)
            assert left(broken) == []
        else:
            assert writes > 5
            return
    pytest.fail("it never came to an end")
