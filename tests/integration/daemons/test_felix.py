"""The policy agent as a process: real etcd, real kernel, real connections."""

import json
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import nft
from tests.support.agent_process import PATIENCE, AgentHost, agent_host, conversation
from tests.support.command import wait_until, within
from tests.support.netns import NetNs

pytestmark = pytest.mark.integration

WEB, CLIENT, OTHER = "192.168.1.1", "192.168.1.2", "192.168.1.3"
WEB6, CLIENT6 = "fd80::1", "fd80::2"
REPAIR_SECONDS = 5


@pytest.fixture
def host(tmp_path: Path) -> Iterator[AgentHost]:
    with agent_host(tmp_path) as host:
        yield host
        assert "Traceback" not in host.log()


@pytest.fixture
def pair(host: AgentHost) -> tuple[NetNs, NetNs]:
    """A server that lets anybody in to port 80, and a client that may go anywhere."""
    host.write_rules("serves", [{"dst_ports": [80]}], [{}])
    host.write_rules("sends", [{}], [{}])
    server = host.plug("web", WEB, WEB6, profiles=("serves",))
    client = host.plug("client", CLIENT, CLIENT6, profiles=("sends",))
    return server, client


def repairs(host: AgentHost) -> dict[str, int]:
    report = host.report()
    return {} if report is None else dict(report.repairs)


@pytest.mark.parametrize(("address", "kind"), [(WEB, "tcp"), (WEB6, "tcp"), (WEB, "udp")])
def test_an_established_connection_that_a_rule_forbids_now_is_cut(host, pair, address, kind):
    server, client = pair
    with conversation(client, server, address, kind=kind) as talk:
        assert talk.goes_on()
        host.write_rules("serves", [{"dst_ports": [81]}], [{}])
        wait_until(talk.is_cut, 30, "the conversation is cut")
        wait_until(lambda: "cut 1 connections" in host.log(), 30, "it is told")


def test_a_cut_connection_does_not_come_back_from_the_other_end(host, pair):
    # The server may send anywhere and the client take anything: only the server's rule for what
    # comes in forbids the connection, and what the server says now is in the allowed direction.
    server, client = pair
    with server.entered():
        listening = socket.create_server((WEB, 80))
    with client.entered():
        talking = socket.create_connection((WEB, 80), timeout=PATIENCE)
    with listening, talking, listening.accept()[0] as answering:
        host.write_rules("serves", [], [{}])
        wait_until(lambda: "cut 1 connections" in host.log(), 30, "the connection is cut")
        talking.settimeout(1)
        answering.send(b"still there?")
        with pytest.raises(TimeoutError):
            talking.recv(100)


def test_a_connection_that_stays_allowed_goes_on_over_every_change(host, pair):
    server, client = pair
    with conversation(client, server, WEB) as talk:
        assert talk.goes_on()
        for port in range(90, 100):
            host.write_rules("serves", [{"dst_ports": [80, port]}], [{}])
            host.write_rules("sends", [{"protocol": "tcp", "src_ports": [port]}], [{}])
            assert talk.goes_on()
        assert "cut" not in host.log()


def test_a_connection_is_cut_when_its_ends_tag_goes(host, pair):
    server, client = pair
    host.write_rules("serves", [{"src_tag": "friend"}], [{}])
    host.store.put("/calico/policy/profile/sends/tags", json.dumps(["friend"]))
    wait_until(lambda: "set t4-friend" in nft.listing(), 30, "the agent knows of the tag")
    wait_until(lambda: CLIENT in nft.listing("set inet calico t4-friend"), 30, "it is a member")
    with conversation(client, server, WEB) as talk:
        assert talk.goes_on()
        host.store.put("/calico/policy/profile/sends/tags", "[]")
        wait_until(talk.is_cut, 30, "the conversation is cut")


def test_connections_that_were_forbidden_while_the_agent_was_away_are_cut_when_it_is_back(
    host, pair
):
    server, client = pair
    with conversation(client, server, WEB) as talk:
        assert talk.goes_on()
        host.end_agent(signal.SIGKILL)
        host.write_rules("serves", [], [])
        assert talk.goes_on()
        host.start_agent()
        wait_until(talk.is_cut, 30, "the conversation is cut")


def test_connections_with_the_host_itself_are_left_alone(host, pair):
    server, _ = pair
    with conversation(host.namespace, server, WEB) as talk:
        assert talk.goes_on()
        host.write_rules("serves", [], [])
        wait_until(lambda: "dport 80" not in nft.listing(), 30, "the rule is gone")
        assert talk.goes_on()
        assert "cut" not in host.log()


