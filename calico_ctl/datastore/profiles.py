"""Profiles: a directory each, with the keys `tags` and `rules`.

The directory is the profile: an orchestrator may have made it with neither key, or with one.
"""

from collections.abc import Callable, Sequence, Set
from contextlib import suppress
from dataclasses import dataclass

from calico_ctl.datastore import entries
from calico_ctl.datastore.entries import Problem
from calico_ctl.datastore.store import Change, Entry, Put, Store
from calico_ctl.errors import AlreadyExists, Conflict, InvalidValue, NotFound
from calico_ctl.model import codec, keys
from calico_ctl.model.profile import Profile as Profile  # noqa: PLC0414 - profiles.Profile
from calico_ctl.model.profile import Tags
from calico_ctl.model.rule import Rules, default_rules

_SHOW_HINT = "`calicoctl profile show` lists the profiles"
_UPDATE_HINT = "`calicoctl profile {} rule update` replaces broken rules"


def names(store: Store) -> list[str]:
    """Return the names of all profiles, sorted."""
    return entries.directories(store, keys.PROFILES)


def tags(store: Store) -> list[str]:
    """Return every tag that some profile carries, sorted; what cannot be read is left out."""
    found: set[str] = set()
    for entry in store.tree(keys.PROFILES).entries:
        if entry.key.endswith("/tags") and not entry.is_directory:
            with suppress(InvalidValue):
                found |= {*codec.decode_tags(entry.value or "")}
    return sorted(found)


def all(store: Store) -> tuple[list[Profile], list[Problem]]:
    """Return all profiles, sorted by name, and beside them the keys that cannot be used.

    A profile with such a key is left out whole: half of it would be another profile.
    """
    trees: dict[str, list[Entry]] = {}
    for entry in store.tree(keys.PROFILES).entries:
        name = entry.key.removeprefix(f"{keys.PROFILES}/").partition("/")[0]
        trees.setdefault(name, []).append(entry)
    found: list[Profile] = []
    problems: list[Problem] = []
    for name, below in sorted(trees.items()):
        if not below[0].is_directory:
            continue
        try:
            found.append(_decode(name, below))
        except InvalidValue as error:
            problems.append(Problem(keys.profile(name), error.message))
    return found, problems


def exists(store: Store, name: str) -> bool:
    """Say whether there is a profile of that name."""
    entry = store.get(keys.profile(name))
    return entry is not None and entry.is_directory


def read(store: Store, name: str) -> Profile:
    """Return a profile. Raises NotFound, or InvalidValue naming the key that cannot be read."""
    tree = store.tree(keys.profile(name))
    if not tree.entries:
        _require(store, name)
    return _decode(name, tree.entries)


def create(store: Store, name: str) -> None:
    """Make a profile whose members may talk to each other and to anyone; AlreadyExists."""
    if name.startswith("_"):
        raise InvalidValue("profile name", name, "a name that does not start with _: etcd hides it")
    whole = [
        Put(keys.profile(name), None),
        Put(keys.profile_tags(name), codec.encode_tags([name])),
        Put(keys.profile_rules(name), codec.encode_rules(default_rules(name))),
    ]
    made: list[Change] = []
    try:
        store.write_together(whole, made.append)
    except AlreadyExists as error:
        if not made:
            hint = f"`calicoctl profile {name} rule show` shows its rules"
            raise AlreadyExists(f"profile {name} exists already", hint) from error
        for each in whole[len(made) :]:  # somebody else has begun to fill what we made
            entries.ensure(store, each.key, each.value)


def remove(store: Store, name: str) -> None:
    """Delete a profile. Raises NotFound."""
    if not store.delete(keys.profile(name)):
        raise _not_found(name)


def edit_tags(store: Store, name: str, change: Callable[[Tags], Tags]) -> Tags:
    """Replace a profile's tags by what `change` makes of them; return the new ones."""

    def changed(entry: Entry | None) -> str:
        tags = () if entry is None else entries.decode(entry, codec.decode_tags)
        wanted = change(tags)
        unchanged = entry is not None and wanted == tags and not _quotes_lost(entry)
        return entry.value or "" if unchanged and entry else codec.encode_tags(wanted)

    return codec.decode_tags(_edit(store, name, keys.profile_tags(name), changed))


def edit_rules(store: Store, name: str, change: Callable[[Rules], Rules]) -> Rules:
    """Replace a profile's rules by what `change` makes of them; return the new ones."""

    def changed(entry: Entry | None) -> str:
        rules = Rules() if entry is None else _decode_rules(entry)
        wanted = change(rules)
        unchanged = entry is not None and wanted == rules
        return entry.value or "" if unchanged and entry else codec.encode_rules(wanted)

    return codec.decode_rules(_edit(store, name, keys.profile_rules(name), changed))


