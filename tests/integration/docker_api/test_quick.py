"""The quick look and docker-py's look see the same, on a real engine."""

from collections.abc import Iterator

import pytest

from calico_ctl.docker_api.client import Engine
from calico_ctl.docker_api.quick import QuickEngine
from calico_ctl.docker_api.request import ContainerRequest
from calico_ctl.errors import NotFound
from tests.support import images

NAME = "calico-test-quick"


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    images.ensure(node_image=False)
    engine = Engine()
    command = ["sh", "-c", "trap 'exit 0' TERM; while :; do sleep 0.1; done"]
    body = {"Image": images.BUSYBOX, "Cmd": command, "HostConfig": {"NetworkMode": "none"}}
    engine.stop_and_remove(NAME)
    engine.ensure(ContainerRequest(NAME, body))
    yield engine
    engine.stop_and_remove(NAME)
    engine.close()


def test_a_container_looks_the_same_under_all_its_names(engine, monkeypatch):
    wanted = engine.container(NAME)
    quick = QuickEngine()
    # Without docker-py: should the quick look not do, this fails.
    monkeypatch.setattr(Engine, "_inspect", None)
    for name in (NAME, wanted.id, wanted.id[:12]):
        assert quick.container(name) == wanted
    assert wanted.running


def test_a_container_that_is_not_there_is_reported_in_the_same_words(engine):
    said = []
    for each in (engine, QuickEngine()):
        with pytest.raises(NotFound) as caught:
            each.container("calico-no-such-container")
        said.append((caught.value.message, caught.value.hint))
    assert said[0] == said[1]
