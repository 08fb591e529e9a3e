"""What the services log, and how much of it, and what they measure."""

import json
import re

from tests.support import command
from tests.support.host import Host
from tests.support.paths import CHECKOUT
from tests.support.told import measured, reported, unmeasured

DECISION = re.compile(r"^\S+ INFO calico_ctl\.\S+: \S.* in [0-9.]+ ms$", re.MULTILINE)
LOGGED = ("bird", "docker-proxy", "felix", "lifecycle", "metrics", "routing")
FED, MOST_KEPT = 13_000_000, 11_500_000
"""Bytes given to each log, and how many may be left: ten files of a million, and the current."""

PATIENCE = 60


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


def moved(before: dict[str, float], after: dict[str, float]) -> set[str]:
    """What has grown, or was not there before."""
    return {each for each, value in after.items() if value > before.get(each, 0.0)}
