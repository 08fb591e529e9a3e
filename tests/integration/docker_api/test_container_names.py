import json
from collections.abc import Callable

import pytest

from calico_ctl.docker_api import container_names
from calico_ctl.errors import DockerUnavailable
from tests.support.fake_engine import FakeEngine, Peer

PATIENCE = 30


def answering(status: str, content: str) -> Callable[[Peer], None]:
    def answer(peer: Peer) -> None:
        assert peer.request().target == b"/containers/json?all=1"
        head = f"HTTP/1.1 {status}\r\nContent-Length: {len(content)}\r\n\r\n"
        peer.send((head + content).encode())

    return answer


def test_names_are_those_of_all_containers_sorted(tmp_path) -> None:
    content = json.dumps([{"Names": ["/web"]}, {"Names": ["/client", "/web/db"]}, {"Names": []}])
    with FakeEngine(tmp_path / "engine", answering("200 OK", content)) as engine:
        environment = {"DOCKER_HOST": f"unix://{engine.path}"}
        assert container_names.read(environment, PATIENCE) == ["client", "web", "web/db"]


@pytest.mark.parametrize(
    ("status", "content"),
    [
        ("500 Broken", "[]"),
        ("200 OK", "no json"),
        ("200 OK", '{"message": "?"}'),
        ("200 OK", '[{"Id": "x"}]'),
        ("200 OK", '[{"Names": null}]'),
    ],
)
def test_another_answer_counts_as_none(tmp_path, status, content) -> None:
    with (
        FakeEngine(tmp_path / "engine", answering(status, content)) as engine,
        pytest.raises(DockerUnavailable, match="cannot ask Docker"),
    ):
        container_names.read({"DOCKER_HOST": f"unix://{engine.path}"}, PATIENCE)


@pytest.mark.parametrize(
    "host", ["unix:///nowhere/docker.sock", "tcp://127.0.0.1:1", "ssh://x", "x"]
)
def test_an_engine_that_is_not_there_is_an_error(host) -> None:
    with pytest.raises(DockerUnavailable, match="cannot ask Docker"):
        container_names.read({"DOCKER_HOST": host}, PATIENCE)


def test_an_engine_that_says_nothing_is_not_waited_for(tmp_path) -> None:
    with (
        FakeEngine(tmp_path / "engine", lambda peer: peer.wait_for_end()) as engine,
        pytest.raises(DockerUnavailable, match="timed out"),
    ):
        container_names.read({"DOCKER_HOST": f"unix://{engine.path}"}, 0.05)
