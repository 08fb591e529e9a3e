"""The life of a container that wishes a network, step by step and out of order."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest
from netaddr import IPAddress, IPNetwork

from calico_ctl.datastore import addresses, endpoints, profiles
from calico_ctl.errors import (
    CalicoError,
    Conflict,
    DeadlineExceeded,
    InvalidValue,
    NoGateway,
    NoSuchPool,
    NotFound,
)
from calico_ctl.host import hosts_file, intents, locks
from calico_ctl.model.address import AnyAddress
from calico_ctl.model.container import Container
from calico_ctl.model.endpoint import Endpoint, State
from calico_ctl.model.wish import Wish
from calico_ctl.workload import attach, containers
from calico_ctl.workload.attach import Attachment
from calico_ctl.workload.workload import Workload
from tests.support.machine import CONTAINER, HOST, Machine

ADDRESS = IPAddress("192.168.1.5")
WISH = Wish((ADDRESS,))
OTHER = "d" * 64


@pytest.fixture
def machine(tmp_path, monkeypatch) -> Machine:
    """A node with one container that wishes 192.168.1.5; our own process stands for its first."""
    monkeypatch.setattr(intents, "DIRECTORY", tmp_path / "intents")
    monkeypatch.setattr(hosts_file, "ROOT", str(tmp_path))
    (tmp_path / "hosts").write_text("127.0.0.1\tlocalhost\n")
    machine = Machine()
    machine.docker.containers["web"] = Container(
        CONTAINER,
        "web",
        True,
        os.getpid(),
        "none",
        ("CALICO_IP=192.168.1.5", "CALICO_PROFILE=web"),
        hostname="www",
        hosts_path="/hosts",
    )
    return machine


def stored(machine: Machine, container: str = CONTAINER) -> list[Endpoint]:
    return endpoints.of_workload(machine.store, HOST, "docker", container)


def connect(machine: Machine) -> str:
    return containers.connect(machine, machine.docker.containers["web"])


def stop(machine: Machine) -> None:
    """Let the container end; the kernel takes its interface along."""
    web = machine.docker.containers["web"]
    machine.docker.containers["web"] = replace(web, running=False, pid=0)
    machine.network.plugged.clear()


def start(machine: Machine) -> None:
    web = machine.docker.containers["web"]
    machine.docker.containers["web"] = replace(web, running=True, pid=os.getpid())


def test_a_started_container_gets_what_it_wishes(machine, tmp_path):
    assert "192.168.1.5" in connect(machine)
    (endpoint,) = stored(machine)
    assert endpoint.addresses == (ADDRESS,)
    assert endpoint.profiles == ("web",)
    assert endpoint.state is State.ACTIVE
    assert list(machine.network.plugged) == [endpoint.name]
    assert profiles.exists(machine.store, "web")
    assert (tmp_path / "hosts").read_text().endswith("192.168.1.5\twww\n")


def test_what_was_reserved_at_creation_is_used_at_the_start(machine):
    start_later = Wish((ADDRESS,), ("db", "web"))
    containers.reserve(machine, CONTAINER, start_later)
    (reserved,) = stored(machine)
    assert reserved.profiles == ("db", "web")
    assert profiles.exists(machine.store, "db")
    assert profiles.exists(machine.store, "web")
    assert reserved.state is State.INACTIVE
    assert machine.network.plugged == {}
    connect(machine)
    assert stored(machine) == [reserved.with_state(State.ACTIVE)]


def test_asking_again_changes_nothing(machine):
    connect(machine)
    (before,) = stored(machine)
    machine.network.unplugged.clear()
    connect(machine)
    assert stored(machine) == [before]
    assert machine.network.unplugged == []


def test_a_stopped_container_keeps_its_address_and_gets_it_again(machine):
    connect(machine)
    (before,) = stored(machine)
    stop(machine)
    connect(machine)
    assert stored(machine) == [before.with_state(State.INACTIVE)]
    with pytest.raises(Conflict, match=r"192\.168\.1\.5"):
        containers.check(machine, WISH)
    start(machine)
    connect(machine)
    assert stored(machine) == [before]


def test_a_container_that_wishes_nothing_is_left_alone(machine):
    web = machine.docker.containers["web"]
    machine.docker.containers["web"] = replace(web, environment=(), network_mode="bridge")
    assert connect(machine) == ""
    assert machine.left() == []


def test_a_container_of_container_add_is_restored_too(machine):
    web = machine.docker.containers["web"]
    machine.docker.containers["web"] = replace(web, environment=(), network_mode="bridge")
    workload = Workload("docker", CONTAINER, "web", "/proc/1/ns/net")
    before = attach.attach(machine, Attachment(workload, (ADDRESS,), "eth7"))
    connect(machine)
    (interface,) = machine.network.plugged.values()
    assert interface.name == "eth7"
    assert stored(machine) == [before]


def test_one_on_a_network_of_dockers_is_left_alone_and_that_is_said(machine):
    web = replace(machine.docker.containers["web"], network_mode="bridge")
    machine.docker.containers["web"] = web
    assert connect(machine) == ""
    assert "--net=bridge" in containers.why_left_alone(web)
    assert containers.why_left_alone(replace(web, network_mode="none")) == ""
    assert containers.why_left_alone(replace(web, environment=())) == ""


def test_a_wish_that_cannot_be_read_is_an_error(machine):
    web = machine.docker.containers["web"]
    machine.docker.containers["web"] = replace(web, environment=("CALICO_IP=web",))
    with pytest.raises(InvalidValue, match="CALICO_IP"):
        connect(machine)


def test_a_container_whose_network_fails_is_stopped_again_and_soon(machine):
    machine.store.answer = lambda revision: None
    with pytest.raises(DeadlineExceeded):
        containers.connect_or_kill(machine, machine.docker.containers["web"])
    assert not machine.docker.containers["web"].running
    assert machine.clock.now < 10


def test_who_has_waited_for_another_door_does_not_wait_for_the_agent_as_long_again(
    machine, monkeypatch
):
    @contextmanager
    def held(_name: str) -> Iterator[None]:
        machine.clock.sleep(containers.CONNECT_SECONDS)
        yield

    monkeypatch.setattr(locks, "held", held)
    machine.store.answer = lambda revision: None
    with pytest.raises(DeadlineExceeded):
        connect(machine)
    assert machine.clock.now < 10


def test_a_container_that_ends_meanwhile_is_no_error(machine):
    def end(verb: str, key: str) -> None:
        if verb == "swap":
            machine.store.before = lambda verb, key: None
            stop(machine)
            raise CalicoError("its namespace is gone")

    machine.store.before = end
    assert "stays reserved" in connect(machine)
    assert [endpoint.state for endpoint in stored(machine)] == [State.INACTIVE]
    assert machine.network.plugged == {}


def test_an_interface_that_cannot_be_made_is_an_error_while_the_container_runs(machine):
    machine.network.fail = CalicoError("no veth today")
    with pytest.raises(CalicoError, match="no veth today"):
        connect(machine)


def test_the_end_of_a_container_gives_everything_back(machine):
    connect(machine)
    assert containers.release(machine, CONTAINER) == 1
    assert machine.left() == []
    assert containers.release(machine, CONTAINER) == 0


def test_a_reservation_that_fails_takes_the_container_away_again(machine):
    containers.reserve(machine, OTHER, WISH)
    with pytest.raises(Conflict):
        containers.reserve(machine, CONTAINER, WISH)
    assert machine.docker.container_ids() == set()
    assert stored(machine) == []


def test_several_addresses_are_one_endpoint(machine):
    containers.reserve(machine, CONTAINER, Wish((AnyAddress.IPV4, IPAddress("192.168.0.0"))))
    (endpoint,) = stored(machine)
    assert len(set(endpoint.addresses)) == 2
    assert IPAddress("192.168.0.0") in endpoint.addresses


@pytest.mark.parametrize(
    ("request_", "error"),
    [
        (IPAddress("10.1.2.3"), NoSuchPool),
        (IPNetwork("10.1.2.0/24"), NoSuchPool),
        (IPAddress("fd80::5"), NoGateway),
    ],
)
def test_addresses_that_cannot_be_had_are_told_before_anything_is_done(machine, request_, error):
    with pytest.raises(error):
        containers.check(machine, Wish((request_,)))
    assert machine.left() == []


def test_a_host_that_is_no_node_is_told_so(machine):
    machine.hostname = "host9"
    with pytest.raises(NotFound, match="not a Calico node"):
        containers.check(machine, WISH)


def test_the_address_of_a_container_that_is_gone_is_free_before_docker_has_told(machine):
    containers.reserve(machine, OTHER, WISH)
    containers.check(machine, WISH)
    assert addresses.assigned(machine.store, ADDRESS) is None


def test_the_address_of_a_container_that_is_there_is_not_free(machine):
    containers.reserve(machine, CONTAINER, WISH)
    with pytest.raises(Conflict, match=r"192\.168\.1\.5"):
        containers.check(machine, WISH)


def test_a_container_that_removes_itself_meanwhile_is_no_error(machine):
    def go(verb: str, key: str) -> None:
        if verb == "swap":
            machine.store.before = lambda verb, key: None
            machine.docker.containers.clear()
            raise CalicoError("its namespace is gone")

    machine.store.before = go
    assert connect(machine) == ""
    assert containers.release(machine, CONTAINER) == 1


def test_an_address_that_is_just_being_released_is_waited_for(machine):
    containers.reserve(machine, OTHER, WISH)
    (endpoint,) = stored(machine, OTHER)
    endpoints.remove(machine.store, endpoint.key)
    waited: list[float] = []

    def release(seconds: float) -> None:
        waited.append(seconds)
        addresses.release_all(machine.store, endpoint.key.id)

    machine.clock.sleep = release
    containers.check(machine, WISH)
    assert len(waited) == 1


def test_an_address_that_another_door_releases_before_we_can_is_free(machine, monkeypatch):
    containers.reserve(machine, OTHER, WISH)
    (endpoint,) = stored(machine, OTHER)

    @contextmanager
    def held(_name: str) -> Iterator[None]:
        endpoints.remove(machine.store, endpoint.key)
        addresses.release_all(machine.store, endpoint.key.id)
        yield

    monkeypatch.setattr(locks, "held", held)
    containers.check(machine, WISH)


def test_an_address_that_nobody_releases_is_not_waited_for_in_vain(machine):
    containers.reserve(machine, OTHER, WISH)
    (endpoint,) = stored(machine, OTHER)
    endpoints.remove(machine.store, endpoint.key)
    with pytest.raises(Conflict):
        containers.check(machine, WISH)
    assert machine.clock.now == pytest.approx(2.0, abs=0.1)


def test_a_process_that_has_ended_although_docker_does_not_say_so_yet_is_no_error(machine):
    child = os.fork()
    if child == 0:
        os._exit(0)
    os.waitid(os.P_PID, child, os.WEXITED | os.WNOWAIT)
    web = machine.docker.containers["web"]
    machine.docker.containers["web"] = replace(web, pid=child)
    assert connect(machine) == ""
    os.waitpid(child, 0)
    assert machine.network.plugged == {}
