"""Pools as values."""

from netaddr import IPAddress, IPNetwork

from calico_ctl.model.pool import DEFAULT_POOLS, Pool

POOL = Pool(IPNetwork("10.65.0.0/16"))


def test_a_pool_contains_addresses_of_its_own_family_only():
    assert POOL.contains(IPAddress("10.65.3.4"))
    assert not POOL.contains(IPAddress("10.66.0.0"))
    assert not POOL.contains(IPAddress("fd80::1"))


def test_overlap_is_seen_in_both_directions():
    assert POOL.overlaps(IPNetwork("10.65.1.0/24"))
    assert POOL.overlaps(IPNetwork("10.0.0.0/8"))
    assert not POOL.overlaps(IPNetwork("10.66.0.0/16"))
    assert not POOL.overlaps(IPNetwork("::/0"))


def test_there_is_a_default_pool_of_each_family():
    assert [Pool(cidr).family for cidr in DEFAULT_POOLS] == [4, 6]
