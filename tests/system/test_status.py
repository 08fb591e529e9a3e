"""What status and the counters say on two real hosts, and that it is so."""

import json
import shutil
import sys
from pathlib import Path

import pytest

from calico_ctl import __version__
from tests.support import cluster as calico
from tests.support import probes
from tests.support.cli import cells
from tests.support.cluster import ETCD, Cluster
from tests.support.command import Result
from tests.support.host import Host
from tests.support.lab import Lab
from tests.support.paths import CHECKOUT

pytestmark = pytest.mark.system

WEB, CLIENT = "192.168.1.1", "192.168.1.2"
RULES = "/calico/policy/profile/web/rules"
PING = 84
"""Bytes of one echo request: IP header, ICMP header, contents."""


@pytest.fixture(scope="module")
def cluster(lab2: Lab) -> Cluster:
    """The container web on the first host and client on the second, each with its own profile."""
    cluster = calico.start(lab2)
    for host, name, address in zip(cluster.hosts, ("web", "client"), (WEB, CLIENT), strict=True):
        cluster.run(host, name)
        cluster.calicoctl(host, f"container add {name} {address}")
        cluster.calicoctl(host, f"profile add {name}")
        cluster.calicoctl(host, f"container {name} profile append {name}")
    return cluster


def status(cluster: Cluster, host: Host) -> Result:
    return cluster.calicoctl(host, "status", check=False)


def is_well(cluster: Cluster, host: Host) -> Result:
    """Wait until status finds nothing wrong: a report may be half a minute old."""
    calico.eventually(f"{host.name} is well", lambda: status(cluster, host).code == 0, timeout=40)
    return status(cluster, host)


def counted(cluster: Cluster, host: Host, line: str) -> list[list[str]]:
    return cells(cluster.calicoctl(host, f"{line} --counters").out)


def test_a_node_that_is_well_names_its_agent_and_its_session(cluster: Cluster) -> None:
    for host, other in (cluster.hosts, reversed(cluster.hosts)):
        calico.eventually(
            f"{host.name} has its sessions",
            lambda host=host: status(cluster, host).out.count("Established") == 2,
        )
        found = is_well(cluster, host)
        assert found.err == ""
        lines = found.out.splitlines()
        assert lines[0].startswith(f"calico-node is running on {host.name} (Up ")
        assert any(line.startswith(f"etcd at {ETCD} answers in ") for line in lines)
        assert any(line.startswith("policy agent: up since 20") for line in lines)
        assert "  keys that cannot be used: none" in lines
        services = (
            "routing service",
            "life-cycle service",
            "Docker API proxy at 127.0.0.1:2377",
            "metrics service at 127.0.0.1:9091",
        )
        for service in services:
            assert any(line.startswith(f"{service}: up since 20") for line in lines)
        table = cells(found.out)
        for address in (other.ip, other.ip6):
            (row,) = [row for row in table if row[0] == address]
            assert row[1:3] == ["node-to-node mesh", "up"]
            assert row[4] == "Established"
        calico.eventually(
            f"{host.name} reports its endpoint",
            lambda host=host: "  endpoints in place: 1" in status(cluster, host).out.splitlines(),
            timeout=40,
        )


def test_all_is_said_as_data_and_the_probes_agree(cluster: Cluster) -> None:
    host1, _ = cluster.hosts
    is_well(cluster, host1)
    found = cluster.calicoctl(host1, "status --wait=60s --output=json")
    (item,) = json.loads(found.out)["items"]
    assert item["healthy"]
    assert item["container"]["running"]
    assert item["etcd"]["latency_ms"] > 0
    agent = item["agent"]
    assert agent["in_sync_since"] >= agent["since"]
    assert agent["rules"] > 0
    assert agent["last_update_ms"] > 0
    assert agent["unusable_key_count"] == 0
    assert [each["name"] for each in item["services"]] == [
        "routing",
        "lifecycle",
        "docker-proxy",
        "metrics",
    ]
    calico.eventually("it is ready", lambda: page(host1, "readyz") == "ok\n", timeout=40)
    metrics = page(host1, "metrics")
    for service in ("felix", "routing", "lifecycle", "docker-proxy", "metrics"):
        assert f'calico_service_up{{service="{service}"}} 1\n' in metrics
    # BIRD is asked for them from time to time.
    sessions = "\ncalico_bgp_sessions_established 2\n"
    calico.eventually("they are counted", lambda: sessions in page(host1, "metrics"), timeout=40)


