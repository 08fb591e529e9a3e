"""What the Docker API proxy is answered about containers."""

import os
import re
from dataclasses import replace

import pytest
from netaddr import IPAddress

from calico_ctl.daemons.host_containers import HostContainers
from calico_ctl.daemons.local_endpoints import LocalEndpoints
from calico_ctl.daemons.meters import Meters
from calico_ctl.errors import (
    CalicoError,
    Conflict,
    DatastoreUnavailable,
    DeadlineExceeded,
    NotFound,
)
from calico_ctl.host import hosts_file, intents
from calico_ctl.host.local_answers import Ended
from calico_ctl.model.container import Container
from calico_ctl.model.measured import Distribution
from calico_ctl.model.wish import Wish
from tests.support.machine import CONTAINER, HOST, Machine

ADDRESS = IPAddress("192.168.1.5")
WISH = Wish((ADDRESS,))


@pytest.fixture
def machine(tmp_path, monkeypatch) -> Machine:
    """A node with a container that wishes 192.168.1.5, and one that wishes nothing."""
    monkeypatch.setattr(intents, "DIRECTORY", tmp_path / "intents")
    monkeypatch.setattr(hosts_file, "ROOT", str(tmp_path))
    machine = Machine()
    web = Container(CONTAINER, "web", True, os.getpid(), "none", ("CALICO_IP=192.168.1.5",))
    machine.docker.containers["web"] = web
    machine.docker.containers["plain"] = replace(
        web, id="e" * 64, name="plain", environment=(), network_mode="bridge"
    )
    return machine


@pytest.fixture
def answers(machine) -> HostContainers:
    return HostContainers(machine, LocalEndpoints(machine.store, HOST))


def test_a_container_that_was_created_and_started_is_shown_at_once(answers):
    answers.check(WISH)
    answers.reserve(CONTAINER, WISH)
    assert getattr(answers.endpoint(CONTAINER), "addresses", ()) == (ADDRESS,)
    answers.connect("web")
    assert getattr(answers.endpoint(CONTAINER), "addresses", ()) == (ADDRESS,)
    answers.release(CONTAINER)
    assert answers.endpoint(CONTAINER) is None


def test_what_was_done_for_a_container_is_told_with_how_long_it_took(answers, caplog):
    caplog.set_level("INFO")
    answers.reserve(CONTAINER, WISH)
    answers.connect("web")
    answers.release(CONTAINER)
    told = [each.getMessage() for each in caplog.records if "host_containers" in each.name]
    done = ["reserved its addresses", "saw to its network", "released what it had"]
    assert [re.sub(r"[0-9.]+ ms$", "N ms", line) for line in told] == [
        f"container {CONTAINER[:12]}: {what} in N ms" for what in done
    ]


def test_a_taken_address_is_refused_before_anything_is_done(answers):
    answers.reserve(CONTAINER, WISH)
    with pytest.raises(Conflict):
        answers.check(WISH)


def test_only_containers_of_ours_are_known_by_name(answers):
    assert answers.identify("web") == CONTAINER
    assert answers.identify("plain") is None
    assert answers.identify("nobody") is None


def test_only_containers_without_a_network_of_dockers_wish_for_one_of_ours(machine, answers):
    assert answers.wishes("web")
    assert not answers.wishes("plain")
    assert not answers.wishes("nobody")
    web = machine.docker.containers["web"]
    machine.docker.containers["web"] = replace(web, environment=("CALICO_IP=junk",))
    assert answers.wishes("web")
    answers.reserve("e" * 64, WISH)  # as `container add` does: the bridge stays
    assert not answers.wishes("plain")


def test_a_wish_that_cannot_be_read_is_ours_and_fails(machine, answers):
    web = machine.docker.containers["web"]
    machine.docker.containers["web"] = replace(web, environment=("CALICO_IP=junk",))
    with pytest.raises(CalicoError, match="CALICO_IP"):
        answers.connect("web")
    assert not machine.docker.containers["web"].running


def test_without_etcd_containers_of_others_are_started_as_always(machine, answers):
    def away(verb: str, key: str) -> None:
        raise DatastoreUnavailable("127.0.0.1:4001", "connection refused")

    machine.store.before = away
    answers.connect("plain")
    assert machine.docker.containers["plain"].running
    with pytest.raises(DatastoreUnavailable):
        answers.connect("web")
    assert not machine.docker.containers["web"].running


