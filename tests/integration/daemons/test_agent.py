"""The agent's decisions against the real kernel, in a namespace of its own as the host."""

import json
import logging
import re
from collections.abc import Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass, field, replace
from typing import NoReturn

import pytest
from netaddr import IPAddress

from calico_ctl.daemons.agent import Agent
from calico_ctl.daemons.flows import Flows, FlowsSeen
from calico_ctl.daemons.guard import FirewallMended, TableTouched
from calico_ctl.daemons.reports import Reports
from calico_ctl.daemons.runtime import Tick
from calico_ctl.dataplane.counters import KernelCounters
from calico_ctl.dataplane.network import KernelNetwork
from calico_ctl.datastore import endpoints, follow, profiles, status
from calico_ctl.datastore.status import AgentStatus, EndpointStatus
from calico_ctl.errors import CalicoError
from calico_ctl.host.clock import SystemClock
from calico_ctl.model import keys
from calico_ctl.model.endpoint import Endpoint, EndpointKey, State
from calico_ctl.model.interface import Interface
from calico_ctl.workload.platform import DropWatch
from tests.support import nft
from tests.support.machine import FakeDocker
from tests.support.memory_store import MemoryStore
from tests.support.netns import NetNs, private_netns

pytestmark = pytest.mark.integration

HOST = "host1"
KEY = EndpointKey(HOST, "docker", "c" * 64, "0a" * 16)
KEY_PATH = keys.endpoint(KEY)
MAC = "02:00:00:00:00:01"
ENDPOINT = Endpoint(
    KEY, State.ACTIVE, "cali0a0a0a0a0a0", MAC, ("web",), (IPAddress("192.168.1.5"),)
)
BROKEN = ("/calico/policy/profile/gone/tags", "{")
LET_THROUGH = '"cali0a0a0a0a0a0" : goto t-web'
UNREADABLE = "profile without readable rules"


@dataclass
class Host:
    """The host's namespace, its store, and agents that take one turn when told to."""

    namespace: NetNs
    store: MemoryStore = field(default_factory=MemoryStore)
    hostname: str = HOST
    clock: SystemClock = field(default_factory=SystemClock)
    network: KernelNetwork = field(default_factory=KernelNetwork)
    docker: FakeDocker = field(default_factory=FakeDocker)
    counters: KernelCounters = field(default_factory=KernelCounters)
    agents: ExitStack = field(default_factory=ExitStack)

    def drop_watch(self) -> DropWatch:
        """Nobody looks at drops here."""
        raise NotImplementedError

    def agent_report(self) -> str:
        """Nobody asks the agent here."""
        raise NotImplementedError

    def agent(self) -> Agent:
        """Start an agent; its reports are written after each turn."""
        self.reports = Reports(self.store, HOST)
        return self.agents.enter_context(closing(Agent(self, self.reports, Flows())))

    def turn(self, agent: Agent, *messages: object) -> None:
        """Let the agent read everything anew and act on it."""
        tree = self.store.tree("/calico")
        leaves = {e.key: (e.value, e.revision) for e in tree.entries if e.value is not None}
        self.act(agent, follow.Resync(leaves, tree.revision), Tick(), *messages)

    def act(self, agent: Agent, *messages: object) -> None:
        """Let the agent take a turn."""
        agent.turn(messages)
        self.reports.write(periodic=True)

    def write(self, agent: Agent, key: str, value: str | None) -> None:
        """Change one key, and tell the agent of just that."""
        if value is None:
            self.store.delete(key)
            revision = self.store.tree("/").revision
        else:
            revision = self.store.put(key, value).revision
        self.act(agent, follow.Changes((follow.Change(key, value, revision),)))

    @property
    def report(self) -> AgentStatus:
        """What the agent says of itself."""
        report = status.read_agent(self.store, HOST)
        assert report is not None
        return report

    def routes(self) -> str:
        """The host's routes, as `ip` prints them."""
        return self.namespace.run(["ip", "route"]).out


