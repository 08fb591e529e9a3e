"""`drops`, `explain`, `status`, `checksystem` and the probes on a real host, well and broken.

Each test begins `well` or `agentless`, which see to it themselves; all else that it breaks, it
mends. To begin as the test before it did costs nothing, so those of a kind stand together.
"""

import json
import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from calico_ctl.model import metric
from tests.support import bundle, command, folders, probes
from tests.support import cluster as calico
from tests.support.cluster import ETCD, Cluster
from tests.support.command import Result
from tests.support.host import Host
from tests.support.lab import Lab
from tests.support.paths import CHECKOUT
from tests.support.terminal import CTRL_C

pytestmark = pytest.mark.system

WEB, CLIENT = "192.168.1.1", "192.168.1.2"
AGENT = "/run/calico/service/felix"
DENIED = "inbound rule 2 of profile web denies it"
NO_ETCD = f"cannot reach etcd at {ETCD} ("
ENGINE = "the Docker Engine at unix:///var/run/docker.sock"
NO_ENGINE = f"cannot reach {ENGINE}: it is not running"
SILENT_ENGINE = f"{ENGINE} does not answer in time"
READY = "ok\n200"
DECISION = re.compile(r"^\S+ INFO calico_ctl\.\S+: \S.* in [0-9.]+ ms$", re.MULTILINE)
LOGGED = ("bird", "docker-proxy", "felix", "lifecycle", "metrics", "routing")
FED, MOST_KEPT = 13_000_000, 11_500_000
"""Bytes given to each log, and how many may be left: ten files of a million, and the current."""

FULL = ("/tmp", "/var/tmp")
"""Where diags puts its file first, and second."""

LOOSE = "net.ipv4.conf.all.rp_filter"
BREAK = f"net.ipv4.ip_forward=0 net.ipv6.conf.all.forwarding=0 {LOOSE}=2"
MEND = f"net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1 {LOOSE}=0"
LONG_AGO = 's/"written": [0-9.]*/"written": 0/'

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
    # Containers outlive their engine.
    host.run("echo '{\"live-restore\": true}' >/etc/docker/daemon.json")
    host.run("kill -HUP $(cat /run/docker.pid)")
    is_on = ("info", "--format", "{{.LiveRestoreEnabled}}")
    command.wait_until(lambda: "true" in host.docker(*is_on).out, PATIENCE, "they do")
    command.wait_until(lambda: probe(host, "readyz") == READY, PATIENCE, "it is ready")
    return cluster


@pytest.fixture(scope="module")
def host(cluster: Cluster) -> Host:
    return cluster.hosts[0]


@pytest.fixture(scope="module")
def client(host: Host) -> list[str]:
    """The words in front of a program that is to run as client; Docker may be away later."""
    return probes.inside(host, "client")


@pytest.fixture
def well(cluster: Cluster, host: Host) -> Cluster:
    """All is well; an agent that a former test has ended is back."""
    if agent_is_down(host):
        former = begun(host)
        host.docker("exec", "calico-node", "sv", "up", AGENT)
        # Until then the probes would speak of the one that has ended.
        command.wait_until(
            lambda: begun(host) not in ([], former), PATIENCE, "another agent has begun"
        )
    command.wait_until(lambda: probe(host, "readyz") == READY, PATIENCE, "it is ready")
    return cluster


@pytest.fixture
def agentless(cluster: Cluster, host: Host) -> Cluster:
    """The agent has ended and does not come back by itself."""
    host.docker("exec", "calico-node", "sv", "down", AGENT)
    command.wait_until(lambda: agent_is_down(host), PATIENCE, "the agent ends")
    return cluster


@pytest.fixture
def engineless(agentless: Cluster, host: Host, client: list[str]) -> Iterator[Cluster]:
    """Docker was killed as well, while containers go on."""
    assert client
    host.stop_docker("KILL")
    yield agentless
    # By now the number in it may be somebody else's.
    host.run("rm -f /run/docker.pid")
    host.start_docker()


@pytest.fixture
def full(host: Host) -> Iterator[None]:
    """Disks are full."""
    for folder in FULL:
        folders.keep_apart(host, folder, size="4k")
    yield
    for folder in FULL:
        host.run(f"umount --lazy {folder} /run/apart{folder}")


