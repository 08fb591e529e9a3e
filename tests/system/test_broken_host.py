"""What helps to find a fault works when something is broken: etcd, the agent, Docker, the disk.

From one test to the next more is broken, and nothing is mended but etcd.
"""

import json
import re
import subprocess
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.support import cluster as calico
from tests.support import command, probes
from tests.support.cluster import ETCD, Cluster
from tests.support.command import Result
from tests.support.host import Host
from tests.support.lab import Lab

pytestmark = pytest.mark.system

WEB, CLIENT = "192.168.1.1", "192.168.1.2"
AGENT = "/run/calico/service/felix"
DENIED = "inbound rule 2 of profile web denies it"
NO_ETCD = f"cannot reach etcd at {ETCD} (no answer within 4 s)"
NO_ENGINE = "cannot reach the Docker Engine at unix:///var/run/docker.sock: it is not running"
PATIENCE = 60


@pytest.fixture(scope="module")
def cluster(lab1: Lab) -> Cluster:
    """Containers web, which denies port 81 by its second rule, and client; all is well."""
    cluster = calico.start(lab1, ipv6=False)
    (host,) = cluster.hosts
    for name, address in (("web", WEB), ("client", CLIENT)):
        cluster.run(host, name)
        cluster.calicoctl(host, f"container add {name} {address}")
        cluster.calicoctl(host, f"profile add {name}")
        cluster.calicoctl(host, f"container {name} profile append {name}")
    cluster.calicoctl(host, "profile web rule add inbound deny tcp to ports 81")
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
    """Docker was killed as well; containers go on."""
    assert client
    host.run("kill -KILL $(cat /run/docker.pid)")
    command.wait_until(
        lambda: host.docker("version", check=False).code != 0, PATIENCE, "the engine is gone"
    )
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


def follow(host: Host, log: str) -> tuple[subprocess.Popen[bytes], int]:
    """Start to look at drops; return the process and its id inside the host."""
    script = f"echo $$ >{host.directory}/{log}.pid; exec calicoctl drops --follow --output=json"
    running = host.spawn(["sh", "-c", script], log, {"ETCD_AUTHORITY": ETCD})
    tables = "nft list tables"
    command.wait_until(
        lambda: "calico_watch" in host.run(tables, quiet=True).out, PATIENCE, "packets are traced"
    )
    return running, int((host.directory / f"{log}.pid").read_text())


def drop_on_port_81(host: Host, client: list[str], log: str) -> dict[str, object]:
    """Have packets dropped until one is told; return what is told."""

    def told() -> list[dict[str, object]]:
        # the last line may not be there as a whole
        *lines, _ = (host.directory / log).read_text().split("\n")
        items = [json.loads(line) for line in lines if line.startswith("{")]
        return [each for each in items if each["port"] == 81]

    def is_told() -> bool:
        knock = [*client, *probes.ECHO, "probe", "tcp", WEB, "81"]
        assert host.run(knock, check=False).code != 0
        return bool(told())

    command.wait_until(is_told, PATIENCE, "the drop is told")
    return told()[0]


def end(host: Host, process: tuple[subprocess.Popen[bytes], int]) -> None:
    """Interrupt who follows, and see that nothing of it is left."""
    running, pid = process
    host.run(f"kill -INT {pid}")
    assert running.wait(PATIENCE) == 130
    assert "calico_watch" not in host.run("nft list tables", quiet=True).out


def test_while_all_is_well_each_decision_is_a_line_of_a_log_that_is_rotated(
    cluster: Cluster, host: Host
) -> None:
    assert cluster.calicoctl(host, "status").err == ""
    log = (host.directory / "private/var/log/calico/felix/current").read_text()
    assert re.search(r"^\S+ INFO calico_ctl\.\S+: \S.* in [0-9.]+ ms$", log, re.MULTILINE)
    # as the agent's log service runs it, in another folder
    there = "/var/log/calico/rotated"
    script = f"sed s,/var/log/calico/felix,{there}, /opt/calico/service/felix/log/run"
    feed = f'mkdir {there}; yes {"x" * 99} | head -c 2500000 | sh -c "$({script})"; ls {there}'
    shown = host.docker("exec", "calico-node", "sh", "-c", feed).out.split()
    assert "current" in shown
    assert len([name for name in shown if name.startswith("@")]) >= 2


