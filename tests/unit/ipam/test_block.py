import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from netaddr import IPAddress, IPNetwork

from calico_ctl.errors import Conflict, InvalidValue
from calico_ctl.ipam import block
from calico_ctl.ipam.block import Block, Owner

CIDR = IPNetwork("192.168.1.0/26")
POOL = IPNetwork("192.168.0.0/16")
WEB = Owner("web", {"host": "h1"})
DB = Owner("db", {"host": "h2"})


def ip(number: int) -> IPAddress:
    return IPAddress(int(CIDR.first) + number)


def test_an_address_belongs_to_the_block_around_it() -> None:
    assert block.cidr_of(IPAddress("192.168.1.77")) == IPNetwork("192.168.1.64/26")
    assert block.cidr_of(IPAddress("fd80::7f")) == IPNetwork("fd80::40/122")


def test_a_claimed_address_is_not_free_any_more() -> None:
    claimed = block.empty(CIDR, "h1").claim(ip(0), WEB)
    assert claimed.owner(ip(0)) == WEB
    assert claimed.free([POOL], ()) == ip(1)


def test_an_address_that_somebody_has_cannot_be_claimed() -> None:
    claimed = block.empty(CIDR, "h1").claim(ip(5), WEB)
    with pytest.raises(Conflict) as caught:
        claimed.claim(ip(5), DB)
    assert caught.value.message == (
        "address 192.168.1.5 is already assigned to endpoint web on host h1"
    )


def test_an_address_without_a_named_owner_cannot_be_claimed_either() -> None:
    foreign = Block(CIDR, None, {5: Owner(None)})
    with pytest.raises(Conflict, match=r"192\.168\.1\.5 is already assigned$"):
        foreign.claim(ip(5), Owner(None))


def test_claiming_what_one_has_changes_nothing() -> None:
    claimed = block.empty(CIDR, "h1").claim(ip(5), WEB)
    assert claimed.claim(ip(5), WEB) == claimed


def test_only_the_owner_frees_an_address() -> None:
    claimed = block.empty(CIDR, "h1").claim(ip(5), WEB)
    assert claimed.release(ip(5), "db") == claimed
    assert claimed.release(ip(5), "web").owner(ip(5)) is None
    assert claimed.release(ip(5), None).owner(ip(5)) is None
    assert claimed.release(ip(6), None) == claimed


def test_all_that_an_owner_has_is_freed_at_once() -> None:
    claimed = block.empty(CIDR, "h1").claim(ip(1), WEB).claim(ip(2), DB).claim(ip(3), WEB)
    assert dict(claimed.release_all("web").owners) == {2: DB}


def test_a_host_that_leaves_takes_its_endpoints_with_it() -> None:
    claimed = block.empty(CIDR, "h1").claim(ip(1), WEB).claim(ip(2), DB)
    left = claimed.without_host("h1")
    assert left.affinity is None
    assert dict(left.owners) == {2: DB}
    assert claimed.without_host("h2").host == "h1"


def test_the_addresses_that_are_taken_are_listed_and_counted() -> None:
    claimed = block.empty(CIDR, "h1").claim(ip(7), WEB).claim(ip(2), DB).claim(ip(3), WEB)
    assert list(claimed.addresses()) == [(ip(2), DB), (ip(3), WEB), (ip(7), WEB)]
    assert (claimed.count("web"), claimed.count("db"), claimed.count("x")) == (2, 1, 0)


def test_only_a_block_that_nobody_prefers_can_be_adopted() -> None:
    orphan = block.empty(CIDR, "h1").claim(ip(1), DB).without_host("h1")
    assert orphan.preferred_by("h3").host == "h3"
    assert block.empty(CIDR, "h1").preferred_by("h3").host == "h1"


def test_a_preference_goes_and_what_is_claimed_stays() -> None:
    claimed = block.empty(CIDR, "h1").claim(ip(1), WEB)
    assert claimed.without_preference("h2") == claimed
    assert claimed.without_preference("h1") == Block(CIDR, None, {1: WEB})


def test_an_address_can_be_handed_over() -> None:
    claimed = block.empty(CIDR, "h1").claim(ip(1), WEB)
    assert claimed.hand_over(ip(1), DB).owner(ip(1)) == DB


