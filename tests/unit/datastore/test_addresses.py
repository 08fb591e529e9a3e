import json
from collections.abc import Callable
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from netaddr import IPAddress, IPNetwork

from calico_ctl.datastore import addresses, bgp, nodes, pools
from calico_ctl.errors import Conflict, DatastoreError, InvalidValue, NoSuchPool, PoolExhausted
from calico_ctl.ipam import block
from calico_ctl.ipam.block import Owner
from calico_ctl.model import keys
from calico_ctl.model.address import AddressRequest, AnyAddress
from calico_ctl.model.bgp import BgpPeer, Reflector
from calico_ctl.model.node import Node
from calico_ctl.model.pool import Pool
from tests.support.cli import Cli, FakePlatform
from tests.support.memory_store import MemoryStore

V4, V6 = AnyAddress.IPV4, AnyAddress.IPV6


def store_with(*cidrs: str) -> MemoryStore:
    store = MemoryStore()
    for cidr in cidrs:
        pools.create(store, Pool(IPNetwork(cidr)))
    return store


def claim(
    store: MemoryStore, request: AddressRequest | str, owner: str = "web", host: str = "h1"
) -> str:
    wanted = request
    if isinstance(request, str) and not isinstance(request, AnyAddress):
        wanted = IPNetwork(request) if "/" in request else IPAddress(request)
    return str(addresses.claim(store, host, wanted, owner, Random(7)))  # type: ignore[arg-type]


def requests(store: MemoryStore, act: Callable[[], object]) -> int:
    """Return how often an act asks the store."""
    before = store.reads + store.writes
    act()
    return store.reads + store.writes - before


def keys_below(store: MemoryStore, directory: str) -> list[str]:
    return [
        e.key.removeprefix(directory) for e in store.tree(directory).entries if e.value is not None
    ]


def test_the_first_address_is_the_first_of_the_pool() -> None:
    store = store_with("192.168.0.0/16")
    assert claim(store, V4) == "192.168.0.0"
    assert claim(store, V4, "db") == "192.168.0.1"


def test_each_host_fills_a_block_of_its_own() -> None:
    store = store_with("192.168.0.0/16")
    assert claim(store, V4, "a", "h1") == "192.168.0.0"
    assert claim(store, V4, "b", "h2") == "192.168.0.64"
    assert claim(store, V4, "c", "h1") == "192.168.0.1"


def test_the_block_and_the_note_of_its_host_are_where_others_look() -> None:
    store = store_with("192.168.0.0/16")
    claim(store, V4)
    assert keys_below(store, "/calico/ipam/v2") == [
        "/assignment/ipv4/block/192.168.0.0-26",
        "/handle/web",
        "/host/h1/ipv4/block/192.168.0.0-26",
    ]


def test_after_an_explicit_address_the_next_free_one_is_in_the_same_block() -> None:
    store = store_with("192.168.0.0/16")
    assert claim(store, "192.168.1.1") == "192.168.1.1"
    assert claim(store, V4, "db") == "192.168.1.0"


def test_an_address_that_is_taken_names_its_owner() -> None:
    store = store_with("192.168.0.0/16")
    claim(store, "192.168.1.1", "web", "h2")
    with pytest.raises(
        Conflict, match=r"192\.168\.1\.1 is already assigned to endpoint web on host h2"
    ):
        claim(store, "192.168.1.1", "db")


def test_claiming_what_one_has_succeeds_again() -> None:
    store = store_with("192.168.0.0/16")
    claim(store, "192.168.1.1")
    assert claim(store, "192.168.1.1") == "192.168.1.1"


@pytest.mark.parametrize("request_", ["10.0.0.1", "fd80::1", "10.0.0.0/8", "192.168.0.0/24", V6])
def test_what_is_in_no_pool_is_refused_and_leaves_nothing(request_) -> None:
    store = store_with("192.168.0.0/16")
    before = store.tree("/")
    with pytest.raises(NoSuchPool):
        claim(store, request_)
    assert store.tree("/").entries == before.entries


def test_a_pool_can_be_asked_for() -> None:
    store = store_with("10.0.0.0/24", "192.168.0.0/16", "fd80::/64")
    assert claim(store, "192.168.0.0/16") == "192.168.0.0"
    assert claim(store, "fd80::/64") == "fd80::"


