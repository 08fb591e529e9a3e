"""What the engine tells ends up in files, without what containers keep to themselves."""

import json
from collections.abc import Sequence

from calico_ctl.diagnostics import docker_sources
from calico_ctl.diagnostics.collector import Collected, collect
from calico_ctl.errors import DockerUnavailable
from tests.support.diagnosed import Diagnosed, FakeEngine, Json, container

SECRET = "hunter2-s3cr3t"


def engine(*containers: object) -> FakeEngine:
    found: dict[str, Json] = {}
    for each in containers:
        assert isinstance(each, dict)
        found[str(each["Name"]).removeprefix("/")] = each
    return FakeEngine(found, printed="all well")


def collected(machine: Diagnosed) -> dict[str, Collected]:
    return {each.name: each for each in collect(docker_sources.collectors(machine))}


NODE = container("calico-node", "ETCD_AUTHORITY=10.0.0.1:2379", f"ETCD_PASSWORD={SECRET}")
WEB = container("web", "CALICO_IP=auto", f"TOKEN={SECRET}2", Cmd=["x", f"{SECRET}3"])
OTHER = container("other", f"DB_PASSWORD={SECRET}4")


def test_only_containers_of_calico_are_shown_but_the_secrets_of_all_are_known():
    found = collected(Diagnosed(docker=engine(NODE, WEB, OTHER)))["docker/inspect"]
    assert found.evidence.files.keys() == {"docker/inspect/calico-node", "docker/inspect/web"}
    web = json.loads(found.evidence.files["docker/inspect/web"])
    assert web["Config"]["Env"] == ["CALICO_IP=auto", "TOKEN=<redacted>"]
    assert web["Config"]["Labels"] == {"shop": "books"}
    assert SECRET not in str(found.evidence.files)
    assert {SECRET, f"{SECRET}2", f"{SECRET}4"} <= found.evidence.secrets


def test_a_container_that_does_not_answer_hides_no_other():
    docker = engine(NODE, WEB)
    docker.silent = {"calico-node"}
    files = collected(Diagnosed(docker=docker))["docker/inspect"].evidence.files
    assert files["docker/inspect/calico-node"] == "not collected: calico-node does not answer\n"
    assert "docker/inspect/web" in files


def test_without_containers_of_calico_that_is_said():
    files = collected(Diagnosed(docker=engine(OTHER)))["docker/inspect"].evidence.files
    assert files == {"docker/inspect": "no container has to do with Calico\n"}


def test_the_services_and_bird_are_asked_in_the_node():
    found = collected(Diagnosed(docker=engine(NODE)))
    for name in ("node/services", "node/bird.conf", "node/bird-protocols", "node/bird-routes"):
        assert found[name].evidence.files[name].endswith(": all well\n(exit code 0)\n")
    assert "2000: all well" in found["node/output"].evidence.files["node/output"]


def test_neither_the_list_nor_the_engine_itself_shows_a_password():
    found = collected(Diagnosed(docker=engine(WEB)))
    assert "in-command" not in found["docker/containers"].evidence.files["docker/containers"]
    # In an address: the bundle takes it out of every text.
    assert '"Containers": 1' in found["docker/info"].evidence.files["docker/info"]


def test_without_a_node_its_files_say_so_and_no_other():
    found = collected(Diagnosed(docker=engine()))
    assert found["node/services"].failure == "there is no container calico-node"
    assert found["docker/version"].failure == ""


def test_an_engine_that_does_not_answer_is_waited_for_once():
    docker = Hanging()
    found = collected(Diagnosed(docker=docker))
    assert {each.failure for each in found.values()} == {"the engine does not answer in time"}
    assert docker.asked == 1


class Hanging(FakeEngine):
    """An engine that takes as long as anybody has patience."""

    asked = 0

    def version(self) -> Json:
        """Say nothing."""
        self.asked += 1
        raise DockerUnavailable("the engine does not answer in time", "restart it")

    def execute(self, name: str, argv: Sequence[str]) -> str:
        """Be asked although nobody answers."""
        raise AssertionError(f"{name} was asked for {argv}")
