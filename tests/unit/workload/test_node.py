"""Starting and stopping a node made of fakes; a real one is in tests/system/test_node.py."""

import socket
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import pytest
from netaddr import IPAddress

from calico_ctl.datastore import endpoints, nodes, status
from calico_ctl.datastore.status import AgentStatus, ServiceStatus
from calico_ctl.datastore.store import Api
from calico_ctl.docker_api import etcd_container, image, node_container
from calico_ctl.docker_api.client import Engine, Outcome
from calico_ctl.docker_api.request import ContainerRequest
from calico_ctl.errors import (
    AlreadyExists,
    CalicoError,
    Conflict,
    DatastoreUnavailable,
    DeadlineExceeded,
)
from calico_ctl.host import addresses, intents, node_name
from calico_ctl.host.addresses import LocalAddress
from calico_ctl.model import docker_proxy, etcd_access, metrics_address
from calico_ctl.model.container import Container, OwnContainer
from calico_ctl.model.docker_proxy import DockerProxy
from calico_ctl.model.metrics_address import MetricsRequest
from calico_ctl.model.node import Node
from calico_ctl.workload import attach, etcd_handover, node
from calico_ctl.workload.attach import Attachment
from calico_ctl.workload.node import NodeRequest
from calico_ctl.workload.proxy_address import ProxyRequest
from calico_ctl.workload.workload import Workload
from tests.support import ports
from tests.support.machine import CONTAINER, GATEWAY, HOST, Machine

NOBODY = Engine({"DOCKER_HOST": "unix:///nowhere"})


class Containers(Engine):
    """An engine with an image and the containers of a node, and no more."""

    def __init__(self, *names: str, images: tuple[str, ...] = ("image",)) -> None:
        super().__init__({"DOCKER_HOST": "unix:///nowhere"})
        self.running, self.images = list(names), images
        self.done: list[str] = []
        self.made_from: str | None = None
        self.starts: tuple[str, ...] = (image.PROGRAM,)

    def is_running(self, name: str) -> bool:
        return name in self.running

    def image_of(self, name: str) -> str | None:
        return self.made_from

    def image_id(self, image: str) -> str | None:
        return image if image in self.images else None

    def entrypoint(self, image: str) -> tuple[str, ...]:
        return self.starts

    def pull(self, image: str) -> Iterator[Mapping[str, object]]:
        self.done.append(f"pull {image}")
        yield {"error": "manifest unknown"}

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
    monkeypatch.setattr(etcd_handover, "DIRECTORY", str(tmp_path / "etcd-access"))
    monkeypatch.setattr(node_name, "of_kernel", lambda: HOST)
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


def test_T35_the_services_end_before_the_kernel_is_cleaned_and_etcd_goes_last(machine, engine):
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


class Services(Containers):
    """An engine in whose node container the named services come up and report."""

    def __init__(self, machine: Machine, *services: str, own: OwnContainer | None = None) -> None:
        super().__init__()
        self.machine, self.services, self.own = machine, services, own
        self.outcome, self.trouble = Outcome.CREATED, ""
        self.requested: ContainerRequest | None = None

    def own_container(self, name: str) -> OwnContainer | None:
        return self.own

    def ensure(self, wanted: ContainerRequest) -> Outcome:
        self.requested = wanted
        if self.outcome is not Outcome.UNCHANGED:
            self.report("now")
        return self.outcome

    def report(self, since: str) -> None:
        status.write_agent(self.machine.store, HOST, AgentStatus(since, pid=1))
        for each in self.services:
            report = ServiceStatus(since, trouble=self.trouble)
            status.write_service(self.machine.store, HOST, each, report)

    def output(self, name: str, lines: int | None = None) -> str:
        return "the last line"


ALL = (status.ROUTING, status.LIFECYCLE, status.DOCKER_PROXY, status.METRICS)


def start(
    machine: Machine,
    engine: Engine,
    proxy: ProxyRequest | None = None,
    *,
    networking: bool = True,
    metrics: MetricsRequest | None = None,
    **changed: Any,
) -> tuple[node.Started, list[str]]:
    said: list[str] = []
    wanted = NodeRequest(
        ip=GATEWAY,
        ip6=None,
        as_number=None,
        image="image",
        log_directory="/",
        with_etcd=False,
        etcd=etcd_access.DEFAULT,
        networking=networking,
        docker_proxy=proxy or ProxyRequest(off=True),
        metrics=metrics or MetricsRequest(),
    )
    return node.start(machine, engine, replace(wanted, **changed), said.append), said


