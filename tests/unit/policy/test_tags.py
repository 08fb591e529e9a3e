"""Memberships follow endpoints and profiles, change by change."""

import pytest
from netaddr import IPAddress

from calico_ctl.model.endpoint import Endpoint, EndpointKey, State
from calico_ctl.policy.tags import TagIndex


def endpoint(name: str, *addresses: str, profiles: tuple[str, ...] = ("web",)) -> Endpoint:
    return Endpoint(
        key=EndpointKey("host1", "docker", name, name),
        state=State.ACTIVE,
        name=f"cali{name}",
        mac=None,
        profiles=profiles,
        addresses=tuple(IPAddress(text) for text in addresses),
    )


def members(index: TagIndex, tag: str) -> set[str]:
    return set(index.members(tag, 4) | index.members(tag, 6))


@pytest.fixture
def index() -> TagIndex:
    index = TagIndex()
    index.set_profile("web", ["web", "logger"])
    return index


def put(index: TagIndex, each: Endpoint) -> None:
    index.set_endpoint(each.key, each.membership)


def test_an_endpoint_carries_the_tags_of_all_its_profiles(index: TagIndex):
    index.set_profile("db", ["db"])
    put(index, endpoint("a", "10.0.0.1", "fd80::1", profiles=("web", "db")))
    assert members(index, "logger") == members(index, "db") == {"10.0.0.1", "fd80::1"}
    assert index.members("db", 6) == {"fd80::1"}
    assert index.carries("db", "fd80::1", 6)
    assert not index.carries("db", "fd80::1", 4)


def test_a_profile_that_comes_after_its_endpoint_makes_it_a_member():
    index = TagIndex()
    put(index, endpoint("a", "10.0.0.1"))
    assert members(index, "web") == set()
    index.set_profile("web", ["web"])
    assert members(index, "web") == {"10.0.0.1"}


def test_a_tag_removed_from_a_profile_leaves_the_set(index: TagIndex):
    put(index, endpoint("a", "10.0.0.1"))
    index.set_profile("web", ["web"])
    assert members(index, "logger") == set()
    assert members(index, "web") == {"10.0.0.1"}


def test_an_address_stays_until_its_last_owner_is_gone(index: TagIndex):
    first, second = endpoint("a", "10.0.0.1"), endpoint("b", "10.0.0.1")
    put(index, first)
    put(index, second)
    index.set_endpoint(first.key, None)
    assert members(index, "web") == {"10.0.0.1"}
    index.set_endpoint(second.key, None)
    assert members(index, "web") == set()


def test_a_changed_endpoint_moves_its_addresses(index: TagIndex):
    put(index, endpoint("a", "10.0.0.1"))
    put(index, endpoint("a", "10.0.0.2"))
    assert members(index, "web") == {"10.0.0.2"}
    put(index, endpoint("a", "10.0.0.2", profiles=()))
    assert members(index, "web") == set()


def test_an_address_is_counted_for_each_profile_that_makes_it_a_member(index: TagIndex):
    index.set_profile("also", ["web"])
    put(index, endpoint("a", "10.0.0.1", profiles=("web", "also")))
    index.set_profile("web", [])
    assert members(index, "web") == {"10.0.0.1"}
    index.set_profile("also", [])
    assert members(index, "web") == set()


def test_a_watched_tag_tells_who_left_and_who_joined(index: TagIndex):
    put(index, endpoint("a", "10.0.0.1", "fd80::1"))
    index.watch("web")
    assert index.changes() == {}
    put(index, endpoint("b", "10.0.0.2"))
    index.set_endpoint(endpoint("a").key, None)
    changes = index.changes()
    assert changes["web", 4] == (frozenset({"10.0.0.1"}), frozenset({"10.0.0.2"}))
    assert changes["web", 6] == (frozenset({"fd80::1"}), frozenset())
    assert index.changes() == {}


def test_who_left_and_came_back_is_not_told(index: TagIndex):
    put(index, endpoint("a", "10.0.0.1"))
    index.watch("web")
    put(index, endpoint("a", "10.0.0.2"))
    put(index, endpoint("a", "10.0.0.1"))
    assert index.changes() == {}


def test_a_tag_that_is_not_watched_any_more_is_not_told(index: TagIndex):
    index.watch("web")
    assert index.watches("web")
    index.forget("web")
    put(index, endpoint("a", "10.0.0.1"))
    assert index.changes() == {}
    assert not index.watches("web")