@pytest.fixture
def host() -> Iterator[Host]:
    with private_netns() as namespace, namespace.entered():
        host = Host(namespace)
        host.store.create("/calico/Ready", "true")
        profiles.create(host.store, "web")
        with host.agents:
            yield host


@pytest.fixture
def container() -> Iterator[NetNs]:
    with private_netns() as namespace:
        yield namespace


@pytest.fixture
def running(host: Host, container: NetNs) -> Agent:
    """An agent that has let the container's endpoint through."""
    agent = host.agent()
    plug(container)
    endpoints.create(host.store, ENDPOINT)
    host.turn(agent)
    assert LET_THROUGH in nft.listing()
    return agent


def plug(container: NetNs) -> None:
    KernelNetwork().plug(
        Interface(
            ENDPOINT.name,
            str(container.path),
            "eth1",
            MAC,
            ENDPOINT.addresses,
            (IPAddress("10.9.9.1"),),
        )
    )


def test_before_anything_is_known_our_interfaces_are_closed(host):
    host.agent()
    table = nft.listing()
    assert "counter packets 0 bytes 0 drop" in table
    assert "elements" not in table.replace("counter", "").split("map to-ep")[1].split("}")[0]


def test_an_endpoint_is_acknowledged_when_rules_and_route_are_in_place(host, container):
    agent = host.agent()
    plug(container)
    revision = endpoints.create(host.store, ENDPOINT)
    host.turn(agent)
    assert status.read_endpoint(host.store, KEY) == EndpointStatus("up", revision)
    assert "192.168.1.5 dev cali0a0a0a0a0a0" in host.routes()
    assert LET_THROUGH in nft.listing()
    assert host.report.endpoints == 1
    assert host.report.trouble == ""


def test_an_endpoint_without_its_interface_is_not_acknowledged(host):
    agent = host.agent()
    endpoints.create(host.store, ENDPOINT)
    host.turn(agent)
    assert status.read_endpoint(host.store, KEY) is None


def test_an_endpoint_written_again_as_it_was_is_acknowledged_again(host, running):
    entry = host.store.get(KEY_PATH)
    assert entry is not None
    host.write(running, KEY_PATH, entry.value)
    report = status.read_endpoint(host.store, KEY)
    assert report is not None
    assert report.revision > entry.revision


def test_an_interface_that_vanished_is_reported_down(host, container, running):
    container.run(["ip", "link", "delete", "eth1"])
    host.act(running, Tick())
    report = status.read_endpoint(host.store, KEY)
    assert report is not None
    assert report.status == "down"


def test_a_removed_endpoint_leaves_no_route_no_rule_and_no_report(host, running):
    endpoints.remove(host.store, KEY)
    host.act(running, follow.Changes((follow.Change(KEY_PATH, None, 999),)))
    assert "cali" not in host.routes()
    assert "0a0a" not in nft.listing()
    assert status.read_endpoint(host.store, KEY) is None


def test_a_new_agent_takes_over_a_live_table_and_drops_what_is_stale(host, running):
    before = nft.listing()
    second = host.agent()
    assert nft.listing() == before
    profiles.remove(host.store, "web")
    host.turn(second)
    assert UNREADABLE in nft.listing()


def test_after_an_absence_of_etcd_only_what_differs_is_written(host, running):
    host.act(running, follow.Disconnected("connection refused"))
    assert LET_THROUGH in nft.listing()
    before = rule_handles()
    host.store.put("/calico/policy/profile/web/rules", '{"inbound": [], "outbound": [{}]}')
    host.turn(running)
    handles = rule_handles()
    assert handles.pop("pi-web", None) != before.pop("pi-web")
    assert handles == before


def test_a_rule_that_changes_rewrites_one_chain(host, running):
    before = rule_handles()
    rules = '{"inbound": [{"src_tag": "web"}, {"protocol": "udp"}], "outbound": [{}]}'
    host.write(running, "/calico/policy/profile/web/rules", rules)
    handles = rule_handles()
    assert handles.pop("pi-web") != before.pop("pi-web")
    assert handles == before


