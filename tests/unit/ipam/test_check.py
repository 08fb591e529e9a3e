from dataclasses import replace

import pytest
from netaddr import IPAddress, IPNetwork

from calico_ctl.ipam import check
from calico_ctl.ipam.block import Block, Owner
from calico_ctl.ipam.check import (
    ClaimAddress,
    CorrectNote,
    DropBlock,
    Finding,
    ForgetHost,
    FreeAddress,
    HandOver,
    Kind,
    RewriteHandle,
    Snapshot,
)
from calico_ctl.ipam.handle import Handle
from calico_ctl.model.endpoint import DOCKER, Endpoint, EndpointKey, State

CIDR = IPNetwork("10.0.0.0/26")
WEB, DB = Owner("web", {"host": "h1"}), Owner("db", {"host": "h2"})


def endpoint(id_: str, *addresses: str, host: str = "h1") -> Endpoint:
    key = EndpointKey(host, DOCKER, f"w-{id_}", id_)
    ips = tuple(IPAddress(text) for text in addresses)
    return Endpoint(key, State.ACTIVE, "cali0", None, addresses=ips)


def ip(number: int) -> IPAddress:
    return IPAddress(int(CIDR.first) + number)


def block(*owners: Owner, affinity: str | None = "host:h1") -> Block:
    return Block(CIDR, affinity, dict(enumerate(owners)))


def healthy(**changes: object) -> Snapshot:
    """One endpoint with one address, and all that belongs to it."""
    snapshot = Snapshot(
        pools=(IPNetwork("10.0.0.0/24"),),
        blocks={CIDR: (block(WEB), 7)},
        notes={("h1", CIDR)},
        handles={"web": (Handle("web", {CIDR: 1}), 6)},
        endpoints=[endpoint("web", "10.0.0.0")],
        hosts={"h1", "h2"},
        host_addresses={IPAddress("172.16.0.1"): "h1"},
    )
    return replace(snapshot, **changes)  # type: ignore[arg-type]


def found(**changes: object) -> list[tuple[Kind, str, object]]:
    return [(each.kind, each.subject, each.repair) for each in check.check(healthy(**changes))]


def test_where_all_is_well_nothing_is_found() -> None:
    assert check.check(healthy()) == []
    assert check.check(Snapshot()) == []


def test_an_address_without_an_endpoint_has_leaked() -> None:
    (finding,) = check.check(healthy(endpoints=[endpoint("web")]))
    assert (finding.kind, finding.subject) == (Kind.LEAKED, "10.0.0.0")
    assert finding.message == "is claimed by web on host h1, but no endpoint has it"
    assert finding.repair == FreeAddress(ip(0), "web")


def test_a_leak_with_no_named_owner_goes_only_if_the_block_did_not_change() -> None:
    blocks = {CIDR: (block(Owner(None)), 7)}
    assert found(blocks=blocks, handles={}, endpoints=[]) == [
        (Kind.LEAKED, "10.0.0.0", FreeAddress(ip(0), None, 7))
    ]


def test_what_an_unreadable_endpoint_may_have_is_no_leak() -> None:
    assert found(endpoints=[], veiled_endpoints={"web"}) == []
    nobody = {CIDR: (block(Owner(None)), 7)}
    assert found(blocks=nobody, handles={}, endpoints=[], veiled_endpoints={"x"}) == [
        (Kind.LEAKED, "10.0.0.0", None)
    ]


def test_an_address_of_two_endpoints_is_for_a_person_to_decide() -> None:
    two = [endpoint("web", "10.0.0.0"), endpoint("db", "10.0.0.0", host="h2")]
    (finding,) = check.check(healthy(endpoints=two))
    assert (finding.kind, finding.repair) == (Kind.DOUBLE, None)
    assert "endpoint web on host h1 and endpoint db on host h2" in finding.message
    assert "container" in finding.hint


def test_an_address_that_was_never_claimed_is_claimed() -> None:
    new = endpoint("new", "10.0.0.9", "10.0.0.80")
    assert found(endpoints=[endpoint("web", "10.0.0.0"), new]) == [
        (Kind.UNCLAIMED, "10.0.0.9", ClaimAddress(ip(9), new.key)),
        (Kind.UNCLAIMED, "10.0.0.80", ClaimAddress(ip(80), new.key)),
    ]


def test_of_an_unreadable_block_nothing_is_said() -> None:
    assert found(blocks={}, veiled_blocks={CIDR}) == []


