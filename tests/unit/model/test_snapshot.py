"""What the agent knows, folded key by key; bad data closes only what depends on it."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from netaddr import IPNetwork

from calico_ctl.model.endpoint import EndpointKey, Membership
from calico_ctl.model.rule import Rule, Rules
from calico_ctl.model.snapshot import Snapshot

RULES = "/calico/policy/profile/web/rules"
TAGS = "/calico/policy/profile/web/tags"
ENDPOINT = "/calico/host/host1/workload/docker/c/endpoint/e"
POOL = "/calico/ipam/v4/pool/10.65.0.0-16"
KEY = EndpointKey("host1", "docker", "c", "e")
GOOD = {
    "/calico/Ready": "true",
    RULES: '{"inbound": [{}], "outbound": []}',
    TAGS: '["web"]',
    ENDPOINT: '{"state": "active", "name": "calie"}',
    POOL: '{"cidr": "10.65.0.0/16"}',
    "/calico/config/A": "1",
    "/calico/host/host1/config/A": "2",
}


@pytest.fixture
def snapshot() -> Snapshot:
    snapshot = Snapshot("host1")
    for key, value in GOOD.items():
        snapshot.apply(key, value, 7)
    return snapshot


def test_every_key_finds_its_place(snapshot: Snapshot):
    assert snapshot.ready
    assert snapshot.rules == {"web": Rules((Rule(),), ())}
    assert snapshot.tags == {"web": ("web",)}
    assert snapshot.endpoints[KEY].name == "calie"
    assert snapshot.members == {KEY: Membership()}
    assert snapshot.revisions == {KEY: 7}
    assert list(snapshot.pools) == [IPNetwork("10.65.0.0/16")]
    assert snapshot.problems == {}


def test_a_hosts_own_setting_counts_before_the_clusters(snapshot: Snapshot):
    assert snapshot.setting("A", "0") == "2"
    assert snapshot.setting("B", "0") == "0"
    snapshot.apply("/calico/host/host1/config/A", None, 8)
    assert snapshot.setting("A", "0") == "1"


def test_keys_that_go_are_forgotten(snapshot: Snapshot):
    for key in GOOD:
        snapshot.apply(key, None, 8)
    assert snapshot == Snapshot("host1")


@pytest.mark.parametrize("key", [RULES, TAGS, ENDPOINT, POOL])
def test_a_broken_value_is_left_out_and_reported_until_it_is_mended(snapshot: Snapshot, key: str):
    good = Snapshot("host1")
    for each, value in GOOD.items():
        good.apply(each, value, 7)
    snapshot.apply(key, "{", 8)
    assert list(snapshot.problems) == [key]
    assert snapshot != good
    snapshot.apply(key, GOOD[key], 7)
    assert snapshot == good


def test_the_revision_of_a_broken_endpoint_is_known_so_that_it_can_be_answered(snapshot: Snapshot):
    snapshot.apply(ENDPOINT, "{", 9)
    assert snapshot.revisions == {KEY: 9}
    assert KEY not in snapshot.endpoints


def test_of_the_endpoints_of_other_hosts_only_what_policy_depends_on_is_kept():
    snapshot = Snapshot("host2")
    value = '{"state": "active", "name": "calie", "profile_id": "web", "ipv4_nets": ["1.2.3.4/32"]}'
    snapshot.apply(ENDPOINT, value, 7)
    assert snapshot.members == {KEY: Membership(("web",), ("1.2.3.4",))}
    assert snapshot.endpoints == {}
    assert snapshot.revisions == {}
    snapshot.apply(ENDPOINT, "{", 8)
    assert snapshot.members == {}
    assert list(snapshot.problems) == [ENDPOINT]


def test_other_keys_are_passed_over(snapshot: Snapshot):
    assert snapshot.apply("/calico/felix/v1/host/host1/status", "x", 9) is None


@given(st.sampled_from([RULES, TAGS, ENDPOINT, POOL]), st.text())
def test_no_text_whatever_raises(key: str, text: str):
    Snapshot("host1").apply(key, text, 1)


def test_a_protocol_of_thousands_of_digits_is_a_problem_like_any_other():
    snapshot = Snapshot("host1")
    snapshot.apply(RULES, '{"inbound": [{"protocol": "' + "1" * 5000 + '"}]}', 1)
    assert "invalid protocol" in snapshot.problems[RULES]


def test_a_list_of_tags_that_never_ends_is_refused_at_once():
    snapshot = Snapshot("host1")
    began = time.monotonic()
    snapshot.apply(TAGS, "[" + " " * 100_000, 1)
    assert list(snapshot.problems) == [TAGS]
    assert time.monotonic() - began < 10


def test_no_depth_of_nesting_raises():
    snapshot = Snapshot("host1")
    for depth in range(800, 1000):
        value = "[" * depth + "]" * depth
        snapshot.apply(RULES, '{"inbound": [{"src_ports": [' + value + "]}]}", 1)
        assert list(snapshot.problems) == [RULES]


def test_a_pool_whose_key_has_host_bits_is_forgotten_with_its_key():
    snapshot = Snapshot("host1")
    key = "/calico/ipam/v4/pool/10.65.0.5-16"
    snapshot.apply(key, '{"cidr": "10.65.0.5/16"}', 1)
    assert list(snapshot.pools) == [IPNetwork("10.65.0.0/16")]
    snapshot.apply(key, None, 2)
    assert snapshot.pools == {}
