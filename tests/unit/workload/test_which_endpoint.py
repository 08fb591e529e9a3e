"""Which endpoint a word and filters mean."""

import pytest

from calico_ctl.errors import Conflict, DockerUnavailable, NotFound
from calico_ctl.model import keys
from calico_ctl.model.container import Container
from calico_ctl.workload import endpoint_word, which_endpoint
from calico_ctl.workload.which_endpoint import Filter
from tests.support.cli import Cli
from tests.support.machine import FakeDocker

ONE = "aaaa1" + "0" * 27
TWO = "aaaa2" + "0" * 27
THREE = "bbbb3" + "0" * 27
WEB, DB = "aaaa" * 16, "dddd" * 16


@pytest.fixture
def docker() -> FakeDocker:
    return FakeDocker({"web": Container(WEB, "web", True, 42, "none")})


@pytest.fixture
def cli(docker) -> Cli:
    made = Cli()
    made.platform.docker = docker
    made.endpoint(ONE, "10.0.0.1", workload=WEB)
    made.endpoint(TWO, "10.0.0.2", "fd80::2", host="host2", workload=DB)
    made.endpoint(THREE, "10.0.0.3", host="host2", workload=DB)
    return made


def called(word: str, host: str | None = None) -> Filter:
    return Filter(host=host, word=endpoint_word.parse(word, "endpoint"))


def ids(cli: Cli, wanted: Filter) -> list[str]:
    found, problems = which_endpoint.find(cli.platform, wanted)
    shown = which_endpoint.find_shown(cli.platform, wanted)
    assert shown == ([each.shown for each in found], problems)
    return [each.key.id for each in found]


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        (Filter(), [ONE, TWO, THREE]),
        (Filter(host="host1"), [ONE]),
        (Filter(workload=DB), [TWO, THREE]),
        (Filter(orchestrator="namespace"), []),
        (called(TWO), [TWO]),
        (called(TWO, "host1"), []),
        (called("aaaa2"), [TWO]),
        (called("bbbb"), [THREE]),
        (called("bbb"), []),
        (called("calibbbb3000000"), [THREE]),
        (called("10.0.0.3"), [THREE]),
        (called("fd80:0::2"), [TWO]),
        (called("10.0.0.4"), []),
        (called(DB), [TWO, THREE]),
        (called("dddd"), [TWO, THREE]),
        (called("web"), [ONE]),
        (called("web", "host2"), []),
        (called("nosuch"), []),
    ],
)
def test_every_name_and_all_filters_have_to_fit(cli, wanted, found) -> None:
    assert ids(cli, wanted) == found


def test_an_id_in_full_goes_before_the_beginning_of_another(cli) -> None:
    cli.endpoint("aaaa2", workload="w9")
    assert ids(cli, called("aaaa2")) == ["aaaa2"]


def test_a_containers_name_goes_before_the_beginning_of_an_id(cli, docker) -> None:
    docker.containers = {"bbbb": Container(WEB, "bbbb", True, 42, "none")}
    assert ids(cli, called("bbbb")) == [ONE]


def test_docker_is_not_asked_where_etcd_knows_the_word(cli, docker, monkeypatch) -> None:
    monkeypatch.setattr(docker, "container", None)
    for word in (ONE, DB, "10.0.0.1", "10.9.9.9", "calibbbb3000000"):
        which_endpoint.find(cli.platform, called(word))


def test_without_docker_ids_can_be_abbreviated_and_names_are_not_known(cli, docker) -> None:
    def fail(_name: str) -> Container:
        raise DockerUnavailable("cannot reach the Docker Engine")

    docker.container = fail
    assert ids(cli, called("bbbb")) == [THREE]
    with pytest.raises(NotFound, match=r"no endpoint web .*not known: cannot reach the Docker"):
        which_endpoint.find_one(cli.platform, called("web"))


def test_several_endpoints_are_listed_to_choose_from(cli) -> None:
    with pytest.raises(Conflict, match="endpoint aaaa is ambiguous: 2 endpoints fit: ") as caught:
        which_endpoint.find_one(cli.platform, called("aaaa"))
    assert f"{ONE} on host host1" in caught.value.message
    assert f"{TWO} on host host2" in caught.value.message
    assert "--host" in caught.value.hint


def test_an_endpoint_that_is_not_there_is_named_with_the_filters(cli) -> None:
    with pytest.raises(NotFound, match="there is no endpoint e999 on host host1"):
        which_endpoint.find_one(cli.platform, called("e999", "host1"))


def test_a_container_without_an_endpoint_is_told_from_one_that_is_not_there(cli, docker) -> None:
    docker.containers["new"] = Container("f" * 64, "new", True, 43, "none")
    with pytest.raises(NotFound, match="container new of this host has no Calico networking"):
        which_endpoint.find_one(cli.platform, called("new"))


@pytest.mark.parametrize(
    ("word", "value"), [(ONE, "nonsense"), ("10.0.0.1", "10.0.0.1"), ("web", "nonsense")]
)
def test_an_endpoint_that_cannot_be_read_is_not_said_to_be_absent(cli, word, value) -> None:
    (found,) = which_endpoint.find(cli.platform, called(ONE))[0]
    cli.store.put(keys.endpoint(found.key), value)
    with pytest.raises(Conflict, match=rf"endpoint {word} cannot be read: .*{ONE}"):
        which_endpoint.find_one(cli.platform, called(word))


def test_a_broken_endpoint_is_no_trouble_to_who_means_another(cli) -> None:
    (found,) = which_endpoint.find(cli.platform, called(ONE))[0]
    cli.store.put(keys.endpoint(found.key), "nonsense")
    assert which_endpoint.find_one(cli.platform, called("10.0.0.3")).key.id == THREE
    with pytest.raises(NotFound):
        which_endpoint.find_one(cli.platform, called("fd80::99"))


def test_a_path_means_a_namespace_of_this_host(cli) -> None:
    for host in ("host1", "host2"):
        made = cli.endpoint(f"e-{host}", host=host, workload="-run-netns-x")
        key = made.key._replace(orchestrator="namespace")
        entry = cli.store.get(keys.endpoint(made.key))
        cli.store.put(keys.endpoint(key), entry.value)
    assert ids(cli, called("/run/netns/x")) == ["e-host1"]
    assert ids(cli, called("/run/netns/x", "host2")) == ["e-host2"]