LATER = "99.1.0"


@pytest.fixture
def later(tmp_path: Path) -> list[str]:
    """The command as somebody has it who upgraded that alone: the same, of another version."""
    unneeded = shutil.ignore_patterns("__pycache__")
    shutil.copytree(CHECKOUT / "calico_ctl", tmp_path / "calico_ctl", ignore=unneeded)
    shutil.copy(CHECKOUT / "calicoctl.py", tmp_path)
    module = tmp_path / "calico_ctl/__init__.py"
    text = module.read_text()
    assert text.count(f'"{__version__}"') == 1
    module.write_text(text.replace(f'"{__version__}"', f'"{LATER}"'))
    return [sys.executable, str(tmp_path / "calicoctl.py")]


def test_a_node_of_another_version_than_the_command_is_warned_of(
    cluster: Cluster, later: list[str]
) -> None:
    host1, _ = cluster.hosts
    is_well(cluster, host1)

    def says(*options: str) -> Result:
        settings = {"ETCD_AUTHORITY": ETCD}
        return host1.run([*later, "status", *options], env=settings, check=False)

    what = f"calicoctl is version {LATER}, the policy agent {__version__}"
    hint = "`sudo calicoctl node` starts the services of this version"
    shown, told, names = says(), says("--output=json"), says("--output=name")
    assert shown.code == told.code == names.code == 0
    for each in (shown, told, names):
        assert each.err == f"warning: {what}\nhint: {hint}\n"
    assert f"  version {__version__} (this command: {LATER})" in shown.out.splitlines()
    assert names.out == "felix\n"
    (item,) = json.loads(told.out)["items"]
    assert (item["version"], item["agent"]["version"], item["healthy"]) == (
        LATER,
        __version__,
        True,
    )
    assert item["problems"] == [
        {"part": "felix", "severity": "warning", "message": what, "hint": hint}
    ]


def page(host: Host, name: str) -> str:
    """What the metrics service of a host answers; empty if nothing."""
    shown = host.run(["curl", "-s", f"http://127.0.0.1:9091/{name}"], check=False)
    return shown.out


def test_how_far_the_agent_is_is_told_of_this_moment(cluster: Cluster) -> None:
    host1, _ = cluster.hosts
    is_well(cluster, host1)
    # Nothing that would be worth a report: the same rules once more.
    same = f"-X PUT KEYS{RULES} --data-urlencode 'value={cluster.leaves(RULES)[RULES]}'"
    revision = cluster.curl(same)["node"]["modifiedIndex"]

    def is_told() -> bool:
        found = cluster.calicoctl(host1, "status --output=json", check=False)
        (item,) = json.loads(found.out)["items"]
        return bool(item["agent"]["revision"] >= revision)

    calico.eventually("the agent says that it has read it", is_told, timeout=10)


def test_a_service_that_was_started_again_is_counted(cluster: Cluster) -> None:
    host1, _ = cluster.hosts

    def restarts() -> int:
        found = cluster.calicoctl(host1, "status --wait=60s --output=json", check=False)
        (item,) = json.loads(found.out)["items"]
        (service,) = [each for each in item["services"] if each["name"] == "metrics"]
        count: int = service["restarts"]
        return count

    before = restarts()
    # As if it had crashed: runit starts it again.
    host1.docker("exec", "calico-node", "sv", "kill", "/run/calico/service/metrics")
    calico.eventually("it is counted", lambda: restarts() > before)
    assert restarts() == before + 1


def test_a_broken_value_is_named_with_its_reason_until_it_is_mended(cluster: Cluster) -> None:
    is_well(cluster, cluster.hosts[0])
    good = json.loads(cluster.leaves("/calico/policy/profile/web")[RULES])
    cluster.curl(f"-X PUT KEYS{RULES} --data-urlencode 'value={{nonsense'")
    try:
        for host in cluster.hosts:
            names_the_key(cluster, host)
    finally:
        cluster.put(RULES, good)
    for host in cluster.hosts:
        assert RULES not in is_well(cluster, host).out