def test_the_own_block_of_another_pool_is_not_used_for_a_pool() -> None:
    store = store_with("10.0.0.0/24", "192.168.0.0/16")
    claim(store, "10.0.0.0/24", "a")
    assert claim(store, "192.168.0.0/16", "b") == "192.168.0.0"


def test_a_pool_smaller_than_a_block_gives_exactly_its_addresses() -> None:
    store = store_with("10.0.0.20/30")
    given_out = [claim(store, V4, f"e{n}") for n in range(4)]
    assert given_out == ["10.0.0.20", "10.0.0.21", "10.0.0.22", "10.0.0.23"]
    with pytest.raises(PoolExhausted):
        claim(store, V4, "one too many")


def test_an_exhausted_pool_is_named() -> None:
    store = store_with("10.0.0.0/32", "10.9.0.0/24")
    claim(store, "10.0.0.0/32", "a")
    with pytest.raises(PoolExhausted, match=r"no free address is left in 10\.0\.0\.0/32"):
        claim(store, "10.0.0.0/32", "b")
    assert claim(store, V4, "c") == "10.9.0.0"


def test_pools_that_were_not_searched_because_they_are_disabled_are_named() -> None:
    store = store_with("10.0.0.0/32")
    for cidr in ("10.8.0.0/24", "10.9.0.0/24"):
        pools.create(store, Pool(IPNetwork(cidr), disabled=True))
    claim(store, V4, "a")
    with pytest.raises(PoolExhausted, match=r"left in any IPv4 pool") as caught:
        claim(store, V4, "b")
    assert "because disabled: 10.8.0.0/24, 10.9.0.0/24; `calicoctl pool add`" in caught.value.hint


def test_when_all_blocks_are_claimed_the_ones_of_others_are_used() -> None:
    store = store_with("10.0.0.0/25")
    claim(store, V4, "a", "h1")
    claim(store, V4, "b", "h2")
    assert claim(store, V4, "c", "h3") in {"10.0.0.1", "10.0.0.65"}
    assert keys_below(store, keys.affinities("h3", 4)) == []


def test_every_address_of_a_pool_is_found_even_if_few_are_left() -> None:
    store = store_with("10.0.0.0/23")
    given_out = {claim(store, V4, f"e{n}", f"h{n % 20}") for n in range(512)}
    assert len(given_out) == 512
    addresses.release(store, IPAddress("10.0.1.77"), None)
    assert claim(store, V4, "late", "h99") == "10.0.1.77"
    with pytest.raises(PoolExhausted):
        claim(store, V4, "too late", "h99")


def test_addresses_of_hosts_are_never_given_out() -> None:
    store = store_with("192.168.0.0/16", "fd80::/64")
    nodes.register(store, Node("h7", IPAddress("192.168.0.0"), IPAddress("fd80::")))
    assert claim(store, V4) == "192.168.0.1"
    assert claim(store, V6) == "fd80::1"
    with pytest.raises(Conflict, match=r"192\.168\.0\.0 is the address of host h7"):
        claim(store, "192.168.0.0")
    with pytest.raises(Conflict, match="fd80:: is the address of host h7"):
        claim(store, "fd80::")


def test_addresses_of_bgp_peers_are_given_to_nobody_by_chance() -> None:
    store = store_with("192.168.0.0/16", "fd80::/64")
    bgp.set_peer(store, BgpPeer(IPAddress("192.168.0.0"), 64512))
    bgp.set_peer(store, BgpPeer(IPAddress("192.168.0.1"), 64512), "h1")
    bgp.set_reflector(store, Reflector(IPAddress("192.168.0.2"), IPAddress("1.0.0.1")))
    bgp.set_peer(store, BgpPeer(IPAddress("fd80::"), 64512))
    nodes.register(store, Node("h7", IPAddress("192.168.0.2")))
    store.put("/calico/bgp/v1/global/peer_v4/192.168.0.300", "junk")
    assert (claim(store, V4), claim(store, V6)) == ("192.168.0.3", "fd80::1")
    assert claim(store, "192.168.0.0") == "192.168.0.0"
    with pytest.raises(Conflict, match=r"192\.168\.0\.2 is the address of host h7"):
        claim(store, "192.168.0.2")


