"""What status and the counters say on two real hosts, and that it is so."""

import json
import re
import shutil
import sys
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, cast

import pytest

from calico_ctl import __version__
from calico_ctl.commands import tables
from tests.support import cluster as calico
from tests.support import command, probes
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
        fit = cluster.calicoctl(host, "checksystem --output=json")
        # The ports are taken by calico-node itself.
        said = {each["name"]: each["result"] for each in json.loads(fit.out)["items"]}
        kernel = {"vxlan", "ipip"}  # which not each kernel has
        assert {name for name, result in said.items() if result != "ok"} <= kernel
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


SERVICES = ("felix", "routing", "lifecycle", "docker-proxy", "metrics", "bird")
TITLES = {
    "felix": "policy agent",
    "routing": "routing service",
    "lifecycle": "life-cycle service",
    "docker-proxy": "Docker API proxy at 127.0.0.1:2377",
    "metrics": "metrics service at 127.0.0.1:9091",
    "bird": "BIRD",
}


def told(cluster: Cluster, host: Host) -> dict[str, Any]:
    """What status says as data, well or not."""
    found = cluster.calicoctl(host, "status --output=json", check=False)
    (item,) = json.loads(found.out)["items"]
    assert item["healthy"] == (found.code == 0)
    return cast("dict[str, Any]", item)


def lives(cluster: Cluster, host: Host) -> dict[str, tuple[str | None, int | None]]:
    """Since when each service runs, and how often it was started again; None: it does not say."""
    item = told(cluster, host)
    services = {each["name"]: each for each in item["services"]}
    services |= {"felix": item["agent"], "bird": item["bird"]}
    said = {name: services.get(name) or {} for name in SERVICES}
    return {name: (each.get("since"), each.get("restarts")) for name, each in said.items()}


def test_each_service_that_was_started_again_is_counted(cluster: Cluster) -> None:
    host1, _ = cluster.hosts
    is_well(cluster, host1)
    before = lives(cluster, host1)
    # As if they had crashed: runit starts them again.
    each = " ".join(f"/run/calico/service/{name}" for name in SERVICES)
    host1.docker("exec", "calico-node", "sh", "-c", f"sv kill {each}")

    def are_counted() -> bool:
        now = lives(cluster, host1)
        return all(now[name][1] == (before[name][1] or 0) + 1 for name in SERVICES)

    calico.eventually("each is counted", are_counted, timeout=60)
    shown, now = is_well(cluster, host1).out, lives(cluster, host1)
    for name in SERVICES:
        since, restarts = now[name]
        assert since is not None
        assert since > (before[name][0] or "")
        times = f"{restarts} time{'' if restarts == 1 else 's'}"
        assert f"{TITLES[name]}: up since {since}, restarted {times}\n" in shown
    counts = {name: now[name][1] for name in SERVICES[:-1]}
    calico.eventually("they are measured", lambda: measured_restarts(host1) == counts, timeout=40)


def measured_restarts(host: Host) -> dict[str, int]:
    """What the metrics say of restarts, by service."""
    series = r'^calico_service_restarts_total\{service="([^"]+)"\} (\d+)$'
    found = re.findall(series, page(host, "metrics"), re.MULTILINE)
    return {name: int(count) for name, count in found}