@pytest.mark.parametrize(
    "change",
    [
        "flush ruleset",
        "flush chain inet calico disp-to",
        "insert rule inet calico flt-fwd accept",
        "delete element inet calico to-ep { caliweb }",
    ],
)
def test_a_table_that_somebody_changed_is_right_again_soon(host, pair, change):
    before = nft.contents()
    host.namespace.run(["nft", change])
    within(lambda: repairs(host).get("table"), REPAIR_SECONDS, "the repair is counted", 0.01)
    assert nft.contents() == before
    assert "our table was changed by nft" in host.log()


def test_routes_settings_and_accept_rules_that_somebody_changed_are_right_again_soon(host, pair):
    namespace = host.namespace
    namespace.run(["iptables-nft", "-N", "DOCKER-USER"])

    def accepted() -> bool:
        return "cali+" in namespace.run(["iptables-nft", "-S", "DOCKER-USER"]).out

    wait_until(accepted, 30, "the accept rules are there")
    namespace.run(["iptables-nft", "-F", "DOCKER-USER"])
    namespace.run(["ip", "route", "delete", WEB])
    namespace.run(["sysctl", "-qw", "net.ipv6.conf.caliweb.accept_ra=2"])
    within(accepted, REPAIR_SECONDS, "the accept rules are there again")
    within(
        lambda: f"{WEB} dev caliweb" in namespace.run(["ip", "route"], quiet=True).out,
        REPAIR_SECONDS,
        "the route is there again",
    )
    setting = ["sysctl", "-n", "net.ipv6.conf.caliweb.accept_ra"]
    within(lambda: namespace.run(setting, quiet=True).out == "0\n", REPAIR_SECONDS, "it is 0")
    wait_until(
        lambda: repairs(host).get("host") == 2 and repairs(host).get("firewall"), 5, "all counted"
    )


def test_while_etcd_is_away_everything_stays_and_is_even_repaired(host, pair):
    server, client = pair
    with conversation(client, server, WEB) as talk:
        host.server.stop()
        wait_until(lambda: "etcd is away" in host.log(), 10, "the agent notices")
        assert talk.goes_on()
        before = nft.contents()
        host.namespace.run(["nft", "flush", "ruleset"])
        wait_until(lambda: "table inet calico" in nft.listing("tables"), 30, "the table is back")
        wait_until(lambda: nft.contents() == before, 30, "as it was")
        host.server.start()
        host.write_rules("serves", [], [])
        wait_until(talk.is_cut, 20, "what etcd says counts again")


def test_an_emptied_etcd_tears_nothing_down_and_is_named(host, pair):
    server, client = pair
    with conversation(client, server, WEB) as talk:
        host.server.stop()
        host.server.wipe()
        host.server.start()
        host.store.create("/calico/Ready", "true")

        def is_named() -> bool:
            report = host.report()
            return report is not None and "knows no endpoint of this host" in report.trouble

        wait_until(is_named, PATIENCE, "the agent names it")
        assert talk.goes_on()


def test_an_etcd_that_comes_back_empty_and_then_as_it_was_some_time_ago(tmp_path):
    """Its revision goes back. Empty it is not believed; of the snapshot, all counts at once."""
    with agent_host(tmp_path, v2=False) as host:
        host.write_rules("serves", [{"dst_ports": [80]}], [{}])
        server = host.plug("web", WEB, profiles=("serves",))
        client = host.plug("client", CLIENT, profiles=("serves",))
        with conversation(client, server, WEB) as talk:
            assert talk.goes_on()
            as_saved = nft.contents()
            host.server.save(tmp_path / "snapshot")
            host.write_rules("serves", [{"dst_ports": [80, 90]}], [{}])
            host.plug("later", OTHER)
            wait_until(lambda: "{ 80, 90 }" in nft.listing(), PATIENCE, "the new rule counts")

            before = nft.contents()
            host.server.stop()
            host.server.wipe()
            host.server.start()
            wait_until(lambda: "Ready is not true" in host.log(), PATIENCE, "it is not believed")
            assert nft.contents() == before
            assert talk.goes_on()

            host.server.stop()
            host.server.restore(tmp_path / "snapshot")
            host.server.start()
            wait_until(lambda: nft.contents() == as_saved, PATIENCE, "what was saved counts")
            assert talk.goes_on()
            host.write_rules("serves", [{"dst_ports": [81]}], [{}])
            wait_until(talk.is_cut, PATIENCE, "what is written after that counts")
        assert "Traceback" not in host.log()


def test_an_agent_that_ends_leaves_everything_in_place(host, pair):
    before = nft.listing()
    assert host.end_agent() == 0
    assert nft.listing() == before
    assert f"{WEB} dev caliweb" in host.namespace.run(["ip", "route"]).out