def agent_is_down(host: Host) -> bool:
    """Whether the agent was told to end, and has."""
    shown = host.run(f"docker exec calico-node sv status {AGENT}", quiet=True)
    return shown.out.startswith("down: ")


def begun(host: Host) -> list[str]:
    """When the agent was started that measured last."""
    pattern = r'^calico_service_start_time_seconds\{service="felix"\} .*$'
    return re.findall(pattern, probe(host, "metrics"), re.MULTILINE)


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


def test_a_denied_packet_is_told_with_container_profile_and_rule(well, host, client):
    before = repairs(well, host)
    watching = watch(host, "drops")
    drop = watching.drop(client)
    endpoint = well.endpoint_key(host, drop["workload"]).rpartition("/")[2]
    assert (drop["container"], drop["endpoint"], drop["hostname"]) == ("web", endpoint, host.name)
    assert (drop["direction"], drop["source"], drop["destination"]) == ("inbound", CLIENT, WEB)
    assert (drop["why"], drop["profile"], drop["position"]) == ("rule", "web", 2)
    assert drop["reason"] == DENIED
    assert watching.kill("INT") == 130
    assert repairs(well, host) == before


def repairs(cluster: Cluster, host: Host) -> object:
    """How often the agent had to mend something."""
    return reported(cluster, host)["repairs"]


def reported(cluster: Cluster, host: Host) -> dict[str, Any]:
    """What the agent reports of itself."""
    report = cluster.curl(f"KEYS/calico/felix/v1/host/{host.name}/status")
    found: dict[str, Any] = json.loads(report["node"]["value"])
    return found


FLOOD = """
import socket
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
    for number in range(5000):
        sender.sendto(b"?", ("192.168.1.1", 82))
"""


def test_on_a_terminal_ctrl_c_ends_it_and_what_was_too_much_is_said(well, host, client):
    flood = [*client, sys.executable, "-I", "-S", "-c", FLOOD]
    follow = ["calicoctl", "drops", "web", "--follow"]
    with host.on_terminal(follow, {"ETCD_AUTHORITY": ETCD, "NO_COLOR": "1"}) as person:
        command.wait_until(lambda: watchers(host), PATIENCE, "packets are traced")

        def is_warned_of() -> bool:
            host.run(flood, quiet=True)
            return bool(person.sees(b" there are too many packets; some of them are not"))

        command.wait_until(is_warned_of, PATIENCE, "it warns")
        person.type(CTRL_C)
        assert person.wait() == 130
    lines = person.seen.decode().splitlines()
    told = [
        line for line in lines if re.search(rf" web inbound udp {CLIENT}:\d+ -> {WEB}:82: ", line)
    ]
    assert len(told) >= 100
    assert re.search(r"warning: \d+ packets were not looked at: there were too many$", lines[-1])
    assert watchers(host) == []


def test_who_was_killed_leaves_no_table(well, host):
    assert watch(host, "killed").kill("KILL") != 0
    assert watchers(host) == []


def test_one_container_can_be_looked_at_for_a_while(well, host):
    shown = well.calicoctl(host, "drops web --for=1s")
    assert "in 1 s" in shown.err
    assert all(" web " in line for line in shown.out.splitlines())


def test_explain_says_what_the_kernel_does(well, host):
    denied = well.calicoctl(host, "explain client web tcp 81", check=False)
    assert denied.code == 1
    assert DENIED in denied.out
    assert well.calicoctl(host, "explain client web tcp 80").out.startswith("allowed: ")


def test_each_decision_is_a_line_of_a_log_and_logs_are_rotated(well, host):
    assert DECISION.search(logged(host))
    assert DECISION.search(logged(host, "routing"))
    runs = "cd /opt/calico/service; grep -H ^exec */log/run"
    shown = host.docker("exec", "calico-node", "sh", "-c", runs).out
    kept = r"(?m)^(\S+)/log/run:exec svlogd (?:-tt )?/var/log/calico/(\S+)$"
    assert dict(re.findall(kept, shown)) == {name: name for name in LOGGED}
    # as each log service runs it, in another folder
    for name in LOGGED:
        there = f"/var/log/calico/rotated-{name}"
        script = f"sed s,/var/log/calico/{name},{there}, /opt/calico/service/{name}/log/run"
        feed = f'yes {"x" * 999} | head -c {FED} | sh -c "$({script})"'
        listed = f"cd {there}; wc -c *; cd /; rm -r {there}"
        feed = f"mkdir {there}; {feed}; {listed}"
        shown = host.docker("exec", "calico-node", "sh", "-c", feed).out
        sizes = {file: int(size) for size, file in map(str.split, shown.splitlines())}
        assert "current" in sizes
        assert len([file for file in sizes if file.startswith("@")]) >= 2
        assert sizes["total"] <= MOST_KEPT < FED


