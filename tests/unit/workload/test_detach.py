"""Taking an interface away does every step, and says what could not be done."""

from contextlib import suppress
from itertools import count

import pytest
from netaddr import IPAddress

from calico_ctl.datastore import address_check, addresses, endpoints
from calico_ctl.errors import CalicoError, DatastoreUnavailable, NotFound
from calico_ctl.host import intents
from calico_ctl.ipam import check
from calico_ctl.ipam.check import Kind
from calico_ctl.model.endpoint import Endpoint, EndpointKey, State
from calico_ctl.workload import attach, detach
from calico_ctl.workload.attach import Attachment
from calico_ctl.workload.workload import Workload
from tests.support.machine import CONTAINER, HOST, Killed, Machine, Unplugged

WEB = Workload("docker", CONTAINER, "web", "/proc/42/ns/net")


@pytest.fixture
def machine(tmp_path, monkeypatch) -> Machine:
    monkeypatch.setattr(intents, "DIRECTORY", tmp_path)
    machine = Machine()
    attach.attach(machine, Attachment(WEB, (IPAddress("192.168.1.5"),)))
    return machine


def test_a_detached_container_leaves_nothing(machine):
    detach.detach(machine, WEB)
    assert machine.left() == []
    assert list(intents.DIRECTORY.iterdir()) == []


def test_a_container_without_an_endpoint_is_told_so(machine):
    detach.detach(machine, WEB)
    with pytest.raises(NotFound, match="web has no Calico networking"):
        detach.detach(machine, WEB)


def test_a_step_that_fails_does_not_keep_the_others_from_being_done(machine, monkeypatch):
    def refuse(_: str) -> bool:
        raise Unplugged("stuck")

    monkeypatch.setattr(machine.network, "unplug", refuse)
    with pytest.raises(CalicoError, match="stuck") as caught:
        detach.detach(machine, WEB)
    assert "calico-node" in caught.value.hint
    assert machine.left() == list(machine.network.plugged)
    assert len(list(intents.DIRECTORY.iterdir())) == 1


def test_every_endpoint_of_a_container_goes_and_those_of_others_stay(machine):
    for workload, id_ in ((CONTAINER, "0b" * 16), ("d" * 64, "0c" * 16)):
        key = EndpointKey(HOST, "docker", workload, id_)
        endpoints.create(machine.store, Endpoint(key, State.ACTIVE, f"cali{id_[:11]}", None, ()))
    detach.detach(machine, WEB)
    left, _ = endpoints.all(machine.store, HOST)
    assert [endpoint.key.id for endpoint in left] == ["0c" * 16]


@pytest.mark.parametrize("transactional", [False, True])
def test_an_address_is_free_when_it_has_no_interface_and_no_endpoint_any_more(
    machine, transactional
):
    """At whatever request it is killed; the rest is done later."""
    machine.store.transactional = transactional
    for request in count():
        (endpoint,) = endpoints.of_workload(machine.store, HOST, "docker", CONTAINER)
        machine.store.kill_at(request)
        with suppress(Killed):
            detach.detach_endpoint(machine, endpoint)
            break
        machine.store.revive()
        published = endpoints.all(machine.store)[0] != []
        is_free = addresses.assigned(machine.store, endpoint.addresses[0]) is None
        assert not is_free or not (published or machine.network.plugged)
        assert published != is_free or not transactional
        found = {finding.kind for finding in check.check(address_check.read(machine.store))}
        assert found <= (set() if transactional else {Kind.LEAKED, Kind.HANDLE, Kind.AFFINITY})
        assert attach.recover(machine) == [endpoint.key]
        assert machine.left() == []
        attach.attach(machine, Attachment(WEB, endpoint.addresses))
    assert request >= 2
    machine.store.revive()
    assert machine.left() == []


def test_without_etcd_the_interface_goes_and_the_rest_is_finished_later(machine):
    (endpoint,) = endpoints.of_workload(machine.store, HOST, "docker", CONTAINER)

    def unreachable(verb: str, key: str) -> None:
        raise DatastoreUnavailable("127.0.0.1:4001", "connection refused")

    machine.store.before = unreachable
    with pytest.raises(CalicoError, match="could not be removed completely"):
        detach.detach_endpoint(machine, endpoint)
    assert machine.network.plugged == {}

    machine.store.before = lambda verb, key: None
    assert attach.recover(machine) == [endpoint.key]
    assert machine.left() == []
