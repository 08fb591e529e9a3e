"""`calicoctl ipam` on a real etcd, with real processes."""

import json
from random import Random

import pytest
from netaddr import IPAddress

from calico_ctl.datastore import addresses, endpoints, nodes
from calico_ctl.datastore.etcd import Etcd, EtcdSettings
from calico_ctl.model.endpoint import DOCKER, Endpoint, EndpointKey, State
from calico_ctl.model.node import Node

pytestmark = pytest.mark.integration

WEB = EndpointKey("h1", DOCKER, "c" * 64, "web")


@pytest.fixture
def store(etcd):
    """An etcd with a host, an endpoint that has 192.168.0.5, and a leak: 192.168.0.9."""
    store = Etcd(EtcdSettings("127.0.0.1", etcd.port, connect_timeout=30.0, timeout=30.0))
    nodes.register(store, Node("h1", IPAddress("172.16.0.1")))
    for ip, owner in (("192.168.0.5", "web"), ("192.168.0.9", "gone")):
        addresses.claim(store, "h1", IPAddress(ip), owner, Random(1))
    web = Endpoint(WEB, State.ACTIVE, "caliweb", None, addresses=(IPAddress("192.168.0.5"),))
    endpoints.create(store, web)
    yield store
    store.close()


def test_addresses_are_looked_up_and_released(store, shell) -> None:
    (item,) = json.loads(shell.done("ipam info 192.168.0.5 --output=json"))["items"]
    assert (item["hostname"], item["handle"], item["pool"]) == ("h1", "web", "192.168.0.0/16")
    assert "is not assigned; it is in pool 192.168.0.0/16" in shell.refused("ipam info 192.168.1.1")
    assert "belongs to endpoint web" in shell.refused("ipam release 192.168.0.5 --wait=0")
    assert shell.done("ipam release 192.168.0.9 --wait=100ms") == "address 192.168.0.9 is free\n"
    assert "is not assigned" in shell.refused("ipam release 192.168.0.9 --wait=0")


def test_leaks_are_found_and_repaired(store, shell) -> None:
    found = shell.run("ipam check --wait=0 --output=name")
    assert (found.exit, found.out) == (1, "192.168.0.9\n")
    assert "192.168.0.9 | is claimed by gone" in shell.done("ipam check --fix --wait=100ms")
    assert shell.done("ipam check") == "nothing is wrong with the addresses\n"
    owner = addresses.assigned(store, IPAddress("192.168.0.5"))
    assert owner is not None
    assert owner.id == "web"
