"""What happens to containers is followed, whatever the order of the news."""

import copy
import logging
import os
import re
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from random import Random

import pytest
from netaddr import IPAddress

from calico_ctl.daemons import lifecycle
from calico_ctl.daemons.lifecycle import Lifecycle, Listed
from calico_ctl.daemons.runtime import Post, Runtime, Stopping, Tick
from calico_ctl.datastore import addresses, endpoints, status
from calico_ctl.errors import CalicoError, CommandFailed, DatastoreUnavailable, DockerUnavailable
from calico_ctl.host import hosts_file, intents
from calico_ctl.model import keys
from calico_ctl.model.address import AnyAddress
from calico_ctl.model.container import Container, ContainerEvent
from calico_ctl.model.endpoint import Endpoint, EndpointKey, State
from calico_ctl.model.measured import Distribution
from calico_ctl.model.root import ROOT
from calico_ctl.workload import attach
from calico_ctl.workload.attach import Attachment
from calico_ctl.workload.workload import Workload
from tests.support.machine import CONTAINER, HOST, Machine

START, DIE, DESTROY = (ContainerEvent(CONTAINER, each) for each in ("start", "die", "destroy"))


@pytest.fixture
def machine(tmp_path, monkeypatch) -> Machine:
    """A node with one container that wishes 192.168.1.5."""
    monkeypatch.setattr(intents, "DIRECTORY", tmp_path / "intents")
    monkeypatch.setattr(hosts_file, "ROOT", str(tmp_path))
    machine = Machine()
    environment = ("CALICO_IP=192.168.1.5",)
    web = Container(CONTAINER, "web", True, os.getpid(), "none", environment)
    machine.docker.containers["web"] = web
    return machine