def test_with_an_etcd_that_hangs_the_kernels_reasons_are_still_told(
    cluster: Cluster, host: Host, client: list[str]
) -> None:
    host.docker("pause", "calico-etcd")
    try:
        trouble = f"felix: etcd is away, the last state stays: {NO_ETCD}\n"
        command.wait_until(lambda: trouble in probe(host, "readyz"), PATIENCE, "it is not ready")
        assert probe(host, "readyz").endswith("\n503")
        assert probe(host, "healthz") == "ok\n200"
        status, explain, check, one = at_once(
            *(cluster, host),
            *("status", "explain client web tcp 81", "checksystem --output=json", "drops web"),
        )
        following = follow(host, "hanging.log")
        drop = drop_on_port_81(host, client, "hanging.log")
        end(host, following)
    finally:
        host.docker("unpause", "calico-etcd")

    assert status.code == explain.code == check.code == one.code == 1
    assert status.out.startswith("calico-node is running on host1 (Up ")
    assert f"\netcd: {NO_ETCD}\n" in status.out
    for each in (status, explain, check, one):
        assert f"error: {NO_ETCD}\nhint: " in each.err
    assert explain.out == one.out == ""
    results = {each["name"]: each["result"] for each in json.loads(check.out)["items"]}
    assert (results["etcd"], results["clock"], results["docker"]) == ("failed", "warning", "ok")
    assert (drop["reason"], drop["container"], drop["endpoint"]) == (DENIED, None, None)
    assert str(drop["interface"]).startswith("cali")
    said = (host.directory / "hanging.log").read_text()
    assert f"warning: only interfaces are known: {NO_ETCD}\n" in said
    command.wait_until(lambda: probe(host, "readyz") == "ok\n200", PATIENCE, "it is ready again")


def test_without_the_agent_what_is_in_force_goes_on_and_is_told(
    agentless: Cluster, host: Host, client: list[str]
) -> None:
    following = follow(host, "agentless.log")
    drop = drop_on_port_81(host, client, "agentless.log")
    end(host, following)
    assert (drop["reason"], drop["container"]) == (DENIED, "web")
    assert agentless.calicoctl(host, "explain client web tcp 81", check=False).code == 1


def test_without_docker_the_rest_is_told(
    engineless: Cluster, host: Host, client: list[str]
) -> None:
    # Where diags puts its file first and second, the disk is full.
    full = ("/tmp", "/var/tmp")
    host.run("; ".join(f"mount -t tmpfs -o size=4k tmpfs {folder}" for folder in full))
    following = follow(host, "engineless.log")
    drop = drop_on_port_81(host, client, "engineless.log")
    end(host, following)
    status, check, ids, diags = at_once(
        *(engineless, host),
        *("status", "checksystem --output=json", "endpoint show --output=name"),
        "diags --no-serve",
    )
    assert status.code == check.code == 1
    assert status.out.startswith(f"calico-node: {NO_ENGINE}\netcd at {ETCD} answers in ")
    for each in (status, check):
        assert f"error: {NO_ENGINE}\nhint: start Docker there" in each.err
    results = {each["name"]: each["result"] for each in json.loads(check.out)["items"]}
    assert (results["docker"], results["etcd"], results["nftables"]) == ("failed", "ok", "ok")
    assert diags.code == 0
    for folder in full:
        assert f"warning: cannot write to {folder}: No space left on device" in diags.err
    assert diags.out.splitlines()[-1].startswith("file: /var/lib/calico/diags-host1-")
    had = dict(line.split(None, 1) for line in diags.out.splitlines()[:-1])
    for name in ("docker/info", "docker/inspect", "node/services", "node/bird-protocols"):
        assert had[name] == f"not collected: {NO_ENGINE}"
    assert had["agent/state"].startswith("not collected: ")
    assert not any(had[name].startswith("not") for name in ("firewall/nftables", "etcd/calico"))
    # Nobody can say what the container is called, but etcd knows the endpoint.
    assert (drop["reason"], drop["container"]) == (DENIED, None)
    assert drop["endpoint"] in ids.out.split()


def test_without_a_table_it_is_said_that_nothing_is_dropped(
    engineless: Cluster, host: Host, request: pytest.FixtureRequest
) -> None:
    following = follow(host, "tableless.log")
    request.getfixturevalue("tableless")
    log = host.directory / "tableless.log"
    command.wait_until(lambda: "is gone: until" in log.read_text(), PATIENCE, "it is noticed")
    end(host, following)
    assert log.read_text().count("warning: the nftables table inet calico is gone") == 1
    for line in ("drops", "endpoint show --counters"):
        refused = engineless.calicoctl(host, line, check=False)
        assert (refused.code, refused.out) == (1, "")
        assert "error: this host has no nftables table inet calico, so no" in refused.err
        assert "hint: `calicoctl status` shows whether calico-node runs" in refused.err


def test_a_silent_agent_is_dead_to_both_probes(tableless: Cluster, host: Host) -> None:
    for page in ("healthz", "readyz"):
        command.wait_until(
            lambda page=page: "felix: nothing was heard of it for " in probe(host, page),
            PATIENCE,
            f"{page} misses the agent",
        )
        assert probe(host, page).endswith("\n503")
    # It is the agent alone: the others go on without Docker.
    assert "docker-proxy" not in probe(host, "healthz")
    metrics = probe(host, "metrics")
    assert 'calico_service_up{service="felix"} 0\n' in metrics
    assert 'calico_service_up{service="routing"} 1\n' in metrics
