from dataclasses import replace
from random import Random

import pytest
from netaddr import IPAddress, IPNetwork

from calico_ctl.datastore import addresses, pools
from calico_ctl.datastore.store import Entry
from calico_ctl.errors import AlreadyExists, Conflict, NotFound
from calico_ctl.model import keys
from calico_ctl.model.endpoint import EndpointKey
from calico_ctl.model.pool import Pool
from tests.support.memory_store import MemoryStore


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


def pool(cidr: str, *, ipip: bool = False, masquerade: bool = False) -> Pool:
    return Pool(IPNetwork(cidr), ipip, masquerade)


def cidrs(found: list[Pool]) -> list[str]:
    return [str(each.cidr) for each in found]


def test_pools_are_listed_in_numeric_order_ipv4_first(store: MemoryStore) -> None:
    for cidr in ("fd80::/64", "192.168.0.0/16", "10.2.0.0/16", "9.0.0.0/8"):
        assert pools.create(store, pool(cidr))
    assert cidrs(pools.all(store)) == ["9.0.0.0/8", "10.2.0.0/16", "192.168.0.0/16", "fd80::/64"]
    assert cidrs(pools.all(store, 6)) == ["fd80::/64"]


def test_adding_the_same_pool_again_changes_nothing(store: MemoryStore) -> None:
    assert pools.create(store, pool("10.0.0.0/16", masquerade=True))
    revision = store.tree("/").revision
    assert not pools.create(store, pool("10.0.0.0/16", masquerade=True))
    assert store.tree("/").revision == revision


def test_the_options_of_a_pool_are_not_changed_by_adding_it(store: MemoryStore) -> None:
    pools.create(store, pool("10.0.0.0/16", masquerade=True))
    with pytest.raises(AlreadyExists, match="with other options"):
        pools.create(store, pool("10.0.0.0/16"))


def test_a_pool_is_disabled_and_enabled_with_all_else_as_it_was(store: MemoryStore) -> None:
    made = replace(pool("10.0.0.0/16", masquerade=True), extra={"mine": 1})
    pools.create(store, made)
    assert pools.disable(store, made.cidr, True)
    assert not pools.disable(store, made.cidr, True)
    assert pools.all(store) == [replace(made, disabled=True)]
    # It is still that pool, for whoever adds it.
    assert not pools.create(store, made)
    assert pools.disable(store, made.cidr, False)
    assert pools.all(store) == [made]
    with pytest.raises(NotFound):
        pools.disable(store, IPNetwork("10.9.0.0/16"), True)


def test_what_somebody_else_writes_while_a_pool_is_disabled_stays() -> None:
    class Racing(MemoryStore):
        def swap(self, seen: Entry, value: str) -> Entry:
            if "mine" not in (seen.value or ""):
                self.put(seen.key, '{"cidr": "10.0.0.0/16", "mine": 1}')
            return super().swap(seen, value)

    store = Racing()
    pools.create(store, pool("10.0.0.0/16"))
    assert pools.disable(store, IPNetwork("10.0.0.0/16"), True)
    (found,) = pools.all(store)
    assert (found.disabled, found.extra) == (True, {"mine": 1})


@pytest.mark.parametrize("cidr", ["10.0.0.0/8", "10.1.2.0/24", "10.1.0.0/15"])
def test_pools_may_not_overlap(store: MemoryStore, cidr: str) -> None:
    pools.create(store, pool("10.1.0.0/16"))
    with pytest.raises(Conflict, match=r"overlaps the pool 10\.1\.0\.0/16"):
        pools.create(store, pool(cidr))
    assert cidrs(pools.all(store)) == ["10.1.0.0/16"]


def test_of_two_overlapping_pools_added_at_once_the_later_one_goes() -> None:
    class Racing(MemoryStore):
        def create(self, key: str, value: str | None) -> Entry:
            if "10.1.0.0" in key:
                super().create(keys.pool(IPNetwork("10.0.0.0/8")), '{"cidr": "10.0.0.0/8"}')
            return super().create(key, value)

    store = Racing()
    with pytest.raises(Conflict):
        pools.create(store, pool("10.1.0.0/16"))
    assert cidrs(pools.all(store)) == ["10.0.0.0/8"]