def test_a_removed_pool_gives_nothing_any_more_though_the_host_has_blocks_there() -> None:
    store = store_with("10.0.0.0/24", "192.168.0.0/16")
    claim(store, V4, "a")
    pools.remove(store, IPNetwork("10.0.0.0/24"))
    assert claim(store, V4, "b") == "192.168.0.0"
    pools.remove(store, IPNetwork("192.168.0.0/16"))
    with pytest.raises(NoSuchPool):
        claim(store, V4, "c")


def test_a_disabled_pool_gives_nothing_any_more_though_the_host_has_blocks_there() -> None:
    store = store_with("10.0.0.0/16", "10.9.0.0/16")
    assert claim(store, V4) == "10.0.0.0"
    assert claim(store, "10.0.7.7") == "10.0.7.7"
    first, second = IPNetwork("10.0.0.0/16"), IPNetwork("10.9.0.0/16")
    pools.disable(store, first, True)
    assert claim(store, V4) == "10.9.0.0"
    before = store.writes
    for request in ("10.0.0.0/16", "10.0.0.1"):
        with pytest.raises(NoSuchPool, match=r"pool 10\.0\.0\.0/16 is disabled"):
            claim(store, request)
    with pytest.raises(NoSuchPool, match=r"pool 10\.0\.0\.0/16 is disabled"):
        addresses.require_free(store, IPAddress("10.0.0.1"))
    pools.disable(store, second, True)
    with pytest.raises(NoSuchPool, match="all IPv4 pools are disabled"):
        claim(store, V4)
    assert store.writes == before + 1
    # What is out can still be given back, and all goes on as before once it is enabled.
    assert addresses.release(store, IPAddress("10.0.0.0"), "web")
    pools.disable(store, first, False)
    assert claim(store, V4) == "10.0.7.0"


def test_a_block_is_not_full_while_a_disabled_pool_has_room_in_it() -> None:
    """Else a host would turn to other blocks once the pool is enabled again."""
    store = store_with("10.0.0.0/31", "10.0.0.2/31", "10.0.0.64/26")
    pools.disable(store, IPNetwork("10.0.0.2/31"), True)
    assert [claim(store, V4) for _ in range(3)] == ["10.0.0.0", "10.0.0.1", "10.0.0.64"]
    pools.disable(store, IPNetwork("10.0.0.2/31"), False)
    assert claim(store, V4) == "10.0.0.2"


def test_releasing_frees_only_what_the_owner_has() -> None:
    store = store_with("192.168.0.0/16")
    claim(store, "192.168.0.5", "web")
    assert not addresses.release(store, IPAddress("192.168.0.5"), "db")
    assert addresses.release(store, IPAddress("192.168.0.5"), "web")
    assert not addresses.release(store, IPAddress("192.168.0.5"), "web")
    assert not addresses.release(store, IPAddress("10.0.0.1"), None)


def test_a_late_release_does_not_take_the_address_from_its_next_owner() -> None:
    store = store_with("192.168.0.0/16")
    claim(store, "192.168.0.5", "old")
    addresses.release(store, IPAddress("192.168.0.5"), None)
    claim(store, "192.168.0.5", "new")
    assert not addresses.release(store, IPAddress("192.168.0.5"), "old")
    owner = addresses.assigned(store, IPAddress("192.168.0.5"))
    assert owner is not None
    assert (owner.id, owner.host) == ("new", "h1")


def test_all_that_an_owner_has_is_released_without_knowing_the_addresses() -> None:
    store = store_with("192.168.0.0/16", "fd80::/64")
    claim(store, "192.168.0.5", "web")
    claim(store, "192.168.9.9", "web")
    claim(store, V6, "web")
    claim(store, "192.168.0.6", "webb")
    assert addresses.release_all(store, "web")
    assert not addresses.release_all(store, "web")
    assert addresses.assigned(store, IPAddress("192.168.0.6")) is not None
    assert addresses.assigned(store, IPAddress("192.168.9.9")) is None
    assert addresses.assigned(store, IPAddress("fd80::")) is None


def test_nothing_is_assigned_where_there_is_no_block() -> None:
    assert addresses.assigned(MemoryStore(), IPAddress("10.0.0.1")) is None


