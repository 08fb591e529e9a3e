"""Stopping a node; starting one needs a real host (tests/system/test_node.py)."""

import pytest
from netaddr import IPAddress

from calico_ctl.datastore import nodes
from calico_ctl.docker_api import etcd_container, node_container
from calico_ctl.docker_api.client import Engine
from calico_ctl.docker_api.request import ContainerRequest
from calico_ctl.errors import CalicoError, Conflict, DatastoreUnavailable
from calico_ctl.host import intents
from calico_ctl.model.node import Node
from calico_ctl.workload import attach, node
from calico_ctl.workload.attach import Attachment
from calico_ctl.workload.workload import Workload
from tests.support.machine import CONTAINER, HOST, Machine

NOBODY = Engine({"DOCKER_HOST": "unix:///nowhere"})


class Containers(Engine):
    """An engine with an image and the containers of a node, and no more."""

    def __init__(self, *names: str, images: tuple[str, ...] = ("image",)) -> None:
        super().__init__({"DOCKER_HOST": "unix:///nowhere"})
        self.running, self.images = list(names), images
        self.done: list[str] = []

    def is_running(self, name: str) -> bool:
        return name in self.running

    def image_of(self, name: str) -> str | None:
        return None

    def image_id(self, image: str) -> str | None:
        return image if image in self.images else None

    def stop_and_remove(self, name: str) -> bool:
        self.done.append(f"stop {name}")
        was_there = name in self.running
        self.running = [each for each in self.running if each != name]
        return was_there

    def run_to_end(self, wanted: ContainerRequest) -> str:
        self.done.append(f"run {wanted.body['Cmd']}")
        return ""


@pytest.fixture
def machine(tmp_path, monkeypatch) -> Machine:
    monkeypatch.setattr(intents, "DIRECTORY", tmp_path)
    return Machine()


@pytest.fixture
def engine() -> Containers:
    return Containers(node_container.NAME, etcd_container.NAME)


def give_it_a_container(machine: Machine) -> None:
    web = Workload("docker", CONTAINER, "web", "/proc/42/ns/net")
    attach.attach(machine, Attachment(web, (IPAddress("192.168.1.5"),)))


def stop(machine: Machine, engine: Engine, *, force: bool = False) -> list[str]:
    said: list[str] = []
    node.stop(machine, engine, "image", force=force, say=said.append)
    return said


def test_a_node_with_networked_containers_is_not_stopped_unless_forced(machine):
    give_it_a_container(machine)
    with pytest.raises(Conflict, match="1 endpoint") as caught:
        stop(machine, NOBODY)
    assert "--force" in caught.value.hint
    assert len(machine.network.plugged) == 1


def test_force_takes_the_network_from_the_containers_first(machine, engine):
    give_it_a_container(machine)
    stop(machine, engine, force=True)
    assert machine.left() == []
    assert nodes.get(machine.store, HOST) is None


def test_the_services_end_before_the_kernel_is_cleaned_and_etcd_goes_last(machine, engine):
    assert stop(machine, engine) == []
    assert engine.done == [
        f"stop {node_container.NAME}",
        "run ['daemon', 'cleanup']",
        f"stop {etcd_container.NAME}",
    ]
    assert nodes.get(machine.store, HOST) is None


def test_an_etcd_that_other_nodes_may_use_stays(machine, engine):
    nodes.register(machine.store, Node("host2", IPAddress("10.99.0.2")))
    (said,) = stop(machine, engine)
    assert "host2" in said
    assert engine.running == [etcd_container.NAME]


def test_without_its_image_all_but_the_kernel_is_done_and_that_is_said(machine):
    engine = Containers(node_container.NAME, images=())
    with pytest.raises(CalicoError, match="image image is not there"):
        stop(machine, engine)
    assert engine.running == []
    assert nodes.get(machine.store, HOST) is None


def test_without_etcd_only_force_stops_the_services(machine, engine):
    machine.store.fail("connection refused")
    with pytest.raises(DatastoreUnavailable):
        stop(machine, engine)
    assert engine.done == []
    with pytest.raises(CalicoError, match=r"not stopped completely: .*connection refused"):
        stop(machine, engine, force=True)
    assert node_container.NAME not in engine.running
    assert "run ['daemon', 'cleanup']" in engine.done