@pytest.mark.parametrize("owner", [Owner(None), DB])
def test_an_address_in_the_name_of_another_is_handed_over(owner) -> None:
    handles = {"db": (Handle("db", {CIDR: 1}), 3)} if owner.id else {}
    blocks = {CIDR: (block(owner), 7)}
    assert found(blocks=blocks, handles=handles) == [
        (Kind.MISTAKEN, "10.0.0.0", HandOver(ip(0), owner.id, healthy().endpoints[0].key))
    ]
    veiled = found(blocks=blocks, handles=handles, veiled_endpoints={"db"})
    assert veiled[0][2] is None or owner.id is None


def test_the_address_of_a_host_is_no_containers() -> None:
    (finding,) = check.check(healthy(host_addresses={ip(0): "h2"}))
    assert (finding.kind, finding.repair) == (Kind.RESERVED, None)
    assert finding.message == "is the address of host h2, but endpoint web on host h1 has it"


def test_an_address_outside_all_pools_is_named() -> None:
    assert found(pools=(IPNetwork("10.1.0.0/24"), IPNetwork("::/8"))) == [
        (Kind.OUTSIDE, "10.0.0.0", None)
    ]


def test_a_leak_outside_all_pools_is_freed() -> None:
    assert found(pools=(), endpoints=[]) == [(Kind.LEAKED, "10.0.0.0", FreeAddress(ip(0), "web"))]


@pytest.mark.parametrize(
    ("handles", "revision"),
    [
        ({}, 0),
        ({"web": (Handle("web", {CIDR: 2}), 6)}, 6),
        ({"web": (Handle("web", {CIDR: 1, IPNetwork("10.0.0.64/26"): 1}), 6)}, 6),
    ],
)
def test_a_handle_that_says_something_else_than_the_blocks_is_rewritten(handles, revision) -> None:
    repair = RewriteHandle("web", ((CIDR, 1),), revision)
    assert found(handles=handles) == [(Kind.HANDLE, "web", repair)]


def test_a_handle_of_nobody_goes() -> None:
    handles = {
        **healthy().handles,
        "old": (Handle("old", {CIDR: 1}), 5),
        "none": (Handle("none"), 4),
    }
    assert found(handles=handles) == [
        (Kind.HANDLE, "none", RewriteHandle("none", (), 4)),
        (Kind.HANDLE, "old", RewriteHandle("old", (), 5)),
    ]


def test_what_a_handle_says_of_an_unreadable_block_is_kept() -> None:
    other = IPNetwork("10.0.0.64/26")
    handles = {"web": (Handle("web", {CIDR: 3, other: 5}), 6)}
    repair = RewriteHandle("web", ((CIDR, 1), (other, 5)), 6)
    assert found(handles=handles, veiled_blocks={other}) == [(Kind.HANDLE, "web", repair)]
    assert found(handles={}, veiled_handles={"web"}) == []


def test_a_note_without_a_block_or_of_anothers_goes() -> None:
    other = IPNetwork("10.0.0.64/26")
    assert found(notes={("h1", CIDR), ("h2", CIDR), ("h1", other)}) == [
        (Kind.AFFINITY, str(other), CorrectNote("h1", other)),
        (Kind.AFFINITY, str(CIDR), CorrectNote("h2", CIDR)),
    ]


def test_a_block_without_its_note_gets_one() -> None:
    assert found(notes=()) == [(Kind.AFFINITY, str(CIDR), CorrectNote("h1", CIDR))]


def test_a_host_that_does_not_exist_has_no_blocks() -> None:
    blocks = {CIDR: (block(WEB, affinity="host:gone"), 7)}
    assert found(blocks=blocks, notes={("gone", CIDR)}) == [
        (Kind.AFFINITY, str(CIDR), ForgetHost("gone", CIDR))
    ]


def test_a_block_that_belongs_to_no_host_is_no_fault_unless_it_is_empty() -> None:
    assert found(blocks={CIDR: (block(WEB, affinity=None), 7)}, notes=()) == []
    empty = {CIDR: (block(affinity=None), 7)}
    assert found(blocks=empty, notes=(), handles={}, endpoints=[]) == [
        (Kind.BLOCK, str(CIDR), DropBlock(CIDR))
    ]


def test_values_that_cannot_be_read_come_first() -> None:
    findings = check.check(healthy(unreadable=[("/calico/x", "no JSON")], notes=()))
    assert [each.kind for each in findings] == [Kind.UNREADABLE, Kind.AFFINITY]
    assert (findings[0].subject, findings[0].message) == ("/calico/x", "no JSON")


def test_only_what_two_looks_show_persists() -> None:
    first = check.check(healthy(endpoints=[], notes=()))
    second = check.check(healthy(endpoints=[]))
    assert [each.kind for each in check.persisting(first, second)] == [Kind.LEAKED]
    anew = check.check(healthy(endpoints=[], blocks={CIDR: (block(DB), 9)}))
    assert check.persisting(first, [each for each in anew if each.kind is Kind.LEAKED]) == []
    assert isinstance(first[0], Finding)