def test_reserved_addresses_are_never_free() -> None:
    assert block.empty(CIDR, "h1").free([POOL], {int(ip(0)), int(ip(1))}) == ip(2)


def test_only_addresses_in_pools_are_free() -> None:
    two_small = [IPNetwork("192.168.1.48/30"), IPNetwork("192.168.1.16/31")]
    filled = block.empty(CIDR, "h1")
    given_out = []
    while (free := filled.free(two_small, ())) is not None:
        given_out.append(int(free) - int(CIDR.first))
        filled = filled.claim(free, WEB)
    assert given_out == [16, 17, 48, 49, 50, 51]


def test_pools_of_the_other_family_do_not_count() -> None:
    assert block.empty(CIDR, "h1").free([IPNetwork("::/0")], ()) is None


def test_the_json_is_the_historical_one() -> None:
    claimed = block.empty(CIDR, "h1").claim(ip(0), WEB).claim(ip(2), DB).claim(ip(3), WEB)
    written = json.loads(block.encode(claimed))
    assert written["cidr"] == "192.168.1.0/26"
    assert written["affinity"] == "host:h1"
    assert written["allocations"] == [0, None, 1, 0] + [None] * 60
    assert written["attributes"] == [
        {"handle_id": "web", "secondary": {"host": "h1"}},
        {"handle_id": "db", "secondary": {"host": "h2"}},
    ]


def test_unused_attributes_go() -> None:
    claimed = block.empty(CIDR, "h1").claim(ip(0), WEB).claim(ip(1), DB).release(ip(0), "web")
    written = json.loads(block.encode(claimed))
    assert written["allocations"][:2] == [None, 0]
    assert len(written["attributes"]) == 1


def test_what_the_old_tool_wrote_is_read() -> None:
    old: dict[str, object] = {
        "cidr": str(CIDR),
        "affinity": "host:old",
        "allocations": [None, 0] + [None] * 62,
        "attributes": [{"handle_id": None, "secondary": {}}],
    }
    read = block.decode(CIDR, json.dumps(old))
    assert read.owner(ip(1)) == Owner(None)
    assert read.host == "old"


owners = st.builds(
    Owner,
    st.none() | st.text(max_size=5),
    st.dictionaries(st.text(max_size=3), st.text(max_size=3), max_size=2),
)


@given(st.none() | st.text(max_size=9), st.dictionaries(st.integers(0, 63), owners))
def test_a_block_survives_being_written_and_read(affinity, held) -> None:
    written = Block(CIDR, affinity, held)
    assert block.decode(CIDR, block.encode(written)) == written


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
)


@given(
    st.fixed_dictionaries(
        {},
        optional={
            "cidr": st.just(str(CIDR)) | values,
            "affinity": values,
            "allocations": values
            | st.lists(st.none() | st.integers(-2, 2), min_size=64, max_size=64),
            "attributes": values | st.lists(st.fixed_dictionaries({"handle_id": values})),
        },
    )
    | values
)
def test_any_json_is_read_or_refused(value) -> None:
    try:
        block.decode(CIDR, json.dumps(value))
    except InvalidValue:
        return


@pytest.mark.parametrize("text", ["", "{", "[" * 100_000, "null", '{"cidr": "10.0.0.0/26"}'])
def test_other_text_is_refused(text: str) -> None:
    with pytest.raises(InvalidValue):
        block.decode(CIDR, text)


@pytest.mark.parametrize(
    "allocations", [[None] * 63, [None] * 63 + [0, 0], [False] + [None] * 63, [1] * 64, [-1] * 64]
)
def test_allocations_that_fit_no_block_are_refused(allocations: list[object]) -> None:
    fields = json.loads(block.encode(block.empty(CIDR, "h1").claim(ip(0), WEB)))
    with pytest.raises(InvalidValue):
        block.decode(CIDR, json.dumps(fields | {"allocations": allocations}))


def test_a_block_of_another_size_is_refused() -> None:
    with pytest.raises(InvalidValue):
        block.decode(IPNetwork("10.0.0.0/24"), "{}")
