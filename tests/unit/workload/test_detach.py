"""Taking an interface away does every step, and says what could not be done."""

import pytest
from netaddr import IPAddress

from calico_ctl.errors import CalicoError, NotFound
from calico_ctl.host import intents
from calico_ctl.workload import attach, detach
from calico_ctl.workload.attach import Attachment
from calico_ctl.workload.workload import Workload
from tests.support.machine import CONTAINER, Machine, Unplugged

WEB = Workload("docker", CONTAINER, "web", "/proc/42/ns/net")


@pytest.fixture
def machine(tmp_path, monkeypatch) -> Machine:
    monkeypatch.setattr(intents, "DIRECTORY", tmp_path)
    machine = Machine()
    attach.attach(machine, Attachment(WEB, IPAddress("192.168.1.5")))
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