@dataclass(frozen=True, slots=True)
class Write:
    """One write to a profile: that it is there (both None), its tags, or its rules."""

    profile: str
    tags: Tags | None = None
    rules: Rules | None = None

    @property
    def is_bare(self) -> bool:
        """Whether it is about the directory alone."""
        return self.tags is None and self.rules is None

    @property
    def key(self) -> str:
        """The key that is written."""
        if self.is_bare:
            return keys.profile(self.profile)
        of_kind = keys.profile_rules if self.tags is None else keys.profile_tags
        return of_kind(self.profile)

    @property
    def value(self) -> str | None:
        """What is written; None for the directory."""
        if self.tags is not None:
            return codec.encode_tags(self.tags)
        return None if self.rules is None else codec.encode_rules(self.rules)


def write(
    store: Store, writes: Sequence[Write], done: Callable[[Write], object] | None = None
) -> None:
    """Make writes to profiles in the order given, whatever was there, broken values too.

    A store that can makes them together. If somebody else is faster with a key, it is written all
    the same. `done` is told of each write. Raises NotFound for a profile that is neither there nor
    among what is to be made.
    """
    new = {each.profile for each in writes if each.is_bare}
    waiting = list(writes)
    for _ in range(entries.ATTEMPTS):
        changes = _changes(store, waiting, new)
        made: list[Change] = []
        try:
            store.write_together([each for each in changes if each is not None], made.append)
        except (AlreadyExists, Conflict):
            continue  # to read again what is left
        finally:
            finished = _finished(changes, len(made))
            if done is not None:
                for each in waiting[:finished]:
                    done(each)
            waiting = waiting[finished:]
        return
    raise entries.gave_up(waiting[0].key)


def replace_rules(store: Store, name: str, rules: Rules) -> None:
    """Replace a profile's rules whatever they were, broken ones too."""
    write(store, [Write(name, rules=rules)])


def _changes(store: Store, writes: Sequence[Write], new: Set[str]) -> list[Change | None]:
    """Return the change for each write; None: it has that value then."""
    there = {key: store.get(key) for key in dict.fromkeys(each.key for each in writes)}
    now = {key: entry.value for key, entry in there.items() if entry is not None}
    changes: list[Change | None] = []
    for each in writes:
        key, value = each.key, each.value
        if key not in now and each.profile not in new:
            _require(store, each.profile)
        is_there = key in now and (each.is_bare or now[key] == value)
        changes.append(None if is_there else Put(key, value, there[key]))
        now[key] = value
    return changes


def _finished(changes: Sequence[Change | None], made: int) -> int:
    """Return how many of the writes are done if so many changes were made."""
    numbers = [number for number, change in enumerate(changes) if change is not None]
    return numbers[made] if made < len(numbers) else len(changes)


def _edit(store: Store, name: str, key: str, change: Callable[[Entry | None], str]) -> str:
    """Edit a key that may be missing, of a profile that may not."""
    for _ in range(entries.ATTEMPTS):
        try:
            return entries.edit(store, key, change).value or ""
        except NotFound:
            _require(store, name)
        try:
            return store.create(key, change(None)).value or ""
        except AlreadyExists:
            continue
    raise entries.gave_up(key)


def _decode(name: str, below: Sequence[Entry]) -> Profile:
    tags = _find(below, keys.profile_tags(name))
    rules = _find(below, keys.profile_rules(name))
    return Profile(
        name,
        tags=() if tags is None else entries.decode(tags, codec.decode_tags),
        rules=Rules() if rules is None else _decode_rules(rules),
    )


def _decode_rules(entry: Entry) -> Rules:
    try:
        return entries.decode(entry, codec.decode_rules)
    except InvalidValue as error:
        error.hint = _UPDATE_HINT.format(entry.key.split("/")[-2])
        raise


def _quotes_lost(entry: Entry) -> bool:
    return codec.tags_lost_their_quotes(entry.value or "")


def _find(below: Sequence[Entry], key: str) -> Entry | None:
    return next((e for e in below if e.key == key and not e.is_directory), None)


def _require(store: Store, name: str) -> None:
    if not exists(store, name):
        raise _not_found(name)


def _not_found(name: str) -> NotFound:
    return NotFound(f"profile {name} does not exist", hint=_SHOW_HINT)