def test_a_broken_pool_is_reported_and_hides_no_other(store: MemoryStore) -> None:
    pools.create(store, pool("10.1.0.0/16"))
    for name, value in (
        ("junk", "x"),
        ("10.2.0.0-16", "[]"),
        ("fd80::-64", '{"cidr": "fd80::/64"}'),
    ):
        store.create(f"{keys.pools(4)}/{name}", value)
    found, problems = pools.read(store)
    assert cidrs(found) == ["10.1.0.0/16"]
    assert sorted(problem.key.rpartition("/")[2] for problem in problems) == [
        "10.2.0.0-16",
        "fd80::-64",
        "junk",
    ]


def test_a_pool_written_as_bare_text_is_read(store: MemoryStore) -> None:
    store.create(f"{keys.pools(4)}/10.2.0.0-16", "10.2.0.0/16")
    assert cidrs(pools.all(store)) == ["10.2.0.0/16"]


def test_a_removed_pool_is_gone_and_removing_it_again_is_an_error(store: MemoryStore) -> None:
    pools.create(store, pool("10.1.0.0/16"))
    pools.remove(store, IPNetwork("10.1.0.0/16"))
    assert pools.all(store) == []
    with pytest.raises(NotFound, match=r"pool 10\.1\.0\.0/16 does not exist"):
        pools.remove(store, IPNetwork("10.1.0.0/16"))


def test_defaults_are_added_only_for_a_family_without_a_pool(store: MemoryStore) -> None:
    pools.create(store, pool("10.1.0.0/16"))
    assert cidrs(pools.create_defaults(store)) == ["fd80:24e2:f998:72d6::/64"]
    assert pools.create_defaults(store) == []


@pytest.mark.parametrize("of_other", ["192.168.0.0/16", "192.168.7.0/24"])
def test_a_pool_that_another_host_adds_at_the_same_moment_will_do(
    store: MemoryStore, monkeypatch: pytest.MonkeyPatch, of_other: str
) -> None:
    create = store.create

    def late(key: str, value: str | None) -> Entry:
        monkeypatch.setattr(store, "create", create)
        pools.create(store, pool(of_other))
        return create(key, value)

    monkeypatch.setattr(store, "create", late)
    assert cidrs(pools.create_defaults(store)) == ["fd80:24e2:f998:72d6::/64"]
    assert of_other in cidrs(pools.all(store))


def test_an_address_is_in_the_pool_that_contains_it() -> None:
    listed = [pool("10.1.0.0/16"), pool("::/64")]
    assert pools.containing(listed, IPAddress("10.1.3.4")) == listed[0]
    assert pools.containing(listed, IPAddress("::1")) == listed[1]
    assert pools.containing(listed, IPAddress("10.2.0.0")) is None


def test_who_has_addresses_of_a_pool_is_what_endpoints_and_blocks_say(store: MemoryStore) -> None:
    pools.create(store, pool("10.1.0.0/16"))
    for ip, owner in (("10.1.0.1", "e1"), ("10.1.0.2", "e2")):
        addresses.claim(store, "host1", IPAddress(ip), owner, Random(1))
    key = keys.endpoint(EndpointKey("host2", "docker", "w", "e1"))
    nets = '["10.1.0.1/32", "10.2.0.1/32"]'
    store.put(key, f'{{"state": "active", "name": "cali1", "ipv4_nets": {nets}}}')
    store.put(f"{keys.blocks(4)}/10.1.9.0-26", "nonsense")
    assert pools.holders(store, [IPNetwork("10.1.0.0/16")]) == {
        IPAddress("10.1.0.1"): "endpoint e1 on host host2",
        IPAddress("10.1.0.2"): "owner e2 on host host1",
    }
    assert pools.holders(store, [IPNetwork("10.1.0.2/32"), IPNetwork("fd80::/64")]) == {
        IPAddress("10.1.0.2"): "owner e2 on host host1"
    }
