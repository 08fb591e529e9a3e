"""Several addresses and their endpoint: at once, or in an order that harms nobody."""

from collections.abc import Sequence
from contextlib import suppress
from random import Random

import pytest
from netaddr import IPAddress, IPNetwork

from calico_ctl.datastore import address_check, addresses, endpoints, pools
from calico_ctl.datastore.store import Change
from calico_ctl.errors import AlreadyExists, Conflict, DatastoreUnavailable, PoolExhausted
from calico_ctl.ipam import check
from calico_ctl.ipam.check import Kind
from calico_ctl.model.address import AddressRequest, AnyAddress
from calico_ctl.model.endpoint import Endpoint, EndpointKey, State
from calico_ctl.model.pool import Pool
from tests.support.memory_store import Breaking

V4, V6 = AnyAddress.IPV4, AnyAddress.IPV6
KEY = EndpointKey("h1", "docker", "c1", "e1")


@pytest.fixture(params=[False, True], ids=["one by one", "together"])
def store(request) -> Breaking:
    return world(transactional=request.param)


def world(*, transactional: bool) -> Breaking:
    store = Breaking()
    store.transactional = transactional
    for cidr in ("10.0.0.0/25", "fd80::/120"):
        pools.create(store, Pool(IPNetwork(cidr)))
    return store


def publish(ips) -> list[Change]:
    return [endpoints.publication(Endpoint(KEY, State.INACTIVE, "calie1", None, (), tuple(ips)))]


def claim(store: Breaking, *requests: AddressRequest) -> list[str]:
    got = addresses.claim_all(store, "h1", requests, KEY.id, Random(1), publish)
    return [str(ip) for ip in got]


def take(store: Breaking, request: AddressRequest, owner: str) -> IPAddress:
    return addresses.claim(store, "h2", request, owner, Random(1))


def kinds(store: Breaking) -> set[Kind]:
    return {finding.kind for finding in check.check(address_check.read(store))}


WISHES: list[tuple[tuple[AddressRequest, ...], list[str]]] = [
    ((V4,), ["10.0.0.0"]),
    ((V4, V6), ["10.0.0.0", "fd80::"]),
    ((IPAddress("10.0.0.70"), V6, V4, V4), ["10.0.0.70", "fd80::", "10.0.0.64", "10.0.0.65"]),
    ((V4, IPAddress("10.0.0.1"), V4), ["10.0.0.0", "10.0.0.1", "10.0.0.2"]),
    ((IPAddress("10.0.0.1"), IPAddress("10.0.0.1")), ["10.0.0.1", "10.0.0.1"]),
]


@pytest.mark.parametrize(("wanted", "got"), WISHES)
def test_all_that_is_wanted_is_claimed_and_published(store, wanted, got) -> None:
    before = store.writes
    assert claim(store, *wanted) == got
    assert store.writes - before == 1 or not store.transactional
    assert kinds(store) == set()
    published = endpoints.get(store, KEY)[0].addresses
    assert sorted(str(ip) for ip in published) == sorted(got)
    addresses.retire(store, KEY)
    assert endpoints.all(store)[0] == []
    assert kinds(store) == set()
    assert address_check.read(store).blocks == {}


@pytest.mark.parametrize("wanted", [wanted for wanted, _ in WISHES[:3]])
def test_broken_off_where_all_is_written_together_it_is_all_or_nothing(wanted) -> None:
    for left in range(30):
        store = world(transactional=True)
        store.left = left
        with suppress(DatastoreUnavailable):
            claim(store, *wanted)
        is_there = bool(endpoints.all(store)[0])
        assert kinds(store) == set()
        assert bool(address_check.read(store).blocks) == is_there == (left > 0)
        if not is_there:
            continue
        for writes in range(30):
            store.left = writes
            with suppress(DatastoreUnavailable):
                addresses.retire(store, KEY)
            assert kinds(store) == set()
            is_there = bool(address_check.read(store).blocks)
            assert bool(endpoints.all(store)[0]) == is_there == (writes == 0)
            if not is_there:
                return


