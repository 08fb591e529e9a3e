"""Etcd, Docker, the agent, its table or the kernel's forwarding are away: the rest is told."""

import json
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from calico_ctl.model import metric
from tests.support import bundle, command, folders, probes
from tests.support.cluster import ETCD, Cluster
from tests.support.command import Result
from tests.support.drop_watch import DENIED, WEB, watch
from tests.support.host import Host
from tests.support.terminal import CTRL_C
from tests.support.told import READY, measured, probe, unmeasured

NO_ETCD = f"cannot reach etcd at {ETCD} ("
ENGINE = "the Docker Engine at unix:///var/run/docker.sock"
NO_ENGINE = f"cannot reach {ENGINE}: it is not running"
SILENT_ENGINE = f"{ENGINE} does not answer in time"
FULL = ("/tmp", "/var/tmp")
"""Where diags puts its file first, and second."""

LOOSE = "net.ipv4.conf.all.rp_filter"
BREAK = f"net.ipv4.ip_forward=0 net.ipv6.conf.all.forwarding=0 {LOOSE}=2"
MEND = f"net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1 {LOOSE}=0"
LONG_AGO = 's/"written": [0-9.]*/"written": 0/'

PATIENCE = 60


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


def at_once(cluster: Cluster, host: Host, *lines: str) -> list[Result]:
    """Run several commands at the same time: each has to wait for what does not answer."""
    with ThreadPoolExecutor() as pool:
        return list(pool.map(lambda line: cluster.calicoctl(host, line, check=False), lines))


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
