"""A node as data, and that it is as documented."""

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from calico_ctl import __version__
from calico_ctl.datastore import status
from calico_ctl.datastore.status import BadKey, EndpointStatus, ServiceStatus
from calico_ctl.errors import DockerUnavailable
from calico_ctl.model import keys
from tests.support.cli import Cli, Finished
from tests.support.machine import HOST
from tests.support.paths import CHECKOUT
from tests.support.status_node import NODE, Node

RULES = keys.profile_rules("web")
PAGE = CHECKOUT / "docs/reference/status.md"


@pytest.fixture
def node() -> Node:
    return Node()


def items(finished: Finished) -> list[dict[str, Any]]:
    shown = json.loads(finished.out)
    assert (shown["schema"], shown["kind"]) == (1, "status")
    found: list[dict[str, Any]] = shown["items"]
    return found


def test_as_data_it_says_the_same(node: Node) -> None:
    node.report(
        trouble="no space", repairs={"table": 2}, bad_keys=(BadKey(RULES, "x"),), bad_key_count=5
    )
    node.report_service(status.LIFECYCLE, ServiceStatus("s", problems={"web": "taken"}))
    finished = node.run("--output=json")
    assert finished.exit == 1
    (item,) = items(finished)
    assert (item["hostname"], item["healthy"], item["version"]) == (HOST, False, __version__)
    assert item["container"] == {
        "name": NODE,
        "running": True,
        "description": "Up 5 minutes",
    }
    agent = item["agent"]
    assert (agent["trouble"], agent["repairs"]) == ("no space", {"table": 2})
    assert agent["unusable_keys"] == [{"key": RULES, "reason": "x"}]
    assert (agent["unusable_key_count"], agent["rules"]) == (5, 30)
    services = {each["name"]: each for each in item["services"]}
    assert list(services) == ["routing", "lifecycle", "docker-proxy", "metrics"]
    assert services["metrics"]["address"] == "127.0.0.1:9091"
    assert services["lifecycle"]["without_network"] == [{"container": "web", "reason": "taken"}]
    assert item["bird"] == {"since": "2026-11-24T08:50:00Z", "restarts": 1}
    first = item["bgp_sessions"][0]
    assert (first["ip"], first["received"], first["exported"]) == ("10.99.0.2", 12, 3)
    assert [(each["part"], each["severity"]) for each in item["problems"]] == [
        ("felix", "error"),
        ("felix", "error"),
        ("lifecycle", "error"),
    ]
    assert yaml.safe_load(node.run("--output=yaml").out) == json.loads(finished.out)


def test_data_says_what_could_not_be_asked_too(node: Node) -> None:
    node.docker.fail = DockerUnavailable("no Docker", hint="run as root")
    node.store.fail("connection refused")
    (item,) = items(node.run("--output=json"))
    assert item["container"] == {"name": NODE, "running": None, "description": None}
    assert item["etcd"]["servers"] == ["memory:0"]
    assert (item["etcd"]["ready"], item["agent"], item["bgp_sessions"]) == (None, None, None)
    assert [each["part"] for each in item["problems"]] == [NODE, "etcd"]


def test_the_documented_schema_is_what_is_printed(node: Node) -> None:
    node.report(bad_keys=(BadKey(RULES, "x"),), bad_key_count=1)
    cli = Cli(node.machine)
    refused = cli.endpoint("e1", "10.0.0.1")
    status.write_endpoint(node.store, refused.key, EndpointStatus(status.ERROR, 9, "no route"))
    report = ServiceStatus("s", "", "", {"a": "b"}, {"c": "d"}, {"/k": "e"})
    node.report_service(status.LIFECYCLE, report)
    (item,) = items(node.run("--output=json"))
    fields = PAGE.read_text().partition("## Fields")[2]
    documented = re.findall(r"^\| `([a-z_.]+)` \|", fields, re.MULTILINE)
    assert len(documented) == len(set(documented))
    assert set(documented) == set(paths(item))


def paths(value: object, above: str = "") -> Iterator[str]:
    """The dotted names of all fields; what is in a list counts as below its name."""
    if isinstance(value, list):
        for each in value:
            yield from paths(each, above)
    elif isinstance(value, dict):
        for name, below in value.items():
            path = f"{above}{name}"
            yield path
            if path != "agent.repairs":  # its names are kinds of repairs
                yield from paths(below, f"{path}.")