@pytest.mark.parametrize("wanted", [wanted for wanted, _ in WISHES[:3]])
def test_broken_off_between_two_writes_it_is_found_by_its_handle(wanted) -> None:
    """No endpoint ever has what is not claimed, and giving all back needs nothing else."""
    for left in range(60):
        store = world(transactional=False)
        store.left = left
        with suppress(DatastoreUnavailable):
            claim(store, *wanted)
        assert kinds(store) <= {Kind.LEAKED, Kind.HANDLE, Kind.AFFINITY}
        ended, store.left = store.left >= 0, left // 2
        with suppress(DatastoreUnavailable):
            addresses.retire(store, KEY)
        assert kinds(store) <= {Kind.LEAKED, Kind.HANDLE, Kind.AFFINITY}
        store.left = None
        addresses.retire(store, KEY)
        assert address_check.read(store).blocks == {}
        assert kinds(store) <= {Kind.AFFINITY}
        if ended:
            return
    pytest.fail("it never came to its end")


@pytest.mark.parametrize("before", range(4))
def test_somebody_who_is_faster_with_one_of_them_gets_it(store, before) -> None:
    others = iter([V4, V6])
    counted = iter(range(100))

    def be_faster() -> None:
        if next(counted) == before:
            for number, request in enumerate(others):
                addresses.claim(store, "h1", request, f"other{number}", Random(1))

    store.before_write = be_faster
    got = claim(store, V4, V6)
    taken = [str(ip) for each in endpoints.all(store)[0] for ip in each.addresses]
    assert taken == got
    assert kinds(store) <= {Kind.LEAKED}  # those of the others, who publish nothing
    assert len(check.check(address_check.read(store))) == (
        2 if before == 0 or not store.transactional else 0
    )


def test_where_one_of_them_is_taken_nothing_is_published(store) -> None:
    take(store, IPAddress("fd80::7"), "other")
    with pytest.raises(Conflict, match="fd80::7 is already assigned to endpoint other"):
        claim(store, V4, IPAddress("fd80::7"))
    assert endpoints.all(store)[0] == []
    assert addresses.assigned(store, IPAddress("10.0.0.0")) is None


def test_where_there_is_no_room_nothing_is_written(store) -> None:
    pools.create(store, Pool(IPNetwork("10.9.0.1/32")))
    take(store, IPAddress("10.9.0.1"), "other")
    before = store.writes
    with pytest.raises(PoolExhausted):
        claim(store, V6, IPNetwork("10.9.0.1/32"))
    assert store.writes == before


def test_what_cannot_be_published_is_an_error(store) -> None:
    """The claims are there or not; whoever claims takes them back."""
    endpoints.create(store, Endpoint(KEY, State.INACTIVE, "calie1", None, ()))
    with pytest.raises(Conflict if store.transactional else AlreadyExists):
        claim(store, V4)
    assert kinds(store) <= {Kind.LEAKED}


def test_what_is_published_is_asked_for_again_if_it_is_changed_meanwhile(store) -> None:
    """The claim stays the same one."""
    endpoints.create(store, Endpoint(KEY, State.INACTIVE, "calie1", None, ()))
    others = iter([lambda seen: seen.with_state(State.ACTIVE)])

    def alter(ips) -> Sequence[Change]:
        wanted = endpoints.alteration(store, KEY, lambda seen: seen.with_addresses(tuple(ips)))
        for change in others:
            endpoints.edit(store, KEY, change)
        return wanted

    got = addresses.claim_all(store, "h1", [V4], KEY.id, Random(1), alter)
    (found,) = endpoints.all(store)[0]
    assert (found.state, list(found.addresses)) == (State.ACTIVE, got)
    assert kinds(store) == set()


def test_a_second_claim_of_an_owner_is_added_to_its_handle(store) -> None:
    assert take(store, V4, "a") != take(store, V4, "a")
    take(store, V6, "a")
    assert addresses.release_all(store, "a")
    assert kinds(store) == set()
    assert address_check.read(store).blocks == {}