def test_each_service_that_ended_is_named_until_it_is_back(cluster: Cluster) -> None:
    host1, host2 = cluster.hosts
    is_well(cluster, host1)
    paths = " ".join(f"/run/calico/service/{name}" for name in SERVICES)
    host1.docker("exec", "calico-node", "sh", "-c", f"sv -w 60 down {paths}")
    try:
        # Nobody waits a minute until the last reports run out.
        for key in ("status", *(f"service/{name}" for name in SERVICES[1:-1])):
            cluster.curl(f"-X DELETE KEYS/calico/felix/v1/host/{host1.name}/{key}")
        found, item = status(cluster, host1), told(cluster, host1)
        assert (found.code, page(host1, "healthz")) == (1, "")
        for name in SERVICES[:-1]:
            title = TITLES[name].partition(" at ")[0]
            assert f"{TITLES[name]}: no report in the last minute\n" in found.out
            assert f"error: no report of the {title} in the last minute\nhint: " in found.err
        assert "error: BIRD does not answer: " in found.err
        assert {each["part"] for each in item["problems"]} == set(SERVICES)
        assert (item["agent"], item["bird"], item["bgp_sessions"]) == (None, None, None)
        assert status(cluster, host2).code == 0
    finally:
        host1.docker("exec", "calico-node", "sh", "-c", f"sv up {paths}")
    is_well(cluster, host1)


LISTEN = """
import socket, time
with socket.create_server(("127.0.0.1", 2377)), socket.create_server(("127.0.0.1", 9091)):
    time.sleep(86400)
"""


def test_ports_that_somebody_else_has_are_named_until_they_are_free(cluster: Cluster) -> None:
    host1, _ = cluster.hosts
    item = told(cluster, host1)
    offered = {each["name"]: each["address"] for each in item["services"] if each["address"]}
    assert offered == {"docker-proxy": "127.0.0.1:2377", "metrics": "127.0.0.1:9091"}
    paths = "/run/calico/service/docker-proxy /run/calico/service/metrics"
    host1.docker("exec", "calico-node", "sh", "-c", f"sv -w 60 down {paths}")
    server = host1.spawn([sys.executable, "-I", "-S", "-c", LISTEN], "listen.log")
    try:
        listing = "ss --no-header --listening --tcp --numeric 'sport = :9091'"
        calico.eventually("it listens", lambda: host1.run(listing, quiet=True).out)
        host1.docker("exec", "calico-node", "sh", "-c", f"sv up {paths}")
        calico.eventually(
            "both are named", lambda: status(cluster, host1).out.count("  trouble: ") == 2, 60
        )
        found = status(cluster, host1)
    finally:
        command.stop(server)
    assert found.code == 1
    for title, option in (("Docker API proxy", "--docker-proxy"), ("metrics service", "--metrics")):
        hint = f"hint: `sudo calicoctl node {option}="
        assert re.search(f"error: the {title}: .*something else listens .*\n{hint}", found.err)
    calico.eventually("all is well", lambda: status(cluster, host1).code == 0, timeout=60)


HOST1 = "/calico/host/host1"
ODD = f"{HOST1}/workload/docker/odd/endpoint"
WRONG = {
    "felix": {
        RULES: ('{"inbound": [{"action": "allow", "dst_ports": [99999]}]}', "'99999'"),
        "/calico/policy/profile/client/tags": ("[1]", "invalid tag 1: expected text"),
        f"{ODD}/odd1": ("{", "expected valid JSON"),
        f"{ODD}/odd2": ('{"state": "active", "name": "caliodd", "mac": "zz"}', "'zz'"),
        "/calico/ipam/v4/pool/10.50.0.0-16": ('{"cidr": "10.50.0.0/99"}', "'10.50.0.0/99'"),
        f"{HOST1}/config/DefaultEndpointToHostAction": ("MAYBE", "RETURN, ACCEPT or DROP"),
        f"{HOST1}/config/LogSeverityScreen": ("loud", "expected none, debug, info, "),
    },
    "routing": {
        "/calico/bgp/v1/global/peer_v4/10.99.0.77": ('{"ip": "10.99.0.77", "as_num": "x"}', "'x'"),
        "/calico/bgp/v1/host/host1/as_num": ("many", "invalid AS number 'many'"),
        "/calico/bgp/v1/host/burnt/ip_addr_v4": ("10.99.0.999", "'10.99.0.999'"),
    },
}
"""By who cannot use it: keys with a value that makes no sense, and a part of the reason."""


