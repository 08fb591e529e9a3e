"""`drops`, `explain`, `status` and the probes on a real host: well at first, then ever more broken.

From the hanging etcd on nothing is mended but that, so the order of these tests matters.
"""

import json
import re
import subprocess
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from calico_ctl.model import metric
from tests.support import cluster as calico
from tests.support import command, folders, probes
from tests.support.cluster import ETCD, Cluster
from tests.support.command import Result
from tests.support.host import Host
from tests.support.lab import Lab

pytestmark = pytest.mark.system

WEB, CLIENT = "192.168.1.1", "192.168.1.2"
AGENT = "/run/calico/service/felix"
DENIED = "inbound rule 2 of profile web denies it"
NO_ETCD = f"cannot reach etcd at {ETCD} ("
NO_ENGINE = "cannot reach the Docker Engine at unix:///var/run/docker.sock: it is not running"
FULL = ("/tmp", "/var/tmp")
"""Where diags puts its file first, and second."""

PATIENCE = 60


@pytest.fixture(scope="module")
def cluster(lab1: Lab) -> Cluster:
    """Containers web, which denies port 81 by its second rule, and client; all is well."""
    cluster = calico.start(lab1, ipv6=False)
    (host,) = cluster.hosts
    for name, address in (("web", WEB), ("client", CLIENT)):
        wish = ("-e", f"CALICO_IP={address}", "-e", f"CALICO_PROFILE={name}")
        made = ("run", "-d", "--name", name, *wish, "busybox", "sleep", "1d")
        host.docker("-H", "localhost:2377", *made)
    cluster.calicoctl(host, "profile web rule add inbound deny tcp to ports 81")
    cluster.calicoctl(host, "profile web rule add inbound allow tcp to ports 80")
    command.wait_until(lambda: probe(host, "readyz") == "ok\n200", PATIENCE, "it is ready")
    return cluster


@pytest.fixture(scope="module")
def host(cluster: Cluster) -> Host:
    return cluster.hosts[0]


@pytest.fixture(scope="module")
def client(host: Host) -> list[str]:
    """The words in front of a program that is to run as client; Docker may be away later."""
    return probes.inside(host, "client")


@pytest.fixture(scope="module")
def agentless(cluster: Cluster, host: Host) -> Cluster:
    """The agent has ended and does not come back."""
    host.docker("exec", "calico-node", "sv", "down", AGENT)
    status = f"docker exec calico-node sv status {AGENT}"
    command.wait_until(
        lambda: host.run(status, quiet=True).out.startswith("down: "), PATIENCE, "the agent ends"
    )
    return cluster


@pytest.fixture(scope="module")
def engineless(agentless: Cluster, host: Host, client: list[str]) -> Cluster:
    """Docker was killed as well, while containers go on; and disks are full."""
    assert client
    host.run("kill -KILL $(cat /run/docker.pid)")
    command.wait_until(
        lambda: host.docker("version", check=False).code != 0, PATIENCE, "the engine is gone"
    )
    for folder in FULL:
        folders.keep_apart(host, folder, size="4k")
    return agentless


@pytest.fixture(scope="module")
def tableless(engineless: Cluster, host: Host) -> Cluster:
    """Somebody deleted the policy's table as well, and nobody makes it anew."""
    host.run("nft delete table inet calico")
    return engineless


def probe(host: Host, page: str) -> str:
    """What a probe is answered, and the status; 000 if nobody answers."""
    url = f"http://127.0.0.1:9091/{page}"
    return host.run(f"curl -s -w '%{{http_code}}' {url}", check=False, quiet=True).out


def at_once(cluster: Cluster, host: Host, *lines: str) -> list[Result]:
    """Run several commands at the same time: each has to wait for what does not answer."""
    with ThreadPoolExecutor() as pool:
        return list(pool.map(lambda line: cluster.calicoctl(host, line, check=False), lines))


# -- looking at what is dropped -------------------------------------------------------------------


def watchers(host: Host) -> list[str]:
    """The tables of whoever looks at drops."""
    listed = host.run("nft list tables", quiet=True).out
    return [line for line in listed.splitlines() if "calico_watch" in line]


