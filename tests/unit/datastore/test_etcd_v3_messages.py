"""Directories out of keys, events out of changes, and errors in each of their forms."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from calico_ctl.datastore import etcd_v3_messages as messages
from calico_ctl.datastore.store import Entry, Event
from tests.support.memory_store import MemoryStore

names = st.text(alphabet="ab-./0_ä".replace("/", ""), min_size=1, max_size=3)
keys = st.lists(names, min_size=1, max_size=4).map("/".join)


def listed(*found: str) -> list[Entry]:
    return [Entry(key, "", at) for at, key in enumerate(sorted(found), 1)]


@given(st.lists(keys, max_size=8), st.sampled_from(["/", "/d", "/d/a"]))
@settings(max_examples=30, deadline=None)
def test_a_tree_has_the_directories_that_v2_has(some: list[str], directory: str):
    store = MemoryStore()
    made = []
    for key in some:
        if all(not part.startswith("_") for part in key.split("/")):
            try:
                made.append(store.create(f"/d/{key}", "x").key)
            except Exception:  # noqa: BLE001 - a directory of that name, or below a key
                continue
    base = directory.rstrip("/")
    inside = [key for key in made if key.startswith(f"{base}/")]
    entries = messages.tree(listed(*inside), directory)
    expected = store.tree(directory).entries
    assert [(each.key, each.is_directory) for each in entries] == [
        (each.key, each.is_directory) for each in expected
    ]


def test_a_marker_is_a_directory_and_nothing_else():
    tree = messages.tree(listed("/d/", "/d/e/", "/d/f/a"), "/d")
    assert [(each.key, each.is_directory) for each in tree] == [
        ("/d/e", True),
        ("/d/f", True),
        ("/d/f/a", False),
    ]
    assert messages.tree(listed("/d/"), "/d") == ()


def test_parents_begin_below_the_top():
    assert messages.parents("/calico/a/b/c") == ["/calico/a", "/calico/a/b"]
    assert messages.parents("/calico/a") == []
    assert messages.parents("/calico") == []


def test_all_below_a_directory_is_a_range_with_no_neighbours():
    wanted = {
        name: messages.entry({"key": text, "mod_revision": 1}).key
        for name, text in messages.below("/a/b").items()
    }
    assert wanted == {"key": "/a/b/", "range_end": "/a/b0"}
    whole = messages.around("/")
    assert messages.entry({"key": whole["key"], "mod_revision": 1}).key == "/"


def change(key: str, kind: str = "", value: str = "x", revision: int = 5) -> dict[str, object]:
    kv = {"key": messages.coded(key), "value": messages.coded(value), "mod_revision": str(revision)}
    text = json.dumps({"kv": kv} | ({"type": kind} if kind else {}))
    return messages.read(text)


def test_events_are_about_the_directory_and_what_is_in_it():
    found = messages.events(
        [
            change("/d", value="1"),
            change("/d/a", "PUT"),
            change("/d/a", "DELETE"),
            change("/d-e"),
            change("/d.f/a"),
            change("/d/e/"),
            change("/d/e/", "DELETE"),
        ],
        "/d",
    )
    assert found == [
        Event("/d", "1", 5, deleted=False),
        Event("/d/a", "x", 5, deleted=False),
        Event("/d/a", None, 5, deleted=True),
        Event("/d/e", None, 5, deleted=False),
    ]


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ({"header": {}}, None),
        ({"error": "etcdserver: no leader", "code": 14}, (14, "no leader")),
        ({"error": "x", "message": "etcdserver: y", "code": 3}, (3, "y")),
        (
            {"code": 7, "message": "etcdserver: permission denied", "details": []},
            (7, "permission denied"),
        ),
        ({"error": {"grpc_code": 14, "http_code": 503, "message": "m"}}, (14, "m")),
        ({"error": {"code": 16, "message": "m"}}, (16, "m")),
        ({"error": None}, None),
    ],
)
def test_an_error_is_found_whatever_its_form(said, expected):
    assert messages.trouble(said) == expected


def test_what_is_no_object_is_no_answer():
    for text in ("[]", "1", '"x"', "hello", "null"):
        with pytest.raises(ValueError):  # noqa: PT011 - the words are the library's
            messages.read(text)