def names_the_key(cluster: Cluster, host: Host) -> None:
    calico.eventually(f"{host.name} names the key", lambda: RULES in status(cluster, host).out)
    found = status(cluster, host)
    assert found.code == 1
    (line,) = [line for line in found.out.splitlines() if line.startswith(f"    {RULES}: ")]
    assert "expected valid JSON" in line
    assert "error: 1 key in etcd cannot be used by the policy agent\nhint: " in found.err


def test_a_container_that_was_made_on_another_network_is_warned_of(cluster: Cluster) -> None:
    host1, _ = cluster.hosts
    is_well(cluster, host1)
    cluster.run(host1, "stray", "-e", "CALICO_IP=192.168.1.9")
    try:
        line = "    stray: it has CALICO_IP, but was made with --net="
        calico.eventually("it is named", lambda: line in status(cluster, host1).out)
        found = status(cluster, host1)
        assert found.code == 0
        assert "warning: container stray wishes an address of ours but is left alone" in found.err
    finally:
        host1.docker("rm", "-f", "stray")
    calico.eventually("it is forgotten", lambda: "stray" not in status(cluster, host1).out)


def test_a_container_whose_network_cannot_be_is_named_with_the_reason(cluster: Cluster) -> None:
    host1, _ = cluster.hosts
    is_well(cluster, host1)
    cluster.run(host1, "poolless", "--net=none", "-e", "CALICO_IP=10.1.2.3")
    try:
        calico.eventually("it is named", lambda: "    poolless: " in status(cluster, host1).out)
        found = status(cluster, host1)
        assert found.code == 1
        assert "error: container poolless has not got the network that it wishes: " in found.err
    finally:
        host1.docker("rm", "-f", "poolless")
    calico.eventually("it is forgotten", lambda: "poolless" not in status(cluster, host1).out)


def test_denied_packets_are_found_in_the_counters(cluster: Cluster) -> None:
    host1, host2 = cluster.hosts
    rule = f"deny icmp from cidr {CLIENT}/32"
    cluster.calicoctl(host1, f"profile web rule add inbound {rule}")
    show = "profile web rule show"
    calico.eventually(
        "the rule is in the kernel",
        lambda: cluster.calicoctl(host1, f"{show} --counters", check=False).code == 0,
    )
    before = counted(cluster, host1, "endpoint show")[1]
    argv = ["ping", "-n", "-c", "3", "-i", "0.2", "-W", "1", WEB]
    assert probes.run_in(host2, "client", argv, check=False).code == 1

    assert ["2", "3", str(3 * PING), rule] in counted(cluster, host1, show)
    after = counted(cluster, host1, "endpoint show")[1]
    assert after[:3] == before[:3]
    assert (int(after[4]) - int(before[4]), after[3], after[5]) == (3, before[3], before[5])
    # the sender's host let them go
    assert [row[:3] for row in counted(cluster, host2, "profile client rule show")][-1][1] != "0"
    assert counted(cluster, host2, "endpoint show")[1][3] == "0"

    refused = cluster.calicoctl(host2, f"{show} --counters", check=False)
    assert refused.code == 1
    assert "profile web is not in use on this host" in refused.err


def test_without_etcd_the_rest_is_shown_and_where_the_node_finds_it(cluster: Cluster) -> None:
    host1, host2 = cluster.hosts
    found = host2.calicoctl("status", env={"ETCD_AUTHORITY": "127.0.0.1:1"}, check=False)
    assert found.code == 1
    assert found.out.startswith("calico-node is running on host2 (Up ")
    assert [row[4] for row in cells(found.out) if row[0] == host1.ip] == ["Established"]
    assert "error: cannot reach etcd at 127.0.0.1:1 (connection refused)" in found.err
    assert f"calico-node on this host uses ETCD_AUTHORITY={ETCD}; try it with that" in found.err


def test_a_node_that_was_stopped_is_not_running(cluster: Cluster) -> None:
    _, host2 = cluster.hosts
    host2.docker("stop", "calico-node")
    found = status(cluster, host2)
    assert found.code == 1
    assert found.out.startswith("calico-node is not running on host2 (Exited (0) ")
    assert "hint: `docker logs calico-node` shows why; `sudo calicoctl node` starts it" in found.err
    assert page(host2, "readyz") == ""
    # What was in force stays, so what is dropped can be told.
    assert "dropped in 0.2 s" in cluster.calicoctl(host2, "drops --for=200ms").err
    host2.docker("start", "calico-node")
    is_well(cluster, host2)
