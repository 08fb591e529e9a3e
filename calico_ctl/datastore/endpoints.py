"""Endpoints: one key each, below host, orchestrator and workload.

What is asked of ten thousand is mostly about few of them, so keys can be had without their values
being read: `listed`, then `decoded` of those that count.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from calico_ctl.datastore import entries
from calico_ctl.datastore.entries import Problem
from calico_ctl.datastore.store import Entry, Store
from calico_ctl.errors import AlreadyExists, InvalidValue, NotFound
from calico_ctl.model import codec, keys
from calico_ctl.model.endpoint import Endpoint, EndpointKey
from calico_ctl.model.keys import Leaf

_SHOW_HINT = "`calicoctl endpoint show --detailed` lists the endpoints"

Found = tuple[list[Endpoint], list[Problem]]


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
    wanted = (host, orchestrator, workload)
    found = store.tree(_narrowest(host, orchestrator, workload)).entries
    keyed = ((_key_of(entry), entry) for entry in found)
    return [Listed(key, entry) for key, entry in keyed if key is not None and _fits(key, wanted)]


def decoded(found: Iterable[Listed]) -> Found:
    """Read the values; return the endpoints, sorted by key, and the keys that cannot be used."""
    endpoints: list[Endpoint] = []
    problems: list[Problem] = []
    for key, entry in found:
        try:
            endpoints.append(_decode(key, entry))
        except InvalidValue as error:
            problems.append(Problem(entry.key, error.message))
    return sorted(endpoints, key=lambda endpoint: endpoint.key), problems


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
    workload = keys.workload(key.host, key.orchestrator, key.workload)
    if entries.delete_if_empty(store, f"{workload}/endpoint"):
        entries.delete_if_empty(store, workload)
    return was_there


def _narrowest(host: str | None, orchestrator: str | None, workload: str | None) -> str:
    if host is None:
        return keys.HOSTS
    if orchestrator is None:
        return keys.workloads(host)
    if workload is None:
        return keys.orchestrator(host, orchestrator)
    return keys.workload(host, orchestrator, workload)


def _key_of(entry: Entry) -> EndpointKey | None:
    # Two thirds of the entries are directories: they are not worth taking a key apart.
    parsed = None if entry.is_directory else keys.parse(entry.key)
    return parsed.endpoint if parsed is not None and parsed.leaf is Leaf.ENDPOINT else None


def _mentions(entry: Entry, name: str) -> bool:
    """Say whether a value may hold a name; JSON can write any letter with a backslash too."""
    value = entry.value or ""
    return name in value or "\\" in value


def _fits(key: EndpointKey, wanted: tuple[str | None, ...]) -> bool:
    parts = (key.host, key.orchestrator, key.workload)
    return not any(want not in {None, part} for want, part in zip(wanted, parts, strict=True))


def _decode(key: EndpointKey, entry: Entry) -> Endpoint:
    return entries.decode(entry, lambda text: codec.decode_endpoint(key, text))


def _not_found(key: EndpointKey) -> NotFound:
    return NotFound(f"endpoint {key.id} on host {key.host} does not exist", hint=_SHOW_HINT)
