import threading

import pytest

from calico_ctl.datastore import profiles
from calico_ctl.errors import AlreadyExists, InvalidValue, NotFound
from calico_ctl.model import keys
from calico_ctl.model.rule import Action, Rule, Rules, default_rules
from tests.support.memory_store import MemoryStore


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


def test_a_new_profile_has_its_own_tag_and_the_default_rules(store: MemoryStore) -> None:
    profiles.create(store, "web")
    assert profiles.read(store, "web") == profiles.Profile("web", ("web",), default_rules("web"))
    assert profiles.exists(store, "web")


def test_a_profile_cannot_be_made_twice(store: MemoryStore) -> None:
    profiles.create(store, "web")
    with pytest.raises(AlreadyExists, match="profile web exists already"):
        profiles.create(store, "web")


def test_a_bare_directory_is_a_profile_without_rules(store: MemoryStore) -> None:
    store.create(keys.profile("web"), None)
    assert profiles.exists(store, "web")
    assert profiles.names(store) == ["web"]
    assert profiles.read(store, "web") == profiles.Profile("web")
    with pytest.raises(AlreadyExists):
        profiles.create(store, "web")


def test_a_name_that_etcd_would_hide_is_refused(store: MemoryStore) -> None:
    with pytest.raises(InvalidValue, match="etcd hides it"):
        profiles.create(store, "_web")
    assert store.writes == 0


def test_names_are_sorted(store: MemoryStore) -> None:
    for name in ("web", "db", "a.b"):
        profiles.create(store, name)
    assert profiles.names(store) == ["a.b", "db", "web"]
    assert profiles.names(MemoryStore()) == []


def test_a_removed_profile_is_gone(store: MemoryStore) -> None:
    profiles.create(store, "web")
    profiles.remove(store, "web")
    assert not profiles.exists(store, "web")
    assert store.tree(keys.profile("web")).entries == ()


@pytest.mark.parametrize(
    "act",
    [
        lambda store: profiles.read(store, "web"),
        lambda store: profiles.remove(store, "web"),
        lambda store: profiles.edit_tags(store, "web", lambda tags: tags),
        lambda store: profiles.edit_rules(store, "web", lambda rules: rules),
        lambda store: profiles.replace_rules(store, "web", Rules()),
        lambda store: profiles.replace_tags(store, "web", ()),
    ],
)
def test_what_does_not_exist_is_not_made_by_using_it(store: MemoryStore, act) -> None:
    with pytest.raises(NotFound) as caught:
        act(store)
    assert caught.value.message == "profile web does not exist"
    assert caught.value.hint
    assert store.tree("/").entries == ()


def test_tags_are_edited(store: MemoryStore) -> None:
    profiles.create(store, "web")
    assert profiles.edit_tags(store, "web", lambda tags: (*tags, "x")) == ("web", "x")
    assert profiles.read(store, "web").tags == ("web", "x")


def test_an_edit_that_changes_nothing_writes_nothing(store: MemoryStore) -> None:
    profiles.create(store, "web")
    revision = store.tree("/").revision
    profiles.edit_tags(store, "web", lambda tags: tags)
    profiles.edit_rules(store, "web", lambda rules: rules)
    assert store.tree("/").revision == revision


def test_missing_keys_of_a_profile_are_made_by_editing(store: MemoryStore) -> None:
    store.create(keys.profile("web"), None)
    profiles.edit_tags(store, "web", lambda tags: (*tags, "x"))
    profiles.edit_rules(store, "web", lambda rules: Rules((*rules.inbound, Rule())))
    assert profiles.read(store, "web") == profiles.Profile("web", ("x",), Rules((Rule(),)))


def test_tags_without_their_quotes_get_them_back(store: MemoryStore) -> None:
    store.create(keys.profile_tags("web"), "[web,db]")
    assert profiles.read(store, "web").tags == ("web", "db")
    profiles.edit_tags(store, "web", lambda tags: tags)
    entry = store.get(keys.profile_tags("web"))
    assert entry is not None
    assert entry.value == '["web", "db"]'


def test_broken_values_name_their_key(store: MemoryStore) -> None:
    store.create(keys.profile_tags("web"), '{"a"')
    with pytest.raises(InvalidValue, match="/calico/policy/profile/web/tags"):
        profiles.read(store, "web")
    store.put(keys.profile_tags("web"), "[]")
    store.create(keys.profile_rules("web"), '{"inbound": 3}')
    with pytest.raises(InvalidValue, match="/calico/policy/profile/web/rules") as caught:
        profiles.edit_rules(store, "web", lambda rules: rules)
    assert "profile web rule update" in caught.value.hint


def test_broken_rules_can_be_replaced(store: MemoryStore) -> None:
    store.create(keys.profile_rules("web"), "broken")
    profiles.replace_rules(store, "web", Rules(outbound=(Rule(Action.DENY),)))
    assert profiles.read(store, "web").rules.outbound == (Rule(Action.DENY),)


def test_no_edit_of_many_at_once_is_lost(store: MemoryStore) -> None:
    profiles.create(store, "web")

    def add(tag: str) -> None:
        profiles.edit_tags(store, "web", lambda tags: (*tags, tag))

    threads = [threading.Thread(target=add, args=(f"t{n}",)) for n in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(profiles.read(store, "web").tags) == {"web", *(f"t{n}" for n in range(16))}


def test_a_profile_is_made_without_anything_unless_it_is_there(store: MemoryStore) -> None:
    profiles.ensure(store, "web")
    assert profiles.read(store, "web") == profiles.Profile("web")
    profiles.replace_tags(store, "web", ("a", "b"))
    profiles.ensure(store, "web")
    assert profiles.read(store, "web").tags == ("a", "b")


def test_broken_tags_are_replaced(store: MemoryStore) -> None:
    store.put("/calico/policy/profile/web/tags", "{")
    profiles.replace_tags(store, "web", ("a",))
    assert profiles.read(store, "web").tags == ("a",)


def test_all_profiles_are_read_at_once_and_a_broken_one_is_left_out_whole(
    store: MemoryStore,
) -> None:
    for name in ("web", "web-2", "db"):
        profiles.create(store, name)
    store.create(keys.profile("bare"), None)
    store.put(keys.profile_tags("web-2"), "{nonsense")
    store.put(f"{keys.PROFILES}/no-directory", "x")
    found, problems = profiles.all(store)
    assert found == [profiles.read(store, name) for name in ("bare", "db", "web")]
    assert [each.key for each in problems] == [keys.profile("web-2")]
    assert keys.profile_tags("web-2") in problems[0].reason
