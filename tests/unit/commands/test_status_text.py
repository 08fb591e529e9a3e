"""How a node is shown to people; more of it is in test_status.py."""

import json

import pytest

from calico_ctl.datastore import status
from calico_ctl.datastore.status import BadKey, ServiceStatus
from calico_ctl.model import keys
from calico_ctl.model.container import OwnContainer
from tests.support.cli import cells
from tests.support.machine import HOST
from tests.support.status_node import AGENT, BIRD, MESH, NODE, PEERS, Node

RULES = keys.profile_rules("web")


@pytest.fixture
def node() -> Node:
    return Node()


def test_sessions_are_shown_by_family_in_the_order_of_their_numbers(node: Node) -> None:
    ipv4, ipv6 = "\n".join(node.well()[0]).split("IPv6 BGP status")
    assert cells(ipv4.partition("IPv4 BGP status")[2]) == [
        PEERS,
        ["10.99.0.2", MESH, "up", "10:11:15.123", "Established", "12", "3"],
        ["10.99.0.10", MESH, "up", "10:11:16.000", "Established", "", ""],
    ]
    assert cells(ipv6) == [PEERS, ["fd99::2", MESH, "up", "10:11:15.124", "Established", "", ""]]


def test_a_report_that_lists_only_some_bad_keys_says_how_many_there_are(node: Node) -> None:
    node.report(bad_keys=(BadKey(RULES, "reason"),), bad_key_count=350)
    out, err = node.wrong()
    assert "  keys that cannot be used: 350, the first 1 of them here" in out
    assert "error: 350 keys in etcd cannot be used by the policy agent" in err


def test_repairs_are_shown_by_kind_and_are_nothing_wrong(node: Node) -> None:
    node.report(repairs={"table": 2, "host": 1})
    out, err = node.well()
    assert "  repairs of what others changed: host 1, table 2" in out
    assert err == []


def test_a_bird_that_does_not_say_since_when_it_runs_is_of_an_older_node(node: Node) -> None:
    node.docker.printed = f"{BIRD}cat: /run/calico/bird.starts: No such file or directory\n"
    out, err = node.well()
    assert not any(line.startswith("BIRD") for line in out)
    assert err == []


@pytest.mark.parametrize("metrics", ["off", ""])
def test_metrics_that_are_off_or_older_than_the_node_are_not_missed(
    node: Node, metrics: str
) -> None:
    node.store.delete(keys.service_status(HOST, status.METRICS))
    node.runs_with(CALICO_METRICS=metrics)
    out, err = node.well()
    assert "metrics service: off" in out
    assert err == []


def test_a_service_that_is_not_known_here_is_shown_with_all_that_it_reports(node: Node) -> None:
    key = "/calico/v1/ipam/v4/pool/10.65.0.0-16"
    report = ServiceStatus("now", bad_keys={key: "no such device"}, restarts=1)
    node.report_service("tunnels", report)
    out, err = node.wrong()
    at = out.index("tunnels service: up since now, restarted 1 time")
    assert out[at + 1 : at + 3] == ["  keys that cannot be used: 1", f"    {key}: no such device"]
    assert err[0] == "error: 1 key in etcd cannot be used by the tunnels service"


def test_restarts_are_counted_and_nothing_wrong(node: Node) -> None:
    node.report(restarts=2)
    node.report_service(status.ROUTING, ServiceStatus("then", restarts=1))
    out, err = node.well()
    assert f"policy agent: up since {AGENT.since}, restarted 2 times" in out
    assert "routing service: up since then, restarted 1 time" in out
    assert err == []


def test_of_several_servers_the_one_that_answered_is_named(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(type(node.store), "address", "a:1,b:2", raising=False)
    monkeypatch.setattr(type(node.store), "member", "b:2", raising=False)
    node.docker.own[NODE] = OwnContainer(True, "Up", node.environment(ETCD_AUTHORITY="a:1,b:2"))
    assert node.well()[0][1] == "etcd at a:1,b:2 answers in 0.0 ms, by b:2"
    (item,) = json.loads(node.run("--output=json").out)["items"]
    assert item["etcd"] == {
        "servers": ["a:1", "b:2"],
        "answered_by": "b:2",
        "latency_ms": 0.0,
        "ready": True,
        "api": 2,
        "api_reason": "it is like that one",
    }


def test_who_may_use_the_proxy_from_elsewhere_is_shown(node: Node) -> None:
    node.runs_with(CALICO_DOCKER_PROXY="10.99.0.1:2377")
    assert "  without certificates: whoever reaches it is root here" in node.well()[0]
    node.runs_with(
        CALICO_DOCKER_PROXY="10.99.0.1:2377",
        CALICO_DOCKER_PROXY_CERT="/host-files/pki/cert.pem",
        CALICO_DOCKER_PROXY_KEY="/host-files/pki/key.pem",
        CALICO_DOCKER_PROXY_CA="/host-files/pki/ca.pem",
    )
    assert "  clients need a certificate that /pki/ca.pem vouches for" in node.well()[0]
