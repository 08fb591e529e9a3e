from random import Random

import pytest
from netaddr import IPAddress, IPNetwork

from calico_ctl.datastore import address_check, addresses, nodes, pools
from calico_ctl.ipam import block, check
from calico_ctl.ipam.block import Block, Owner
from calico_ctl.ipam.check import FreeAddress, Kind, RewriteHandle
from calico_ctl.model import keys
from calico_ctl.model.node import Node
from calico_ctl.model.pool import Pool
from tests.support.cli import Cli
from tests.support.memory_store import MemoryStore

CIDR = IPNetwork("10.0.0.0/26")
IP = IPAddress("10.0.0.5")


@pytest.fixture
def cli() -> Cli:
    """A cluster of one host, on which the endpoint `web` has 10.0.0.5."""
    cli = Cli()
    pools.create(cli.store, Pool(IPNetwork("10.0.0.0/24")))
    nodes.register(cli.store, Node("host1", IPAddress("172.16.0.1"), IPAddress("fd99::1")))
    claim(cli.store, IP, "web")
    cli.endpoint("web", str(IP))
    return cli


def claim(store: MemoryStore, ip: IPAddress, owner: str, host: str = "host1") -> None:
    addresses.claim(store, host, ip, owner, Random(1))


def kinds(store: MemoryStore) -> list[tuple[Kind, str]]:
    return [(each.kind, each.subject) for each in check.check(address_check.read(store))]


def repair(store: MemoryStore) -> list[bool]:
    """Repair what is found; say of each whether that worked."""
    found = check.check(address_check.read(store))
    return [address_check.repair(store, each.repair) for each in found if each.repair is not None]


def put_block(store: MemoryStore, changed: Block) -> None:
    store.put(keys.block(changed.cidr), block.encode(changed))


def test_a_healthy_cluster_has_no_findings(cli) -> None:
    assert kinds(cli.store) == []
    seen = address_check.read(cli.store)
    assert seen.hosts == {"host1"}
    assert seen.host_addresses == {
        IPAddress("172.16.0.1"): "host1",
        IPAddress("fd99::1"): "host1",
    }


def test_a_leak_is_freed(cli) -> None:
    claim(cli.store, IPAddress("10.0.0.9"), "gone")
    assert kinds(cli.store) == [(Kind.LEAKED, "10.0.0.9")]
    assert repair(cli.store) == [True]
    assert kinds(cli.store) == []
    assert addresses.assigned(cli.store, IPAddress("10.0.0.9")) is None


def test_a_leak_that_was_claimed_anew_is_left_alone(cli) -> None:
    claim(cli.store, IPAddress("10.0.0.9"), "new")
    assert not address_check.repair(cli.store, FreeAddress(IPAddress("10.0.0.9"), "gone"))
    assert addresses.assigned(cli.store, IPAddress("10.0.0.9")) is not None


def test_a_leak_of_nobody_goes_if_the_block_is_as_it_was(cli) -> None:
    other = IPNetwork("10.0.0.64/26")
    ip = IPAddress("10.0.0.70")
    put_block(cli.store, block.empty(other, "host1").claim(ip, Owner(None)))
    cli.store.create(keys.affinity("host1", other), "")
    (finding,) = check.check(address_check.read(cli.store))
    claim(cli.store, IPAddress("10.0.0.71"), "web")
    assert finding.repair is not None
    assert not address_check.repair(cli.store, finding.repair)
    addresses.release(cli.store, IPAddress("10.0.0.71"), "web")
    assert repair(cli.store) == [True]
    assert kinds(cli.store) == []
    assert cli.store.get(keys.block(other)) is None


def test_what_an_orchestrator_wrote_without_a_claim_is_claimed(cli) -> None:
    cli.endpoint("db", "10.0.0.77", workload="w2")
    assert kinds(cli.store) == [(Kind.UNCLAIMED, "10.0.0.77")]
    assert repair(cli.store) == [True]
    assert kinds(cli.store) == []
    assert addresses.assigned(cli.store, IPAddress("10.0.0.77")) == Owner("db", {"host": "host1"})


def test_what_an_endpoint_has_is_claimed_for_it_also_in_a_disabled_pool(cli) -> None:
    cli.endpoint("db", "10.0.0.9")
    pools.disable(cli.store, IPNetwork("10.0.0.0/24"), True)
    assert kinds(cli.store) == [(Kind.UNCLAIMED, "10.0.0.9")]
    assert repair(cli.store) == [True]
    assert kinds(cli.store) == []


