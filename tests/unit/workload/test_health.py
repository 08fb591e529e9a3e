"""What is asked, and what is judged; the words are shown in tests/unit/commands/test_status.py."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NoReturn

import pytest

from calico_ctl.datastore.status import ServiceStatus
from calico_ctl.errors import CalicoError, DatastoreUnavailable, DockerUnavailable, InvalidValue
from calico_ctl.model.container import OwnContainer
from calico_ctl.workload import health
from calico_ctl.workload.health import Health, Stored
from tests.support.cli import Untouched
from tests.support.machine import HOST, FakeDocker, Machine

RUNNING = OwnContainer(True, "Up 1 second", {"CALICO_NETWORKING": "true"})
STORED = Stored(ready=True, agent=None, routing=None, refused={}, left_out={})


@dataclass
class Misconfigured:
    """A host whose environment does not say where etcd is."""

    docker: FakeDocker
    hostname: str = HOST

    @property
    def store(self) -> NoReturn:
        raise InvalidValue("ETCD_AUTHORITY", "x", "<host>:<port>")


def what(found: Health) -> list[str]:
    return [each.what for each in health.complaints(found)]


def test_whoever_cannot_be_asked_is_found_as_the_error() -> None:
    machine = Machine()
    machine.docker.fail = DockerUnavailable("no Docker")
    machine.store.fail("no etcd")
    found = health.look(machine)
    assert (found.host, found.etcd, found.sessions) == (HOST, "memory:0", None)
    assert isinstance(found.container, DockerUnavailable)
    assert isinstance(found.stored, DatastoreUnavailable)
    assert what(found) == ["no Docker", "cannot reach etcd at memory:0 (no etcd)"]


def test_an_address_of_etcd_that_makes_no_sense_hides_nothing_else() -> None:
    docker = FakeDocker(own={health.NODE: RUNNING})
    found = health.look(Misconfigured(docker))  # type: ignore[arg-type]
    assert (found.etcd, found.container, found.sessions) == ("", RUNNING, [])
    assert what(found) == ["invalid ETCD_AUTHORITY 'x': expected <host>:<port>"]


def test_a_fault_of_our_own_is_not_taken_for_something_that_does_not_answer() -> None:
    machine = Machine()
    machine.store = Untouched()  # type: ignore[assignment]
    with pytest.raises(AssertionError):
        health.look(machine)


@pytest.mark.parametrize(
    ("container", "complaints"),
    [
        (
            RUNNING,
            [
                "no report of the policy agent",
                "no report of the routing service",
                "no report of the life-cycle service",
                "no report of the Docker API proxy",
            ],
        ),
        (
            OwnContainer(True, "Up", {"CALICO_NETWORKING": "false", "CALICO_DOCKER_PROXY": "off"}),
            ["no report of the policy agent", "no report of the life-cycle service"],
        ),
        (OwnContainer(False, "Exited (0)"), ["calico-node is not running"]),
        (None, ["calico-node is not running"]),
        (CalicoError("no Docker"), ["no Docker", "no report of the policy agent"]),
    ],
)
def test_silence_is_wrong_unless_a_container_that_does_not_run_explains_it(
    container: OwnContainer | CalicoError | None, complaints: Sequence[str]
) -> None:
    found = what(Health(HOST, container, "memory:0", STORED, None))
    assert len(found) == len(complaints)
    assert all(text.startswith(start) for text, start in zip(found, complaints, strict=True))


def test_only_a_node_that_runs_offers_the_docker_api() -> None:
    variables = {"CALICO_DOCKER_PROXY": "10.0.0.1:2378"}
    shown = str(Health(HOST, OwnContainer(True, "", variables), "", STORED, None).docker_proxy)
    assert shown == "10.0.0.1:2378"
    for container in (OwnContainer(False, "", variables), None, CalicoError("no Docker")):
        assert Health(HOST, container, "", STORED, None).docker_proxy is None


def test_all_that_is_wrong_comes_with_what_to_try() -> None:
    service = ServiceStatus("now", "", "trouble", {"web": "no pool"}, {"db": "on bridge"})
    odd = Stored(False, None, None, {"e1": "no"}, {"/k": "why"}, service, service)
    for container in (None, RUNNING, OwnContainer(False, "Exited"), CalicoError("no Docker")):
        for stored in (odd, CalicoError("no etcd")):
            found = Health(HOST, container, "memory:0", stored, CalicoError("no answer"))
            complaints = health.complaints(found)
            assert complaints
            assert all(each.hint for each in complaints)