def logged(host: Host, service: str = "felix") -> str:
    """What the agent, or another service, has logged."""
    return (host.directory / f"private/var/log/calico/{service}/current").read_text()


def test_the_agent_logs_as_much_as_it_is_told_to_from_then_on(well, host):
    def since(mark: str) -> str:
        return logged(host)[before:].partition(mark)[2]

    before, agent = len(logged(host)), reported(well, host)
    quieter, rule = "logging from warning on\n", "allow udp to ports 9"
    tags = "/calico/policy/profile/client/tags"
    were, odd = well.read(tags), f" WARNING calico_ctl.daemons.agent: {tags} is not JSON"
    well.calicoctl(host, "config felix loglevel warning")
    try:
        command.wait_until(lambda: quieter in logged(host)[before:], PATIENCE, "it hears of it")
        well.calicoctl(host, f"profile client rule add inbound {rule}")
        show = "profile client rule show --counters"
        command.wait_until(
            lambda: rule in well.calicoctl(host, show, check=False).out, PATIENCE, "it acts on it"
        )
        well.write(tags, "[client]")
        command.wait_until(lambda: odd in since(quieter), PATIENCE, "it warns of it")
        assert " INFO " not in since(quieter)
    finally:
        well.write(tags, were)
        well.calicoctl(host, "config felix loglevel --remove")
        well.calicoctl(host, f"profile client rule remove inbound {rule}", check=False)
    command.wait_until(lambda: DECISION.search(since(quieter)), PATIENCE, "it says what it did")
    assert [reported(well, host)[each] for each in ("pid", "since")] == [
        agent["pid"],
        agent["since"],
    ]


LOOKED_AT = (
    r"read of etcd, revision \d+: /calico/policy/profile/client/rules was written",
    r"changing chains pi-client",
    r"the kernel took it in [0-9.]+ ms",
    r"looked at links, routes and settings of 2 endpoints in [0-9.]+ ms",
    r"nothing to change, decided in [0-9.]+ ms",
)


def test_at_level_debug_it_says_what_it_looks_at_until_it_is_told_not_to(well, host):
    def since(mark: str) -> str:
        return logged(host)[before:].partition(mark)[2]

    def said(mark: str, pattern: str) -> None:
        command.wait_until(lambda: re.search(pattern, since(mark)), PATIENCE, pattern)

    before, rule = len(logged(host)), "allow udp to ports 10"
    louder, as_usual = "logging from debug on\n", "logging from info on\n"
    well.calicoctl(host, "config felix loglevel debug")
    try:
        command.wait_until(lambda: louder in logged(host)[before:], PATIENCE, "it hears of it")
        well.calicoctl(host, f"profile client rule add inbound {rule}")
        for line in LOOKED_AT:
            said(louder, rf"(?m)^\S+ DEBUG calico_ctl\.\S+: {line}$")
        # Nothing that we use has a word to say of itself.
        names = set(re.findall(r"(?m)^\S+ DEBUG (\S+):", since(louder)))
        assert {name.partition(".")[0] for name in names} == {"calico_ctl"}
    finally:
        well.calicoctl(host, "config felix loglevel --remove")
    said(louder, as_usual)
    well.calicoctl(host, f"profile client rule remove inbound {rule}")
    said(as_usual, f"(?m){DECISION.pattern}")
    assert " DEBUG " not in since(as_usual)