def unusable(cluster: Cluster, host: Host) -> dict[str, dict[str, str]]:
    """The keys that status names, with the reasons, by who cannot use them."""
    item = told(cluster, host)
    services = {each["name"]: each for each in item["services"]} | {"felix": item["agent"]}
    lists = {name: services[name]["unusable_keys"] for name in WRONG}
    return {name: {each["key"]: each["reason"] for each in lists[name]} for name in lists}


@pytest.fixture
def wrong_keys(cluster: Cluster) -> Iterator[None]:
    """All of them have their values that make no sense; afterwards those of before."""
    values = {key: value for keys in WRONG.values() for key, (value, _) in keys.items()}
    before = {key: cluster.leaves(key).get(key) for key in values}
    for host in cluster.hosts:
        is_well(cluster, host)
    for key, value in values.items():
        cluster.write(key, value)
    yield
    for key, former in before.items():
        if former is None:
            cluster.curl(f"-X DELETE KEYS{key}")
        else:
            cluster.write(key, former)
    for host in cluster.hosts:
        assert "  keys that cannot be used: none\n" in is_well(cluster, host).out
        assert unusable(cluster, host) == {name: {} for name in WRONG}


@pytest.mark.usefixtures("wrong_keys")
def test_every_key_that_cannot_be_used_is_named_with_its_reason(cluster: Cluster) -> None:
    host1, host2 = cluster.hosts
    wanted = {name: set(keys) for name, keys in WRONG.items()}

    def are_named() -> bool:
        return {name: set(found) for name, found in unusable(cluster, host1).items()} == wanted

    calico.eventually("all are named, and no others", are_named, timeout=60)
    named, shown, item = unusable(cluster, host1), status(cluster, host1), told(cluster, host1)
    assert shown.code == 1
    for name, keys in WRONG.items():
        heading = f"  keys that cannot be used: {len(keys)}\n"
        lines = "".join(f"    {key}: {named[name][key]}\n" for key in natural(keys))
        assert heading + lines in shown.out
        assert {key for key, (_, reason) in keys.items() if reason not in named[name][key]} == set()
    assert item["agent"]["unusable_key_count"] == len(WRONG["felix"])
    for many in (f"{len(WRONG['felix'])} keys in etcd", f"{len(WRONG['routing'])} keys for BGP"):
        assert re.search(rf"error: {many} .*cannot be used.*\nhint: write the value", shown.err)
    # What is only for another host is that one's to name.
    elsewhere = unusable(cluster, host2)["felix"]
    assert {RULES, f"{ODD}/odd1"} <= elsewhere.keys()
    assert not any("/config/" in key for key in elsewhere)


def natural(keys: Iterable[str]) -> list[str]:
    """In the order in which they are shown."""
    return sorted(keys, key=tables.natural)


KINDS = ("firewall", "host", "table")
REPAIRS = re.compile(r'^calico_felix_repairs_total\{kind="(\w+)"\} (\d+)$', re.MULTILINE)


def test_what_others_change_is_mended_and_counted(cluster: Cluster) -> None:
    host1, host2 = cluster.hosts
    is_well(cluster, host1)
    before, elsewhere, was = repairs(cluster, host1), repairs(cluster, host2), in_force(host1)
    host1.run(f"nft delete table inet calico; ip route del {WEB}; iptables -F DOCKER-USER")

    def are_counted() -> bool:
        now = repairs(cluster, host1)
        return all(now.get(kind, 0) > before.get(kind, 0) for kind in KINDS)

    calico.eventually("each kind is counted", are_counted, timeout=60)
    found, now = is_well(cluster, host1), repairs(cluster, host1)
    line = ", ".join(f"{kind} {now[kind]}" for kind in KINDS)
    assert f"  repairs of what others changed: {line}\n" in found.out
    calico.eventually("they are measured", lambda: measured_repairs(host1) == now, timeout=40)
    assert in_force(host1) == was
    calico.talks(host1, probes.HOST_ITSELF, WEB)
    assert repairs(cluster, host2) == elsewhere


