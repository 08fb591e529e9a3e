"""Stopping a node; starting one needs a real host (tests/system/test_node.py)."""

import pytest
from netaddr import IPAddress

from calico_ctl.docker_api.client import Engine
from calico_ctl.errors import Conflict
from calico_ctl.host import intents
from calico_ctl.workload import attach, node
from calico_ctl.workload.attach import Attachment
from calico_ctl.workload.workload import Workload
from tests.support.machine import CONTAINER, Machine


def test_a_node_with_networked_containers_is_not_stopped_unless_forced(tmp_path, monkeypatch):
    monkeypatch.setattr(intents, "DIRECTORY", tmp_path)
    machine = Machine()
    web = Workload("docker", CONTAINER, "web", "/proc/42/ns/net")
    attach.attach(machine, Attachment(web, IPAddress("192.168.1.5")))
    nobody = Engine({"DOCKER_HOST": "unix:///nowhere"})
    said: list[str] = []
    with pytest.raises(Conflict, match="1 endpoint") as caught:
        node.stop(machine, nobody, "image", force=False, say=said.append)
    assert "--force" in caught.value.hint
    assert len(machine.network.plugged) == 1
