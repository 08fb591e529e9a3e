"""Which pages are asked for; tests/integration/datastore/test_etcd_v3.py has them answered."""

import json
from base64 import b64decode, b64encode
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from calico_ctl.datastore.etcd_v3_messages import coded
from calico_ctl.datastore.etcd_v3_paging import Paging

names = st.text(alphabet="ab/0.ä", min_size=1, max_size=4)


def decoded(text: str) -> str:
    return b64decode(text).decode()


def answer(wanted: dict[str, Any], there: list[str], revision: int) -> dict[str, Any]:
    """What an etcd with those keys says."""
    start, end = (decoded(wanted[name]).encode() for name in ("key", "range_end"))
    keys = [key for key in sorted(there, key=str.encode) if start <= key.encode() < end]
    limit = int(wanted["limit"])
    said: dict[str, Any] = {"header": {"cluster_id": "1", "revision": str(revision)}}
    if keys:
        said["kvs"] = [
            {"key": coded(key), "create_revision": "3", "mod_revision": "4", "value": coded("more")}
            for key in keys[:limit]
        ]
    if len(keys) > limit:
        said["more"] = True
    return said | ({"count": str(len(keys))} if keys else {})


def read(paging: Paging, there: list[str]) -> tuple[list[str], list[dict[str, Any]]]:
    """Ask for all pages; return the keys, and what was asked."""
    keys, asked, said = [], [], []
    wanted: Any = paging.first()
    while wanted is not None:
        asked.append(wanted)
        said.append(answer(wanted, there, 7 + len(asked)))
        keys += [decoded(each["key"]) for each in said[-1].get("kvs", ())]
        wanted = paging.following(json.dumps(said[-1], separators=(",", ":")))
    assert paging.fits(said)
    return keys, asked


@given(
    st.lists(names, max_size=8, unique=True),
    st.lists(names, max_size=3),
    st.integers(1, 3),
)
@settings(max_examples=100, deadline=None)
def test_all_keys_come_once_and_in_order_but_for_those_left_out(there, without, limit) -> None:
    keys = [f"/d/{name}" for name in there]
    prefixes = tuple(f"/d/{name}" for name in without)
    found, asked = read(Paging("/d", prefixes, limit), [*keys, "/d", "/d.x", "/d0", "/e"])
    expected = [key for key in keys if not key.startswith(prefixes)]
    assert found == sorted(expected, key=str.encode)
    assert len(asked) <= len(expected) // limit + len(without) + 1


def test_all_pages_are_of_the_revision_of_the_first() -> None:
    there = [f"/d/{number}" for number in range(5)]
    _, asked = read(Paging("/d", ["/d/3"], 2), there)
    assert [each["revision"] for each in asked] == ["0", "8", "8"]


def test_a_page_that_ends_with_a_key_that_is_no_text_is_gone_on_from() -> None:
    kv = {"key": b64encode(b"/d/\xff").decode(), "mod_revision": "4"}
    paging = Paging("/d", (), 1)
    said = {"header": {"revision": "7"}, "kvs": [kv], "more": True}
    wanted = paging.following(json.dumps(said))
    assert wanted is not None
    assert b64decode(wanted["key"]) == b"/d/\xff\0"


def test_an_error_is_followed_by_nothing_but_what_is_left() -> None:
    paging = Paging("/d", (), 2)
    assert paging.following('{"error":"etcdserver: no leader","code":14}') is None


def test_answers_have_to_be_what_they_were_taken_for() -> None:
    said = {"header": {"revision": "7"}, "kvs": [{"key": coded("/d/a"), "mod_revision": "4"}]}
    paging = Paging("/d", (), 2)
    paging.following(json.dumps(said))
    assert paging.fits([said])
    assert not paging.fits([said | {"more": True}])
    assert not paging.fits([said | {"header": {"revision": "8"}}])