@dataclass
class Watch:
    """`drops --follow` at work on a host, and what it has said."""

    host: Host
    running: subprocess.Popen[bytes]
    log: Path

    def kill(self, signal: str) -> int:
        """Signal it; return the code that it ends with, once nothing of it is in the kernel."""
        self.host.run(f"kill -{signal} $(cat {self.log}.pid)")
        code = self.running.wait(PATIENCE)
        command.wait_until(lambda: not watchers(self.host), PATIENCE, "its table is gone")
        return code

    def told(self) -> list[dict[str, Any]]:
        """What was told so far of port 81; the last line may not be there as a whole."""
        *lines, _ = self.log.read_text().split("\n")
        items = [json.loads(line) for line in lines if line.startswith("{")]
        return [each for each in items if each["port"] == 81]

    def drop(self, client: Sequence[str]) -> dict[str, Any]:
        """Have packets to port 81 dropped until one is told; return what is told."""
        knock = [*client, *probes.ECHO, "probe", "tcp", WEB, "81"]

        def is_told() -> bool:
            assert self.host.run(knock, check=False).code != 0
            return bool(self.told())

        command.wait_until(is_told, PATIENCE, "the drop is told")
        return self.told()[0]


def watch(host: Host, name: str) -> Watch:
    """Start to look."""
    log = host.directory / f"{name}.log"
    script = f"echo $$ >{log}.pid; exec calicoctl drops --follow --output=json"
    running = host.spawn(["sh", "-c", script], log.name, {"ETCD_AUTHORITY": ETCD})
    command.wait_until(lambda: watchers(host), PATIENCE, "packets are traced")
    return Watch(host, running, log)


# -- all is well ----------------------------------------------------------------------------------


def test_a_denied_packet_is_told_with_container_profile_and_rule(cluster, host, client):
    before = repairs(cluster, host)
    watching = watch(host, "drops")
    drop = watching.drop(client)
    endpoint = cluster.endpoint_key(host, drop["workload"]).rpartition("/")[2]
    assert (drop["container"], drop["endpoint"], drop["hostname"]) == ("web", endpoint, host.name)
    assert (drop["direction"], drop["source"], drop["destination"]) == ("inbound", CLIENT, WEB)
    assert (drop["why"], drop["profile"], drop["position"]) == ("rule", "web", 2)
    assert drop["reason"] == DENIED
    assert watching.kill("INT") == 130
    assert repairs(cluster, host) == before


def repairs(cluster: Cluster, host: Host) -> object:
    """How often the agent had to mend something."""
    report = cluster.curl(f"KEYS/calico/felix/v1/host/{host.name}/status")
    return json.loads(report["node"]["value"])["repairs"]


def test_who_was_killed_leaves_no_table(host):
    assert watch(host, "killed").kill("KILL") != 0
    assert watchers(host) == []


def test_one_container_can_be_looked_at_for_a_while(cluster, host):
    shown = cluster.calicoctl(host, "drops web --for=1s")
    assert "in 1 s" in shown.err
    assert all(" web " in line for line in shown.out.splitlines())


def test_explain_says_what_the_kernel_does(cluster, host):
    denied = cluster.calicoctl(host, "explain client web tcp 81", check=False)
    assert denied.code == 1
    assert DENIED in denied.out
    assert cluster.calicoctl(host, "explain client web tcp 80").out.startswith("allowed: ")


def test_each_decision_is_a_line_of_a_log_and_logs_are_rotated(host):
    log = (host.directory / "private/var/log/calico/felix/current").read_text()
    assert re.search(r"^\S+ INFO calico_ctl\.\S+: \S.* in [0-9.]+ ms$", log, re.MULTILINE)
    # as the agent's log service runs it, in another folder
    there = "/var/log/calico/rotated"
    script = f"sed s,/var/log/calico/felix,{there}, /opt/calico/service/felix/log/run"
    feed = f'yes {"x" * 99} | head -c 2500000 | sh -c "$({script})"'
    feed = f"mkdir {there}; {feed}; ls {there}; rm -r {there}"
    shown = host.docker("exec", "calico-node", "sh", "-c", feed).out.split()
    assert "current" in shown
    assert len([name for name in shown if name.startswith("@")]) >= 2


# -- it is not ------------------------------------------------------------------------------------


def test_with_an_etcd_that_hangs_the_kernels_reasons_are_still_told(cluster, host, client):
    trouble = f"felix: etcd is away, the last state stays: {NO_ETCD}"
    lines = ("status", "explain client web tcp 81", "checksystem --output=json", "drops web")
    host.docker("pause", "calico-etcd")
    try:
        with ThreadPoolExecutor() as pool:
            asked = pool.submit(at_once, cluster, host, *lines)
            watching = watch(host, "hanging")
            drop = watching.drop(client)
            assert watching.kill("INT") == 130
            status, explain, check, one = asked.result()
        command.wait_until(lambda: trouble in probe(host, "readyz"), PATIENCE, "it is not ready")
        assert probe(host, "readyz").endswith("\n503")
        command.wait_until(lambda: probe(host, "healthz") == "ok\n200", PATIENCE, "all live")
    finally:
        host.docker("unpause", "calico-etcd")

    assert status.code == explain.code == check.code == one.code == 1
    assert status.out.startswith("calico-node is running on host1 (Up ")
    assert f"\netcd: {NO_ETCD}" in status.out
    for each in (status, explain, check, one):
        assert re.search(rf"^error: {re.escape(NO_ETCD)}.*\nhint: ", each.err, re.MULTILINE)
    assert explain.out == one.out == ""
    assert results(check) | {"etcd": "failed", "clock": "warning", "docker": "ok"} == results(check)
    assert (drop["reason"], drop["container"], drop["endpoint"]) == (DENIED, None, None)
    assert drop["interface"].startswith("cali")
    assert f"warning: only interfaces are known: {NO_ETCD}" in watching.log.read_text()
    command.wait_until(lambda: probe(host, "readyz") == "ok\n200", PATIENCE, "it is ready again")


