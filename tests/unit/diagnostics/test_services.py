"""Checks of Docker, of ports and of etcd, on engines and stores that are fakes."""

import socket
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta

import pytest

from calico_ctl.datastore import server
from calico_ctl.datastore.server import Server
from calico_ctl.diagnostics import check, services
from calico_ctl.diagnostics.check import Outcome, Result
from calico_ctl.errors import CalicoError, DatastoreUnavailable, DockerUnavailable
from calico_ctl.host import ports
from calico_ctl.model.container import OwnContainer
from calico_ctl.model.etcd_access import EtcdAuthority
from tests.support.diagnosed import Diagnosed, FakeEngine, FakeSettings

AWAY = DockerUnavailable("cannot reach the engine", "start it")
RUNNING = {"calico-node": OwnContainer(running=True, description="Up")}
STOPPED = {"calico-node": OwnContainer(running=False, description="Exited")}


def result(name: str, machine: Diagnosed) -> Result:
    (found,) = check.run([each for each in services.checks(machine) if each.name == name])
    return found


def complaint(name: str, machine: Diagnosed) -> str:
    found = result(name, machine).complaint
    assert found is not None
    assert found.hint
    return found.what


@pytest.mark.parametrize(
    "number", ["20.10.0", "20.10.24+dfsg1", "26.1.5", "29.0.0-rc.1", "master-dockerproject"]
)
def test_engines_from_20_10_on_will_do(number):
    assert result("docker", Diagnosed(docker=FakeEngine(number=number))).outcome is Outcome.OK


@pytest.mark.parametrize("number", ["1.13.1", "19.03.15", "20.9.9"])
def test_older_engines_are_refused(number):
    machine = Diagnosed(docker=FakeEngine(number=number))
    assert result("docker", machine).outcome is Outcome.FAILED
    assert number in complaint("docker", machine)


def test_an_engine_that_does_not_answer_is_a_complaint():
    found = result("docker", Diagnosed(docker=FakeEngine(fail=AWAY)))
    assert found.outcome is Outcome.FAILED
    assert found.complaint == check.Complaint("cannot reach the engine", "start it")


@pytest.fixture
def taken(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """Somebody listens where BIRD and the proxy shall."""
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:
        port = listener.getsockname()[1]
        monkeypatch.setattr(services, "BGP_PORT", port)
        monkeypatch.setattr(services, "PROXY_PORT", port)
        yield port


@pytest.mark.parametrize("name", ["port179", "port2377"])
def test_a_taken_port_is_grave_unless_calico_node_runs(taken, name):
    assert result(name, Diagnosed()).outcome is Outcome.FAILED
    assert result(name, Diagnosed(docker=FakeEngine(own=STOPPED))).outcome is Outcome.FAILED
    assert f"port {taken}" in complaint(name, Diagnosed())
    assert result(name, Diagnosed(docker=FakeEngine(own=RUNNING))).outcome is Outcome.OK


@pytest.mark.parametrize("name", ["port179", "port2377"])
def test_whose_a_port_is_cannot_be_known_without_docker(taken, name):
    found = result(name, Diagnosed(docker=FakeEngine(fail=AWAY)))
    assert found.outcome is Outcome.WARNING
    assert found.complaint is not None
    assert f"port {taken}" in found.complaint.what


def test_an_engine_that_hangs_is_waited_for_once_by_all_checks(taken):
    engine = FakeEngine(fail=AWAY)
    checks = services.checks(Diagnosed(docker=engine))
    found = {each.check: each.outcome for each in check.run(checks)}
    assert found["docker"] is Outcome.FAILED
    assert found["port179"] is found["port2377"] is Outcome.WARNING
    assert engine.asked == 1


def test_swarm_on_the_port_of_the_proxy_is_named(taken):
    assert "Docker Swarm's manager listens on 2377" in complaint(
        "port2377", Diagnosed(docker=FakeEngine(swarm=True))
    )


@pytest.mark.parametrize("name", ["port179", "port2377"])
def test_a_free_port_will_do(monkeypatch, name):
    monkeypatch.setattr(ports, "require_free", lambda ip, port: None)
    assert result(name, Diagnosed()).outcome is Outcome.OK


def test_etcd_is_asked_for_something():
    assert result("etcd", Diagnosed()).outcome is Outcome.OK
    machine = Diagnosed()
    machine.store.fail_with = "connection refused"
    assert "connection refused" in complaint("etcd", machine)


@pytest.mark.parametrize(
    ("ahead", "outcome"),
    [(0, Outcome.OK), (3, Outcome.OK), (-3, Outcome.OK), (3600, Outcome.WARNING)],
)
def test_clocks_may_differ_by_seconds(monkeypatch, ahead, outcome):
    told = datetime.now(UTC) - timedelta(seconds=ahead)
    monkeypatch.setattr(server, "ask", lambda *_: Server("3.5.16", told))
    assert result("clock", Diagnosed()).outcome is outcome


@pytest.mark.parametrize(("ahead", "word"), [(3600, "ahead of"), (-3600, "behind")])
def test_it_is_said_which_clock_is_ahead(monkeypatch, ahead, word):
    told = datetime.now(UTC) - timedelta(seconds=ahead)
    monkeypatch.setattr(server, "ask", lambda *_: Server("3.5.16", told))
    assert f" s {word} that of etcd at 127.0.0.1:4001" in complaint("clock", Diagnosed())


def test_a_clock_that_etcd_does_not_tell_is_no_complaint(monkeypatch):
    monkeypatch.setattr(server, "ask", lambda *_: Server("3.5.16", None))
    assert result("clock", Diagnosed()).outcome is Outcome.OK


@pytest.mark.parametrize("error", [CalicoError("it hangs"), DatastoreUnavailable("a", "it hangs")])
def test_a_clock_that_could_not_be_compared_is_not_called_right(monkeypatch, error):
    def ask(*_: object) -> Server:
        raise error

    monkeypatch.setattr(server, "ask", ask)
    found = result("clock", Diagnosed())
    assert found.outcome is Outcome.WARNING
    assert found.complaint is not None
    assert "cannot be compared with etcd's" in found.complaint.what
    assert "it hangs" in found.complaint.what


def test_an_etcd_that_hangs_is_waited_for_once_by_all_checks(monkeypatch):
    asked: list[object] = []
    monkeypatch.setattr(server, "ask", lambda *words: asked.append(words))
    machine = Diagnosed()
    machine.store.fail_with = "no answer within 4 s"
    both = [each for each in services.checks(machine) if each.name in {"etcd", "clock"}]
    etcd, clock = check.run(both)
    assert (etcd.outcome, clock.outcome) == (Outcome.FAILED, Outcome.WARNING)
    assert clock.complaint is not None
    assert "with etcd's: cannot reach etcd at " in clock.complaint.what
    assert "no answer within 4 s" in clock.complaint.what
    assert asked == []


def test_any_member_of_etcd_tells_the_time(monkeypatch):
    def ask(authority: EtcdAuthority, _tls: object) -> Server:
        if authority.port == 1:
            raise DatastoreUnavailable(str(authority), "connection refused")
        return Server("3.5.16", datetime.now(UTC) - timedelta(seconds=3600))

    monkeypatch.setattr(server, "ask", ask)
    machine = Diagnosed(settings=FakeSettings({"ETCD_AUTHORITY": "10.0.0.1:1,10.0.0.2:2379"}))
    assert " s ahead of that of etcd at 10.0.0.2:2379" in complaint("clock", machine)
