"""Which workload a word on the command line means."""

from dataclasses import replace

import pytest
from netaddr import IPAddress

from calico_ctl.datastore import endpoints
from calico_ctl.errors import CalicoError, Conflict, NotFound
from calico_ctl.model.endpoint import Endpoint, EndpointKey, State
from calico_ctl.workload import workload
from tests.support.machine import CONTAINER, HOST, Machine


@pytest.fixture
def machine() -> Machine:
    return Machine()


def test_a_running_container_is_found_with_its_namespace(machine):
    found = workload.running(machine, "web")
    assert (found.orchestrator, found.id, found.netns) == ("docker", CONTAINER, "/proc/42/ns/net")


def test_a_path_is_a_network_namespace(machine):
    found = workload.known(machine, "/run//netns/my-ns")
    assert (found.orchestrator, found.id) == ("namespace", "-run-netns-my_-ns")
    assert found.netns == "/run/netns/my-ns"


def test_only_a_namespace_that_exists_can_have_an_interface(machine):
    assert workload.running(machine, "/proc/self/ns/net").netns == "/proc/self/ns/net"
    with pytest.raises(NotFound, match="no network namespace at /nowhere/my-ns"):
        workload.running(machine, "/nowhere/my-ns")
    with pytest.raises(CalicoError, match="File name too long"):
        workload.running(machine, f"/{'a' * 300}")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"running": False, "pid": 0}, "not running"),
        ({"network_mode": "host"}, "no network of its own"),
        ({"network_mode": "container:abc"}, "no network of its own"),
    ],
)
def test_a_container_that_cannot_have_an_interface_is_refused(machine, changes, message):
    machine.docker.containers["web"] = replace(machine.docker.containers["web"], **changes)
    with pytest.raises(Conflict, match=message):
        workload.running(machine, "web")


def test_a_container_that_docker_forgot_is_known_by_its_endpoint(machine):
    key = EndpointKey(HOST, "docker", "d" * 64, "e")
    endpoints.create(
        machine.store, Endpoint(key, State.ACTIVE, "calie", None, (), (IPAddress("192.168.1.5"),))
    )
    assert workload.known(machine, "ddd").id == "d" * 64
    with pytest.raises(NotFound):
        workload.known(machine, "eee")
