from collections.abc import Callable
from random import Random

import pytest
from netaddr import IPAddress, IPNetwork

from calico_ctl.datastore import address_check, addresses, nodes, pools
from calico_ctl.datastore.store import Store
from calico_ctl.errors import Conflict, NotFound
from calico_ctl.ipam.block import Owner
from calico_ctl.ipam.check import Finding, FreeAddress, Kind, Repair
from calico_ctl.model import keys
from calico_ctl.model.node import Node
from calico_ctl.model.pool import Pool
from calico_ctl.workload import address_repair
from calico_ctl.workload.address_repair import Outcome
from tests.support.cli import Cli
from tests.support.machine import FakeClock

IP = IPAddress("10.0.0.5")
WEB = Owner("web", {"host": "host1"})


class Meanwhile(FakeClock):
    """Somebody does something while one waits."""

    act: Callable[[], object] = staticmethod(lambda: None)

    def sleep(self, seconds: float) -> None:
        super().sleep(seconds)
        self.act()


@pytest.fixture
def cli() -> Cli:
    cli = Cli()
    cli.platform.clock = Meanwhile()
    pools.create(cli.store, Pool(IPNetwork("10.0.0.0/24")))
    nodes.register(cli.store, Node("host1", IPAddress("172.16.0.1")))
    claim(cli, "web")
    return cli


def claim(cli: Cli, owner: str, ip: IPAddress = IP) -> None:
    addresses.claim(cli.store, "host1", ip, owner, Random(1))


def meanwhile(cli: Cli, act: Callable[[], object]) -> None:
    cli.platform.clock.act = act  # type: ignore[attr-defined]


def confirmed(cli: Cli) -> list[Finding]:
    found = address_repair.suspected(cli.platform)
    return address_repair.confirmed(cli.platform, found, 7.0)


def test_what_stays_so_for_the_pause_is_confirmed(cli) -> None:
    (finding,) = confirmed(cli)
    assert (finding.kind, finding.subject) == (Kind.LEAKED, "10.0.0.5")
    assert cli.platform.clock.monotonic() == 7.0


def test_a_container_in_creation_is_no_leak(cli) -> None:
    meanwhile(cli, lambda: cli.endpoint("web", "10.0.0.5"))
    assert confirmed(cli) == []


def test_an_address_that_is_claimed_anew_is_no_leak_either(cli) -> None:
    def act() -> None:
        addresses.release_all(cli.store, "web")
        claim(cli, "next")

    meanwhile(cli, act)
    assert confirmed(cli) == []


def test_each_repair_stands_for_itself(cli) -> None:
    claim(cli, "db", IPAddress("10.0.0.9"))
    cli.endpoint("a", "10.0.0.20")
    cli.endpoint("b", "10.0.0.20", workload="w2")
    found = confirmed(cli)
    addresses.release_all(cli.store, "web")
    outcomes = address_repair.repair(cli.platform, found)
    assert outcomes == [
        Outcome(found[0], failure="it changed meanwhile"),
        Outcome(found[1], fixed=True),
        Outcome(found[2]),
    ]


