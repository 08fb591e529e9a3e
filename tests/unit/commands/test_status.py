"""What `calicoctl status` says of a node made of fakes, and how it ends."""

import socket
from pathlib import Path

import pytest

from calico_ctl import __version__
from calico_ctl.datastore import status
from calico_ctl.datastore.status import BadKey, EndpointStatus, ServiceStatus
from calico_ctl.docker_api import client
from calico_ctl.docker_api.quick import QuickEngine
from calico_ctl.errors import DockerError, DockerUnavailable
from calico_ctl.model import keys
from calico_ctl.model.container import OwnContainer
from tests.support.cli import NOT_ROOT, Cli, cells
from tests.support.machine import HOST
from tests.support.status_node import BIRD, MESH, NODE, PEERS, Node


@pytest.fixture
def node() -> Node:
    return Node()


def test_a_node_that_is_well_is_shown_whole_and_nothing_is_warned_of(node: Node) -> None:
    out, err = node.well()
    assert err == []
    assert out[:11] == [
        "calico-node is running on host1 (Up 5 minutes)",
        "etcd at memory:0 answers in 0.0 ms",
        "  spoken to by its v2 API: it is like that one",
        "policy agent: up since 2026-11-24T08:46:51Z",
        f"  version {__version__} (this command: {__version__})",
        "  endpoints in place: 3",
        "  profiles in use: 2, with 30 rules and 12 sets",
        "  in sync with etcd since 2026-11-24T08:46:52Z, as of revision 1234",
        "  last update took 1.5 ms",
        "  repairs of what others changed: none",
        "  keys that cannot be used: none",
    ]
    assert out[11:15] == [
        "routing service: up since 2026-11-24T08:46:52Z",
        "life-cycle service: up since 2026-11-24T08:46:53Z",
        "Docker API proxy at 127.0.0.1:2377: up since 2026-11-24T08:46:54Z",
        "metrics service at 127.0.0.1:9091: up since 2026-11-24T08:46:55Z",
    ]
    assert out[15] == "BIRD: up since 2026-11-24T08:50:00Z, restarted 1 time"


def test_it_writes_nothing_and_asks_bird_only_for_what_may_change_nothing(node: Node) -> None:
    before = node.store.writes
    node.well()
    assert node.store.writes == before
    asking = "birdc -r -s /run/calico/bird.ctl show protocols all"
    starts = "cat /run/calico/bird.starts"
    assert node.docker.executed == [("sh", "-c", f"{asking} || exit; {starts}; true")]


def test_whoever_is_not_root_may_ask_too(node: Node) -> None:
    assert node.run(user=NOT_ROOT).exit == 0


def test_T32_a_node_that_was_never_started_is_not_running(node: Node) -> None:
    node.docker.own.clear()
    node.store.advance(status.LIFETIME)
    out, err = node.wrong()
    assert out == [
        "calico-node is not running on host1",
        "etcd at memory:0 answers in 0.0 ms",
        "  spoken to by its v2 API: it is like that one",
        "policy agent: no report in the last minute",
        "routing service: no report in the last minute",
        "life-cycle service: no report in the last minute",
        "Docker API proxy: no report in the last minute",
    ]
    # what follows from it is not one more thing that is wrong
    assert err == ["error: calico-node is not running", "hint: `sudo calicoctl node` starts it"]


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        ("Exited (1) 2 minutes ago", "`sudo calicoctl node` starts it"),
        ("Restarting (1) 3 seconds ago", "`docker logs calico-node` shows why"),
        ("Up 5 minutes (Paused)", "`docker unpause calico-node` lets it go on"),
    ],
)
def test_a_container_that_does_not_run_is_shown_in_dockers_words(
    node: Node, words: str, hint: str
) -> None:
    node.docker.own[NODE] = OwnContainer(False, words)
    out, err = node.wrong()
    assert out[0] == f"calico-node is not running on host1 ({words})"
    assert err[0] == "error: calico-node is not running"
    assert err[1].startswith("hint: ")
    assert err[1].endswith(hint)
    assert node.docker.executed == []


def test_a_report_that_outlived_its_agent_is_not_taken_for_a_live_one(node: Node) -> None:
    node.docker.own.clear()
    out, _ = node.wrong()
    last = "was up since 2026-11-24T08:46:5{}Z; this is its last report"
    assert f"policy agent: {last.format(1)}" in out
    assert f"routing service: {last.format(2)}" in out
    assert f"life-cycle service: {last.format(3)}" in out
    assert f"Docker API proxy: {last.format(4)}" in out


