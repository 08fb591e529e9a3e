"""More addresses, or fewer, for a container: all of it, or nothing."""

import pytest
from netaddr import IPAddress

from calico_ctl.datastore import addresses as ipam
from calico_ctl.datastore import endpoints, nodes
from calico_ctl.errors import CalicoError, Conflict, DeadlineExceeded, NotFound
from calico_ctl.host import intents
from calico_ctl.model.address import AnyAddress
from calico_ctl.model.endpoint import Endpoint
from calico_ctl.model.node import Node
from calico_ctl.workload import addresses, attach
from calico_ctl.workload.attach import Attachment
from calico_ctl.workload.workload import Workload
from tests.support.machine import CONTAINER, GATEWAY, HOST, Machine, Unplugged

WEB = Workload("docker", CONTAINER, "web", "/run/netns/web")
FIRST, SECOND = IPAddress("192.168.1.5"), IPAddress("192.168.1.6")
SIXTH = IPAddress("fd80:24e2:f998:72d6::5")


@pytest.fixture
def machine(tmp_path, monkeypatch) -> Machine:
    monkeypatch.setattr(intents, "DIRECTORY", tmp_path)
    machine = Machine()
    nodes.register(machine.store, Node(HOST, GATEWAY, IPAddress("fd99::1")))
    attach.attach(machine, Attachment(WEB, (FIRST,)))
    return machine


def stored(machine: Machine) -> Endpoint:
    (endpoint,) = endpoints.of_workload(machine.store, HOST, "docker", CONTAINER)
    return endpoint


def test_a_second_address_is_beside_the_first(machine):
    assert addresses.add(machine, WEB, SECOND) == SECOND
    assert stored(machine).addresses == (FIRST, SECOND)
    (interface,) = machine.network.plugged.values()
    assert interface.addresses == (FIRST, SECOND)
    assert getattr(ipam.assigned(machine.store, SECOND), "id", None) == stored(machine).key.id


def test_an_address_of_another_family_brings_its_gateway_and_takes_it_along(machine):
    addresses.add(machine, WEB, AnyAddress.IPV6)
    (_, sixth) = stored(machine).addresses
    assert stored(machine).ipv6_gateway == IPAddress("fd99::1")
    (interface,) = machine.network.plugged.values()
    assert len(interface.gateways) == 2
    addresses.remove(machine, WEB, sixth)
    assert stored(machine).ipv6_gateway is None
    assert stored(machine).addresses == (FIRST,)
    assert ipam.assigned(machine.store, sixth) is None


def test_even_the_last_address_may_be_removed(machine):
    addresses.remove(machine, WEB, FIRST)
    assert stored(machine).addresses == ()
    (interface,) = machine.network.plugged.values()
    assert interface.addresses == ()
    assert ipam.assigned(machine.store, FIRST) is None


def refuse(machine: Machine, error: type[CalicoError], ip: IPAddress = SECOND) -> str:
    before, plugged = stored(machine), dict(machine.network.plugged)
    with pytest.raises(error) as caught:
        addresses.add(machine, WEB, ip)
    assert stored(machine) == before
    assert machine.network.plugged == plugged
    assert ipam.assigned(machine.store, SECOND) is None
    return str(caught.value)


def test_an_address_that_it_has_already_is_refused(machine):
    assert "already" in refuse(machine, Conflict, FIRST)


def test_an_address_that_was_taken_for_a_leak_meanwhile_is_not_used(machine):
    def free(verb: str, key: str) -> None:
        if verb == "swap" and "/endpoint/" in key:
            ipam.release(machine.store, SECOND, None)

    machine.store.before = free
    assert "address 192.168.1.6 was freed" in refuse(machine, Conflict)


def test_a_silent_agent_changes_nothing(machine):
    machine.store.answer = lambda revision: None
    refuse(machine, DeadlineExceeded)


def test_an_interface_that_refuses_changes_nothing(machine):
    machine.network.fail = Unplugged("no address today")
    with pytest.raises(CalicoError, match="no address today"):
        addresses.add(machine, WEB, SECOND)
    assert stored(machine).addresses == (FIRST,)
    assert ipam.assigned(machine.store, SECOND) is None


def test_what_it_does_not_have_cannot_be_removed(machine):
    with pytest.raises(NotFound, match=r"does not have address 192\.168\.1\.6"):
        addresses.remove(machine, WEB, SECOND)


def test_a_container_without_networking_is_told_of_container_add(machine):
    other = Workload("docker", "d" * 64, "other", "/run/netns/other")
    with pytest.raises(NotFound) as caught:
        addresses.add(machine, other, SECOND)
    assert "container add other" in caught.value.hint


def test_another_interface_than_it_has_is_refused(machine):
    with pytest.raises(CalicoError, match="is eth1, not eth2"):
        addresses.add(machine, WEB, SECOND, "eth2")
