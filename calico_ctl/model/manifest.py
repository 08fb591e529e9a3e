"""Profiles and pools as people keep them in files: one mapping each, and back.

`profile_item` and `pool_item` are the one form in which a profile or a pool is shown as data, by
`show --output` and by `export`; what reads manifests takes it back. A manifest says all about a
thing: what would have to be guessed is refused. docs/reference/manifest.md describes it.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import TypeVar

from calico_ctl.errors import CalicoError, Conflict, InvalidValue
from calico_ctl.model import address, manifest_text, names, pool, rule_json, rule_text
from calico_ctl.model.pool import Pool
from calico_ctl.model.profile import Profile
from calico_ctl.model.rule import Rule, Rules

SCHEMA = 1
PROFILE = "profile"
POOL = "pool"
LIST = "list"

_T = TypeVar("_T")
_Error = TypeVar("_Error", bound=CalicoError)

_POOL_WORDS = {"masquerade": "nat_outgoing"}
_NOT_IN_MANIFESTS = frozenset({"extra"})

POOL_FIELDS = {
    _POOL_WORDS.get(each.name, each.name): each.name
    for each in fields(Pool)
    if each.name not in _NOT_IN_MANIFESTS
}
"""What a pool has: the word for it in manifests and listings, and the field of Pool."""

_PROFILE_FIELDS = ("name", "tags", "rules")
_LISTS = ("inbound", "outbound")
_TAG_FIELDS = ("src_tag", "dst_tag")


@dataclass(frozen=True, slots=True)
class Stated:
    """What a document says that there shall be, and where it says so."""

    thing: Profile | Pool
    place: str


def profile_item(profile: Profile) -> dict[str, object]:
    """Return a profile as data: its name, its tags, its rules as the guide's objects."""
    return {
        "name": profile.name,
        "tags": list(profile.tags),
        "rules": rule_json.to_object(profile.rules),
    }


def pool_item(pool: Pool) -> dict[str, object]:
    """Return a pool as data: its CIDR and every option, whether on or off."""
    options = {word: getattr(pool, name) for word, name in POOL_FIELDS.items()}
    return options | {"cidr": str(pool.cidr)}


def item(thing: Profile | Pool) -> dict[str, object]:
    """Return a profile or a pool as an item of a list that holds both."""
    if isinstance(thing, Profile):
        return {"kind": PROFILE} | profile_item(thing)
    return {"kind": POOL} | pool_item(thing)


def document(thing: Profile | Pool) -> dict[str, object]:
    """Return a profile or a pool as a document of its own, its rules as one writes them."""
    made = {"schema": SCHEMA} | item(thing)
    if isinstance(thing, Profile):
        made["rules"] = {
            name: [rule_text.format_rule(rule) for rule in getattr(thing.rules, name)]
            for name in _LISTS
        }
    return made


def read(text: str, name: str) -> list[Stated]:
    """Return what a file states, in its order; `name` is the file's, for messages.

    Raises InvalidValue that names the file, the document and the path to what is wrong.
    """
    found: list[Stated] = []
    for number, value in enumerate(located(name, manifest_text.documents, text, name), 1):
        if value is not None:
            found += _document(value, _Where(f"{name}, document {number}"))
    return found


def require_consistent(stated: Sequence[Stated]) -> None:
    """Raise Conflict if a thing is stated twice, or two pools overlap."""
    seen: dict[tuple[str, str], Stated] = {}
    pools: list[Stated] = []
    for each in stated:
        first = seen.setdefault(identity(each.thing), each)
        if first is not each:
            raise Conflict(
                f"{each.place}: {' '.join(identity(each.thing))} is stated already in {first.place}"
            )
        if isinstance(each.thing, Pool):
            _require_apart(each, pools)
            pools.append(each)


def identity(thing: Profile | Pool) -> tuple[str, str]:
    """Return the kind and the name of a thing."""
    return (PROFILE, thing.name) if isinstance(thing, Profile) else (POOL, str(thing.cidr))


def located(place: str, act: Callable[..., _T], *arguments: object) -> _T:
    """Do something; what goes wrong with it gets the place in front of its message."""
    try:
        return act(*arguments)
    except CalicoError as error:
        raise _moved(error, place) from error


def _moved(error: _Error, place: str) -> _Error:
    error.message = f"{place}: {error.message}"
    error.args = (error.message,)
    return error


@dataclass(frozen=True, slots=True)
class _Where:
    """A place in a document: which one, and the path in it; positions count from 1."""

    place: str
    path: str = ""

    def __str__(self) -> str:
        return f"{self.place}: {self.path}" if self.path else self.place

    def field(self, name: str) -> "_Where":
        return _Where(self.place, f"{self.path}.{name}" if self.path else name)

    def item(self, number: int) -> "_Where":
        return _Where(self.place, f"{self.path}[{number}]")

    def read(self, parse: Callable[[object], _T], value: object) -> _T:
        return located(str(self), parse, value)

    def refused(self, what: str, value: object, expected: str) -> InvalidValue:
        return _moved(InvalidValue(what, value, expected), str(self))


def _document(value: object, where: _Where) -> Iterator[Stated]:
    stated = _mapping("document", value, where)
    where.field("schema").read(_schema, stated.get("schema"))
    if "items" not in stated:
        yield _thing(stated, where)
        return
    kind = where.field("kind").read(_kind_of_list, stated.get("kind"))
    _require_only("list", stated, ("schema", "kind", "items"), where)
    for number, each in _numbered("items", stated["items"], where):
        place = where.field("items").item(number)
        yield _thing(
            ({} if kind == LIST else {"kind": kind}) | _mapping("item", each, place), place
        )