def test_a_host_that_leaves_frees_everything() -> None:
    store = store_with("192.168.0.0/16", "fd80::/64")
    for request in (V4, V6):
        claim(store, request, "web", "h1")
    addresses.leave(store, "h1")
    assert store.tree(keys.host_ipam("h1")).entries == ()
    assert keys_below(store, keys.IPAM) == []


def test_a_block_that_others_use_survives_the_host_that_leaves() -> None:
    store = store_with("10.0.0.0/26")
    claim(store, V4, "a", "h1")
    claim(store, V4, "b", "h2")
    addresses.leave(store, "h1")
    assert addresses.assigned(store, IPAddress("10.0.0.1")) is not None
    assert addresses.assigned(store, IPAddress("10.0.0.0")) is None
    assert claim(store, V4, "c", "h3") == "10.0.0.0"
    assert addresses.release_all(store, "b")
    assert addresses.release_all(store, "c")
    assert keys_below(store, keys.IPAM) == []


@pytest.mark.parametrize("owner", [Owner(None), Owner("old")])
def test_a_host_that_is_released_loses_its_endpoints_with_what_they_have(owner) -> None:
    cli = Cli(FakePlatform(store=store_with("10.0.0.0/24")))
    store = cli.store
    claim(store, "10.0.0.5", "web", "h1")
    claim(store, "10.0.0.70", "db", "h2")
    cli.endpoint("web", "10.0.0.5", host="h1")
    cli.endpoint("old", "10.0.0.6", host="h1", workload="w2")
    cli.endpoint("db", "10.0.0.70", host="h2")
    entry = store.get(keys.block(IPNetwork("10.0.0.0/26")))
    assert entry is not None
    seen = block.decode(IPNetwork("10.0.0.0/26"), entry.value or "")
    store.swap(entry, block.encode(seen.claim(IPAddress("10.0.0.6"), owner)))
    addresses.release_host(store, "h1")
    assert keys_below(store, keys.host("h1")) == []
    assert keys_below(store, keys.IPAM) == [
        "/assignment/ipv4/block/10.0.0.64-26",
        "/handle/db",
        "/host/h2/ipv4/block/10.0.0.64-26",
    ]


def test_the_address_of_another_is_not_freed_with_a_host() -> None:
    """Though an endpoint of the host says that it has it."""
    cli = Cli(FakePlatform(store=store_with("10.0.0.0/24")))
    claim(cli.store, "10.0.0.70", "db", "h2")
    cli.endpoint("twin", "10.0.0.70", host="h1")
    addresses.release_host(cli.store, "h1")
    assert addresses.assigned(cli.store, IPAddress("10.0.0.70")) == Owner("db", {"host": "h2"})


def test_a_block_goes_with_its_last_address_and_comes_back_for_whoever_asks_first() -> None:
    store = store_with("10.0.0.0/24")
    claim(store, V4, "a", "h1")
    assert addresses.release_all(store, "a")
    assert keys_below(store, keys.IPAM) == []
    assert claim(store, V4, "b", "h2") == "10.0.0.0"
    assert keys_below(store, keys.affinities("h2", 4)) == ["/10.0.0.0-26"]


def test_a_block_that_a_host_left_behind_is_adopted() -> None:
    store = store_with("10.0.0.0/24")
    claim(store, V4, "a", "h1")
    claim(store, "10.0.0.9", "b", "h2")
    addresses.leave(store, "h1")
    assert claim(store, V4, "c", "h3") == "10.0.0.0"
    assert keys_below(store, keys.affinities("h3", 4)) == ["/10.0.0.0-26"]
    assert claim(store, V4, "d", "h2") == "10.0.0.64"


def test_a_block_without_its_note_is_not_taken_from_its_host() -> None:
    store = store_with("10.0.0.0/24")
    claim(store, V4, "a", "h1")
    store.delete(keys.host_ipam("h1"))
    assert claim(store, V4, "b", "h2") == "10.0.0.64"
    assert keys_below(store, keys.affinities("h1", 4)) == ["/10.0.0.0-26"]


def test_room_that_a_wrong_note_hides_is_found_in_the_end() -> None:
    store = store_with("10.0.0.0/26")
    claim(store, V4, "a")
    store.put(keys.affinity("h1", IPNetwork("10.0.0.0/26")), "full")
    assert claim(store, V4, "b") == "10.0.0.1"


