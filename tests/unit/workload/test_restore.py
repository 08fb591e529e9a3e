"""An endpoint whose workload stops and starts keeps what it has."""

import pytest
from netaddr import IPAddress, IPNetwork

from calico_ctl.datastore import endpoints, pools, status
from calico_ctl.errors import CalicoError, DeadlineExceeded
from calico_ctl.host import intents
from calico_ctl.model.endpoint import Endpoint, State
from calico_ctl.model.pool import Pool
from calico_ctl.workload import attach, restore
from calico_ctl.workload.attach import Attachment
from calico_ctl.workload.workload import Workload
from tests.support.machine import CONTAINER, HOST, Machine

NETNS, ELSEWHERE = "/run/netns/one", "/run/netns/other"
WEB = Workload("docker", CONTAINER, "web", NETNS)
REQUESTS = (IPAddress("192.168.1.5"), IPAddress("192.168.1.6"))


@pytest.fixture
def machine(tmp_path, monkeypatch) -> Machine:
    monkeypatch.setattr(intents, "DIRECTORY", tmp_path)
    return Machine()


def stored(machine: Machine) -> Endpoint:
    (endpoint,) = endpoints.of_workload(machine.store, HOST, "docker", CONTAINER)
    return endpoint


def test_a_suspended_endpoint_keeps_all_but_its_interface(machine):
    before = attach.attach(machine, Attachment(WEB, REQUESTS, profiles=("web",)))
    restore.suspend(machine, before)
    assert stored(machine) == before.with_state(State.INACTIVE)
    assert machine.network.plugged == {}


def test_a_restored_endpoint_has_the_same_interface_as_before(machine):
    before = attach.attach(machine, Attachment(WEB, REQUESTS, "eth7", ("web",)))
    interfaces = dict(machine.network.plugged)
    restore.suspend(machine, before)
    assert restore.connect(machine, stored(machine), NETNS, 10.0) == before
    assert stored(machine) == before
    assert machine.network.plugged == interfaces


def test_what_works_already_is_not_touched(machine):
    before = attach.attach(machine, Attachment(WEB, REQUESTS))
    machine.network.unplugged.clear()
    entries = machine.store.tree("/calico/host").entries
    restore.connect(machine, before, NETNS, 10.0)
    assert machine.network.unplugged == []
    assert machine.store.tree("/calico/host").entries == entries


def test_an_interface_in_a_former_namespace_is_replaced_although_nobody_told_of_the_stop(machine):
    before = attach.attach(machine, Attachment(WEB, REQUESTS))
    restore.connect(machine, before, ELSEWHERE, 10.0)
    (interface,) = machine.network.plugged.values()
    assert interface.netns == ELSEWHERE
    assert stored(machine).state is State.ACTIVE


def test_a_report_of_a_former_interface_counts_for_nothing(machine):
    before = attach.attach(machine, Attachment(WEB, REQUESTS))
    machine.store.answer = lambda revision: None
    with pytest.raises(DeadlineExceeded):
        restore.connect(machine, before, ELSEWHERE, 3.0)


def test_an_agent_that_refuses_is_an_error(machine):
    before = attach.attach(machine, Attachment(WEB, REQUESTS))
    restore.suspend(machine, before)
    machine.store.answer = lambda revision: status.EndpointStatus(status.ERROR, revision, "why not")
    with pytest.raises(CalicoError, match="why not"):
        restore.connect(machine, stored(machine), NETNS, 3.0)


def test_the_interface_knows_what_tunnels_take_of_its_packets(machine):
    pools.remove(machine.store, IPNetwork("192.168.0.0/16"))
    pools.create(machine.store, Pool(IPNetwork("192.168.0.0/16"), vxlan=True))
    made = attach.attach(machine, Attachment(WEB, REQUESTS))
    assert machine.network.plugged[made.name].overhead == 50
