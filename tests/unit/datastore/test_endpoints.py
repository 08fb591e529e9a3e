import json
from dataclasses import replace

import pytest
from netaddr import IPAddress

from calico_ctl.datastore import endpoints
from calico_ctl.errors import AlreadyExists, InvalidValue, NotFound
from calico_ctl.model import keys
from calico_ctl.model.endpoint import Endpoint, EndpointKey, State
from tests.support.memory_store import MemoryStore

KEY = EndpointKey("h1", "docker", "c1", "e1")


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


def endpoint(key: EndpointKey = KEY, ip: str = "192.168.1.1") -> Endpoint:
    return Endpoint(key, State.ACTIVE, "calie1", "02:00:00:00:00:01", ("web",), (IPAddress(ip),))


def test_what_is_published_can_be_read(store: MemoryStore) -> None:
    revision = endpoints.create(store, endpoint())
    read, entry = endpoints.get(store, KEY)
    assert read == endpoint()
    assert entry.revision == revision
    assert entry.key == "/calico/host/h1/workload/docker/c1/endpoint/e1"


def test_the_same_endpoint_is_not_published_twice(store: MemoryStore) -> None:
    endpoints.create(store, endpoint())
    with pytest.raises(AlreadyExists):
        endpoints.create(store, endpoint())


def test_endpoints_are_found_by_any_part_of_their_place(store: MemoryStore) -> None:
    places = [
        ("h1", "docker", "c1"),
        ("h1", "docker", "c2"),
        ("h1", "namespace", "c1"),
        ("h2", "docker", "c1"),
    ]
    for place in places:
        endpoints.create(store, endpoint(EndpointKey(*place, "e1")))

    def found(*place: str | None) -> list[tuple[str, str, str]]:
        listed, problems = endpoints.all(store, *place)
        assert problems == []
        return [(each.key.host, each.key.orchestrator, each.key.workload) for each in listed]

    assert found() == places
    assert found("h1") == places[:3]
    assert found("h1", "docker") == places[:2]
    assert found("h1", "docker", "c1") == places[:1]
    assert found(None, None, "c1") == [places[0], places[2], places[3]]
    assert found("h1", None, "c1") == [places[0], places[2]]
    assert found("h3") == []


def test_a_broken_endpoint_is_reported_and_hides_no_other(store: MemoryStore) -> None:
    endpoints.create(store, endpoint())
    broken = keys.endpoint(replace_id("e2"))
    store.create(broken, "{}")
    listed, problems = endpoints.all(store, "h1")
    assert [each.key for each in listed] == [KEY]
    assert [problem.key for problem in problems] == [broken]
    shown = endpoints.shown(endpoints.listed(store))
    assert shown == ([endpoint().shown], problems)
    with pytest.raises(InvalidValue, match=broken):
        endpoints.get(store, replace_id("e2"))
    with pytest.raises(InvalidValue, match=broken):
        endpoints.of_workload(store, "h1", "docker", "c1")


def test_the_endpoints_of_a_workload_are_its_own(store: MemoryStore) -> None:
    endpoints.create(store, endpoint())
    endpoints.create(store, endpoint(EndpointKey("h1", "docker", "c11", "e9")))
    assert endpoints.of_workload(store, "h1", "docker", "c1") == [endpoint()]


def test_an_edit_keeps_what_others_wrote(store: MemoryStore) -> None:
    store.create(
        keys.endpoint(KEY),
        json.dumps(
            {"state": "active", "name": "calie1", "mac": None, "profile_id": None, "mine": 1}
        ),
    )
    edited, revision = endpoints.edit(store, KEY, lambda each: each.with_profiles(("a", "b")))
    assert edited.profiles == ("a", "b")
    entry = store.get(keys.endpoint(KEY))
    assert entry is not None
    assert entry.revision == revision
    assert json.loads(entry.value or "")["mine"] == 1


def test_an_alteration_is_what_an_edit_writes_if_anything(store: MemoryStore) -> None:
    endpoints.create(store, endpoint())
    assert endpoints.alteration(store, KEY, lambda each: each) == []
    (change,) = endpoints.alteration(store, KEY, lambda each: each.with_profiles(()))
    assert change.seen == store.get(change.key)
    store.write_together([change])
    assert endpoints.get(store, KEY)[0] == replace(endpoint(), profiles=())
    with pytest.raises(NotFound):
        endpoints.alteration(store, KEY._replace(id="e2"), lambda each: each)


def test_an_edit_that_changes_nothing_keeps_the_revision(store: MemoryStore) -> None:
    revision = endpoints.create(store, endpoint())
    assert endpoints.edit(store, KEY, lambda each: each) == (endpoint(), revision)


def test_what_does_not_exist_is_not_found(store: MemoryStore) -> None:
    with pytest.raises(NotFound, match="endpoint e1 on host h1 does not exist"):
        endpoints.get(store, KEY)
    with pytest.raises(NotFound, match="endpoint e1 on host h1 does not exist"):
        endpoints.edit(store, KEY, lambda each: each)
    assert not endpoints.remove(store, KEY)


def test_the_last_endpoint_takes_its_workload_along(store: MemoryStore) -> None:
    endpoints.create(store, endpoint())
    endpoints.create(store, endpoint(replace_id("e2")))
    assert endpoints.remove(store, KEY)
    assert [each.key.id for each in endpoints.of_workload(store, "h1", "docker", "c1")] == ["e2"]
    assert endpoints.remove(store, replace_id("e2"))
    assert store.get(keys.workload("h1", "docker", "c1")) is None
    assert store.get(keys.workloads("h1")) is not None


def replace_id(id_: str) -> EndpointKey:
    return KEY._replace(id=id_)


def test_members_of_a_profile_are_found_without_reading_the_others(store: MemoryStore) -> None:
    endpoints.create(store, endpoint())
    for number, value in enumerate(
        [
            '{"state": "active", "name": "cali2", "profile_ids": ["db", "web"]}',
            '{"state": "active", "name": "cali3", "profile_id": "\\u0077eb"}',
            '{"state": "active", "name": "cali4", "profile_id": "web2"}',
            '{"profile_id": "web"',
            "broken, but about another one",
        ],
        start=2,
    ):
        store.put(keys.endpoint(KEY._replace(id=f"e{number}")), value)
    found, problems = endpoints.having_profile(store, "web")
    assert [each.key.id for each in found] == ["e1", "e2", "e3"]
    assert [each.key.rpartition("/")[2] for each in problems] == ["e5"]


def test_keys_are_listed_without_their_values_being_read(store: MemoryStore) -> None:
    store.put(keys.endpoint(KEY), "nonsense")
    ((key, entry),) = endpoints.listed(store, "h1")
    assert (key, entry.value) == (KEY, "nonsense")
    assert endpoints.listed(store, "h2") == []
    found, problems = endpoints.decoded(endpoints.listed(store))
    assert (found, [each.key for each in problems]) == ([], [keys.endpoint(KEY)])