def test_without_docker_the_rest_is_shown(node: Node) -> None:
    node.docker.fail = DockerUnavailable(
        "cannot reach the Docker Engine: permission denied", hint="run as root"
    )
    out, err = node.wrong()
    assert out[0] == "calico-node: cannot reach the Docker Engine: permission denied"
    assert "  endpoints in place: 3" in out
    assert out[-5:] == [
        "routing service: up since 2026-11-24T08:46:52Z, or was within the last minute",
        "life-cycle service: up since 2026-11-24T08:46:53Z, or was within the last minute",
        "Docker API proxy: up since 2026-11-24T08:46:54Z, or was within the last minute",
        "metrics service: up since 2026-11-24T08:46:55Z, or was within the last minute",
        "BGP sessions: not known, because BIRD is asked through Docker",
    ]
    assert err == [
        "error: cannot reach the Docker Engine: permission denied",
        "hint: run as root",
    ]


def test_a_docker_that_hangs_is_waited_for_once_and_the_rest_is_shown(
    node: Node, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "_SECONDS_WHEN_HURRIED", 0.1)
    path = tmp_path / "docker.sock"
    node.machine.docker = QuickEngine({"DOCKER_HOST": f"unix://{path}"})  # type: ignore[assignment]
    with socket.socket(socket.AF_UNIX) as hanging:
        hanging.bind(str(path))
        hanging.listen()
        out, err = node.wrong()
        hanging.setblocking(False)
        hanging.accept()[0].close()
        with pytest.raises(BlockingIOError):
            hanging.accept()
    assert out[0] == f"calico-node: the Docker Engine at unix://{path} does not answer in time"
    assert "  endpoints in place: 3" in out
    assert err == [f"error: {out[0].removeprefix('calico-node: ')}", err[1]]
    assert err[1].startswith("hint: if it hangs, restart it")


def test_without_etcd_the_rest_is_shown(node: Node) -> None:
    node.store.fail("connection refused")
    out, err = node.wrong()
    assert out[:2] == [
        "calico-node is running on host1 (Up 5 minutes)",
        "etcd: cannot reach etcd at memory:0 (connection refused)",
    ]
    assert "10.99.0.10" in "\n".join(out)
    assert err == [
        "error: cannot reach etcd at memory:0 (connection refused)",
        "hint: start etcd there, or set ETCD_AUTHORITY=<host>:<port>",
    ]


def test_whoever_asked_by_another_api_is_told_that_of_the_node(node: Node) -> None:
    node.runs_with(ETCD_API="3")
    node.store.wipe()
    _, err = node.wrong()
    assert err[1] == (
        "hint: calico-node on this host uses ETCD_API=3; try it with that, or, if the cluster was"
        " moved from there, `sudo ETCD_API=2 calicoctl node`"
    )
    assert err[3] == err[1]


def test_whoever_asked_the_wrong_etcd_is_told_the_right_one(node: Node) -> None:
    environment = node.environment(ETCD_AUTHORITY="10.99.0.1:2379")
    node.docker.own[NODE] = OwnContainer(True, "Up 5 minutes", environment)
    hint = "hint: calico-node on this host uses ETCD_AUTHORITY=10.99.0.1:2379; try it with that"
    node.store.wipe()
    _, err = node.wrong()
    assert err == [
        "error: etcd at memory:0 holds no cluster: /calico/Ready is not true there",
        hint,
        "error: no report of the policy agent in the last minute",
        hint,
        "error: no report of the routing service in the last minute",
        "hint: `docker logs calico-node` shows what it does",
        "error: no report of the life-cycle service in the last minute",
        "hint: `docker logs calico-node` shows what it does",
        "error: no report of the Docker API proxy in the last minute",
        "hint: `docker logs calico-node` shows what it does; perhaps something else listens on"
        " 127.0.0.1:2377",
        "error: no report of the metrics service in the last minute",
        "hint: `docker logs calico-node` shows what it does",
    ]
    node.store.fail("connection refused")
    assert hint in node.wrong()[1]


def test_a_silent_agent_is_an_error_while_its_container_runs(node: Node) -> None:
    node.store.delete(keys.agent_status(HOST))
    out, err = node.wrong()
    assert "policy agent: no report in the last minute" in out
    assert err == [
        "error: no report of the policy agent in the last minute",
        "hint: `docker logs calico-node` shows what it does",
    ]


def test_an_agent_in_trouble_says_why(node: Node) -> None:
    node.report(trouble="cannot program this host: no buffer space")
    out, err = node.wrong()
    assert "  trouble: cannot program this host: no buffer space" in out
    assert "  not in sync, but etcd was read up to revision 1234" in out
    assert "error: the policy agent: cannot program this host: no buffer space" in err


def test_every_bad_key_is_shown_with_its_reason(node: Node) -> None:
    bad = tuple(BadKey(f"/calico/policy/profile/p{n}/rules", f"reason {n}") for n in (10, 9))
    node.report(bad_keys=bad, bad_key_count=2)
    out, err = node.wrong()
    at = out.index("  keys that cannot be used: 2")
    assert out[at + 1 : at + 3] == [
        "    /calico/policy/profile/p9/rules: reason 9",
        "    /calico/policy/profile/p10/rules: reason 10",
    ]
    assert err[0] == "error: 2 keys in etcd cannot be used by the policy agent"
    assert "delete the key" in err[1]


