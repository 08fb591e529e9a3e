"""What of the engine can be seen without one."""

from typing import Any

import docker
import pytest

from calico_ctl.docker_api import client
from calico_ctl.docker_api.client import Engine
from calico_ctl.errors import DockerUnavailable


@pytest.mark.parametrize(
    ("given", "address"),
    [
        ("", "unix:///var/run/docker.sock"),
        ("localhost:2377", "tcp://localhost:2377"),
        ("tcp://10.0.0.1:2375", "tcp://10.0.0.1:2375"),
        ("unix:///elsewhere.sock", "unix:///elsewhere.sock"),
    ],
)
def test_docker_host_is_honoured_with_or_without_a_scheme(given, address):
    assert Engine({"DOCKER_HOST": given}).address == address


@pytest.mark.parametrize("host", ["localhost:2377", "tcp://127.0.0.1:2377/", "tcp://h1:2377"])
def test_calico_node_is_not_handled_through_its_own_proxy(host):
    assert Engine({"DOCKER_HOST": host}).direct().address == client.SOCKET


@pytest.mark.parametrize("host", ["", "tcp://127.0.0.1:2375", "unix:///run/other.sock"])
def test_any_other_engine_is_direct_already(host):
    engine = Engine({"DOCKER_HOST": host})
    assert engine.direct() is engine


def test_whoever_only_looks_asks_the_engine_itself_and_waits_less():
    through_proxy = Engine({"DOCKER_HOST": "localhost:2377"}).hurried()
    assert through_proxy.address == client.SOCKET
    assert Engine({"DOCKER_HOST": "tcp://10.0.0.1:2375"}).hurried().address == "tcp://10.0.0.1:2375"
    assert through_proxy.seconds < Engine().seconds


class Api:
    """docker-py, as far as its engine's state goes."""

    def __init__(self, answer: Any) -> None:
        self._answer = answer

    def info(self) -> Any:
        if isinstance(self._answer, Exception):
            raise self._answer
        return self._answer

    def close(self) -> None:
        pass


def engine(answer: Any) -> Engine:
    made = Engine()
    made.__dict__["_api"] = Api(answer)
    return made


@pytest.mark.parametrize(
    ("answer", "manages"),
    [
        ({"Swarm": {"LocalNodeState": "active", "ControlAvailable": True}}, True),
        ({"Swarm": {"LocalNodeState": "active", "ControlAvailable": False}}, False),
        ({"Swarm": {"LocalNodeState": "inactive", "ControlAvailable": False}}, False),
        ({"Swarm": {"LocalNodeState": "locked", "ControlAvailable": True}}, False),
        ({"Swarm": None}, False),
        ({}, False),
    ],
)
def test_only_an_active_manager_is_one(answer, manages):
    assert engine(answer).manages_swarm() is manages


def test_an_engine_that_does_not_answer_is_our_own_error():
    with pytest.raises(DockerUnavailable):
        engine(docker.errors.DockerException("gone")).manages_swarm()