@pytest.fixture
def free() -> DockerProxy:
    """Return where nobody listens."""
    return DockerProxy(IPAddress("127.0.0.1"), ports.free()[0])


@pytest.fixture
def _no_forwarding(monkeypatch) -> None:
    """Leave the kernel of this machine as it is."""
    monkeypatch.setattr(node, "FORWARDING", ())


@pytest.mark.usefixtures("_no_forwarding")
def test_a_start_ends_when_every_service_has_reported(machine, free):
    engine = Services(machine, *ALL)
    started, _ = start(machine, engine, ProxyRequest(free))
    assert (started.outcome, started.docker_proxy) == (Outcome.CREATED, free)
    assert engine.requested is not None
    assert f"CALICO_DOCKER_PROXY={free}" in str(engine.requested.body["Env"])


@pytest.mark.usefixtures("_no_forwarding")
@pytest.mark.parametrize("version", [2, 3])
def test_the_services_speak_the_api_of_etcd_that_was_found(machine, monkeypatch, version):
    monkeypatch.setattr(type(machine.store), "api", Api(version, "found"))
    engine = Services(machine, *ALL)
    start(machine, engine)
    assert engine.requested is not None
    assert f"'ETCD_API={version}'" in str(engine.requested.body["Env"])


@pytest.mark.usefixtures("_no_forwarding")
@pytest.mark.parametrize("silent", ALL)
def test_a_service_of_which_nothing_is_heard_is_named(machine, free, silent):
    engine = Services(machine, *(each for each in ALL if each != silent))
    with pytest.raises(DeadlineExceeded, match=f"the last line.*nothing was heard of: {silent}$"):
        start(machine, engine, ProxyRequest(free))


@pytest.mark.usefixtures("_no_forwarding")
def test_reports_of_before_do_not_count(machine):
    engine = Services(machine, *ALL)
    engine.report("now")
    with pytest.raises(DeadlineExceeded, match="policy agent, routing, lifecycle"):
        start(machine, engine)


@pytest.mark.usefixtures("_no_forwarding")
def test_services_that_do_not_run_are_not_waited_for(machine):
    engine = Services(machine, status.LIFECYCLE)
    off = MetricsRequest(off=True)
    started, _ = start(machine, engine, networking=False, metrics=off)
    assert started.docker_proxy is None
    assert engine.requested is not None
    assert "CALICO_DOCKER_PROXY=off" in str(engine.requested.body["Env"])
    assert "CALICO_METRICS=off" in str(engine.requested.body["Env"])


@pytest.mark.usefixtures("_no_forwarding")
@pytest.mark.parametrize(
    ("before", "metrics", "after"),
    [
        (None, MetricsRequest(), "127.0.0.1:9091"),
        ("127.0.0.1:9092", MetricsRequest(), "127.0.0.1:9092"),
        ("off", MetricsRequest(), "off"),
        ("nonsense", MetricsRequest(), "127.0.0.1:9091"),
        ("off", MetricsRequest(metrics_address.parse("[fd00::1]:99", "x")), "[fd00::1]:99"),
        ("127.0.0.1:9092", MetricsRequest(off=True), "off"),
    ],
)
def test_metrics_are_where_they_were_unless_it_is_said_anew(machine, before, metrics, after):
    own = None if before is None else OwnContainer(True, "Up", {"CALICO_METRICS": before})
    engine = Services(machine, *ALL, own=own)
    start(machine, engine, metrics=metrics)
    assert engine.requested is not None
    assert f"CALICO_METRICS={after}" in str(engine.requested.body["Env"])


@pytest.mark.usefixtures("_no_forwarding")
def test_a_node_that_runs_as_wanted_is_not_waited_for(machine):
    engine = Services(machine)
    engine.outcome = Outcome.UNCHANGED
    started, said = start(machine, engine)
    assert (started.outcome, said) == (Outcome.UNCHANGED, warnings(said))


@pytest.mark.usefixtures("_no_forwarding")
def test_a_service_in_trouble_is_warned_of(machine):
    engine = Services(machine, status.LIFECYCLE, status.METRICS)
    engine.trouble = "cannot follow Docker"
    _, said = start(machine, engine, networking=False)
    assert "warning: lifecycle: cannot follow Docker" in said


