import threading

import pytest

from calico_ctl.datastore import profiles
from calico_ctl.datastore.profiles import Write
from calico_ctl.errors import AlreadyExists, DatastoreUnavailable, InvalidValue, NotFound
from calico_ctl.model import keys
from calico_ctl.model.rule import Action, Rule, Rules, default_rules
from tests.support.memory_store import Breaking, MemoryStore


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


def test_tags_are_those_of_all_profiles_that_can_be_read(store: MemoryStore) -> None:
    store.create(keys.profile_tags("web"), '["web", "front"]')
    store.create(keys.profile_tags("db"), '["front", "db"]')
    store.create(keys.profile_tags("broken"), "{")
    assert profiles.tags(store) == ["db", "front", "web"]


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
        lambda store: profiles.write(store, [profiles.Write("web", tags=())]),
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


WHOLE = (
    Write("db"),
    Write("web", tags=("a",)),
    Write("web", rules=Rules((Rule(),))),
    Write("db", rules=Rules()),
    Write("web", tags=("a", "b")),
)


@pytest.fixture(params=[False, True], ids=["one by one", "together"])
def half_written(request) -> Breaking:
    store = Breaking()
    store.transactional = request.param
    profiles.create(store, "web")
    return store


def test_writes_to_profiles_are_made_in_order_and_again_make_nothing(half_written) -> None:
    done: list[Write] = []
    profiles.write(half_written, WHOLE, done.append)
    assert done == list(WHOLE)
    assert profiles.all(half_written)[0] == [
        profiles.Profile("db"),
        profiles.Profile("web", ("a", "b"), Rules((Rule(),))),
    ]
    written = half_written.writes
    profiles.write(half_written, [*WHOLE[:1], *WHOLE[2:]], done.append)
    assert done == [*WHOLE, *WHOLE[:1], *WHOLE[2:]]
    assert half_written.writes == written


@pytest.mark.parametrize("writes", range(len(WHOLE)))
def test_writes_that_break_off_are_the_first_ones_or_none(half_written, writes) -> None:
    half_written.left = writes
    before = half_written.tree("/").entries
    done: list[Write] = []
    if half_written.transactional and writes:
        profiles.write(half_written, WHOLE, done.append)
        assert done == list(WHOLE)
        return
    with pytest.raises(DatastoreUnavailable):
        profiles.write(half_written, WHOLE, done.append)
    assert done == list(WHOLE[:writes])
    if half_written.transactional:
        assert half_written.tree("/").entries == before


def test_who_is_faster_with_one_key_is_overwritten(half_written) -> None:
    """What was written before that is not written again."""
    others = iter([("x",), ("y",)])

    def interfere() -> None:
        for tags in others:
            profiles.write(half_written, [Write("web", tags=tags)])
            return

    half_written.before_write = interfere
    done: list[Write] = []
    profiles.write(half_written, WHOLE, done.append)
    assert done == list(WHOLE)
    assert profiles.read(half_written, "web").tags == ("a", "b")


def test_a_profile_is_made_whole_or_goes_on_from_there(half_written) -> None:
    """One by one, an orchestrator may fill it while it is made."""
    half_written.left = 1
    if half_written.transactional:
        profiles.create(half_written, "new")
    else:
        with pytest.raises(DatastoreUnavailable):
            profiles.create(half_written, "new")
        assert profiles.read(half_written, "new") == profiles.Profile("new")
    half_written.left = None
    filled = iter([keys.profile_tags("web2")])

    def fill() -> None:
        if half_written.get(keys.profile("web2")):
            for key in filled:
                MemoryStore.create(half_written, key, '["theirs"]')

    half_written.before_write = fill
    profiles.create(half_written, "web2")
    found = profiles.read(half_written, "web2")
    assert found.rules == default_rules("web2")
    assert found.tags == (("web2",) if half_written.transactional else ("theirs",))


def test_broken_tags_are_replaced(store: MemoryStore) -> None:
    store.put("/calico/policy/profile/web/tags", "{")
    profiles.write(store, [Write("web", tags=("a",))])
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
