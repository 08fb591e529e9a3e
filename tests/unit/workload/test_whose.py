"""An interface's owner is looked up when it is needed, and not knowing it is no failure."""

from dataclasses import dataclass, field

import pytest

from calico_ctl.errors import DockerUnavailable
from calico_ctl.model.container import Container
from calico_ctl.workload.whose import Owners
from tests.support.cli import Cli, FakePlatform
from tests.support.machine import FakeClock, FakeDocker

WEB = "a" * 64


@dataclass
class Hurried(FakeDocker):
    """An engine that counts who asks."""

    asked: list[str] = field(default_factory=list)
    gone: bool = False

    def hurried(self) -> "Hurried":
        return self

    def container(self, name_or_id: str) -> Container:
        self.asked.append(name_or_id)
        if self.gone:
            raise DockerUnavailable("there is no engine")
        return super().container(name_or_id)


@pytest.fixture
def docker() -> Hurried:
    return Hurried({"web": Container(WEB, "web", True, 1, "none")})


@pytest.fixture
def cli(docker: Hurried) -> Cli:
    cli = Cli(FakePlatform(docker=docker, clock=FakeClock()))
    cli.endpoint("aaaa", "10.65.0.1", workload=WEB)
    cli.endpoint("bbbb", "10.65.0.2", host="host2")
    return cli


def test_a_container_is_known_by_its_name_and_docker_asked_once(cli, docker):
    owners = Owners(cli.platform)
    assert [owners.of("caliaaaa").name("caliaaaa") for _ in range(3)] == ["web"] * 3
    assert docker.asked == [WEB]


def test_where_docker_does_not_answer_it_is_asked_no_more(cli, docker):
    docker.gone = True
    cli.endpoint("cccc", "10.65.0.3", workload="c" * 64)
    owners = Owners(cli.platform)
    assert owners.of("caliaaaa").name("caliaaaa") == "aaaa"
    assert owners.of("calicccc").name("calicccc") == "cccc"
    assert docker.asked == [WEB]


def test_an_interface_of_no_endpoint_here_is_known_by_itself_until_it_is_ones(cli):
    owners = Owners(cli.platform)
    assert owners.of("calibbbb").name("calibbbb") == "calibbbb"
    cli.endpoint("dddd", "10.65.0.4", workload="w4")
    reads = cli.store.reads
    assert owners.of("calidddd").endpoint is None
    assert cli.store.reads == reads
    cli.platform.clock.sleep(60)
    assert owners.of("calidddd").endpoint is not None


def test_an_etcd_that_does_not_answer_is_trouble_and_asked_seldom(cli):
    cli.store.fail("it is away")
    owners = Owners(cli.platform)
    assert owners.of("caliaaaa").endpoint is None
    assert "it is away" in owners.trouble
    cli.store.fail(None)
    cli.platform.clock.sleep(10)
    assert owners.of("caliaaaa").endpoint is None
    cli.platform.clock.sleep(60)
    assert owners.of("caliaaaa").endpoint is not None
    assert owners.trouble == ""