@pytest.mark.usefixtures("_no_forwarding")
def test_an_api_that_is_open_to_others_is_warned_of_each_time(machine, free):
    everywhere = replace(free, address=IPAddress("0.0.0.0"))
    engine = Services(machine, *ALL)
    _, said = start(machine, engine, ProxyRequest(everywhere, insecure=True))
    assert any(f"whoever reaches {everywhere} is root on this host" in each for each in said)
    environment = docker_proxy.to_environment(everywhere)
    engine.own, engine.outcome = OwnContainer(True, "", environment), Outcome.UNCHANGED
    started, said = start(machine, engine, ProxyRequest())
    assert started.docker_proxy == everywhere
    assert any("root on this host" in each for each in said)


def test_a_port_that_is_taken_is_found_before_anything_is_touched(machine):
    engine = Services(machine, *ALL)
    before = machine.store.writes
    with socket.create_server(("127.0.0.1", 0)) as server:
        taken = DockerProxy(IPAddress("127.0.0.1"), server.getsockname()[1])
        with pytest.raises(AlreadyExists, match="something else listens"):
            start(machine, engine, ProxyRequest(taken))
    assert (machine.store.writes, engine.requested, engine.done) == (before, None, [])


@pytest.fixture
def forwarding(monkeypatch) -> list[str]:
    """Return what was said when this machine was told to forward: it is not told."""
    told: list[str] = []
    monkeypatch.setattr(node, "_forward_packets", lambda _say: told.append("forward"))
    return told


@pytest.mark.parametrize("present", [False, True])
def test_without_an_image_of_the_node_nothing_is_touched(machine, tmp_path, forwarding, present):
    engine = Services(machine, *ALL)
    engine.starts = ("sh",)
    before = machine.store.writes
    logs, name = tmp_path / "logs", "image" if present else "other"
    said = "not an image of calico-node" if present else "cannot pull other: manifest unknown"
    with pytest.raises(CalicoError, match=said):
        start(machine, engine, image=name, log_directory=str(logs))
    assert (machine.store.writes, engine.requested, forwarding) == (before, None, [])
    assert not logs.exists()


def test_nobody_waits_for_an_image_to_hear_that_there_is_no_etcd(machine, forwarding):
    engine = Services(machine, *ALL)
    machine.store.fail("connection refused")
    with pytest.raises(DatastoreUnavailable):
        start(machine, engine, image="other")
    assert (engine.done, forwarding) == ([], [])


@pytest.mark.usefixtures("_no_forwarding")
@pytest.mark.parametrize(
    ("given", "former", "used"),
    [
        ("image", "other", "image"),
        (None, "image", "image"),
        (None, "calico/node:0.9.9", image.DEFAULT_IMAGE),
        (None, None, image.DEFAULT_IMAGE),
    ],
)
def test_an_image_from_elsewhere_is_kept_until_there_is_another(machine, given, former, used):
    engine = Services(machine, *ALL)
    engine.images, engine.made_from = ("image", image.DEFAULT_IMAGE), former
    _, said = start(machine, engine, image=given)
    assert engine.requested is not None
    assert engine.requested.body["Image"] == used
    stays = given is None and used == former
    assert (f"no --node-image given: staying with {former}" in said) is stays


def warnings(said: list[str]) -> list[str]:
    return [each for each in said if each.startswith("warning: ")]


@pytest.mark.usefixtures("_no_forwarding")
def test_the_name_is_written_down_once_and_another_hostname_is_refused(machine, monkeypatch):
    start(machine, Services(machine, *ALL))
    assert node_name.kept() == HOST
    before, engine = machine.store.writes, Services(machine, *ALL)
    monkeypatch.setattr(node_name, "of_kernel", lambda: "renamed")
    with pytest.raises(Conflict, match="hostname is renamed, but etcd knows this host as host1"):
        start(machine, engine)
    assert (machine.store.writes, engine.requested) == (before, None)


class Refusing(Services):
    """An engine that does not make the container."""

    def ensure(self, wanted: ContainerRequest) -> Outcome:
        raise CalicoError("no such device")


@pytest.mark.usefixtures("_no_forwarding")
@pytest.mark.parametrize("endpoints_of_others", [False, True])
def test_T35_a_new_host_whose_services_are_refused_is_no_node(machine, endpoints_of_others):
    nodes.remove(machine.store, HOST)
    if endpoints_of_others:
        machine.store.put(f"/calico/host/{HOST}/workload/mesos/w/endpoint/e", "{}")
    with pytest.raises(CalicoError, match=r"^no such device$"):
        start(machine, Refusing(machine))
    assert (nodes.get(machine.store, HOST) is None) is not endpoints_of_others
    assert (node_name.kept() is None) is not endpoints_of_others


