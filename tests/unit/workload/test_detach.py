"""Taking an interface away does every step, and says what could not be done."""

import pytest
from netaddr import IPAddress

from calico_ctl.datastore import endpoints
from calico_ctl.errors import CalicoError, DatastoreUnavailable, NotFound
from calico_ctl.host import intents
from calico_ctl.model.endpoint import Endpoint, EndpointKey, State
from calico_ctl.workload import attach, detach
from calico_ctl.workload.attach import Attachment
from calico_ctl.workload.workload import Workload
from tests.support.machine import CONTAINER, HOST, Machine, Unplugged

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


def test_other_hosts_are_told_before_the_address_is_free(machine):
    gone: list[str] = []
    machine.store.before = lambda verb, key: gone.append(key) if verb == "delete" else None
    detach.detach(machine, WEB)
    assert "/endpoint/" in gone[0]
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
