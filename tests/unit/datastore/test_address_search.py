"""Which addresses are offered, one after the other. That all of a pool are is in test_addresses."""

from random import Random

import pytest
from netaddr import IPAddress, IPNetwork

from calico_ctl.datastore import address_search, addresses, nodes, pools
from calico_ctl.datastore.address_search import Choice, Search
from calico_ctl.errors import Conflict, NoSuchPool, PoolExhausted
from calico_ctl.ipam.block import Owner
from calico_ctl.model.address import AddressRequest, AnyAddress
from calico_ctl.model.node import Node
from calico_ctl.model.pool import Pool
from tests.support.memory_store import MemoryStore

V4 = AnyAddress.IPV4
HOLDER = Owner("web", {"host": "h1"})


@pytest.fixture
def store() -> MemoryStore:
    store = MemoryStore()
    pools.create(store, Pool(IPNetwork("10.0.0.64/30")))
    return store


def search(
    store: MemoryStore, request: AddressRequest, pending: dict[IPNetwork, Choice] | None = None
) -> Search:
    scope = address_search.scope(store, request)
    return Search(store, HOLDER, scope, Random(1), {} if pending is None else pending)


def take(store: MemoryStore, ip: str) -> None:
    addresses.claim(store, "h1", IPAddress(ip), "other", Random(1))


def test_a_search_writes_nothing_and_goes_on_where_somebody_was_faster(store: MemoryStore) -> None:
    offers = search(store, V4).choices()
    before = store.writes
    choice = next(offers)
    assert (str(choice.ip), choice.entry, choice.joins, choice.fills) == (
        "10.0.0.64",
        None,
        True,
        False,
    )
    assert store.writes == before
    for ip in ("10.0.0.64", "10.0.0.65", "10.0.0.66"):
        take(store, ip)
    choice = next(offers)
    assert (str(choice.ip), choice.joins, choice.fills) == ("10.0.0.67", False, True)
    take(store, "10.0.0.67")
    with pytest.raises(PoolExhausted, match="any IPv4 pool"):
        next(offers)


def test_what_is_pending_counts_as_taken(store: MemoryStore) -> None:
    pending: dict[IPNetwork, Choice] = {}
    for number in range(4):
        choice = next(search(store, V4, pending).choices())
        assert int(choice.ip) - int(IPAddress("10.0.0.64")) == number
        assert choice.wanted.count("web") == number + 1
        pending[choice.cidr] = choice
    with pytest.raises(PoolExhausted):
        next(search(store, V4, pending).choices())


def test_the_address_that_is_asked_for_is_offered_while_nobody_has_it(store: MemoryStore) -> None:
    offers = search(store, IPAddress("10.0.0.65")).choices()
    assert str(next(offers).ip) == str(next(offers).ip) == "10.0.0.65"
    take(store, "10.0.0.65")
    with pytest.raises(Conflict, match="already assigned to endpoint other"):
        next(offers)


def test_what_the_owner_has_is_no_change(store: MemoryStore) -> None:
    ip = IPAddress("10.0.0.65")
    addresses.claim(store, "h1", ip, "web", Random(1))
    choice = next(search(store, ip).choices())
    assert not choice.changes
    assert choice.is_among(set())


def test_a_scope_knows_what_is_reserved_and_what_is_in_no_pool(store: MemoryStore) -> None:
    nodes.register(store, Node("h7", IPAddress("10.0.0.64")))
    scope = address_search.scope(store, IPAddress("10.0.0.64"))
    with pytest.raises(Conflict, match="is the address of host h7"):
        address_search.require_not_reserved(IPAddress("10.0.0.64"), scope)
    address_search.require_not_reserved(IPAddress("10.0.0.65"), scope)
    with pytest.raises(NoSuchPool):
        address_search.scope(store, IPAddress("10.0.0.1"))
    assert str(next(search(store, V4).choices()).ip) == "10.0.0.65"


def test_what_every_router_of_the_hosts_network_answers_for_is_given_only_by_name(
    store: MemoryStore,
) -> None:
    nodes.register(store, Node("h7", IPAddress("172.16.0.1"), IPAddress("fd99::1")))
    pool = IPNetwork("fd99::/125")
    pools.create(store, Pool(pool))
    assert str(next(search(store, pool).choices()).ip) == "fd99::2"
    assert str(next(search(store, IPAddress("fd99::")).choices()).ip) == "fd99::"
