"""A word means an endpoint, a host, or somebody outside; both ends get addresses of one family."""

import pytest
from netaddr import IPAddress

from calico_ctl.errors import Conflict, DockerUnavailable, InvalidValue, NotFound
from calico_ctl.model import keys
from calico_ctl.model.container import Container
from calico_ctl.policy.explain import Views
from calico_ctl.workload import ends, in_force
from calico_ctl.workload.ends import Party
from tests.support.cli import Cli, FakePlatform
from tests.support.machine import FakeDocker

WEB = "a" * 64


@pytest.fixture(autouse=True)
def own_address(monkeypatch: pytest.MonkeyPatch) -> None:
    """One more address of this host, which etcd does not know."""
    ours = IPAddress("203.0.113.1")
    monkeypatch.setattr("calico_ctl.host.own_address.is_ours", lambda ip: ip == ours)


class Gone(FakeDocker):
    """An engine that is not there."""

    def container(self, name_or_id: str) -> Container:
        raise DockerUnavailable("there is no engine")


@pytest.fixture
def cli() -> Cli:
    container = Container(WEB, "web", True, 1, "none")
    cli = Cli(FakePlatform(docker=FakeDocker({"web": container})))
    cli.endpoint("aaaa1111", "10.65.0.1", "fd80::1", workload=WEB)
    cli.endpoint("bbbb2222", "10.65.0.2", host="host2", workload="b" * 64)
    cli.store.put(keys.host_address("host1", 4), "10.99.0.1")
    cli.store.put(keys.host_address("host1", 6), "fd99::1")
    cli.store.put(keys.host_address("host2", 4), "no address")
    return cli


def find(cli: Cli, word: str) -> Party:
    known = in_force.entries(cli.store)
    return ends.find(cli.platform, Views(known), known, word)


@pytest.mark.parametrize(
    "word", ["web", WEB, WEB[:12], "aaaa1111", "aaaa", "caliaaaa1111", "10.65.0.1", "fd80::1"]
)
def test_an_endpoint_is_found_by_all_that_it_is_called(cli, word):
    found = find(cli, word)
    assert found.endpoint is not None
    assert found.endpoint.key.id == "aaaa1111"


def test_an_endpoint_named_by_an_address_is_asked_about_at_that_address(cli):
    assert find(cli, "fd80::1").addresses == (IPAddress("fd80::1"),)
    assert len(find(cli, "web").addresses) == 2


def test_a_host_is_found_by_its_name_and_its_addresses(cli):
    both = (IPAddress("10.99.0.1"), IPAddress("fd99::1"))
    assert find(cli, "host1") == Party("host1", both, hostname="host1")
    assert find(cli, "fd99::1") == Party("fd99::1", both[1:], hostname="host1")


def test_any_other_address_is_this_hosts_own_or_somebodys_outside(cli):
    assert find(cli, "192.0.2.7") == Party("192.0.2.7", (IPAddress("192.0.2.7"),))
    assert find(cli, "203.0.113.1") == Party(
        "203.0.113.1", (IPAddress("203.0.113.1"),), hostname="host1"
    )
    with pytest.raises(InvalidValue, match=r"127\.0\.0\.1"):
        find(cli, "127.0.0.1")


def test_an_unknown_word_is_refused_with_how_to_name_containers_elsewhere(cli):
    with pytest.raises(NotFound) as caught:
        find(cli, "client")
    assert "a container of another host is named by its id or an address" in caught.value.hint


def test_a_container_without_an_endpoint_is_said_to_be_one(cli):
    cli.platform.docker.containers["idle"] = Container("c" * 64, "idle", True, 1, "none")
    with pytest.raises(NotFound, match="container idle of this host has no Calico networking"):
        find(cli, "idle")


def test_two_endpoints_that_are_meant_are_both_named(cli):
    cli.endpoint("aaaa3333", "10.65.0.3", workload="w3")
    with pytest.raises(Conflict, match="aaaa1111 on host host1, aaaa3333 on host host1") as caught:
        find(cli, "aaaa")
    assert caught.value.hint == "say which by its full id"


def test_without_docker_everything_but_names_of_containers_works(cli):
    cli.platform.docker = Gone()
    assert find(cli, "aaaa").endpoint is not None
    assert find(cli, "10.65.0.2").endpoint is not None
    with pytest.raises(NotFound, match="there is no engine"):
        find(cli, "web")


def party(word: str, *addresses: str) -> Party:
    return Party(word, tuple(IPAddress(each) for each in addresses))


def test_addresses_of_a_family_that_both_have_are_chosen_ipv4_first():
    two = party("two", "10.65.0.1", "fd80::1")
    four, six = party("four", "10.65.0.2"), party("six", "fd80::2")
    assert [end.ip.version for end in ends.choose(two, two, None)] == [4, 4]
    assert [str(end.ip) for end in ends.choose(two, six, None)] == ["fd80::1", "fd80::2"]
    assert [str(end.ip) for end in ends.choose(two, two, 6)] == ["fd80::1", "fd80::1"]
    with pytest.raises(Conflict, match=r"no addresses of one family: four has 10\.65\.0\.2, six"):
        ends.choose(four, six, None)
    with pytest.raises(Conflict, match="no addresses of IPv6"):
        ends.choose(four, two, 6)
    with pytest.raises(Conflict, match="none has none"):
        ends.choose(party("none"), two, None)