class Service:
    """The service without its threads: what the workers are asked is done at the end of a turn."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        self.lifecycle = Lifecycle(machine)

    def turn(self, *messages: object) -> None:
        batch = list(messages)
        while batch:
            self.lifecycle.turn(batch)
            batch = []
            while (name := self.lifecycle.workers.take(0.0)) is not None:
                self.lifecycle.settle(name, batch.append)
                self.lifecycle.workers.give_back(name)

    def pass_time(self, seconds: float) -> None:
        self.machine.clock.now += seconds
        self.turn(Tick())

    @property
    def report(self) -> status.ServiceStatus:
        self.lifecycle.report.write()
        found = status.read_service(self.machine.store, HOST, status.LIFECYCLE)
        assert found is not None
        return found


@pytest.fixture
def service(machine) -> Service:
    return Service(machine)


def stored(machine: Machine) -> list[Endpoint]:
    return endpoints.of_workload(machine.store, HOST, "docker", CONTAINER)


def stop(machine: Machine) -> None:
    web = machine.docker.containers["web"]
    machine.docker.containers["web"] = replace(web, running=False, pid=0)
    machine.network.plugged.clear()


def test_a_container_around_the_proxy_is_networked(machine, service):
    service.turn(START)
    assert [each.state for each in stored(machine)] == [State.ACTIVE]
    assert len(machine.network.plugged) == 1


def test_containers_that_were_there_before_are_networked_too(machine, service):
    service.turn(Listed(frozenset({CONTAINER})))
    assert len(machine.network.plugged) == 1


def test_what_died_keeps_its_address(machine, service):
    service.turn(START)
    stop(machine)
    service.turn(DIE)
    assert [each.state for each in stored(machine)] == [State.INACTIVE]


def test_late_news_of_a_death_do_not_stop_who_runs_again(machine, service):
    service.turn(START)
    service.turn(DIE)
    assert [each.state for each in stored(machine)] == [State.ACTIVE]
    assert len(machine.network.plugged) == 1


def test_what_was_destroyed_gives_everything_back_and_is_logged(machine, service, caplog):
    caplog.set_level(logging.INFO)
    service.turn(START)
    machine.docker.containers.clear()
    service.turn(DIE, DESTROY)
    assert machine.left() == []
    assert re.search(r"is gone: released what it had in \d+ ms$", caplog.text, re.MULTILINE)


def test_what_was_only_not_found_keeps_everything(machine, service):
    service.turn(START)
    machine.docker.containers.clear()
    service.turn(DIE)
    assert len(stored(machine)) == 1


def test_an_unknown_container_is_collected_after_a_while_but_not_while_it_lives(machine, service):
    service.turn(START)
    machine.docker.containers.clear()
    service.turn(Listed(frozenset()))
    service.pass_time(60.0)
    assert len(stored(machine)) == 1, "its interface is there: it lives"
    machine.network.plugged.clear()
    service.pass_time(1.0)
    assert machine.left() == []


def test_containers_of_other_hosts_are_none_of_its_business(machine, service):
    """Not even one of the same id, as on a host that was copied."""
    service.turn(START)
    others = [elsewhere(machine, CONTAINER, "0b" * 16), elsewhere(machine, "d" * 64, "0c" * 16)]
    machine.docker.containers.clear()
    service.turn(DESTROY, ContainerEvent("d" * 64, "destroy"), Listed(frozenset()))
    service.pass_time(60.0)
    assert stored(machine) == []
    assert endpoints.all(machine.store, "host2")[0] == others
    for each in others:
        assert addresses.assigned(machine.store, each.addresses[0]) is not None


def elsewhere(machine: Machine, container: str, endpoint_id: str) -> Endpoint:
    """Have another host hold an address for a container."""
    key = EndpointKey("host2", "docker", container, endpoint_id)
    ip = addresses.claim(machine.store, "host2", AnyAddress.IPV4, endpoint_id, Random(1))
    endpoint = Endpoint(key, State.INACTIVE, f"cali{endpoint_id[:11]}", None, addresses=(ip,))
    endpoints.create(machine.store, endpoint)
    return endpoint


def test_an_unknown_container_is_not_collected_at_once(machine, service):
    service.turn(START)
    stop(machine)
    machine.docker.containers.clear()
    service.turn(Listed(frozenset()))
    service.pass_time(20.0)
    assert len(stored(machine)) == 1
    service.pass_time(20.0)
    assert machine.left() == []


def test_a_container_that_docker_knows_again_is_not_collected(machine, service):
    service.turn(START)
    stop(machine)
    service.turn(Listed(frozenset()))
    service.turn(Listed(frozenset({CONTAINER})))
    service.pass_time(60.0)
    assert len(stored(machine)) == 1


def test_a_failure_is_told_and_tried_again(machine, service):
    machine.network.fail = CalicoError("no veth today")
    service.turn(START)
    assert service.report.problems == {"web": "no veth today"}
    machine.network.fail = None
    service.pass_time(0.5)
    assert stored(machine)[0].state is State.INACTIVE
    service.pass_time(1.0)
    assert stored(machine)[0].state is State.ACTIVE
    assert service.report.problems == {}


def test_a_crash_loop_costs_nothing_lasting(machine, service):
    def crash() -> None:
        machine.docker.containers["web"] = web
        service.turn(START)
        stop(machine)
        service.turn(DIE)
        service.pass_time(0.1)

    def kept() -> list[object]:
        state = service.lifecycle
        names = [entry.key for entry in machine.store.tree(ROOT).entries]
        files = sorted(intents.DIRECTORY.iterdir())
        return [names, files, state._destroyed, state._left_alone, state._again, state._unknown]

    web = machine.docker.containers["web"]
    crash()
    before, open_before = copy.deepcopy(kept()), len(open_files())
    for _ in range(100):
        crash()
    assert kept() == before
    assert len(open_files()) < open_before + 50
    assert machine.network.plugged == {}


def open_files() -> list[Path]:
    return list(Path("/proc/self/fd").iterdir())


def test_failures_are_tried_again_more_and_more_seldom(machine, service):
    machine.network.fail = CalicoError("no veth today")
    service.turn(START)
    tries = []
    for second in range(120):
        before = len(machine.network.unplugged)
        service.pass_time(1.0)
        if len(machine.network.unplugged) > before:
            tries.append(second)
    assert tries[:3] == [0, 2, 6]
    assert len(tries) < 9


def test_a_container_on_another_network_is_left_alone_and_told(machine, service):
    web = machine.docker.containers["web"]
    machine.docker.containers["web"] = replace(web, network_mode="bridge")
    service.turn(START)
    assert machine.left() == []
    assert "--net=bridge" in service.report.left_alone["web"]


def test_a_wish_that_nobody_can_read_is_told(machine, service):
    web = machine.docker.containers["web"]
    machine.docker.containers["web"] = replace(web, environment=("CALICO_IP=web",))
    service.turn(START)
    assert "CALICO_IP" in service.report.left_alone["web"]


def test_an_endpoint_that_nobody_can_read_is_tried_again(machine, service):
    service.turn(START)
    key = keys.endpoint(stored(machine)[0].key)
    before = machine.store.get(key)
    machine.store.put(key, "junk")
    service.turn(DIE)
    assert key in service.report.problems["web"]
    machine.store.swap(machine.store.get(key), before.value)
    service.pass_time(1.0)
    assert service.report.problems == {}


def test_etcd_that_is_away_at_the_start_is_waited_for(machine, service):
    def away(verb: str, key: str) -> None:
        raise CalicoError("etcd is away")

    machine.store.before = away
    service.turn(Listed(frozenset({CONTAINER})))
    assert machine.network.plugged == {}
    machine.store.before = lambda verb, key: None
    service.pass_time(2.0)
    assert len(machine.network.plugged) == 1


def test_soon_after_etcd_is_back_nobody_waits_for_it_any_more(machine, service):
    """However long it was away, and whether a container wishes a network or not."""
    web = machine.docker.containers["web"]
    plain = [f"{number:064x}" for number in range(5)]
    for each in plain:
        machine.docker.containers[each] = replace(web, id=each, name=each[-4:], environment=())

    def away(verb: str, key: str) -> None:
        asked.add(key)
        raise DatastoreUnavailable("127.0.0.1:4001", "connection refused")

    asked: set[str] = set()
    machine.store.before = away
    for each in (*plain, CONTAINER):
        service.turn(ContainerEvent(each, "start"))
    for _ in range(200):
        service.pass_time(1.0)
    asked.clear()
    service.pass_time(0.1)
    assert len(asked) == 1, "one finds out for all"
    machine.store.before = lambda verb, key: None
    assert set(service.report.problems) == {"0000", "0001", "0002", "0003", "0004", "web"}
    for _ in range(2):
        service.pass_time(lifecycle.TICK_SECONDS)
    assert service.report.problems == {}
    assert len(machine.network.plugged) == 1


def test_an_abandoned_intent_is_carried_out_and_a_failure_is_tried_again(machine, service):
    web = Workload("docker", CONTAINER, "web", "/run/netns/web")
    endpoint = attach.attach(machine, Attachment(web, (IPAddress("192.168.1.5"),)))
    intents.DIRECTORY.mkdir(exist_ok=True)
    (intents.DIRECTORY / endpoint.key.id).write_text(attach.describe(endpoint.key))
    failures = [CalicoError("etcd is away")]

    def sometimes(verb: str, key: str) -> None:
        if verb == "delete" and failures:
            raise failures.pop()

    machine.store.before = sometimes
    service.turn(Tick())
    assert len(stored(machine)) == 1
    service.turn(Tick())
    assert machine.left() == []


def follow(machine: Machine, until: Callable[[list[object]], bool]) -> list[object]:
    """Follow Docker until enough was posted."""
    posted: list[object] = []
    stopping = threading.Event()

    def post(message: object) -> None:
        posted.append(message)
        if until(posted):
            stopping.set()

    lifecycle.follow(machine, post, stopping)
    return posted


def test_docker_is_listed_before_its_events_and_only_what_matters_is_posted(machine):
    machine.docker.events = [ContainerEvent(CONTAINER, "exec_start: sh"), START]
    posted = follow(machine, lambda posted: len(posted) == 2)
    assert posted == [Listed(frozenset({CONTAINER})), START]


def test_a_docker_that_is_away_is_waited_for(machine, monkeypatch):
    monkeypatch.setattr(lifecycle, "_RECONNECT_SECONDS", 0.01)
    failures = [DockerUnavailable("Docker is away"), DockerUnavailable("Docker is away")]
    real: Callable[[], set[str]] = machine.docker.container_ids

    def sometimes() -> set[str]:
        if failures:
            raise failures.pop()
        return real()

    monkeypatch.setattr(machine.docker, "container_ids", sometimes)
    assert follow(machine, bool) == [Listed(frozenset({CONTAINER}))]


def test_the_service_works_with_its_threads_and_stops_when_it_is_told_to(machine):
    runtime = Runtime()
    runtime.tick_every(0.01)

    def tell(post: Post, stopping: Stopping) -> None:
        post(START)
        stopping.wait()

    runtime.listen("docker", tell)
    watchdog = threading.Timer(60, runtime.stopping.set)
    watchdog.start()
    for _ in lifecycle.turns(machine, runtime):
        if machine.network.plugged:
            runtime.stopping.set()
    watchdog.cancel()
    assert [each.state for each in stored(machine)] == [State.ACTIVE]


def test_how_long_a_network_took_and_who_has_none_is_measured(machine, service):
    machine.network.fail = CommandFailed("no veth today")
    service.turn(START)
    assert measured(service)["calico_lifecycle_containers_without_network"] == 1
    assert "calico_attach_seconds" not in measured(service)
    machine.network.fail = None
    service.turn(START)
    found = measured(service)
    assert found["calico_lifecycle_containers_without_network"] == 0
    attached = found["calico_attach_seconds"]
    assert isinstance(attached, Distribution)
    assert sum(attached.counts) == 1


def measured(service: Service) -> dict[str, object]:
    samples = service.lifecycle.meters.measured().samples
    return {each.metric.name: each.value for each in samples}