NOTE = keys.affinity("h1", IPNetwork("10.0.0.0/26"))


def noted(store: MemoryStore) -> str | None:
    """What h1 has noted of the first block of the pools here."""
    entry = store.get(NOTE)
    assert entry is not None
    return entry.value


def test_a_full_block_that_is_not_marked_is_asked_only_once_more() -> None:
    store = store_with("10.0.0.0/24")
    for number in range(64):
        claim(store, V4, f"e{number}")
    store.put(NOTE, "")
    assert claim(store, V4, "x") == "10.0.0.64"
    assert noted(store) == "full"


def test_a_block_that_its_first_claim_fills_is_marked_as_full_whatever_was_noted_before() -> None:
    store = store_with("10.0.0.5/32")
    store.put(NOTE, "")
    assert claim(store, V4, "e") == "10.0.0.5"
    assert noted(store) == "full"


def test_a_block_that_only_one_pool_fills_is_not_marked_as_full() -> None:
    store = store_with("10.0.0.0/30", "10.0.0.32/30")
    for number in range(4):
        claim(store, "10.0.0.0/30", f"e{number}")
    with pytest.raises(PoolExhausted):
        claim(store, "10.0.0.0/30", "late")
    assert noted(store) == ""
    for number in range(4):
        claim(store, V4, f"x{number}")
    assert noted(store) == "full"


@pytest.mark.parametrize("cidr", ["10.0.0.16/28", "fd80::20/123", "10.0.0.5/32", "fd80::7/128"])
def test_pools_smaller_than_a_block_give_all_and_nothing_else(cidr) -> None:
    store = store_with(cidr)
    network = IPNetwork(cidr)
    got = {IPAddress(claim(store, cidr, f"e{n}", f"h{n % 3}")) for n in range(network.size)}
    assert got == set(network)
    with pytest.raises(PoolExhausted):
        claim(store, cidr, "late")
    outside = IPAddress(int(network.last) + 1, network.version)
    with pytest.raises(NoSuchPool):
        claim(store, str(outside), "late")


def test_a_lost_race_for_a_block_leaves_no_note_behind() -> None:
    store = Racing()
    pools.create(store, Pool(IPNetwork("10.0.0.0/24")))
    assert claim(store, V4, "mine", "h1") == "10.0.0.64"
    assert keys_below(store, keys.affinities("h1", 4)) == ["/10.0.0.64-26"]


def test_a_block_that_cannot_be_written_leaves_no_note_behind() -> None:
    store = Refusing()
    pools.create(store, Pool(IPNetwork("10.0.0.0/24")))
    with pytest.raises(DatastoreError):
        claim(store, V4)
    assert keys_below(store, keys.IPAM) == []


def test_a_note_without_a_block_is_used() -> None:
    store = store_with("10.0.0.0/24")
    store.create(keys.affinity("h1", IPNetwork("10.0.0.128/26")), "")
    assert claim(store, V4) == "10.0.0.128"


def test_a_broken_block_only_takes_itself_out() -> None:
    store = store_with("10.0.0.0/25")
    claim(store, V4, "a")
    store.put(keys.block(IPNetwork("10.0.0.0/26")), "broken")
    store.create(keys.affinities("h1", 4) + "/junk", "")
    assert claim(store, V4, "b") == "10.0.0.64"
    with pytest.raises(InvalidValue, match=r"/calico/ipam/v2/assignment/ipv4/block/10\.0\.0\.0-26"):
        claim(store, "10.0.0.3", "c")


def test_an_automatic_claim_asks_little_however_full_the_host_is() -> None:
    store = store_with("192.168.0.0/23")
    asked = [
        requests(store, lambda number=number: claim(store, V4, f"e{number}"))  # type: ignore[misc]
        for number in range(400)
    ]
    assert max(number for at, number in enumerate(asked) if at % 64 not in {0, 63}) <= 6
    assert max(asked) <= 14


def test_where_others_have_all_blocks_a_claim_asks_little_too() -> None:
    store = store_with("192.168.0.0/23")
    for number in range(490):
        claim(store, V4, f"e{number}", f"h{number % 8}")
    claims = [requests(store, lambda n=n: claim(store, V4, f"x{n}", "h99")) for n in range(3)]  # type: ignore[misc]
    assert max(claims) <= 11