def _thing(stated: Mapping[str, object], where: _Where) -> Stated:
    if "schema" in stated:
        where.field("schema").read(_schema, stated["schema"])
    kind = where.field("kind").read(_kind, stated.get("kind"))
    own = {name: value for name, value in stated.items() if name not in {"schema", "kind"}}
    return Stated(_READERS[kind](own, where), str(where))


def _profile(stated: Mapping[str, object], where: _Where) -> Profile:
    _require_only(PROFILE, stated, _PROFILE_FIELDS, where)
    _require_all(PROFILE, stated, _PROFILE_FIELDS, where)
    name = where.field("name").read(_profile_name, stated["name"])
    tags = tuple(
        where.field("tags").item(number).read(_tag, value)
        for number, value in _numbered("tags", stated["tags"], where)
    )
    return Profile(name, tuple(dict.fromkeys(tags)), _rules(stated["rules"], where.field("rules")))


def _rules(value: object, where: _Where) -> Rules:
    lists = _mapping("rules", value, where)
    _require_only("rules", lists, _LISTS, where)
    _require_all("rules", lists, _LISTS, where)
    inbound, outbound = (
        tuple(
            _rule(each, where.field(name).item(number))
            for number, each in _numbered(name, lists[name], where)
        )
        for name in _LISTS
    )
    return Rules(inbound, outbound)


def _rule(value: object, where: _Where) -> Rule:
    if isinstance(value, str):
        return where.read(_rule_from_text, value)
    if not isinstance(value, dict):
        raise where.refused("rule", value, "a text such as 'allow tcp to ports 80', or a mapping")
    meant = {
        name: _name_as_text(each) if name in _TAG_FIELDS else each for name, each in value.items()
    }
    # In etcd null counts as absent. Who left a criterion empty in a file did not mean "all".
    empty = next((name for name, each in meant.items() if each is None), None)
    if empty is not None:
        raise where.field(empty).refused(empty, "null", "a value; leave it out to match all")
    try:
        return rule_json.rule_from_object(meant)
    except InvalidValue as error:
        at_fault = rule_json.field_at_fault(meant)
        raise _moved(error, str(where.field(at_fault) if at_fault else where)) from error


def _pool(stated: Mapping[str, object], where: _Where) -> Pool:
    _require_only(POOL, stated, tuple(POOL_FIELDS), where)
    _require_all(POOL, stated, ("cidr",), where)
    cidr = where.field("cidr").read(_text("CIDR", address.parse_exact_network), stated["cidr"])
    options = {
        POOL_FIELDS[word]: where.field(word).read(_flag, value)
        for word, value in stated.items()
        if word != "cidr"
    }
    # Every option of Pool is on or off; a mapping cannot say so field by field.
    return located(str(where), pool.check, Pool(cidr, **options))  # type: ignore[arg-type]


_READERS: Mapping[str, Callable[[Mapping[str, object], _Where], Profile | Pool]] = {
    PROFILE: _profile,
    POOL: _pool,
}


def _require_apart(each: Stated, pools: Iterable[Stated]) -> None:
    for other in pools:
        mine, others = each.thing, other.thing
        if isinstance(mine, Pool) and isinstance(others, Pool) and mine.overlaps(others.cidr):
            message = f"pool {mine.cidr} overlaps the pool {others.cidr} of {other.place}"
            raise Conflict(f"{each.place}: {message}")


def _require_only(
    what: str, stated: Mapping[str, object], known: Sequence[str], where: _Where
) -> None:
    unknown = [name for name in stated if name not in known]
    if unknown:
        raise where.refused(f"field of {what}", unknown[0], f"one of {', '.join(known)}")


def _require_all(
    what: str, stated: Mapping[str, object], needed: Sequence[str], where: _Where
) -> None:
    for name in needed:
        if name not in stated:
            raise where.refused(f"{what} without", name, "that field, even if it is empty")


def _mapping(what: str, value: object, where: _Where) -> dict[str, object]:
    if not isinstance(value, dict):
        raise where.refused(what, value, "a mapping")
    return value


def _numbered(name: str, value: object, where: _Where) -> Iterator[tuple[int, object]]:
    if not isinstance(value, list):
        raise where.field(name).refused(name, value, "a list; [] if it is empty")
    return enumerate(value, 1)


def _schema(value: object) -> None:
    if value != SCHEMA or isinstance(value, bool):
        raise InvalidValue("schema", value, f"{SCHEMA}")


def _kind(value: object) -> str:
    if not isinstance(value, str) or value not in _READERS:
        raise InvalidValue("kind", value, " or ".join(_READERS))
    return value


def _kind_of_list(value: object) -> str:
    return LIST if value == LIST else _kind(value)


def _profile_name(value: object) -> str:
    name = _text("profile name", names.parse_profile_name)(_name_as_text(value))
    if name.startswith("_"):
        raise InvalidValue("profile name", name, "a name that does not start with _: etcd hides it")
    return name


def _tag(value: object) -> str:
    return _text("tag", names.parse_tag)(_name_as_text(value))


def _name_as_text(value: object) -> object:
    """Return a number as the text that it was written as: `80` may name a tag without quotes."""
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


def _text(what: str, parse: Callable[[str], _T]) -> Callable[[object], _T]:
    def read_text(value: object) -> _T:
        if not isinstance(value, str):
            raise InvalidValue(what, value, "text; put it between quotes")
        return parse(value)

    return read_text


def _flag(value: object) -> bool:
    if not isinstance(value, bool):
        raise InvalidValue("option", value, "true or false")
    return value


def _rule_from_text(value: object) -> Rule:
    return rule_text.parse([str(value)])
