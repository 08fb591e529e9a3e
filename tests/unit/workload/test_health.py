"""What is asked, and what is judged; the words are shown in tests/unit/commands/test_status.py."""

from dataclasses import dataclass, replace
from typing import NoReturn

import pytest

from calico_ctl.datastore import status
from calico_ctl.datastore.status import AgentStatus, ServiceStatus
from calico_ctl.datastore.store import Entry
from calico_ctl.errors import CalicoError, DatastoreUnavailable, DockerUnavailable, InvalidValue
from calico_ctl.model.container import OwnContainer
from calico_ctl.workload import health
from calico_ctl.workload.complaints import complaints
from calico_ctl.workload.health import Health, Stored
from tests.support.cli import Untouched
from tests.support.machine import HOST, FakeDocker, Machine

RUNNING = OwnContainer(True, "Up 1 second", {"CALICO_NETWORKING": "true"})
STORED = Stored("true", agent=None)


@dataclass
class Misconfigured:
    """A host whose environment does not say where etcd is."""

    docker: FakeDocker
    hostname: str = HOST

    @property
    def store(self) -> NoReturn:
        raise InvalidValue("ETCD_AUTHORITY", "x", "<host>:<port>")


def what(found: Health) -> list[str]:
    return [each.what for each in complaints(found)]


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


def test_only_a_node_that_runs_offers_the_docker_api() -> None:
    variables = {"CALICO_DOCKER_PROXY": "10.0.0.1:2378"}
    shown = str(Health(HOST, OwnContainer(True, "", variables), "", STORED, None).docker_proxy)
    assert shown == "10.0.0.1:2378"
    for container in (OwnContainer(False, "", variables), None, CalicoError("no Docker")):
        assert Health(HOST, container, "", STORED, None).docker_proxy is None


def test_the_services_that_shall_report_follow_from_what_the_container_was_told() -> None:
    everything = {"CALICO_METRICS": "127.0.0.1:9091"}
    found = Health(HOST, OwnContainer(True, "", everything), "", STORED, None)
    assert found.expected == {"routing", "lifecycle", "docker-proxy", "metrics"}
    assert str(found.metrics) == "127.0.0.1:9091"
    off = {"CALICO_NETWORKING": "false", "CALICO_DOCKER_PROXY": "off", "CALICO_METRICS": "off"}
    found = Health(HOST, OwnContainer(True, "", off), "", STORED, None)
    assert found.expected == {"lifecycle"}
    assert found.metrics is None
    for variables in ({}, {"CALICO_METRICS": "nonsense"}):
        assert Health(HOST, OwnContainer(True, "", variables), "", STORED, None).metrics is None
    stopped = Health(HOST, OwnContainer(False, "", everything), "", STORED, None)
    assert stopped.expected == frozenset()


def test_services_come_in_their_order_and_unknown_ones_after_them() -> None:
    reports = {name: ServiceStatus("now") for name in ("tunnels", "lifecycle", "routing", "a")}
    expected = frozenset({"metrics"})
    assert health.in_order(reports, expected) == [
        "routing",
        "lifecycle",
        "metrics",
        "a",
        "tunnels",
    ]
    assert health.called("tunnels") == "tunnels service"


def test_how_long_etcd_took_is_told() -> None:
    machine = Machine()
    machine.docker.own[health.NODE] = RUNNING
    first = [True]

    get = machine.store.get

    def slowly(key: str) -> Entry | None:
        if first:
            first.clear()
            machine.clock.sleep(0.0125)
        return get(key)

    machine.store.get = slowly  # type: ignore[method-assign]
    stored = health.look(machine).stored
    assert isinstance(stored, Stored)
    assert (stored.latency_ms, stored.member) == (12.5, "memory:0")


NOW = AgentStatus(since="2026-11-24T08:46:51Z", pid=7, in_sync_revision=20, last_update_ms=2.0)
BEFORE = replace(NOW, in_sync_revision=10, last_update_ms=1.0)


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        (status.encode_agent(NOW), NOW),
        (status.encode_agent(replace(NOW, pid=8)), BEFORE),
        (status.encode_agent(replace(NOW, since="2026-11-24T08:46:50Z")), BEFORE),
        ("[1, 2]", BEFORE),
        ("", BEFORE),
    ],
    ids=["itself", "another's", "a former one's", "nonsense", "nobody answers"],
)
def test_an_agent_that_can_be_asked_says_how_far_it_is_by_now(said, shown) -> None:
    machine = Machine(agent=said)
    status.write_agent(machine.store, HOST, BEFORE)
    stored = health.look(machine).stored
    assert isinstance(stored, Stored)
    assert stored.agent == shown


def test_an_agent_that_reports_to_another_etcd_is_not_taken_for_this_ones() -> None:
    stored = health.look(Machine(agent=status.encode_agent(NOW))).stored
    assert isinstance(stored, Stored)
    assert stored.agent is None