def test_an_endpoint_that_the_kernel_refuses_is_shown_with_the_reason(node: Node) -> None:
    cli = Cli(node.machine)
    refused, fine, elsewhere = (
        cli.endpoint("e1", "10.0.0.1"),
        cli.endpoint("e2", "10.0.0.2"),
        cli.endpoint("e3", "10.0.0.3", host="host2"),
    )
    for each in (refused, elsewhere):
        status.write_endpoint(node.store, each.key, EndpointStatus(status.ERROR, 9, "no route"))
    status.write_endpoint(node.store, fine.key, EndpointStatus(status.UP, 9))
    out, err = node.wrong()
    assert [line for line in out if "set up" in line] == ["  cannot set up endpoint e1: no route"]
    assert err[0] == "error: the policy agent cannot set up endpoint e1: no route"


@pytest.mark.parametrize("version", ["0.9.0", ""])
def test_an_agent_of_another_version_is_warned_of(node: Node, version: str) -> None:
    node.report(version=version)
    out, err = node.well()
    shown = version or "unknown"
    assert f"  version {shown} (this command: {__version__})" in out
    assert err[0] == f"warning: calicoctl is version {__version__}, the policy agent {shown}"
    assert "calicoctl node" in err[1]


def test_a_host_that_was_removed_while_it_runs_is_told_so(node: Node) -> None:
    for directory in (keys.host(HOST), keys.bgp_host(HOST)):
        node.store.delete(directory)
    _, err = node.wrong()
    assert err[0] == (
        "error: etcd at memory:0 does not know this host, host1: others do not reach it"
    )
    assert "`sudo calicoctl node` makes it a host again" in err[1]
    node.docker.own[NODE] = OwnContainer(False, "Exited (0)")
    assert not any("does not know" in line for line in node.wrong()[1])


def test_a_silent_routing_service_is_an_error(node: Node) -> None:
    node.store.delete(keys.service_status(HOST, "routing"))
    out, err = node.wrong()
    assert "routing service: no report in the last minute" in out
    assert err[0] == "error: no report of the routing service in the last minute"


def test_a_node_without_networking_misses_neither_routing_nor_bird(node: Node) -> None:
    node.store.delete(keys.service_status(HOST, "routing"))
    environment = node.environment(CALICO_NETWORKING="false")
    node.docker.own[NODE] = OwnContainer(True, "Up 5 minutes", environment)
    out, err = node.well()
    assert "routing service: none, CALICO_NETWORKING is false" in out
    assert err == []
    assert node.docker.executed == []


def test_a_key_for_bgp_that_cannot_be_read_is_shown_too(node: Node) -> None:
    key = "/calico/bgp/v1/host/host2/ip_addr_v4"
    node.store.put(key, "nonsense")
    out, err = node.wrong()
    at = out.index("  keys that cannot be used: 1")
    assert out[at - 1].startswith("routing service: up")
    assert out[at + 1].startswith(f"    {key}: invalid IPv4 address 'nonsense'")
    assert err[0] == "error: 1 key for BGP in etcd cannot be used"


def test_a_bird_that_does_not_answer_is_an_error(node: Node) -> None:
    node.docker.fail_to_execute = DockerError("`birdc` failed: Unable to connect")
    out, err = node.wrong()
    assert out[-1] == "BGP sessions: not known, because BIRD does not answer"
    assert not any(line.startswith("BIRD: up") for line in out)
    assert err[0] == "error: BIRD does not answer: `birdc` failed: Unable to connect"


def test_a_session_that_is_not_established_is_warned_of(node: Node) -> None:
    node.docker.printed = BIRD + (
        "Mesh_10_99_0_3 BGP ---  start 10:11:12.000  Active        Socket: Connection refused\n"
    )
    out, err = node.well()
    assert [
        "10.99.0.3",
        MESH,
        "start",
        "10:11:12.000",
        "Active Socket: Connection refused",
        "",
        "",
    ] in cells("\n".join(out))
    assert err[0] == "warning: 1 of 4 BGP sessions not established: 10.99.0.3"
    assert "179" in err[1]


def test_a_cluster_of_one_host_has_no_sessions_and_is_well(node: Node) -> None:
    node.docker.printed = "BIRD 2.0.12 ready.\nName Proto Table State Since Info\n"
    out, err = node.well()
    assert cells("\n".join(out)) == [PEERS, PEERS]
    assert err == []