@pytest.mark.usefixtures("_no_forwarding")
def test_a_known_host_whose_services_are_refused_stays_one(machine):
    with pytest.raises(CalicoError, match=r"^no such device$"):
        start(machine, Refusing(machine))
    assert nodes.get(machine.store, HOST) is not None
    assert node_name.kept() == HOST


@pytest.mark.usefixtures("_no_forwarding")
def test_what_cannot_be_taken_back_is_said(machine, monkeypatch):
    nodes.remove(machine.store, HOST)

    def broken() -> None:
        raise CalicoError("the disk is gone")

    monkeypatch.setattr(node_name, "forget", broken)
    with pytest.raises(CalicoError, match=r"no such device; not everything .*the disk is gone"):
        start(machine, Refusing(machine))


@pytest.mark.usefixtures("_no_forwarding")
def test_containers_have_the_new_address_before_services_restart(machine: Machine) -> None:
    give_it_a_container(machine)
    nodes.register(machine.store, Node(HOST, IPAddress("10.99.0.7")))
    seen = []

    class Looking(Services):
        def container(self, name_or_id: str) -> Container:
            return machine.docker.container(name_or_id)

        def ensure(self, wanted: ContainerRequest) -> Outcome:
            seen.extend(endpoints.all(machine.store, HOST)[0])
            return super().ensure(wanted)

    machine.docker.kill(CONTAINER)
    wanted = IPAddress("10.99.0.8")
    _, said = start(machine, Looking(machine, *ALL), ip=wanted)
    assert [each.ipv4_gateway for each in seen] == [wanted]
    assert "1 container gets this host's new address as their gateway" in said


def test_a_node_that_is_stopped_has_its_hostname_again(machine, engine):
    node_name.keep(HOST)
    stop(machine, engine)
    assert node_name.kept() is None


def test_a_node_that_is_not_stopped_completely_keeps_its_name_for_the_next_try(machine):
    node_name.keep(HOST)
    with pytest.raises(CalicoError, match="not stopped completely"):
        stop(machine, Containers(node_container.NAME, images=()))
    assert node_name.kept() == HOST


@pytest.mark.parametrize("is_copy", [True, False])
def test_a_copy_of_a_node_does_not_remove_the_original(machine, engine, monkeypatch, is_copy):
    node_name.keep(HOST)
    monkeypatch.setattr(node_name, "of_kernel", lambda: "copy")
    own = IPAddress("127.0.0.1") if is_copy else GATEWAY
    monkeypatch.setattr(addresses, "local", lambda: [LocalAddress("eth0", own)])
    if not is_copy:
        stop(machine, engine)
        assert nodes.get(machine.store, HOST) is None
        return
    with pytest.raises(Conflict, match="copy, seems to be a copy of host1") as caught:
        stop(machine, engine, force=True)
    assert str(node_name.FILE) in caught.value.hint
    assert engine.done == []
    assert nodes.get(machine.store, HOST) is not None


def test_T35_stopping_takes_the_blocks_of_the_host_along(machine, engine):
    give_it_a_container(machine)
    stop(machine, engine, force=True)
    left = [each.key for each in machine.store.tree("/calico").entries if HOST in each.key]
    assert left == []
    assert [each for each in machine.store.tree("/calico/ipam/v2").entries if each.value] == []


def test_T33_a_kernel_without_a_family_is_warned_of_and_the_setting_named(machine, monkeypatch):
    monkeypatch.setattr(node, "FORWARDING", ("net/no_such_family/forwarding",))
    started, said = start(machine, Services(machine, *ALL))
    assert started.outcome is Outcome.CREATED
    assert any("this kernel has no net/no_such_family/forwarding" in each for each in said)


@pytest.mark.usefixtures("_no_forwarding")
def test_T33_a_warning_of_another_machine_names_its_address_and_not_the_new_one(machine):
    nodes.register(machine.store, Node(HOST, IPAddress("10.99.0.7")))
    _, said = start(machine, Services(machine, *ALL), ip=IPAddress("10.99.0.8"))
    (about_it,) = [each for each in said if "another machine" in each]
    assert "10.99.0.7" in about_it
    assert "10.99.0.8" not in about_it