def in_force(host: Host) -> list[str]:
    """The agent's rules and its route, in no order."""
    show = f"nft list table inet calico; ip route show {WEB}; iptables -S DOCKER-USER | grep cali"
    shown = host.run(show, check=False, quiet=True).out
    return sorted(re.sub(r"packets \d+ bytes \d+", "", shown).splitlines())


def measured_repairs(host: Host) -> dict[str, int]:
    """What the metrics say of repairs, by kind."""
    return {kind: int(count) for kind, count in REPAIRS.findall(page(host, "metrics"))}


def repairs(cluster: Cluster, host: Host) -> dict[str, int]:
    """How often the agent mended something, by kind."""
    counts: dict[str, int] = told(cluster, host)["agent"]["repairs"]
    return counts


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


def test_which_server_of_etcd_answered_is_said_and_how_fast(cluster: Cluster) -> None:
    host1, host2 = cluster.hosts
    for host in (host1, host2):
        is_well(cluster, host)
        both = {"ETCD_AUTHORITY": f"127.0.0.1:1,{ETCD}"}
        found = host.calicoctl("status", env=both)
        line = rf"^etcd at 127\.0\.0\.1:1,{re.escape(ETCD)} answers in [0-9.]+ ms, by {ETCD}$"
        assert re.search(line, found.out, re.MULTILINE)
        (item,) = json.loads(host.calicoctl("status", "--output=json", env=both).out)["items"]
        assert item["etcd"]["servers"] == ["127.0.0.1:1", ETCD]
        assert item["etcd"]["answered_by"] == ETCD
        assert 0 < item["etcd"]["latency_ms"] < 60_000


def test_waiting_ends_with_what_is_wrong_or_as_soon_as_that_was_mended(cluster: Cluster) -> None:
    host1, host2 = cluster.hosts
    is_well(cluster, host2)
    away = f"cannot reach etcd at {ETCD} ("
    host1.docker("stop", "calico-etcd")
    try:
        began = time.monotonic()
        found = cluster.calicoctl(host2, "status --wait=2s", check=False)
        assert time.monotonic() - began >= 2
        assert found.code == 1
        assert found.err.startswith(f"waiting: {away}")
        assert f"error: {away}" in found.err
        assert found.out.startswith("calico-node is running on host2 (Up ")
        assert f"\netcd: {away}" in found.out

        log = host2.directory / "waiting.log"
        patient = ["calicoctl", "status", "--wait=3m", "--output=name"]
        waiting = host2.spawn(patient, log.name, {"ETCD_AUTHORITY": ETCD})
        calico.eventually("it waits", lambda: away in log.read_text(), timeout=60)
        assert waiting.poll() is None
    finally:
        host1.docker("start", "calico-etcd")
    assert waiting.wait(180) == 0
    assert {line.partition(": ")[0] for line in log.read_text().splitlines()} <= {
        "waiting",
        "warning",
        "hint",
        "bird",
    }
    assert is_well(cluster, host2).err == ""


def test_a_node_that_was_stopped_is_not_running(cluster: Cluster) -> None:
    host1, host2 = cluster.hosts
    host2.docker("stop", "calico-node")
    found = status(cluster, host2)
    assert found.code == 1
    assert found.out.startswith("calico-node is not running on host2 (Exited (0) ")
    assert "hint: `docker logs calico-node` shows why; `sudo calicoctl node` starts it" in found.err
    assert page(host2, "readyz") == ""
    down = f"warning: 2 of 2 BGP sessions not established: {host2.ip}, {host2.ip6}\nhint: "
    calico.eventually("host1 warns", lambda: down in status(cluster, host1).err, timeout=60)
    assert status(cluster, host1).code == 0
    # What was in force stays, so what is dropped can be told.
    assert "dropped in 0.2 s" in cluster.calicoctl(host2, "drops --for=200ms").err
    host2.docker("start", "calico-node")
    is_well(cluster, host2)