def published_while_it_is_freed(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """The creation of the endpoint `web` comes to an end after the last look."""
    real = address_check.repair

    def repair(store: Store, wanted: Repair) -> bool:
        if isinstance(wanted, FreeAddress) and wanted.owner == "web":
            cli.endpoint("web", "10.0.0.5")
        return real(store, wanted)

    monkeypatch.setattr(address_check, "repair", repair)


def test_what_a_container_got_while_it_was_freed_is_claimed_for_it_again(cli, monkeypatch) -> None:
    claim(cli, "gone", IPAddress("10.0.0.9"))
    found = confirmed(cli)
    published_while_it_is_freed(cli, monkeypatch)
    outcomes = address_repair.repair(cli.platform, found)
    assert [(each.finding.subject, each.fixed, each.failure) for each in outcomes] == [
        ("10.0.0.5", False, "a container that was in creation has it"),
        ("10.0.0.9", True, ""),
    ]
    assert addresses.assigned(cli.store, IP) == WEB
    assert address_repair.suspected(cli.platform) == []


def test_an_address_that_a_container_got_while_it_was_released_stays_its_own(
    cli, monkeypatch
) -> None:
    published_while_it_is_freed(cli, monkeypatch)
    with pytest.raises(Conflict, match="was claimed anew meanwhile"):
        address_repair.release(cli.platform, IP, WEB, 7.0)
    assert addresses.assigned(cli.store, IP) == WEB


def test_a_repair_that_fails_says_why(cli) -> None:
    found = confirmed(cli)
    cli.store.put(keys.block(IPNetwork("10.0.0.0/26")), "broken")
    (outcome,) = address_repair.repair(cli.platform, found)
    assert not outcome.fixed
    assert "/calico/ipam/v2/assignment/ipv4/block/10.0.0.0-26" in outcome.failure


def test_an_assignment_says_all_about_an_address(cli) -> None:
    endpoint = cli.endpoint("web", "10.0.0.5")
    found = address_repair.assignment(cli.store, IP)
    assert (found.owner, found.endpoints, found.affinity) == (WEB, (endpoint,), "host1")
    assert (str(found.block), str(found.pool)) == ("10.0.0.0/26", "10.0.0.0/24")
    pools.remove(cli.store, IPNetwork("10.0.0.0/24"))
    assert address_repair.assignment(cli.store, IP).pool is None


@pytest.mark.parametrize(
    ("ip", "message"),
    [
        ("10.0.0.6", "is not assigned; it is in pool 10.0.0.0/24"),
        ("10.9.0.6", "is not assigned; it is in no pool"),
        ("172.16.0.1", "is not assigned: it is the address of host host1"),
        ("10.0.0.7", "is not assigned, though endpoint new on host host1 has it"),
    ],
)
def test_of_an_address_that_nobody_has_it_is_said_what_it_is(cli, ip, message) -> None:
    cli.endpoint("new", "10.0.0.7")
    for ask in (address_repair.assignment, address_repair.require_released):
        with pytest.raises(NotFound) as caught:
            ask(cli.store, IPAddress(ip))
        assert caught.value.message == f"address {ip} {message}"


def release(cli: Cli) -> None:
    owner = address_repair.require_released(cli.store, IP)
    address_repair.release(cli.platform, IP, owner, 5.0)


def test_an_address_without_an_endpoint_is_released(cli) -> None:
    release(cli)
    assert addresses.assigned(cli.store, IP) is None
    assert cli.platform.clock.monotonic() == 5.0


def test_an_address_that_an_endpoint_has_is_not_released(cli) -> None:
    cli.endpoint("web", "10.0.0.5")
    with pytest.raises(Conflict, match="belongs to endpoint web of container w1 on host host1"):
        release(cli)


def test_an_address_whose_endpoint_comes_while_one_waits_is_not_released(cli) -> None:
    meanwhile(cli, lambda: cli.endpoint("web", "10.0.0.5"))
    with pytest.raises(Conflict, match="belongs to endpoint web"):
        release(cli)
    assert addresses.assigned(cli.store, IP) == WEB


def test_an_address_that_is_claimed_anew_while_one_waits_is_not_released(cli) -> None:
    def act() -> None:
        addresses.release_all(cli.store, "web")
        claim(cli, "next")

    meanwhile(cli, act)
    with pytest.raises(Conflict, match="was claimed anew meanwhile"):
        release(cli)
    assert addresses.assigned(cli.store, IP) == Owner("next", {"host": "host1"})


def test_an_address_is_not_released_from_another_owner_than_the_one_that_was_seen(cli) -> None:
    with pytest.raises(Conflict, match="was claimed anew meanwhile"):
        address_repair.release(cli.platform, IP, Owner(None), 0.0)
    assert addresses.assigned(cli.store, IP) == WEB


def test_an_address_that_an_unreadable_endpoint_may_have_is_not_released(cli) -> None:
    made = cli.endpoint("web", "10.0.0.5")
    cli.store.put(keys.endpoint(made.key), "broken")
    with pytest.raises(Conflict, match="may belong to an endpoint that cannot be read: /calico/"):
        release(cli)