def test_at_level_debug_each_thing_is_told_that_is_looked_at(host, running, caplog):
    rules, told = "/calico/policy/profile/web/rules", re.compile(r"[0-9.]+ ms")

    def write(ports: str) -> list[str]:
        caplog.clear()
        host.write(running, rules, f'{{"inbound": [{{"protocol": "udp"{ports}}}]}}')
        return [told.sub("N ms", each.getMessage()) for each in caplog.records]

    with caplog.at_level(logging.DEBUG):
        revision = host.store.tree("/").revision + 1
        assert write("") == [
            f"read of etcd, revision {revision}: {rules} was written",
            "changing chains pi-web, po-web; sets t4-web -1, t6-web",
            "the kernel took it in N ms",
            "changed 2 chains and 1 elements in N ms",
        ]
        assert write("") == [
            f"read of etcd, revision {revision + 1}: {rules} was written",
            "nothing to change, decided in N ms",
        ]
        host.turn(running, FlowsSeen((), frozenset()))
    assert "asked the rules about 0 connections" in caplog.messages
    assert [each.levelname for each in caplog.records if each.levelname != "DEBUG"] == ["INFO"]
    assert "looked at links, routes and settings of 1 endpoints in " in caplog.text
    with caplog.at_level(logging.INFO):
        assert write(', "dst_ports": [53]') == ["changed 1 chains and 0 elements in N ms"]


def test_a_store_that_is_not_ready_changes_nothing_and_is_named(host, running):
    before = nft.listing()
    host.store.delete("/calico")
    host.turn(running)
    assert nft.listing() == before
    assert "cali" in host.routes()
    assert "/calico/Ready" in host.report.trouble


def test_an_agent_that_started_before_its_store_was_ready_acts_once_it_is(host, container):
    host.store.put("/calico/Ready", "false")
    agent = host.agent()
    plug(container)
    revision = endpoints.create(host.store, ENDPOINT)
    host.turn(agent)
    assert status.read_endpoint(host.store, KEY) is None
    host.write(agent, "/calico/Ready", "true")
    assert status.read_endpoint(host.store, KEY) == EndpointStatus("up", revision)


def test_a_store_that_is_emptied_change_by_change_changes_nothing(host, running):
    before = nft.listing()
    gone = [entry.key for entry in host.store.tree("/calico").entries if not entry.is_directory]
    changes = follow.Changes(tuple(follow.Change(key, None, 999) for key in sorted(gone)))
    host.act(running, changes)
    host.act(running, Tick())
    assert nft.listing() == before
    assert "cali" in host.routes()


@pytest.mark.parametrize("restarted", [False, True])
def test_a_store_that_came_back_without_this_hosts_endpoints_tears_nothing_down(
    host, running, restarted
):
    before = nft.listing()
    host.store.wipe()
    host.store.create("/calico/Ready", "true")
    agent = host.agent() if restarted else running
    host.turn(agent)
    host.act(agent, Tick())
    assert nft.listing() == before
    assert "cali" in host.routes()
    assert "knows no endpoint of this host" in host.report.trouble
    assert "cali0a0a0a0a0a0" in host.report.trouble


def test_endpoints_that_come_back_after_all_end_the_doubt(host, running):
    host.store.wipe()
    host.store.create("/calico/Ready", "true")
    host.turn(running)
    profiles.create(host.store, "web")
    revision = endpoints.create(host.store, ENDPOINT)
    host.turn(running)
    assert host.report.trouble == ""
    assert status.read_endpoint(host.store, KEY) == EndpointStatus("up", revision)


def test_an_empty_store_is_believed_once_no_interface_is_in_use(host, container, running):
    host.store.wipe()
    host.store.create("/calico/Ready", "true")
    container.run(["ip", "link", "delete", "eth1"])
    host.turn(running)
    assert host.report.trouble == ""
    assert "0a0a" not in nft.listing()


