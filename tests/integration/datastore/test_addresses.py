"""IPAM against a real etcd, many at once."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random

import pytest
from netaddr import IPAddress, IPNetwork

from calico_ctl.datastore import addresses, nodes, pools
from calico_ctl.datastore.store import Store
from calico_ctl.errors import CalicoError, Conflict, PoolExhausted
from calico_ctl.model import keys
from calico_ctl.model.address import AnyAddress
from calico_ctl.model.node import Node
from calico_ctl.model.pool import Pool
from tests.support.etcd_server import EtcdServer

pytestmark = [pytest.mark.integration, pytest.mark.timeout(900)]

Outcome = IPAddress | CalicoError


@contextmanager
def running(directory: Path, *, v2: bool) -> Iterator[Store]:
    """An etcd of our own, spoken to over one of its APIs."""
    server = EtcdServer(directory, v2=v2)
    server.start()
    store = server.own_store(connect_timeout=60.0, timeout=60.0)
    try:
        yield store
    finally:
        store.close()
        server.stop()


def at_once(count: int, act: Callable[[int], IPAddress]) -> list[Outcome]:
    outcomes: list[Outcome] = []
    start = threading.Barrier(count)

    def run(number: int) -> None:
        start.wait()
        try:
            outcomes.append(act(number))
        except CalicoError as error:
            outcomes.append(error)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(240)
    assert len(outcomes) == count
    return outcomes


def given_out(outcomes: list[Outcome]) -> list[IPAddress]:
    return [outcome for outcome in outcomes if isinstance(outcome, IPAddress)]


def test_of_fifty_who_want_one_address_exactly_one_gets_it(own_server: EtcdServer) -> None:
    store = own_server.store(connect_timeout=60.0, timeout=60.0)
    pools.create(store, Pool(IPNetwork("10.0.0.0/16")))
    for round_ in range(2):
        wanted = IPAddress(f"10.0.{round_}.5")

        def claim(number: int, wanted: IPAddress = wanted) -> IPAddress:
            return addresses.claim(store, f"h{number % 4}", wanted, f"e{number}", Random(number))

        outcomes = at_once(50, claim)
        assert given_out(outcomes) == [wanted]
        losers = [outcome for outcome in outcomes if not isinstance(outcome, IPAddress)]
        assert all(isinstance(loser, Conflict) for loser in losers)
        assert all("already assigned to endpoint" in str(loser) for loser in losers)
    store.close()


@pytest.mark.parametrize(("v2", "hosts"), [(True, 1), (True, 16), (False, 1), (False, 4)])
def test_of_many_automatic_claims_at_once_no_two_get_the_same(
    tmp_path: Path, v2: bool, hosts: int
) -> None:
    with running(tmp_path, v2=v2) as store:
        _claim_all_of_two_blocks(store, hosts)


def _claim_all_of_two_blocks(store: Store, hosts: int) -> None:
    pools.create(store, Pool(IPNetwork("10.0.0.0/25")))
    nodes.register(store, Node("h0", IPAddress("10.0.0.7")))
    outcomes = []
    for round_ in range(9):

        def claim(number: int, turn: int = round_) -> IPAddress:
            owner = f"e{turn}-{number}"
            return addresses.claim(
                store, f"h{number % hosts}", AnyAddress.IPV4, owner, Random(number)
            )

        outcomes += at_once(16, claim)
    got = given_out(outcomes)
    assert len(got) == len(set(got)) == 127
    assert IPAddress("10.0.0.7") not in got
    assert all(isinstance(o, PoolExhausted | IPAddress) for o in outcomes)
    notes = [e.key for e in store.tree(f"{keys.IPAM}/host").entries if e.value is not None]
    assert len({key.rpartition("/")[2] for key in notes}) == len(notes) == 2


@pytest.mark.parametrize("v2", [True, False])
def test_claims_and_releases_at_once_leave_an_empty_store(tmp_path: Path, v2: bool) -> None:
    with running(tmp_path, v2=v2) as store:
        _claim_and_release(store)


def _claim_and_release(store: Store) -> None:
    pools.create(store, Pool(IPNetwork("10.0.0.0/24")))

    def claim_and_release(number: int) -> IPAddress:
        ip = None
        for turn in range(5):
            owner = f"e{number}-{turn}"
            ip = addresses.claim(store, f"h{number % 3}", AnyAddress.IPV4, owner, Random(number))
            assert addresses.release(store, ip, owner)
        assert ip is not None
        return ip

    assert len(given_out(at_once(8, claim_and_release))) == 8
    for host in ("h0", "h1", "h2"):
        addresses.leave(store, host)
    left = [e.key for e in store.tree(keys.IPAM).entries if e.value is not None]
    assert left == []