def test_each_metric_moves_with_what_happens_and_the_dashboard_shows_what_is_served(well, host):
    before = measured(host)
    wish = ("-e", "CALICO_IP=192.168.1.3", "-e", "CALICO_PROFILE=third")
    made = ("run", "-d", "--name", "third", *wish, "busybox", "sleep", "1d")
    rules, rule = "/calico/policy/profile/third/rules", "allow tcp from tag third to ports 90"
    try:
        host.docker("-H", "localhost:2377", *made)
        well.calicoctl(host, f"profile web rule add inbound {rule}")
        well.write(rules, "nonsense")
        host.run("nft delete table inet calico")
        host.docker("exec", "calico-node", "sv", "restart", "/run/calico/service/lifecycle")
        command.wait_until(
            lambda: moved(before, measured(host)) >= MOVES, PATIENCE, "all is counted"
        )
    finally:
        print(sorted(MOVES - moved(before, measured(host))))
        host.docker("-H", "localhost:2377", "rm", "-f", "third", check=False)
        well.calicoctl(host, f"profile web rule remove inbound {rule}", check=False)
        well.calicoctl(host, "profile remove third", check=False)
    command.wait_until(lambda: not unmeasured(host), PATIENCE, "nothing is not measured")
    after = measured(host)
    assert [after[each] for each in WHEN_WELL] == [1.0] * len(WHEN_WELL)
    of_each = {
        f'calico_service_{what}{{service="{name}"}}' for what in OF_EACH for name in SERVICES
    }
    assert of_each <= set(after)
    listening = host.run("ss --no-header --listening --tcp --numeric 'sport = :9091'").out
    assert [line.split()[3] for line in listening.splitlines()] == ["127.0.0.1:9091"]
    dashboard = json.loads((CHECKOUT / "examples/grafana/calico-node.json").read_text())
    asked = [each["expr"] for panel in dashboard["panels"] for each in panel["targets"]]
    names = {name for expression in asked for name in re.findall(r"calico_\w+", expression)}
    assert len(asked) > 20
    assert names <= {series.partition("{")[0] for series in after}


MOVES = {
    'calico_attach_seconds_count{service="docker-proxy"}',
    "calico_docker_proxy_calls_total",
    'calico_docker_proxy_questions_total{question="connect",outcome="done"}',
    "calico_felix_endpoints",
    "calico_felix_etcd_revision",
    "calico_felix_profiles",
    'calico_felix_repairs_total{kind="table"}',
    "calico_felix_rules",
    "calico_felix_sets",
    "calico_felix_unusable_keys",
    "calico_felix_update_seconds_count",
    'calico_service_log_lines_total{service="felix",level="warning"}',
    'calico_service_restarts_total{service="lifecycle"}',
    "calico_metrics_scrapes_total",
}
"""What grows when a container comes that is told of, a rule, a bad key, who breaks things."""

SERVICES = ("docker-proxy", "felix", "lifecycle", "metrics", "routing")
WHEN_WELL = (
    "calico_felix_in_sync",
    "calico_felix_etcd_connected",
    *(f'calico_service_up{{service="{name}"}}' for name in SERVICES),
)
OF_EACH = ("restarts_total", "start_time_seconds", "trouble", "resident_memory_bytes")


def measured(host: Host) -> dict[str, float]:
    """Everything that is measured: what is written in front of a value, and the value."""
    lines = probe(host, "metrics").splitlines()[:-1]
    pairs = (line.rpartition(" ") for line in lines if not line.startswith("#"))
    return {series: float(value) for series, _, value in pairs}


def moved(before: dict[str, float], after: dict[str, float]) -> set[str]:
    """What has grown, or was not there before."""
    return {each for each, value in after.items() if value > before.get(each, 0.0)}


# -- it is not ------------------------------------------------------------------------------------


def test_with_an_etcd_that_hangs_the_kernels_reasons_are_still_told(well, host, client):
    trouble = f"felix: etcd is away, the last state stays: {NO_ETCD}"
    lines = ("status", "explain client web tcp 81", "checksystem --output=json", "drops web")
    host.docker("pause", "calico-etcd")
    try:
        with ThreadPoolExecutor() as pool:
            asked = pool.submit(at_once, well, host, *lines)
            watching = watch(host, "hanging")
            drop = watching.drop(client)
            assert watching.kill("INT") == 130
            interrupt_diags(host)
            status, explain, check, one = asked.result()
        command.wait_until(lambda: trouble in probe(host, "readyz"), PATIENCE, "it is not ready")
        assert probe(host, "readyz").endswith("\n503")
        command.wait_until(lambda: probe(host, "healthz") == READY, PATIENCE, "all live")
        known = measured(host)
        assert known['calico_service_trouble{service="felix"}'] == 1
        assert (known["calico_felix_etcd_connected"], known["calico_felix_endpoints"]) == (0, 2)
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
    command.wait_until(lambda: probe(host, "readyz") == READY, PATIENCE, "it is ready again")