def test_a_table_that_somebody_flushed_is_written_anew_and_counted(host, running):
    host.namespace.run(["nft", "flush", "ruleset"])
    host.act(running, TableTouched("nft"))
    assert LET_THROUGH in nft.listing()
    assert host.report.repairs == {"table": 1}


def test_a_table_is_written_anew_while_etcd_is_away_or_not_believed(host, running):
    host.store.wipe()
    host.turn(running)
    host.act(running, follow.Disconnected("connection refused"))
    host.namespace.run(["nft", "flush", "ruleset"])
    host.act(running, TableTouched("nft"))
    assert LET_THROUGH in nft.listing()


def test_a_table_that_vanishes_before_etcd_was_read_is_closed_again(host):
    agent = host.agent()
    host.namespace.run(["nft", "flush", "ruleset"])
    host.act(agent, TableTouched("nft"))
    assert "counter packets 0 bytes 0 drop" in nft.listing()


def test_routes_and_settings_that_somebody_changed_are_mended_and_counted(host, running):
    host.namespace.run(["ip", "route", "delete", "192.168.1.5"])
    host.namespace.run(["sysctl", "-qw", "net.ipv4.conf.cali0a0a0a0a0a0.proxy_arp=0"])
    host.act(running, Tick())
    assert "192.168.1.5 dev cali0a0a0a0a0a0" in host.routes()
    assert host.report.repairs == {"host": 2}


def test_accept_rules_that_had_to_be_put_back_are_counted(host, running):
    host.act(running, FirewallMended(2))
    assert host.report.repairs == {"firewall": 2}


