"""calicoctl container where there is no engine, or one elsewhere. With one: tests/system."""

import json
import socket
from collections.abc import Iterator

import pytest

from calico_ctl.dataplane.network import KernelNetwork
from calico_ctl.host import intents, locks
from calico_ctl.model import names
from tests.support.cli import Cli
from tests.support.machine import Machine
from tests.support.netns import NetNs

NO_DOCKER = {"DOCKER_HOST": "unix:///run/no-such.sock"}
PATH = "/run/netns/test-of-commands"


def test_an_engine_that_does_not_answer_is_named(shell, etcd):
    for line in ("container web endpoint show", "container add web 10.65.0.1"):
        err = shell.refused(line, **NO_DOCKER)
        assert "cannot reach the Docker Engine at unix:///run/no-such.sock" in err
        assert "it is not running" in err
    assert etcd.keys() == {}


def test_an_engine_of_another_machine_cannot_say_where_a_container_is(shell, etcd):
    # An address that no machine has.
    elsewhere = {"DOCKER_HOST": "tcp://240.0.0.1:2375"}
    err = shell.refused("container add web ipv4", **elsewhere)
    assert "DOCKER_HOST names an engine elsewhere" in err
    assert etcd.keys() == {}


def test_a_namespace_is_found_by_its_path_without_docker(shell, etcd):
    shell.done("profile add web")
    host, workload = socket.gethostname(), names.namespace_workload_id(PATH)
    key = f"/calico/host/{host}/workload/namespace/{workload}/endpoint/e1"
    endpoint = {"state": "active", "name": "calie1", "ipv4_nets": ["10.65.0.1/32"]}
    etcd.request("PUT", f"/v2/keys{key}", json.dumps(endpoint))
    assert "10.65.0.1" in shell.done(f"container {PATH} endpoint show", **NO_DOCKER)
    shell.done(f"container {PATH} profile set web", **NO_DOCKER)
    (item,) = json.loads(shell.done(f"container {PATH} endpoint show --output=json", **NO_DOCKER))[
        "items"
    ]
    assert item["profiles"] == ["web"]
    shell.refused("container add /run/netns/no-such ipv4", **NO_DOCKER)


@pytest.fixture
def inside(private_netns: NetNs) -> Iterator[NetNs]:
    """A network namespace beside the one that is this test's host."""
    made = NetNs()
    yield made
    made.close()


def addresses(inside: NetNs) -> list[str]:
    shown = json.loads(inside.run(["ip", "-j", "-4", "addr", "show", "dev", "eth1"]).out)
    return [each["local"] for each in shown[0]["addr_info"]]


def test_T43_a_namespace_gets_its_network_by_its_path(inside, tmp_path, monkeypatch):
    for module in (intents, locks):
        monkeypatch.setattr(module, "DIRECTORY", tmp_path / module.__name__)
    machine = Machine()
    # The kernel is real; the store is one in which an agent agrees to everything.
    machine.network = KernelNetwork()  # type: ignore[assignment]
    cli, path = Cli(machine), str(inside.path)
    cli.done("container", "add", path, "192.168.1.5")
    assert addresses(inside) == ["192.168.1.5"]
    assert "default via 10.99.0.1 dev eth1" in inside.run(["ip", "route"]).out
    cli.done("container", path, "ip", "add", "192.168.1.6", "--interface=eth1")
    assert sorted(addresses(inside)) == ["192.168.1.5", "192.168.1.6"]
    assert "eth2" in cli.refused("container", path, "ip", "add", "ipv4", "--interface=eth2")
    cli.done("pool", "add", "192.168.0.0/16", "--disabled")
    assert "is disabled" in cli.refused("container", path, "ip", "add", "192.168.1.7")
    assert "pools are disabled" in cli.refused("container", path, "ip", "add", "ipv4")
    assert sorted(addresses(inside)) == ["192.168.1.5", "192.168.1.6"]
    cli.done("container", path, "ip", "remove", "192.168.1.5", "--interface=eth1")
    assert addresses(inside) == ["192.168.1.6"]
    cli.done("container", "remove", path)
    assert "eth1" not in inside.run(["ip", "link"]).out
    assert not [
        key for key in cli.contents() if "/workload/namespace/" in key and "felix" not in key
    ]
