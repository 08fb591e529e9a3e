"""Endpoints: one key each, below host, orchestrator and workload.

What is asked of ten thousand is mostly about few of them, so keys can be had without their values
being read: `listed`, then `decoded` of those that count.
"""

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from operator import attrgetter
from typing import NamedTuple, TypeVar

from calico_ctl.datastore import entries
from calico_ctl.datastore.entries import Problem
from calico_ctl.datastore.store import Change, Delete, Entry, Put, Store
from calico_ctl.errors import AlreadyExists, InvalidValue, NotFound
from calico_ctl.model import codec, keys
from calico_ctl.model.endpoint import Endpoint, EndpointKey, ShownEndpoint

_SHOW_HINT = "`calicoctl endpoint show --detailed` lists the endpoints"

Found = tuple[list[Endpoint], list[Problem]]
_E = TypeVar("_E", Endpoint, ShownEndpoint)


class Listed(NamedTuple):
    """An endpoint whose value nobody has read yet."""

    key: EndpointKey
    entry: Entry


def all(
    store: Store,
    host: str | None = None,
    orchestrator: str | None = None,
    workload: str | None = None,
) -> Found:
    """Return the endpoints on a host, of an orchestrator, of a workload, or simply all.

    Sorted by key; beside them the keys whose values cannot be used.
    """
    return decoded(listed(store, host, orchestrator, workload))


def listed(
    store: Store,
    host: str | None = None,
    orchestrator: str | None = None,
    workload: str | None = None,
) -> Sequence[Listed]:
    """Return the keys of the same endpoints as `all`, with their values as they are."""
    wanted = [
        (at, part) for at, part in enumerate((host, orchestrator, workload)) if part is not None
    ]
    found = store.tree(_narrowest(host, orchestrator, workload)).entries
    keyed = ((_key_of(entry), entry) for entry in found)
    return [Listed(key, entry) for key, entry in keyed if key is not None and _fits(key, wanted)]


def decoded(found: Iterable[Listed]) -> Found:
    """Read the values; return the endpoints, sorted by key, and the keys that cannot be used."""
    return _read(found, codec.decode_endpoint)


def shown(found: Iterable[Listed]) -> tuple[list[ShownEndpoint], list[Problem]]:
    """Return the same as `decoded`, but of each endpoint only what people are shown."""
    return _read(found, codec.decode_shown)


def having_profile(store: Store, profile: str) -> Found:
    """Return the endpoints that have a profile, and the keys that may say so but cannot be read."""
    endpoints, problems = decoded(each for each in listed(store) if _mentions(each.entry, profile))
    return [each for each in endpoints if profile in each.profiles], problems


def of_workload(store: Store, host: str, orchestrator: str, workload: str) -> list[Endpoint]:
    """Return the endpoints of one workload. Raises InvalidValue, naming the key, for a broken one.

    A broken one must not be passed over: whoever asks wants to know whether there is any.
    """
    tree = store.tree(keys.workload(host, orchestrator, workload))
    found = ((_key_of(entry), entry) for entry in tree.entries)
    return [_decode(key, entry) for key, entry in found if key is not None]


def get(store: Store, key: EndpointKey) -> tuple[Endpoint, Entry]:
    """Return an endpoint and its entry. Raises NotFound, or InvalidValue naming the key."""
    entry = store.get(keys.endpoint(key))
    if entry is None or entry.is_directory:
        raise _not_found(key)
    return _decode(key, entry), entry


def publication(endpoint: Endpoint) -> Change:
    """Return the change that publishes a new endpoint."""
    return Put(keys.endpoint(endpoint.key), codec.encode_endpoint(endpoint))


def alteration(
    store: Store, key: EndpointKey, change: Callable[[Endpoint], Endpoint]
) -> Sequence[Change]:
    """Return the change that makes of an endpoint what `change` makes of it, if that is one.

    Raises NotFound, or InvalidValue naming the key.
    """
    endpoint, entry = get(store, key)
    wanted = change(endpoint)
    return [] if wanted == endpoint else [Put(entry.key, codec.encode_endpoint(wanted), entry)]


def removal(key: EndpointKey) -> Change:
    """Return the change that removes an endpoint, if it is there."""
    return Delete(keys.endpoint(key))


def create(store: Store, endpoint: Endpoint) -> int:
    """Publish a new endpoint; return its revision. Raises AlreadyExists."""
    try:
        made = store.create(keys.endpoint(endpoint.key), codec.encode_endpoint(endpoint))
    except AlreadyExists as error:
        raise AlreadyExists(f"endpoint {endpoint.key.id} exists already", _SHOW_HINT) from error
    return made.revision


def edit(
    store: Store, key: EndpointKey, change: Callable[[Endpoint], Endpoint]
) -> tuple[Endpoint, int]:
    """Replace an endpoint by what `change` makes of it; return it and its revision.

    Fields of others survive, and nothing is written if nothing changed. Raises NotFound.
    """

    def changed(entry: Entry) -> str:
        endpoint = _decode(key, entry)
        wanted = change(endpoint)
        return entry.value or "" if wanted == endpoint else codec.encode_endpoint(wanted)

    try:
        entry = entries.edit(store, keys.endpoint(key), changed)
    except NotFound as error:
        raise _not_found(key) from error
    return _decode(key, entry), entry.revision


def remove(store: Store, key: EndpointKey) -> bool:
    """Delete an endpoint, and its workload's directory if that was the last one.

    Says whether the endpoint was there; the directories go in any case.
    """
    was_there = store.delete(keys.endpoint(key))
    remove_directories(store, key)
    return was_there


def remove_directories(store: Store, key: EndpointKey) -> None:
    """Delete a workload's directory if its last endpoint is gone."""
    workload = keys.workload(key.host, key.orchestrator, key.workload)
    if entries.delete_if_empty(store, f"{workload}/endpoint"):
        entries.delete_if_empty(store, workload)


def _narrowest(host: str | None, orchestrator: str | None, workload: str | None) -> str:
    if host is None:
        return keys.HOSTS
    if orchestrator is None:
        return keys.workloads(host)
    if workload is None:
        return keys.orchestrator(host, orchestrator)
    return keys.workload(host, orchestrator, workload)


def _read(
    found: Iterable[Listed], read: Callable[[EndpointKey, str], _E]
) -> tuple[list[_E], list[Problem]]:
    endpoints: list[_E] = []
    problems: list[Problem] = []
    for key, entry in found:
        try:
            endpoints.append(entries.decode(entry, partial(read, key)))
        except InvalidValue as error:
            problems.append(Problem(entry.key, error.message))
    return sorted(endpoints, key=attrgetter("key")), problems


def _key_of(entry: Entry) -> EndpointKey | None:
    # Two thirds of the entries are directories: they are not worth taking a key apart.
    return None if entry.value is None else keys.parse_endpoint(entry.key)


def _mentions(entry: Entry, name: str) -> bool:
    """Say whether a value may hold a name; JSON can write any letter with a backslash too."""
    value = entry.value or ""
    return name in value or "\\" in value


def _fits(key: EndpointKey, wanted: Iterable[tuple[int, str]]) -> bool:
    """Say whether the key has each of the parts, given with their places, that are wanted."""
    return not any(key[at] != part for at, part in wanted)


def _decode(key: EndpointKey, entry: Entry) -> Endpoint:
    return entries.decode(entry, lambda text: codec.decode_endpoint(key, text))


def _not_found(key: EndpointKey) -> NotFound:
    return NotFound(f"endpoint {key.id} on host {key.host} does not exist", hint=_SHOW_HINT)
