"""What every `Store` has to do, as tests: inherit the class and give a `store` fixture.

Each test works below a directory of its own, so that one real etcd serves them all.
"""

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from itertools import count

import pytest

from calico_ctl.datastore.store import (
    LARGEST_VALUE,
    Change,
    Delete,
    Entry,
    Event,
    Put,
    Store,
    StoreReplaced,
)
from calico_ctl.errors import AlreadyExists, Conflict, DatastoreError, HistoryLost

_numbers = count()

Wait = Callable[[int], None]
Forget = Callable[[str], None]


class StoreContract:
    """Fixtures to give: `store`, and `pass_time` (let that many seconds pass).

    `forget` (let the store forget its changes so far) may be given too.
    """

    hides_underscores = True
    all_or_none = False
    """Of changes that are made together."""

    @pytest.fixture
    def forget(self, store: Store) -> Forget:
        """The v2 API remembers 1,000 changes."""

        def write_elsewhere(base: str) -> None:
            for n in range(1002):
                store.put(f"{base}-elsewhere", str(n))

        return write_elsewhere

    @pytest.fixture
    def base(self) -> str:
        return f"/contract/{next(_numbers)}"

    def test_a_key_that_was_made_can_be_read(self, store: Store, base: str) -> None:
        made = store.create(f"{base}/a", "one")
        assert store.get(f"{base}/a") == made
        assert made == Entry(f"{base}/a", "one", made.revision)

    def test_a_key_that_was_never_made_is_none(self, store: Store, base: str) -> None:
        assert store.get(f"{base}/nothing") is None

    def test_an_empty_value_is_a_value(self, store: Store, base: str) -> None:
        store.create(f"{base}/a", "")
        entry = store.get(f"{base}/a")
        assert entry is not None
        assert entry.value == ""
        assert not entry.is_directory

    @pytest.mark.parametrize("name", ["fd80:24e2::-64", "a b", "100%", "a?b=c", "a#b", "ä", "%41"])
    def test_any_name_may_be_part_of_a_key(self, store: Store, base: str, name: str) -> None:
        store.create(f"{base}/{name}", "x")
        assert [entry.key for entry in store.tree(base).entries] == [f"{base}/{name}"]
        assert store.get(f"{base}/{name}") is not None

    @pytest.mark.parametrize("value", ['{"a": ["ü", "&", "%", "+ "]}', "two\nlines", "x" * 100_000])
    def test_any_text_may_be_a_value(self, store: Store, base: str, value: str) -> None:
        store.create(f"{base}/a", value)
        entry = store.get(f"{base}/a")
        assert entry is not None
        assert entry.value == value

    def test_creating_what_exists_is_refused(self, store: Store, base: str) -> None:
        made = store.create(f"{base}/a", "one")
        with pytest.raises(AlreadyExists):
            store.create(f"{base}/a", "two")
        assert store.get(f"{base}/a") == made

    def test_creating_a_directory_that_exists_is_refused(self, store: Store, base: str) -> None:
        store.create(f"{base}/d", None)
        with pytest.raises(AlreadyExists):
            store.create(f"{base}/d", None)
        with pytest.raises(AlreadyExists):
            store.create(f"{base}/d", "value")

    def test_nothing_can_be_made_below_a_value(self, store: Store, base: str) -> None:
        store.create(f"{base}/a", "one")
        with pytest.raises(DatastoreError):
            store.create(f"{base}/a/b", "two")

    def test_put_does_not_overwrite_a_directory(self, store: Store, base: str) -> None:
        store.create(f"{base}/d", None)
        with pytest.raises(DatastoreError):
            store.put(f"{base}/d", "x")

    def test_swap_replaces_what_was_seen(self, store: Store, base: str) -> None:
        seen = store.create(f"{base}/a", "one")
        swapped = store.swap(seen, "two")
        assert swapped.revision > seen.revision
        assert store.get(f"{base}/a") == swapped

    def test_swap_refuses_what_changed_since(self, store: Store, base: str) -> None:
        seen = store.create(f"{base}/a", "one")
        store.swap(seen, "one")
        with pytest.raises(Conflict):
            store.swap(seen, "mine")

    def test_swap_refuses_what_is_gone(self, store: Store, base: str) -> None:
        seen = store.create(f"{base}/a", "one")
        assert store.delete(f"{base}/a")
        with pytest.raises(Conflict):
            store.swap(seen, "two")
        assert store.get(f"{base}/a") is None

    def test_deleting_says_whether_it_was_there(self, store: Store, base: str) -> None:
        store.create(f"{base}/a", "one")
        assert store.delete(f"{base}/a")
        assert not store.delete(f"{base}/a")

    def test_deleting_what_changed_since_is_refused(self, store: Store, base: str) -> None:
        seen = store.create(f"{base}/a", "one")
        changed = store.swap(seen, "two")
        with pytest.raises(Conflict):
            store.delete(f"{base}/a", seen)
        assert store.delete(f"{base}/a", changed)

    def test_a_directory_given_as_seen_is_deleted_only_if_it_is_empty(
        self, store: Store, base: str
    ) -> None:
        seen = store.create(f"{base}/d", None)
        store.create(f"{base}/d/a", "one")
        with pytest.raises(Conflict):
            store.delete(f"{base}/d", seen)
        store.delete(f"{base}/d/a")
        assert store.delete(f"{base}/d", seen)

    def test_a_directory_that_was_made_stays_when_it_becomes_empty(
        self, store: Store, base: str
    ) -> None:
        store.create(f"{base}/d", None)
        store.create(f"{base}/d/a", "one")
        assert store.delete(f"{base}/d/a")
        entry = store.get(f"{base}/d")
        assert entry is not None
        assert entry.is_directory
        assert [each.key for each in store.tree(base).entries] == [f"{base}/d"]
        assert store.delete(f"{base}/d")
        assert store.tree(base).entries == ()

    def test_a_directory_that_nobody_made_can_be_deleted_when_it_is_empty(
        self, store: Store, base: str
    ) -> None:
        store.create(f"{base}/d/a", "one")
        with pytest.raises(Conflict):
            store.delete(f"{base}/d", Entry(f"{base}/d", None, 0))
        assert store.delete(f"{base}/d/a")
        store.delete(f"{base}/d", Entry(f"{base}/d", None, 0))
        assert store.get(f"{base}/d") is None

    def test_what_is_there_as_a_directory_cannot_be_made_or_swapped(
        self, store: Store, base: str
    ) -> None:
        made = store.create(f"{base}/d/a", "one")
        directory = store.get(f"{base}/d")
        assert directory is not None
        assert directory.is_directory
        for value in (None, "value"):
            with pytest.raises(AlreadyExists):
                store.create(f"{base}/d", value)
        with pytest.raises(DatastoreError):
            store.put(f"{base}/d", "value")
        with pytest.raises(Conflict):
            store.swap(directory, "value")
        assert store.tree(base).entries[1:] == (made,)

    def test_nothing_can_be_put_or_made_deep_below_a_value(self, store: Store, base: str) -> None:
        made = store.create(f"{base}/a", "one")
        for key in (f"{base}/a/b", f"{base}/a/b/c/d"):
            with pytest.raises(DatastoreError):
                store.put(key, "two")
            with pytest.raises(DatastoreError):
                store.create(key, None)
        assert store.tree(base).entries == (made,)

    def test_neighbours_whose_names_begin_alike_are_others(self, store: Store, base: str) -> None:
        """Also those whose next character sorts before or after the slash."""
        names = ("d-e", "d.f", "d e", "d0", "d!")
        start = store.create(f"{base}/d/a", "one").revision
        for name in names:
            store.create(f"{base}/{name}", "x")
            store.create(f"{base}/{name}x/y", "x")
        last = store.put(f"{base}/d/a", "two")
        assert store.tree(f"{base}/d").entries == (last,)
        assert list(store.watch(f"{base}/d", start, 30)) == [
            Event(f"{base}/d/a", "two", last.revision, deleted=False)
        ]
        assert store.delete(f"{base}/d")
        left = {entry.key.removeprefix(f"{base}/") for entry in store.tree(base).entries}
        assert left == {*names, *(f"{name}x" for name in names), *(f"{name}x/y" for name in names)}

    def test_a_tree_lists_directories_before_what_is_in_them(self, store: Store, base: str) -> None:
        for key in ("d/x", "d-e", "a"):
            store.create(f"{base}/{key}", "v")
        store.create(f"{base}/empty", None)
        tree = store.tree(base)
        listed = [entry.key.removeprefix(base + "/") for entry in tree.entries]
        assert listed == ["a", "d", "d-e", "d/x", "empty"]
        assert {e.key for e in tree.entries if e.is_directory} == {f"{base}/d", f"{base}/empty"}

    def test_an_empty_directory_has_no_entries(self, store: Store, base: str) -> None:
        store.create(f"{base}/d", None)
        assert store.tree(f"{base}/d").entries == ()

    def test_a_tree_of_nothing_has_the_current_revision(self, store: Store, base: str) -> None:
        made = store.create(f"{base}/a", "one")
        tree = store.tree(f"{base}/nothing")
        assert tree.entries == ()
        assert tree.revision >= made.revision

    def test_a_trees_revision_counts_changes_elsewhere(self, store: Store, base: str) -> None:
        store.create(f"{base}/in/a", "one")
        elsewhere = store.create(f"{base}/out/a", "two")
        assert store.tree(f"{base}/in").revision >= elsewhere.revision

    def test_leaves_are_what_a_tree_has_without_directories(self, store: Store, base: str) -> None:
        made = [store.create(f"{base}/{name}", "v") for name in ("a", "d/x", "d/y/z", "d-e")]
        store.create(f"{base}/empty", None)
        store.create(f"{base}-not-below", "x")
        leaves = store.leaves(base)
        assert leaves.entries == {each.key: ("v", each.revision) for each in made}
        assert leaves.revision >= made[-1].revision
        assert store.leaves(f"{base}/d/x").entries == {}
        nothing = store.leaves(f"{base}/nothing")
        assert nothing.entries == {}
        assert nothing.revision >= made[-1].revision

    @pytest.mark.parametrize(
        ("without", "left"),
        [
            (("d/",), {"a", "d-e", "d0", "e/f"}),
            (("d/y/", "d/"), {"a", "d-e", "d0", "e/f"}),
            (("e/", "a"), {"d-e", "d/x", "d/y/z", "d0"}),
            (("b/", "z"), {"a", "d-e", "d/x", "d/y/z", "d0", "e/f"}),
            (("a", "d", "e"), set()),
        ],
    )
    def test_leaves_are_without_those_that_begin_so(
        self, store: Store, base: str, without: tuple[str, ...], left: set[str]
    ) -> None:
        for name in ("a", "d-e", "d/x", "d/y/z", "d0", "e/f"):
            store.create(f"{base}/{name}", "v")
        leaves = store.leaves(base, tuple(f"{base}/{each}" for each in without))
        assert {key.removeprefix(f"{base}/") for key in leaves.entries} == left

    def test_pages_if_any_add_up_to_what_is_read(self, store: Store, base: str) -> None:
        for name in ("a", "b", "c"):
            store.create(f"{base}/{name}", "v")
        told: list[int] = []
        found: dict[str, tuple[str, int]] = {}

        def page(number: int, entries: Mapping[str, tuple[str, int]]) -> None:
            told.append(number)
            found.update(entries)

        leaves = store.leaves(base, page=page)
        assert told == list(range(len(told)))
        assert found == (leaves.entries if told else {})

    def test_a_watch_returns_the_first_change_after(self, store: Store, base: str) -> None:
        first = store.create(f"{base}/a", "one")
        second = store.swap(first, "two")
        events = store.watch(base, first.revision, 30)
        assert events[0] == Event(f"{base}/a", "two", second.revision, deleted=False)

    def test_a_watch_in_time_without_change_returns_nothing(self, store: Store, base: str) -> None:
        made = store.create(f"{base}/a", "one")
        store.create(f"{base}-not-below", "x")
        began = time.monotonic()
        assert list(store.watch(base, made.revision, 0.2)) == []
        assert 0.15 < time.monotonic() - began < 15

    def test_a_watch_waits_for_a_change(self, store: Store, base: str) -> None:
        made = store.create(f"{base}/a", "one")
        seen: list[Sequence[Event]] = []
        watching = threading.Thread(
            target=lambda: seen.append(store.watch(base, made.revision, 60))
        )
        watching.start()
        swapped = store.swap(made, "two")
        watching.join(60)
        assert seen[0][0].revision == swapped.revision

    def test_a_deleted_directory_is_told_once_or_by_each_of_its_keys(
        self, store: Store, base: str
    ) -> None:
        store.create(f"{base}/d/a", "one")
        last = store.create(f"{base}/d/b/c", "two")
        store.delete(f"{base}/d")
        after = store.create(f"{base}/z", "end")
        *events, end = _collect(store, base, last.revision, until=after.revision)
        assert (end.key, end.value, end.deleted) == (f"{base}/z", "end", False)
        assert {(e.value, e.deleted) for e in events} == {(None, True)}
        assert len({event.revision for event in events}) == 1
        told = {event.key.removeprefix(f"{base}/") for event in events}
        assert told in ({"d"}, {"d/a", "d/b/c"})

    def test_a_watch_below_a_deleted_directory_sees_that(self, store: Store, base: str) -> None:
        made = store.create(f"{base}/d/e/a", "one")
        store.delete(f"{base}/d")
        (event,) = store.watch(f"{base}/d/e", made.revision, 30)
        assert event.deleted
        assert event.key in {f"{base}/d", f"{base}/d/e/a"}

    def test_a_made_directory_is_an_event_without_value(self, store: Store, base: str) -> None:
        made = store.create(f"{base}/a", "one")
        store.create(f"{base}/d", None)
        (event,) = store.watch(base, made.revision, 30)
        assert (event.key, event.value, event.deleted) == (f"{base}/d", None, False)

    def test_a_leaf_can_be_watched(self, store: Store, base: str) -> None:
        made = store.create(f"{base}/a", "one")
        swapped = store.swap(made, "two")
        assert store.watch(f"{base}/a", made.revision, 30)[0].revision == swapped.revision

    def test_many_changes_arrive_in_order_without_loss(self, store: Store, base: str) -> None:
        start = store.create(f"{base}/a", "start").revision
        written = [store.put(f"{base}/{n % 7}", str(n)).revision for n in range(300)]
        store.create(f"{base}-elsewhere", "x")
        events = _collect(store, base, start, until=written[-1])
        assert [event.revision for event in events] == written
        assert [event.value for event in events] == [str(n) for n in range(300)]

    def test_a_backlog_is_taken_in_few_steps(self, store: Store, base: str) -> None:
        start = store.create(f"{base}/a", "start").revision
        for n in range(50):
            store.put(f"{base}/a", str(n))
        # A busy machine may be late with the next change; the same backlog can be had again.
        taken = (len(store.watch(base, start, 30)) for _ in range(200))
        assert any(length == 50 for length in taken)

    def test_a_change_is_not_kept_back_for_others_elsewhere(self, store: Store, base: str) -> None:
        start = store.create(f"{base}/a", "start").revision
        for n in range(3):
            store.put(f"{base}/a", str(n))
            store.put(f"{base}-elsewhere", str(n))
        began = time.monotonic()
        events = list(store.watch(base, start, 60))
        assert time.monotonic() - began < 30
        store.put(f"{base}/a", "last")
        events += _collect(store, base, events[-1].revision, until=events[-1].revision + 1)
        assert [event.value for event in events] == ["0", "1", "2", "last"]

    def test_a_watch_elsewhere_sees_what_is_there(self, store: Store, base: str) -> None:
        """Even if the watch before it was left with a question that has an answer now."""
        start = store.create(f"{base}/a/k", "start").revision
        store.put(f"{base}/a/k", "1")
        store.put(f"{base}/b/k", "1")
        assert [event.value for event in store.watch(f"{base}/a", start, 30)] == ["1"]
        store.put(f"{base}/a/k", "2")
        assert [event.key for event in store.watch(f"{base}/b", start, 30)] == [f"{base}/b/k"]

    def test_several_may_watch_at_once(self, store: Store, base: str) -> None:
        start = store.create(f"{base}/a", "start").revision

        def sees_all(number: int) -> bool:
            events = _collect(store, f"{base}/{number}", start, until=start + 1)
            while len(events) < 40:
                events += store.watch(f"{base}/{number}", events[-1].revision, 30)
            return [event.value for event in events] == [f"{number}-{n}" for n in range(40)]

        watching = threading.Thread(target=lambda: outcomes.extend(_in_threads(4, sees_all)))
        outcomes: list[bool] = []
        watching.start()
        for n in range(40):
            for number in range(4):
                store.put(f"{base}/{number}/k{n % 3}", f"{number}-{n}")
        watching.join(30)
        assert outcomes == [True] * 4

    def test_changes_that_are_too_old_are_reported_as_lost(
        self, store: Store, base: str, forget: Forget
    ) -> None:
        start = store.create(f"{base}/a", "start").revision
        for value in ("forgotten", "last"):
            store.put(f"{base}/a", value)
        forget(base)
        with pytest.raises(HistoryLost):
            store.watch(base, start, 30)

    def test_a_watch_from_the_future_means_that_the_store_was_wiped(
        self, store: Store, base: str
    ) -> None:
        made = store.create(f"{base}/a", "one")
        with pytest.raises(StoreReplaced):
            store.watch(base, made.revision + 1_000_000, 0.2)

    def test_a_key_with_a_lifetime_disappears(
        self, store: Store, base: str, pass_time: Wait
    ) -> None:
        put = store.put(f"{base}/a", "one", ttl=1)
        pass_time(1)
        (event,) = store.watch(base, put.revision, 30)
        assert (event.key, event.value, event.deleted) == (f"{base}/a", None, True)
        assert store.get(f"{base}/a") is None

    def test_writing_again_prolongs_a_lifetime(
        self, store: Store, base: str, pass_time: Wait
    ) -> None:
        store.put(f"{base}/a", "one", ttl=1)
        store.put(f"{base}/a", "two", ttl=1000)
        store.put(f"{base}/b", "other", ttl=1)
        pass_time(1)
        entry = store.get(f"{base}/b")
        assert entry is None or store.watch(f"{base}/b", entry.revision, 30)
        assert store.get(f"{base}/a") is not None

    def test_a_refreshed_key_stays_and_nobody_is_told(self, store: Store, base: str) -> None:
        put = store.put(f"{base}/a", "one", ttl=20)
        assert store.refresh(f"{base}/a", 20)
        store.put(f"{base}/b", "two")
        (event,) = store.watch(base, put.revision, 30)
        assert event.key == f"{base}/b"
        entry = store.get(f"{base}/a")
        assert entry is not None
        assert entry.value == "one"

    def test_a_refreshed_key_disappears_if_that_is_not_done_again(
        self, store: Store, base: str, pass_time: Wait
    ) -> None:
        put = store.put(f"{base}/a", "one", ttl=2)
        assert store.refresh(f"{base}/a", 2)
        pass_time(2)
        (event,) = store.watch(base, put.revision, 30)
        assert (event.key, event.deleted) == (f"{base}/a", True)

    def test_what_is_not_there_cannot_be_refreshed(self, store: Store, base: str) -> None:
        assert not store.refresh(f"{base}/a", 20)
        store.put(f"{base}/a", "one", ttl=20)
        store.delete(f"{base}/a")
        assert not store.refresh(f"{base}/a", 20)
        assert store.get(f"{base}/a") is None

    def test_keys_starting_with_an_underscore_are_hidden_or_not(
        self, store: Store, base: str
    ) -> None:
        store.create(f"{base}/_hidden", "x")
        store.create(f"{base}/seen", "y")
        listed = [entry.key.removeprefix(f"{base}/") for entry in store.tree(base).entries]
        assert listed == (["seen"] if self.hides_underscores else ["_hidden", "seen"])

    def test_of_many_who_swap_exactly_one_wins(self, store: Store, base: str) -> None:
        seen = store.create(f"{base}/a", "start")
        outcomes = _in_threads(16, lambda number: _try_to_swap(store, seen, str(number)))
        assert outcomes.count(True) == 1

    def test_several_changes_are_made_and_told_in_their_order(
        self, store: Store, base: str
    ) -> None:
        old = store.create(f"{base}/z", "old")
        gone = store.create(f"{base}/gone", "x")
        start = store.create(f"{base}/tree/a", "x").revision
        changes: list[Change] = [
            Put(f"{base}/z", "new", old),
            Put(f"{base}/y", ""),
            Delete(f"{base}/gone", gone),
            Put(f"{base}/d", None),
            Put(f"{base}/d/b", "ä"),
            Delete(f"{base}/tree"),
            Delete(f"{base}/nothing"),
            Put(f"{base}/a", "last"),
        ]
        made: list[Change] = []
        written = store.write_together(changes, made.append)
        assert made == changes
        assert [key.removeprefix(f"{base}/") for key in written] == ["z", "y", "d", "d/b", "a"]
        there = {entry.key: entry for entry in store.tree(base).entries if entry.value is not None}
        assert there == {key: each for key, each in written.items() if each.value is not None}
        directory = store.get(f"{base}/d")
        assert directory is not None
        assert directory.is_directory
        last = written[f"{base}/a"].revision
        events = [
            event for event in _collect(store, base, start, until=last) if event.value is not None
        ]
        assert [event.value for event in events] == ["new", "", "ä", "last"]
        assert (len({event.revision for event in events}) == 1) == self.all_or_none
        assert store.write_together([]) == {}

    @pytest.mark.parametrize(
        ("refused", "error"),
        [
            (Put("new", "x"), AlreadyExists),
            (Put("directory", "x"), AlreadyExists),
            (Put("new", None), AlreadyExists),
            (Put("new/below", "x"), DatastoreError),
            (Put("new", "x", Entry("new", "", 999_999_999)), Conflict),
            (Put("nothing", "x", Entry("nothing", "", 999_999_999)), Conflict),
            (Delete("new", Entry("new", "", 999_999_999)), Conflict),
            (Delete("nothing", Entry("nothing", "", 999_999_999)), Conflict),
        ],
    )
    def test_a_change_that_is_refused_ends_it(
        self, store: Store, base: str, refused: Change, error: type[Exception]
    ) -> None:
        """Then nothing is changed, or what came before it and nothing behind."""
        store.create(f"{base}/new", "old")
        store.create(f"{base}/directory/a", "x")
        seen = store.create(f"{base}/seen", "old")
        before = store.tree(base).entries
        changes: list[Change] = [Put(f"{base}/seen", "1", seen), Put(f"{base}/first", "2")]
        late: list[Change] = [Put(f"{base}/late", "3"), Delete(f"{base}/directory/a")]
        made: list[Change] = []
        with pytest.raises(error, match=refused.key):
            store.write_together([*changes, _below(base, refused), *late], made.append)
        assert made == ([] if self.all_or_none else changes)
        if self.all_or_none:
            assert store.tree(base).entries == before
        else:
            values = [entry.value for entry in store.tree(base).entries]
            assert values == [None, "x", "2", "old", "1"]

    def test_a_key_that_is_put_twice_has_the_last_value(self, store: Store, base: str) -> None:
        seen = store.create(f"{base}/a", "0")
        twice: list[Change] = [
            Put(f"{base}/a", "1", seen),
            Put(f"{base}/b", "1"),
            Put(f"{base}/a", "2", seen),
            Put(f"{base}/b", "2"),
        ]
        written = store.write_together(twice)
        assert [store.get(f"{base}/a"), store.get(f"{base}/b")] == list(written.values())
        assert [entry.value for entry in written.values()] == ["2", "2"]
        with pytest.raises(Conflict):
            store.write_together(twice)

    def test_hundreds_of_changes_are_made_in_their_order(self, store: Store, base: str) -> None:
        """If one of them is refused, those that were made are the first ones."""
        start = store.create(f"{base}/k250", "in the way").revision
        changes = [Put(f"{base}/k{number}", "x") for number in range(300)]
        made: list[Change] = []
        with pytest.raises(AlreadyExists, match="k250"):
            store.write_together(changes, made.append)
        assert made == changes[: len(made)]
        assert len(store.tree(base).entries) == len(made) + 1
        assert store.delete(f"{base}/k250")
        last = store.write_together(changes[len(made) :])[f"{base}/k299"]
        events = _collect(store, base, start, until=last.revision)
        told = [event.key for event in events if not event.deleted]
        assert told == [change.key for change in changes]

    def test_large_values_are_written_together_too(self, store: Store, base: str) -> None:
        changes = [Put(f"{base}/{number}", str(number) * 400_000) for number in range(5)]
        written = store.write_together(changes)
        assert list(store.tree(base).entries) == list(written.values())

    def test_a_value_that_is_too_large_is_refused_and_not_written(
        self, store: Store, base: str
    ) -> None:
        seen = store.create(f"{base}/there", "before")
        large = "x" * (LARGEST_VALUE + 200_000)
        with pytest.raises(DatastoreError, match="too large"):
            store.put(f"{base}/there", large)
        with pytest.raises(DatastoreError, match="too large"):
            store.swap(seen, large)
        with pytest.raises(DatastoreError, match="too large"):
            store.create(f"{base}/new", large)
        assert [*store.tree(base).entries] == [seen]

    def test_the_address_is_known(self, store: Store) -> None:
        assert ":" in store.address


def _below(base: str, change: Change) -> Change:
    """Return the change for a key below a directory; its entry is not what is there."""
    key = f"{base}/{change.key}"
    seen = None if change.seen is None else change.seen._replace(key=key)
    return Delete(key, seen) if isinstance(change, Delete) else Put(key, change.value, seen)


def _collect(store: Store, directory: str, after: int, until: int) -> list[Event]:
    events: list[Event] = []
    while not events or events[-1].revision < until:
        new = store.watch(directory, events[-1].revision if events else after, 30)
        assert new, f"no event after {events[-1:]}"
        events += new
    return events


def _try_to_swap(store: Store, seen: Entry, value: str) -> bool:
    try:
        store.swap(seen, value)
    except Conflict:
        return False
    return True


def _in_threads(number: int, act: Callable[[int], bool]) -> list[bool]:
    outcomes: list[bool] = []
    threads = [threading.Thread(target=lambda n=n: outcomes.append(act(n))) for n in range(number)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert len(outcomes) == number
    return outcomes