def test_an_address_that_comes_free_in_a_full_block_is_found_at_once() -> None:
    store = store_with("192.168.0.0/21")
    for number in range(64 * 5):
        claim(store, V4, f"e{number}")
    assert addresses.release_all(store, "e77")
    assert requests(store, lambda: claim(store, V4, "x")) <= 10
    assert addresses.assigned(store, IPAddress("192.168.0.77")) == Owner("x", {"host": "h1"})


class Racing(MemoryStore):
    """Another host takes the first block at the very moment when we would."""

    def create(self, key: str, value: str | None):
        block = keys.block(IPNetwork("10.0.0.0/26"))
        if key == block and value and "h1" in value:
            super().create(key, value.replace("h1", "h2").replace("mine", "theirs"))
        return super().create(key, value)


class Refusing(MemoryStore):
    def create(self, key: str, value: str | None):
        if key.startswith(keys.blocks(4)):
            raise DatastoreError("disk is full")
        return super().create(key, value)


POOLS = ("10.0.0.0/28", "10.0.0.32/30", "10.0.1.0/26", "fd80::/124")
POOL_ADDRESSES = [str(ip) for cidr in POOLS for ip in IPNetwork(cidr)]

owner_ids = st.sampled_from(["a", "b", "c", "d"])
hosts = st.sampled_from(["h1", "h2", "h3"])
actions = st.one_of(
    st.tuples(st.just("auto"), st.sampled_from([V4, V6, *POOLS]), owner_ids, hosts),
    st.tuples(
        st.just("this"),
        st.sampled_from([*POOL_ADDRESSES, "10.0.0.20", "10.0.0.36"]),
        owner_ids,
        hosts,
    ),
    st.tuples(st.just("release"), st.sampled_from(POOL_ADDRESSES), owner_ids, hosts),
    st.tuples(st.just("all"), st.none(), owner_ids, hosts),
    st.tuples(st.just("leave"), st.none(), owner_ids, hosts),
)


@settings(max_examples=60, deadline=None)
@given(st.lists(actions, max_size=40))
def test_no_address_is_given_twice_or_outside_the_pools(steps) -> None:
    store = store_with(*POOLS)
    nodes.register(store, Node("h1", IPAddress("10.0.0.3"), IPAddress("fd80::2")))
    held: dict[str, tuple[str, str]] = {}
    for action, wanted, owner, host in steps:
        if action in {"auto", "this"}:
            try:
                ip = claim(store, wanted, owner, host)
            except (Conflict, NoSuchPool, PoolExhausted):
                continue
            assert ip in POOL_ADDRESSES
            assert ip not in {"10.0.0.3", "fd80::2"}
            assert held.get(ip, (owner, ""))[0] == owner
            assert action == "this" or ip not in held
            held[ip] = (owner, host)
        elif action == "release":
            assert addresses.release(store, IPAddress(wanted), owner) == (
                held.get(wanted, ("", ""))[0] == owner
            )
            held = {ip: who for ip, who in held.items() if (ip, who[0]) != (wanted, owner)}
        elif action == "all":
            addresses.release_all(store, owner)
            held = {ip: who for ip, who in held.items() if who[0] != owner}
        else:
            addresses.leave(store, host)
            held = {ip: who for ip, who in held.items() if who[1] != host}
    for address in POOL_ADDRESSES:
        owner = addresses.assigned(store, IPAddress(address))
        assert (owner and owner.id) == held.get(address, (None, ""))[0]


def test_blocks_are_json_that_others_can_read() -> None:
    store = store_with("192.168.0.0/16")
    claim(store, V4)
    entry = store.get(keys.block(IPNetwork("192.168.0.0/26")))
    assert entry is not None
    assert json.loads(entry.value or "")["affinity"] == "host:h1"


@pytest.mark.parametrize("text", ["", "junk", "010.0.0.0", "10.0.0", "\0", "\u0661.0.0.0"])
def test_what_is_no_address_of_a_host_reserves_nothing(text) -> None:
    store = store_with("10.0.0.0/24")
    store.put(keys.bgp_host_address("h7", 4), text)
    assert claim(store, V4) == "10.0.0.0"
