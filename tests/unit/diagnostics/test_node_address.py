"""Which address is offered to others."""

import pytest
from netaddr import IPAddress

from calico_ctl.datastore import nodes
from calico_ctl.diagnostics import node_address
from calico_ctl.errors import CalicoError
from calico_ctl.host import addresses
from calico_ctl.host.addresses import LocalAddress
from calico_ctl.model.node import Node
from tests.support.diagnosed import Diagnosed

FIRST, SECOND, SIXTH = (IPAddress(text) for text in ("10.0.0.1", "10.99.0.1", "fd99::1"))


@pytest.fixture
def local(monkeypatch: pytest.MonkeyPatch) -> list[LocalAddress]:
    """A machine's addresses, which a test may change."""
    found = [LocalAddress("eth0", FIRST), LocalAddress("eth1", SECOND)]
    monkeypatch.setattr(addresses, "local", lambda: found)
    monkeypatch.setattr(addresses, "detect_ipv4", lambda: addresses.choose_ipv4(found, []))
    return found


def test_the_nodes_own_address_comes_first(local):
    machine = Diagnosed()
    nodes.register(machine.store, Node("host1", SECOND))
    assert node_address.find(machine) == SECOND


@pytest.mark.parametrize("away", ["connection refused", None])
def test_without_etcd_or_a_node_the_machines_first_one_is_taken(local, away):
    machine = Diagnosed()
    machine.store.fail_with = away
    assert node_address.find(machine) == FIRST


def test_a_node_whose_address_is_not_here_does_not_count(local):
    machine = Diagnosed()
    nodes.register(machine.store, Node("host1", IPAddress("10.5.5.5")))
    assert node_address.find(machine) == FIRST


def test_a_machine_with_ipv6_only_is_reached_by_that(local):
    local[:] = [LocalAddress("eth0", SIXTH)]
    assert node_address.find(Diagnosed()) == SIXTH


def test_a_machine_without_addresses_cannot_be_reached(local):
    local.clear()
    with pytest.raises(CalicoError, match="no address that others could reach"):
        node_address.find(Diagnosed())