def results(found: Result) -> dict[str, str]:
    """How each check of checksystem ended."""
    return {each["name"]: each["result"] for each in json.loads(found.out)["items"]}


def test_without_the_agent_what_is_in_force_goes_on_and_is_told(agentless, host, client):
    watching = watch(host, "agentless")
    drop = watching.drop(client)
    assert watching.kill("INT") == 130
    assert (drop["reason"], drop["container"]) == (DENIED, "web")
    assert agentless.calicoctl(host, "explain client web tcp 81", check=False).code == 1


def test_without_docker_and_with_full_disks_the_rest_is_told(engineless, host, client):
    watching = watch(host, "engineless")
    drop = watching.drop(client)
    assert watching.kill("INT") == 130
    lines = ("status", "checksystem --output=json", "endpoint show --output=name")
    status, check, ids, diags = at_once(engineless, host, *lines, "diags --no-serve")
    # Nobody can say what the container is called, but etcd knows the endpoint.
    assert (drop["reason"], drop["container"]) == (DENIED, None)
    assert drop["endpoint"] in ids.out.split()
    assert status.code == check.code == 1
    assert status.out.startswith(f"calico-node: {NO_ENGINE}\netcd at {ETCD} answers in ")
    for each in (status, check):
        assert f"error: {NO_ENGINE}\nhint: start Docker there" in each.err
    assert results(check) | {"docker": "failed", "etcd": "ok", "clock": "ok"} == results(check)
    assert diags.code == 0
    for folder in FULL:
        assert f"warning: cannot write to {folder}: No space left on device" in diags.err
    assert diags.out.splitlines()[-1].startswith("file: /var/lib/calico/diags-host1-")
    had = dict(line.split(None, 1) for line in diags.out.splitlines()[:-1])
    for name in ("docker/info", "docker/inspect", "node/services", "node/bird-protocols"):
        assert had[name] == f"not collected: {NO_ENGINE}"
    assert had["agent/state"].startswith("not collected: ")
    assert not any(had[name].startswith("not") for name in ("firewall/nftables", "etcd/calico"))


def test_without_a_table_it_is_said_that_nothing_is_dropped(engineless, host, request):
    watching = watch(host, "tableless")
    request.getfixturevalue("tableless")
    command.wait_until(
        lambda: "is gone: until" in watching.log.read_text(), PATIENCE, "it is noticed"
    )
    assert watching.kill("INT") == 130
    said = watching.log.read_text()
    assert said.count("warning: the nftables table inet calico is gone") == 1
    lines = ("drops", "endpoint show --counters")
    for refused in at_once(engineless, host, *lines):
        assert (refused.code, refused.out) == (1, "")
        assert "error: this host has no nftables table inet calico, so no" in refused.err
        assert "hint: `calicoctl status` shows whether calico-node runs" in refused.err


def test_a_silent_agent_is_dead_to_both_probes_and_what_was_measured_stays(tableless, host):
    silent = "felix: nothing was heard of it for "
    command.wait_until(lambda: silent in probe(host, "healthz"), PATIENCE, "the agent is missed")
    for page in ("healthz", "readyz"):
        assert silent in probe(host, page)
        assert probe(host, page).endswith("\n503")
    # It is the agent alone: the others go on without Docker.
    assert "docker-proxy" not in probe(host, "healthz")
    metrics = probe(host, "metrics")
    assert 'calico_service_up{service="felix"} 0\n' in metrics
    assert 'calico_service_up{service="routing"} 1\n' in metrics
    series = re.findall(r"^\w+", metrics, re.MULTILINE)
    names = {re.sub(r"_(bucket|sum|count)$", "", each) for each in series}
    # Nothing had to be mended.
    assert {each.name for each in metric.ALL} - names <= {metric.REPAIRS.name}
