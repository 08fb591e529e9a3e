"""A real engine reads create requests as we say it does, and takes the rewritten ones."""

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings

from calico_ctl.proxy import rewrite
from tests.support import create_bodies, go_json
from tests.support.engine import IMAGE, OwnEngine
from tests.support.wire import EndedError, Wire

NAME = "calico-test-rewrite"
BODIES = create_bodies.bodies([IMAGE], refused=False)
ODD_BODIES = create_bodies.bodies([IMAGE])
RUNS = settings(max_examples=50, deadline=None, suppress_health_check=[*HealthCheck])


def created(engine: OwnEngine, body: bytes) -> tuple[int, dict[str, Any]]:
    """Create, inspect, remove; return the status of create, and what was inspected.

    A request without any field of the container's makes some engines break down: that is 500.
    """
    with Wire(engine.socket) as connection:
        try:
            answer = connection.ask(f"POST /containers/create?name={NAME}", body)
        except EndedError:
            return 500, {}
        if answer.status != 201:
            return answer.status, {}
        try:
            description = connection.ask(f"GET /containers/{NAME}/json").body
            return 201, json.loads(description)
        finally:
            connection.ask(f"DELETE /containers/{NAME}?force=1")


def understood(inspected: dict[str, Any]) -> dict[str, Any]:
    config, host = inspected["Config"], inspected["HostConfig"]
    return {
        "Env": config["Env"] or [],
        "Labels": config["Labels"] or {},
        "NetworkMode": host["NetworkMode"],
        "PortBindings": set(host["PortBindings"] or {}),
        "PublishAllPorts": host["PublishAllPorts"],
        "DnsSearch": host["DnsSearch"] or [],
        "Memory": host["Memory"],
    }


def expected(create: go_json.Create) -> dict[str, Any]:
    return {
        "Env": create.config.get("Env", []),
        "Labels": create.config.get("Labels", {}),
        "NetworkMode": create.host.get("NetworkMode", "default"),
        "PortBindings": set(create.host.get("PortBindings", {})),
        "PublishAllPorts": create.host.get("PublishAllPorts", False),
        "DnsSearch": create.host.get("DnsSearch", []),
        "Memory": create.host.get("Memory", 0),
    }


@RUNS
@given(BODIES)
def test_the_engine_reads_a_request_as_our_model_does(own_engine, body):
    model = go_json.create(body, old=True)
    status, inspected = created(own_engine, body)
    if status == 201:
        assert model is not None
        assert understood(inspected) == expected(model)


@RUNS
@given(ODD_BODIES)
def test_the_engine_refuses_what_we_leave_to_it(own_engine, body):
    if go_json.create(body, old=True) is None:
        assert created(own_engine, body)[0] >= 400


@RUNS
@given(BODIES)
def test_the_engine_takes_a_rewritten_request_for_the_same_but_for_its_network(own_engine, body):
    model = go_json.create(body, old=True)
    status, inspected = created(own_engine, rewrite.without_network(body))
    if model is None or status != 201:
        assert created(own_engine, body)[0] >= 400 or model is None
        return
    assert understood(inspected) == expected(create_bodies.without_network(model))
    assert set(inspected["NetworkSettings"]["Networks"]) == {"none"}
    assert "MacAddress" not in inspected["Config"]


@pytest.mark.parametrize(
    "host",
    [
        {"NetworkMode": "host"},
        {"NetworkMode": "host", "UTSMode": "host"},
        {"NetworkMode": "container:other", "Dns": ["10.0.0.1"], "ExtraHosts": ["a:10.0.0.2"]},
        {"NetworkMode": "lan", "Links": ["other:db"]},
        {"NetworkMode": "default", "Sysctls": {"net.ipv4.ip_forward": "1"}},
        {"NetworkMode": "bridge", "Dns": ["10.0.0.1"], "DnsSearch": ["a"], "DnsOptions": ["b"]},
    ],
    ids=" ".join,
)
def test_a_container_of_any_network_starts_with_none(own_engine, host):
    lan = {"IPAMConfig": {"IPv4Address": "10.0.0.5"}, "Aliases": ["db"], "MacAddress": "02:42::1"}
    request = {
        "Image": IMAGE,
        "Cmd": ["true"],
        "Env": ["CALICO_IP=auto"],
        "MacAddress": "02:42:00:00:00:05",
        "NetworkDisabled": True,
        "HostConfig": host,
        "NetworkingConfig": {"EndpointsConfig": {"lan": lan, "bridge": {}}},
    }
    body = rewrite.without_network(json.dumps(request).encode())
    with Wire(own_engine.socket) as connection:
        assert connection.ask(f"POST /containers/create?name={NAME}", body).status == 201
        try:
            assert connection.ask(f"POST /containers/{NAME}/start").status == 204
            inspected = json.loads(connection.ask(f"GET /containers/{NAME}/json").body)
        finally:
            connection.ask(f"DELETE /containers/{NAME}?force=1")
    assert set(inspected["NetworkSettings"]["Networks"]) == {"none"}
    assert inspected["HostsPath"]


def test_the_engine_reads_one_object_and_nothing_after_it(own_engine):
    """If it starts to refuse what follows, our leaving it there costs nothing."""
    body = b'{"Image":"%s","Env":["CALICO_IP=auto"]} tail' % IMAGE.encode()
    assert rewrite.wish_of_create(body) is not None
    direct, rewritten = (
        created(own_engine, body)[0],
        created(own_engine, rewrite.without_network(body))[0],
    )
    assert direct == rewritten