def test_what_the_kernel_refuses_is_reported_and_tried_again(host, running, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr("calico_ctl.policy.desired.policy_compile.deny", lambda _: "goto nowhere")
        rules = '{"inbound": [{"action": "deny"}]}'
        host.write(running, "/calico/policy/profile/web/rules", rules)
        assert "cannot program this host" in host.report.trouble
        assert LET_THROUGH in nft.listing()
    host.act(running, Tick())
    assert "cannot program this host" in host.report.trouble
    host.turn(running)
    assert host.report.trouble == ""


def test_a_broken_key_is_reported_and_closes_only_what_depends_on_it(host, running):
    host.write(running, "/calico/policy/profile/web/rules", "{")
    host.write(running, "/calico/policy/profile/other/rules", "[")
    assert [bad.key for bad in host.report.bad_keys] == [
        "/calico/policy/profile/other/rules",
        "/calico/policy/profile/web/rules",
    ]
    assert host.report.bad_key_count == 2
    assert UNREADABLE in nft.listing()
    assert LET_THROUGH in nft.listing()


def test_a_broken_key_is_reported_from_the_first_on_whoever_depends_on_it(host):
    host.store.put("/calico/policy/profile/web/rules", "{")
    host.store.put("/calico/policy/profile/other/rules", "[")
    endpoints.create(host.store, ENDPOINT)
    host.turn(host.agent())
    assert [bad.key for bad in host.report.bad_keys] == [
        "/calico/policy/profile/other/rules",
        "/calico/policy/profile/web/rules",
    ]


def test_a_broken_key_is_warned_about_once_however_often_all_is_read(host, caplog):
    agent = host.agent()
    host.store.put("/calico/policy/profile/other/rules", "[")
    for _ in range(2):
        host.turn(agent)
    assert caplog.text.count("left out /calico/policy/profile/other/rules") == 1


def test_what_was_taken_in_while_it_was_read_counts_unless_the_reading_began_anew(host, container):
    endpoints.create(host.store, ENDPOINT)
    plug(container)
    whole = host.store.leaves("/calico")
    items = list(whole.entries.items())
    key, value = BROKEN
    agent = host.agent()
    host.act(agent, follow.Part(0, {**dict(items[:2]), key: (value, 1)}), Tick())
    assert LET_THROUGH not in nft.listing()
    host.act(agent, follow.Part(0, dict(items[:2])))
    host.act(agent, follow.Part(1, dict(items[2:])), follow.Resync(whole.entries, whole.revision))
    assert LET_THROUGH in nft.listing()
    assert host.report.bad_keys == ()
    host.store.put(key, value)
    host.turn(agent)  # with no part before it
    assert [each.key for each in host.report.bad_keys] == [key]


def test_what_was_taken_in_of_a_reading_that_failed_does_not_count(host):
    key, value = BROKEN
    whole = host.store.leaves("/calico")
    failed = [follow.Part(0, {key: (value, 1)}), follow.Disconnected("it failed")]
    host.act(host.agent(), *failed, follow.Resync(whole.entries, whole.revision))
    assert host.report.bad_keys == ()


def test_tags_whose_quotes_a_shell_took_are_warned_about_from_the_first_on(host, caplog):
    host.store.put("/calico/policy/profile/web/tags", "[web,logger]")
    host.turn(host.agent())
    assert "some shell took its quotes" in caplog.text


def test_tags_whose_quotes_a_shell_took_are_read_and_warned_about(host, running, caplog):
    host.write(running, "/calico/policy/profile/web/tags", "[web,logger]")
    assert "some shell took its quotes" in caplog.text
    assert host.report.bad_keys == ()
    assert "192.168.1.5" in nft.listing().split("set t4-web")[1].split("}")[0]


def test_endpoints_that_claim_one_interface_are_answered_with_the_reason(host, running):
    other = EndpointKey(HOST, "docker", "d" * 64, "0b" * 16)
    endpoints.create(host.store, replace(ENDPOINT, key=other))
    host.turn(running)
    for key, rival in ((KEY, other), (other, KEY)):
        report = status.read_endpoint(host.store, key)
        assert report is not None
        assert report.status == "error"
        assert rival.id in report.reason
    assert "0a0a" not in nft.listing("map inet calico to-ep")


def test_what_went_wrong_on_the_host_is_tried_again_and_acknowledged_then(
    host, running, monkeypatch
):
    entry = host.store.get(KEY_PATH)
    assert entry is not None
    with monkeypatch.context() as patch:
        patch.setattr("calico_ctl.dataplane.host_side.HostSide.sync", refuse)
        host.write(running, KEY_PATH, entry.value)
        host.act(running, Tick())
        assert "read-only" in host.report.trouble
    host.act(running, Tick())
    assert host.report.trouble == ""
    report = status.read_endpoint(host.store, KEY)
    assert report is not None
    assert report.revision > entry.revision


def refuse(*_: object) -> NoReturn:
    raise CalicoError("cannot write /proc/sys: read-only")


def test_an_endpoint_that_cannot_be_read_is_answered_with_the_reason(host):
    agent = host.agent()
    entry = host.store.put("/calico/host/host1/workload/docker/x/endpoint/y", json.dumps({}))
    host.turn(agent)
    report = status.read_endpoint(host.store, EndpointKey(HOST, "docker", "x", "y"))
    assert report is not None
    assert report.status == "error"
    assert report.revision == entry.revision
    assert "state" in report.reason or "interface name" in report.reason


def test_it_tells_what_it_goes_by_and_what_it_made_of_it(host, running):
    told = json.loads(json.dumps(running.state()))
    assert told["endpoints"] == {"cali0a0a0a0a0a0": {"id": KEY.id, "reachable": True}}
    assert told["etcd_read"] is told["etcd_believed"] is True
    assert told["report"]["endpoints"] == 1
    assert told["table"]["sets"]["src4"] == 1
    assert told["table"]["digest"]


def rule_handles() -> dict[str, list[int]]:
    """The handles of each chain's rules: a rule that was written anew has another one."""
    handles: dict[str, list[int]] = {}
    for item in nft.list_json("table inet calico"):
        if "rule" in item:
            handles.setdefault(item["rule"]["chain"], []).append(item["rule"]["handle"])
    return handles