def test_nothing_is_claimed_for_an_endpoint_that_is_gone(cli) -> None:
    made = cli.endpoint("db", "10.0.0.77", workload="w2")
    (finding,) = check.check(address_check.read(cli.store))
    cli.store.delete(keys.endpoint(made.key))
    assert finding.repair is not None
    assert not address_check.repair(cli.store, finding.repair)
    assert addresses.assigned(cli.store, IPAddress("10.0.0.77")) is None


@pytest.mark.parametrize("owner", [Owner(None), Owner("old", {"host": "host1"})])
def test_an_address_in_a_wrong_name_is_handed_over(cli, owner) -> None:
    addresses.release(cli.store, IP, "web")
    put_block(cli.store, block.empty(CIDR, "host1").claim(IP, owner))
    cli.store.put(keys.affinity("host1", CIDR), "")
    assert (Kind.MISTAKEN, "10.0.0.5") in kinds(cli.store)
    assert all(repair(cli.store))
    assert kinds(cli.store) == []
    assert addresses.release_all(cli.store, "web")


def test_double_use_stays_as_it_is(cli) -> None:
    cli.endpoint("twin", "10.0.0.5", workload="w2")
    before = cli.contents()
    assert kinds(cli.store) == [(Kind.DOUBLE, "10.0.0.5")]
    assert repair(cli.store) == []
    assert cli.contents() == before


def test_handles_are_made_anew_from_the_blocks(cli) -> None:
    cli.store.delete(keys.handle("web"))
    cli.store.put(keys.handle("gone"), '{"id": "gone", "block": {"10.0.0.0/26": 3}}')
    assert kinds(cli.store) == [(Kind.HANDLE, "gone"), (Kind.HANDLE, "web")]
    assert repair(cli.store) == [True, True]
    assert kinds(cli.store) == []


def test_a_handle_that_changed_since_is_left_alone(cli) -> None:
    assert not address_check.repair(cli.store, RewriteHandle("web", (), 1))
    assert cli.store.get(keys.handle("web")) is not None


def test_notes_and_blocks_are_made_to_agree(cli) -> None:
    other = IPNetwork("10.0.0.64/26")
    cli.store.delete(keys.affinity("host1", CIDR))
    cli.store.create(keys.affinity("host1", other), "")
    put_block(cli.store, Block(IPNetwork("10.0.0.128/26"), None))
    assert kinds(cli.store) == [
        (Kind.AFFINITY, "10.0.0.0/26"),
        (Kind.AFFINITY, "10.0.0.64/26"),
        (Kind.BLOCK, "10.0.0.128/26"),
    ]
    assert repair(cli.store) == [True, True, True]
    assert kinds(cli.store) == []


def test_a_host_that_is_gone_keeps_no_blocks_but_others_keep_their_addresses(cli) -> None:
    nodes.register(cli.store, Node("h2", IPAddress("172.16.0.2")))
    claim(cli.store, IPAddress("10.0.0.70"), "borrower", "h2")
    cli.endpoint("borrower", "10.0.0.70", workload="w2")
    cli.store.delete(keys.bgp_host("h2"))
    cli.store.delete(keys.host("h2"))
    assert kinds(cli.store) == [(Kind.AFFINITY, "10.0.0.64/26")]
    assert repair(cli.store) == [True]
    assert kinds(cli.store) == []
    assert addresses.assigned(cli.store, IPAddress("10.0.0.70")) is not None


def test_what_cannot_be_read_is_named_and_hides_what_depends_on_it(cli) -> None:
    claim(cli.store, IPAddress("10.0.0.9"), "odd")
    made = cli.endpoint("odd", workload="w2")
    claim(cli.store, IPAddress("10.0.0.70"), "db")
    cli.endpoint("db", "10.0.0.70", workload="w3")
    broken = [
        keys.pool(IPNetwork("10.9.0.0/24")),
        keys.endpoint(made.key),
        keys.block(IPNetwork("10.0.0.64/26")),
        keys.handle("db"),
    ]
    for key in broken:
        cli.store.put(key, "broken")
    assert kinds(cli.store) == [(Kind.UNREADABLE, key) for key in broken]
    assert repair(cli.store) == []