def test_a_docker_that_hangs_is_named_and_the_rest_is_told(well, host):
    lines = ("status --output=json", "checksystem --output=json", "explain client web tcp 81")
    # Two people collect at the same time, and one loses patience.
    collect = ["diags --no-serve --output-dir=/var/lib/calico"] * 2
    with host.docker_hangs(), ThreadPoolExecutor() as pool:
        interrupted = pool.submit(interrupt_diags, host)
        status, check, explain, *collected = at_once(well, host, *lines, *collect)
        interrupted.result()
    assert status.code == check.code == explain.code == 1
    assert [found.code for found in collected] == [0, 0]
    files = {found.out.splitlines()[-1].split()[1] for found in collected}
    assert len(files) == 2
    for file in files:
        texts = bundle.contents(Path(f"/proc/{host.pid}/root{file}"))
        assert texts["docker/info"] == f"not collected: {SILENT_ENGINE}\n"
        assert "table inet calico" in texts["firewall/nftables"]
        assert '"reachable": true' in texts["agent/state"]
        assert "/calico/policy/profile/web/rules" in texts["etcd/calico"]
    for each in (status, check):
        assert f"error: {SILENT_ENGINE}\nhint: if it hangs, restart it" in each.err
    assert f"(whether a container is called so is not known: {SILENT_ENGINE})" in explain.err
    (item,) = json.loads(status.out)["items"]
    assert (item["container"]["running"], item["agent"]["endpoints"]) == (None, 2)
    assert item["etcd"]["answered_by"] == ETCD
    assert {each["name"] for each in item["services"] if each["since"]} == {
        *("routing", "lifecycle", "docker-proxy", "metrics")
    }
    # Whether it is calico-node that listens there, Docker alone knows.
    wrong = {"docker": "failed", "port2377": "warning", "etcd": "ok", "clock": "ok"}
    assert results(check) | wrong == results(check)


def interrupt_diags(host: Host) -> None:
    """Press Ctrl-C while diags waits for somebody who hangs: nothing is left of it."""
    folder = "/var/lib/calico/interrupted"
    collect = ["calicoctl", "diags", f"--output-dir={folder}"]
    host.run(f"mkdir -p {folder}")
    with host.on_terminal(collect, {"ETCD_AUTHORITY": ETCD}) as person:
        person.read_until(b"collecting; what does not answer")
        person.type(CTRL_C)
        assert person.wait() == 130
        assert re.fullmatch(rb" may take half a minute[ 0-9s()]*(\^C)?\s*", person.seen)
    assert host.run(f"ls {folder}; pgrep -f [d]ir={folder}", check=False).out == ""


def results(found: Result) -> dict[str, str]:
    """How each check of checksystem ended."""
    return {each["name"]: each["result"] for each in json.loads(found.out)["items"]}


def test_without_the_agent_what_is_in_force_goes_on_and_is_told(agentless, host, client):
    watching = watch(host, "agentless")
    drop = watching.drop(client)
    assert watching.kill("INT") == 130
    assert (drop["reason"], drop["container"]) == (DENIED, "web")
    assert agentless.calicoctl(host, "explain client web tcp 81", check=False).code == 1


def test_without_docker_and_with_full_disks_the_rest_is_told(engineless, full, host, client):
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


@pytest.fixture
def no_modules(host: Host) -> Iterator[None]:
    """Modules cannot be loaded: they would be the machine's."""
    host.run("printf '#!/bin/sh\nexit 1\n' >/run/lab/bin/modprobe; chmod +x /run/lab/bin/modprobe")
    yield
    host.run("rm /run/lab/bin/modprobe")


@pytest.fixture
def serving(host: Host) -> Iterator[None]:
    """Container web answers on port 80."""
    server = probes.serve(host, "web", 80)
    yield
    command.stop(server)


