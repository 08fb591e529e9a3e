"""How changes become transactions. What etcd makes of them is in the contract of stores."""

from collections.abc import Sequence

import pytest

from calico_ctl.datastore.etcd_v3_messages import coded
from calico_ctl.datastore.etcd_v3_transaction import MAX_OPERATIONS, Transaction
from calico_ctl.datastore.store import Change, Delete, Entry, Put
from calico_ctl.errors import AlreadyExists, Conflict, DatastoreError

DIRECTORY = "/calico/policy/profile"
SEEN = Entry(f"{DIRECTORY}/old/tags", "[]", 7)
FOUND = Entry("/somewhere", "x", 3)


def transactions(changes: Sequence[Change]) -> list[Transaction]:
    """Divide changes as a store does."""
    written: dict[str, Entry] = {}
    made: list[Transaction] = []
    for change in changes:
        if not made or not made[-1].takes(change):
            if made:
                written |= made[-1].written(len(made))
            made.append(Transaction(written))
            assert made[-1].takes(change)
    assert [change for each in made for change in each.changes] == list(changes)
    return made


def seen(name: str) -> Entry:
    return Entry(f"{DIRECTORY}/{name}/tags", "[]", 7)


@pytest.mark.parametrize(
    ("changes", "most"),
    [
        ([Put(seen(str(number)).key, "x", seen(str(number))) for number in range(500)], 128),
        ([Delete(seen(str(number)).key, seen(str(number))) for number in range(500)], 128),
        ([Delete(seen(str(number)).key) for number in range(500)], 64),
        ([Put(f"{DIRECTORY}/{number}", None) for number in range(500)], 63),
        ([Put(f"/calico/x{number}", "x" * 300_000) for number in range(10)], 3),
        ([Put(f"/calico/x{number}", "x" * 2_000_000) for number in range(10)], 1),
    ],
)
def test_no_transaction_is_more_than_etcd_takes(changes: list[Change], most: int) -> None:
    made = transactions(changes)
    assert max(len(each.changes) for each in made) == most
    for each in made:
        assert max(len(part) for part in each.wanted().values()) <= MAX_OPERATIONS


def test_a_whole_profile_and_some_more_fit_into_one() -> None:
    changes = [
        Put(f"{DIRECTORY}/p{number}{key}", None if not key else "x")
        for number in range(15)
        for key in ("", "/tags", "/rules")
    ]
    assert len(transactions(changes)) == 1


def test_a_key_that_is_put_twice_is_written_once_under_the_first_condition() -> None:
    (made,) = transactions([Put(SEEN.key, "1", SEEN), Put("/calico/a", "x"), Put(SEEN.key, "2")])
    wanted = made.wanted()
    puts = [each["request_put"] for each in wanted["success"]]
    assert puts[0] == {"key": coded(SEEN.key), "value": coded("2")}
    assert len(puts) == 2
    assert [each for each in wanted["compare"] if each["target"] == "MOD"] == [
        {"key": coded(SEEN.key), "target": "MOD", "mod_revision": "7"}
    ]
    assert made.written(9)[SEEN.key] == Entry(SEEN.key, "2", 9)


def test_what_an_earlier_transaction_wrote_is_what_a_later_one_has_to_find() -> None:
    large = [Put(f"/calico/x{number}", "x" * 600_000) for number in range(2)]
    first, second = transactions([Put("/calico/a", "1"), *large, Put("/calico/a", "2")])
    assert [change.key for change in second.changes] == ["/calico/x1", "/calico/a"]
    assert {"key": coded("/calico/a"), "target": "MOD", "mod_revision": "1"} in (
        second.wanted()["compare"]
    )
    assert first.written(1)["/calico/a"].value == "1"


@pytest.mark.parametrize(
    ("change", "found", "error"),
    [
        (Put("/calico/d/a", "x"), [[FOUND], [], []], AlreadyExists),
        (Put("/calico/d/a", "x"), [[], [FOUND], []], AlreadyExists),
        (Put("/calico/d/a", None), [[], [FOUND], []], AlreadyExists),
        (Put("/calico/d/a", "x"), [[], [], [FOUND]], DatastoreError),
        (Put(SEEN.key, "x", SEEN), [[]], Conflict),
        (Put(SEEN.key, "x", SEEN), [[SEEN._replace(revision=8)]], Conflict),
        (Delete(SEEN.key, SEEN), [[]], Conflict),
    ],
)
def test_what_was_found_says_which_change_is_refused(change, found, error) -> None:
    (made,) = transactions([Delete("/calico/gone"), change])
    assert len(made.wanted()["failure"]) == len(found)
    refusal = made.refusal(found)
    assert isinstance(refusal, error)
    assert change.key in refusal.message


def test_a_directory_is_not_swapped() -> None:
    with pytest.raises(Conflict):
        Transaction({}).takes(Put("/calico/d", "x", Entry("/calico/d", None, 3)))
