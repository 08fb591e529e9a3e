"""Containers whose host has got another address; real ones are in tests/system."""

import os
from dataclasses import replace

import pytest
from netaddr import IPAddress

from calico_ctl.datastore import endpoints, nodes
from calico_ctl.docker_api.client import Engine
from calico_ctl.errors import CalicoError, CommandFailed
from calico_ctl.host import intents, namespaces
from calico_ctl.model import names
from calico_ctl.model.container import Container
from calico_ctl.model.endpoint import DOCKER, NAMESPACE, Endpoint, EndpointKey, State
from calico_ctl.model.node import Node
from calico_ctl.workload import attach, gateways
from calico_ctl.workload.attach import Attachment
from calico_ctl.workload.workload import Workload
from tests.support.machine import CONTAINER, GATEWAY, HOST, Machine

NEW, NEW6 = IPAddress("10.99.0.12"), IPAddress("fd99::12")
MOVED = Node(HOST, NEW, NEW6)
PATH = "/run/netns/a-b_c"


class Containers(Engine):
    """An engine that knows the containers of a machine made of fakes."""

    def __init__(self, machine: Machine) -> None:
        super().__init__({"DOCKER_HOST": "unix:///nowhere"})
        self._machine = machine

    def container(self, name_or_id: str) -> Container:
        return self._machine.docker.container(name_or_id)


@pytest.fixture
def machine(tmp_path, monkeypatch) -> Machine:
    """A machine whose container web, in this test's own namespace, has 192.168.1.5."""
    monkeypatch.setattr(intents, "DIRECTORY", tmp_path)
    machine = Machine()
    web = replace(machine.docker.containers["web"], pid=os.getpid())
    machine.docker.containers["web"] = web
    workload = Workload(DOCKER, CONTAINER, "web", f"/proc/{web.pid}/ns/net")
    attach.attach(machine, Attachment(workload, (IPAddress("192.168.1.5"),)))
    return machine


def follow(machine: Machine, node: Node = MOVED) -> list[str]:
    said: list[str] = []
    gateways.follow(machine, Containers(machine), node, said.append)
    return said


def stored(machine: Machine, orchestrator: str = DOCKER) -> Endpoint:
    ((endpoint,), problems) = endpoints.all(machine.store, HOST, orchestrator)
    assert not problems
    return endpoint


def inside(machine: Machine) -> tuple[IPAddress, ...]:
    (interface,) = machine.network.plugged.values()
    return interface.gateways


def test_a_running_container_gets_it_inside_and_in_etcd_and_nothing_else_changes(machine):
    before = stored(machine)
    assert follow(machine) == ["1 container gets this host's new address as their gateway"]
    assert inside(machine) == (NEW,)
    assert stored(machine) == replace(before, ipv4_gateway=NEW)


def test_a_host_that_did_not_move_writes_nothing(machine):
    writes, before = machine.store.writes, dict(machine.network.plugged)
    assert follow(machine, Node(HOST, GATEWAY, NEW6)) == []
    assert (machine.store.writes, machine.network.plugged) == (writes, before)


@pytest.mark.parametrize("state", ["stopped", "gone"])
def test_a_container_that_does_not_run_gets_it_at_its_next_start(machine, state):
    machine.docker.kill(CONTAINER)
    if state == "gone":
        machine.docker.remove(CONTAINER)
    machine.network.plugged.clear()
    follow(machine)
    assert stored(machine).ipv4_gateway == NEW


def test_each_family_has_its_own(machine):
    key = stored(machine).key
    endpoints.edit(machine.store, key, lambda seen: seen.with_gateway(IPAddress("fd99::1")))
    follow(machine)
    assert (stored(machine).ipv4_gateway, stored(machine).ipv6_gateway) == (NEW, NEW6)
    assert inside(machine) == (NEW, NEW6)


def test_what_cannot_be_changed_is_said_and_tried_again_next_time(machine):
    machine.network.fail = CommandFailed("the kernel refused")
    with pytest.raises(CalicoError, match=r"not every container .*the kernel refused"):
        follow(machine)
    assert stored(machine).ipv4_gateway == GATEWAY
    machine.network.fail = None
    follow(machine)
    assert inside(machine) == (NEW,)
    assert stored(machine).ipv4_gateway == NEW


def test_one_that_ends_meanwhile_is_no_failure(machine, monkeypatch):
    def ends(interface: object) -> None:
        machine.network.plugged.clear()
        raise CommandFailed("there is no such device")

    monkeypatch.setattr(machine.network, "reconfigure", ends)
    follow(machine)
    assert stored(machine).ipv4_gateway == NEW


@pytest.mark.parametrize("path", ["/run/netns/a", PATH, "/a/b-/-c", "/x__y/_-z"])
def test_the_path_of_a_namespace_is_had_from_its_id(path):
    assert gateways.path_of(names.namespace_workload_id(path)) == path


@pytest.mark.parametrize("there", [True, False])
def test_a_namespace_is_found_by_its_path(machine, monkeypatch, there):
    endpoints.remove(machine.store, stored(machine).key)
    machine.network.plugged.clear()
    workload = Workload(NAMESPACE, names.namespace_workload_id(PATH), PATH, PATH)
    attach.attach(machine, Attachment(workload, (IPAddress("192.168.1.6"),)))
    if there:
        monkeypatch.setattr(namespaces, "require_foreign", lambda path: None)
    follow(machine)
    assert inside(machine) == (NEW if there else GATEWAY,)
    assert stored(machine, NAMESPACE).ipv4_gateway == NEW


def test_endpoints_of_other_orchestrators_and_hosts_are_left_alone(machine):
    made = []
    for host, orchestrator in ((HOST, "mesos"), ("host2", DOCKER)):
        key = EndpointKey(host, orchestrator, "w", "e")
        made.append(Endpoint(key, State.ACTIVE, "calie", None, ipv4_gateway=GATEWAY))
        endpoints.create(machine.store, made[-1])
    nodes.register(machine.store, Node("host2", GATEWAY))
    follow(machine)
    assert [endpoints.get(machine.store, each.key)[0] for each in made] == made