@pytest.mark.usefixtures("no_modules", "serving")
def test_a_host_that_passes_nothing_on_is_named_and_put_right(
    agentless: Cluster, host: Host, client: list[str]
) -> None:
    # The agent would put right by itself what packets need: there is none.
    broken = {"ip_forward": "failed", "forwarding6": "warning", "rp_filter": "warning"}
    knock = [*client, *probes.ECHO, "probe", "tcp", WEB, "80"]

    def checked(options: str = "") -> Result:
        line = f"checksystem {options} --output=json"
        found = agentless.calicoctl(host, line, check=False)
        failed = "failed" in results(found).values()
        assert (found.code, "error: " in found.err) == (int(failed), failed)
        return found

    def passes() -> bool:
        return host.run(knock, check=False).code == 0

    command.wait_until(passes, PATIENCE, "web answers")
    try:
        host.run(f"sysctl -qw {BREAK}")
        before = settings(host)
        assert not passes()
        found = checked()
        assert results(found) | broken == results(found)
        assert "net.ipv4.ip_forward is 0\nhint: " in found.err
        assert settings(host) == before

        found = checked("--fix")
        assert results(found) | dict.fromkeys(broken, "fixed") == results(found)
        assert "fixed: this machine passes no IPv4 packets on" in found.err
        command.wait_until(passes, PATIENCE, "web answers again")
        after = settings(host)
        assert rp_filters(after) == {"all": {"0"}, "default": {"2"}, "eth0": {"2"}, "cali": {"1"}}
        for options in ("", "--fix"):
            found = checked(options)
            assert results(found) | dict.fromkeys(broken, "ok") == results(found)
            assert (found.code, "fixed" in found.err, "forward" in found.err) == (0, False, False)
        assert settings(host) == after
    finally:
        host.run(f"sysctl -qw {MEND}")


def settings(host: Host) -> str:
    """Every setting that lets packets pass, of the host and of each of its interfaces."""
    pattern = r"^net\.ipv[46]\.(ip_forward|conf\..*\.(forwarding|rp_filter))$"
    return host.run(["sysctl", "-a", "-r", pattern], quiet=True).out


def rp_filters(shown: str) -> dict[str, set[str]]:
    """How the kernel checks source addresses where `eth0` is, for all, and for containers."""
    pattern = r"^net\.ipv4\.conf\.(all|default|eth0|cali)\S*\.rp_filter = (.*)$"
    values: dict[str, set[str]] = {}
    for name, value in re.findall(pattern, shown, re.MULTILINE):
        values.setdefault(name, set()).add(value)
    return values


def test_without_a_table_it_is_said_that_nothing_is_dropped(agentless, host):
    table = host.run("nft list table inet calico", quiet=True).out
    watching = watch(host, "tableless")
    host.run("nft delete table inet calico")
    try:
        command.wait_until(
            lambda: "is gone: until" in watching.log.read_text(), PATIENCE, "it is noticed"
        )
        assert watching.kill("INT") == 130
        lines = ("drops", "endpoint show --counters")
        found = at_once(agentless, host, *lines)
    finally:
        host.run("nft -f -", stdin=table, quiet=True)
    said = watching.log.read_text()
    assert said.count("warning: the nftables table inet calico is gone") == 1
    for refused in found:
        assert (refused.code, refused.out) == (1, "")
        assert "error: this host has no nftables table inet calico, so no" in refused.err
        assert "hint: `calicoctl status` shows whether calico-node runs" in refused.err


def test_a_silent_agent_is_dead_to_both_probes_and_what_was_measured_stays(agentless, host):
    silent = "felix: nothing was heard of it for "
    # Nobody waits half a minute: it has said its last word when this machine was started.
    host.docker("exec", "calico-node", "sed", "-i", LONG_AGO, "/run/calico/metrics/felix.json")
    for page in ("healthz", "readyz"):
        assert silent in probe(host, page)
        assert probe(host, page).endswith("\n503")
    # It is the agent alone.
    command.wait_until(lambda: probe(host, "healthz").count("\n") == 1, PATIENCE, "no other is")
    metrics = probe(host, "metrics")
    assert 'calico_service_up{service="felix"} 0\n' in metrics
    assert 'calico_service_up{service="routing"} 1\n' in metrics
    # Perhaps nothing had to be mended, or warned of. The others measure from time to time.
    rare = {metric.REPAIRS.name, metric.LOG_LINES.name}
    command.wait_until(lambda: unmeasured(host) <= rare, PATIENCE, "all else is measured")


def unmeasured(host: Host) -> set[str]:
    """The metrics of which nothing is told."""
    series = re.findall(r"^\w+", probe(host, "metrics"), re.MULTILINE)
    names = {re.sub(r"_(bucket|sum|count)$", "", each) for each in series}
    return {each.name for each in metric.ALL} - names
