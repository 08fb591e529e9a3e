"""Pools as values."""

from dataclasses import replace

import pytest
from netaddr import IPAddress, IPNetwork

from calico_ctl.errors import InvalidValue
from calico_ctl.model import pool
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


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"ipip": True},
        {"vxlan": True},
        {"vxlan": True, "cross_subnet": True, "masquerade": True},
    ],
)
def test_options_that_go_together_are_kept(options):
    made = replace(POOL, **options)
    assert pool.check(made) is made


@pytest.mark.parametrize("cidr", [*DEFAULT_POOLS, IPNetwork("100.64.0.0/10"), IPNetwork("::2/128")])
def test_what_routers_carry_can_be_a_pool(cidr):
    assert pool.check(Pool(cidr, vxlan=True)).cidr == cidr


@pytest.mark.parametrize(
    ("made", "message"),
    [
        (Pool(IPNetwork("10.0.0.0/8"), ipip=True, vxlan=True), "not both"),
        (Pool(IPNetwork("fd80::/64"), ipip=True), "IPv4 pools only"),
        (Pool(IPNetwork("10.0.0.0/8"), cross_subnet=True), "ipip or vxlan beside cross-subnet"),
        (Pool(IPNetwork("0.0.0.0/0")), "routed between hosts"),
        (Pool(IPNetwork("::/0")), "routed between hosts"),
        (Pool(IPNetwork("127.1.0.0/16")), "routed between hosts"),
        (Pool(IPNetwork("224.0.0.0/4")), "routed between hosts"),
        (Pool(IPNetwork("fe80::/64")), "routed between hosts"),
    ],
)
def test_other_pools_are_refused(made, message):
    with pytest.raises(InvalidValue, match=message):
        pool.check(made)


def test_two_pools_are_alike_if_all_their_options_are():
    assert POOL.options == replace(POOL, extra={"mine": 1}).options
    others = (
        replace(POOL, ipip=True),
        replace(POOL, vxlan=True),
        replace(POOL, masquerade=True),
        replace(POOL, cross_subnet=True),
    )
    assert len({POOL.options, *(each.options for each in others)}) == 5


def test_a_pool_that_is_disabled_is_the_same_pool_and_says_so():
    disabled = replace(POOL, masquerade=True, disabled=True)
    assert disabled.options == replace(POOL, masquerade=True).options
    assert disabled.words == ("nat-outgoing", "disabled")