def test_who_has_waited_too_long_already_waits_for_no_agent(machine, answers):
    machine.store.answer = lambda revision: None
    began = machine.clock.now
    with pytest.raises(DeadlineExceeded):
        answers.connect("web", -3.0)
    assert not machine.docker.containers["web"].running
    assert machine.clock.now == began


class Agent:
    """Answers as the test has it, one answer after the other; the last one again and again."""

    def __init__(self, *answers: CalicoError | None) -> None:
        self.answers = list(answers)
        self.asked = 0

    def report(self) -> str:
        self.asked += 1
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if answer is not None:
            raise answer
        return "{}"


DEAD, HANGS = Ended("no process answers"), DeadlineExceeded("nothing answered")


def agent_is(
    machine: Machine, monkeypatch: pytest.MonkeyPatch, *answers: CalicoError | None
) -> Agent:
    agent = Agent(*answers)
    monkeypatch.setattr(machine, "agent_report", agent.report)
    return agent


@pytest.mark.parametrize("answer", [None, NotFound("never there"), CalicoError("not allowed")])
def test_an_agent_that_answers_or_cannot_be_asked_is_not_waited_for(
    machine, answers, monkeypatch, answer
):
    agent = agent_is(machine, monkeypatch, answer)
    answers.await_agent(CONTAINER, 6.0, unless_running=False)
    assert (agent.asked, machine.clock.now) == (1, 0.0)


@pytest.mark.parametrize("answer", [DEAD, HANGS])
def test_an_agent_that_starts_again_is_waited_for(machine, answers, monkeypatch, answer):
    agent_is(machine, monkeypatch, *[answer] * 20, None)
    answers.await_agent(CONTAINER, 6.0, unless_running=False)
    assert 1.0 < machine.clock.now < 6.0


@pytest.mark.parametrize("answer", [DEAD, HANGS])
def test_an_agent_that_stays_away_is_told_of(machine, answers, monkeypatch, answer):
    agent_is(machine, monkeypatch, answer)
    with pytest.raises(DeadlineExceeded, match="left as it is: the policy agent on host1"):
        answers.await_agent(CONTAINER, 6.0, unless_running=False)
    assert machine.clock.now == pytest.approx(6.0, abs=0.2)
    assert machine.docker.containers["web"].running


def test_who_has_waited_too_long_already_does_not_ask_the_agent(machine, answers, monkeypatch):
    agent = agent_is(machine, monkeypatch, DEAD)
    with pytest.raises(DeadlineExceeded):
        answers.await_agent(CONTAINER, -1.0, unless_running=False)
    assert (agent.asked, machine.clock.now) == (0, 0.0)


def test_a_container_that_runs_already_needs_no_agent(machine, answers, monkeypatch):
    agent_is(machine, monkeypatch, DEAD)
    answers.await_agent(CONTAINER, 6.0, unless_running=True)
    assert machine.clock.now == 0.0
    machine.docker.kill(CONTAINER)
    with pytest.raises(DeadlineExceeded):
        answers.await_agent(CONTAINER, 6.0, unless_running=True)


def test_what_came_too_late_is_stopped_or_removed(machine, answers):
    answers.stop(CONTAINER)
    assert not machine.docker.containers["web"].running
    answers.remove(CONTAINER)
    assert set(machine.docker.containers) == {"plain"}


def test_a_container_that_is_gone_already_is_no_error(answers):
    answers.connect("nobody")


def test_questions_are_counted_by_how_they_ended_and_connecting_is_timed(machine):
    meters = Meters("docker-proxy")
    answers = HostContainers(machine, LocalEndpoints(machine.store, HOST), meters)
    answers.reserve(CONTAINER, WISH)
    with pytest.raises(Conflict):
        answers.check(WISH)
    answers.connect("web")
    answers.connect("plain")
    found = {(each.metric.name, *each.labels): each.value for each in meters.measured().samples}
    questions = "calico_docker_proxy_questions_total"
    assert found[(questions, "reserve", "done")] == 1
    assert found[(questions, "check", "failed")] == 1
    assert found[(questions, "connect", "done")] == 1
    attached = found[("calico_attach_seconds",)]
    assert isinstance(attached, Distribution)
    assert sum(attached.counts) == 1
