"""calicoctl container where there is no engine, or one elsewhere. With one: tests/system."""

import json
import socket

from calico_ctl.model import names

NO_DOCKER = {"DOCKER_HOST": "unix:///run/no-such.sock"}
PATH = "/run/netns/test-of-commands"


def test_an_engine_that_does_not_answer_is_named(shell, etcd):
    for line in ("container web endpoint show", "container add web 10.65.0.1"):
        err = shell.refused(line, **NO_DOCKER)
        assert "cannot reach the Docker Engine at unix:///run/no-such.sock" in err
        assert "it is not running" in err
    assert etcd.keys() == {}


def test_an_engine_of_another_machine_cannot_say_where_a_container_is(shell, etcd):
    # An address for documents, which no machine has.
    elsewhere = {"DOCKER_HOST": "tcp://192.0.2.1:2375"}
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