def test_a_container_that_could_not_be_given_its_network_is_shown_with_the_reason(
    node: Node,
) -> None:
    problems = {"web10": "no pool holds 1.2.3.4", "web9": "taken"}
    node.report_service(status.LIFECYCLE, ServiceStatus("now", problems=problems))
    out, err = node.wrong()
    at = out.index("  containers that have not got the network that they wish: 2")
    assert out[at + 1 : at + 3] == ["    web9: taken", "    web10: no pool holds 1.2.3.4"]
    assert err[0].startswith("error: container web10 has not got the network that it wishes: no")
    assert err[1].startswith("hint: ")


def test_a_container_that_was_left_alone_is_warned_of(node: Node) -> None:
    report = ServiceStatus("now", left_alone={"db": "it is on network bridge"})
    node.report_service(status.LIFECYCLE, report)
    out, err = node.well()
    at = out.index("  containers that wish an address of ours but are left alone: 1")
    assert out[at + 1] == "    db: it is on network bridge"
    assert err[0] == (
        "warning: container db wishes an address of ours but is left alone: it is on network bridge"
    )
    assert "--net=none" in err[1]


@pytest.mark.parametrize(
    ("service", "shown"),
    [
        (status.ROUTING, "routing service"),
        (status.LIFECYCLE, "life-cycle service"),
        (status.DOCKER_PROXY, "Docker API proxy"),
        (status.METRICS, "metrics service"),
    ],
)
def test_a_service_in_trouble_or_silent_is_an_error(node: Node, service: str, shown: str) -> None:
    node.report_service(service, ServiceStatus("now", trouble="the port is taken"))
    out, err = node.wrong()
    assert "  trouble: the port is taken" in out
    assert err[0] == f"error: the {shown}: the port is taken"
    node.store.delete(keys.service_status(HOST, service))
    out, err = node.wrong()
    assert any(line.endswith(": no report in the last minute") for line in out)
    assert err[0] == f"error: no report of the {shown} in the last minute"


def test_a_proxy_that_is_off_is_not_missed(node: Node) -> None:
    node.store.delete(keys.service_status(HOST, status.DOCKER_PROXY))
    node.runs_with(CALICO_DOCKER_PROXY="off")
    out, err = node.well()
    assert "Docker API proxy: off" in out
    assert err == []


def test_names_are_those_of_the_parts_that_are_not_well(node: Node) -> None:
    assert node.run("--output=name").out == ""
    node.report(trouble="no space", bad_key_count=1)
    node.store.delete(keys.service_status(HOST, status.METRICS))
    finished = node.run("--output=name")
    assert (finished.exit, finished.out) == (1, "felix\nmetrics\n")


@pytest.mark.parametrize(
    "form", ["--output=table", "--output=json", "--output=yaml", "--output=name"]
)
def test_code_and_errors_are_the_same_in_every_form(node: Node, form: str) -> None:
    assert node.run(form).exit == 0
    node.report(trouble="no space")
    finished, plain = node.run(form), node.run()
    assert (finished.exit, finished.err) == (1, plain.err)
    assert finished.err.startswith("error: the policy agent: no space\nhint: ")


def test_it_waits_until_all_is_well(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    node.report(trouble="no space")
    clock, sleep = node.machine.clock, node.machine.clock.sleep

    def sleep_until_mended(seconds: float) -> None:
        sleep(seconds)
        if clock.now >= 3:
            node.report()

    monkeypatch.setattr(clock, "sleep", sleep_until_mended)
    finished = node.run("--wait=30s")
    assert finished.exit == 0
    assert finished.err == "waiting: the policy agent: no space\n"
    assert clock.now == 3


def test_it_waits_no_longer_than_it_was_told_and_says_what_is_wrong_then(node: Node) -> None:
    node.report(trouble="no space")
    finished = node.run("--wait=2500ms", "--output=name")
    assert (finished.exit, finished.out, node.machine.clock.now) == (1, "felix\n", 2.5)
    assert "error: the policy agent: no space" in finished.err


@pytest.mark.parametrize(
    "words", [("--wait",), ("--wait", "--output=name"), ("--wait", "60s"), ("--wait=1m",)]
)
def test_to_wait_without_a_time_is_to_wait_a_minute(node: Node, words: tuple[str, ...]) -> None:
    node.report(trouble="no space")
    assert node.run(*words).exit == 1
    assert node.machine.clock.now == 60


@pytest.mark.parametrize("words", [("--wait=soon",), ("--wait=8d",), ("--output=xml",)])
def test_what_makes_no_sense_is_refused(node: Node, words: tuple[str, ...]) -> None:
    finished = node.run(*words)
    assert (finished.exit, finished.out) == (1, "")
    assert "expected" in finished.err


def test_it_takes_no_other_words(node: Node) -> None:
    finished = Cli(node.machine).run("status", "--all")
    assert finished.exit == 1
    assert "there is no option `--all`" in finished.err
