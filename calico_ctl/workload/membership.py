"""Which profiles an endpoint has: the steps behind `profile append|remove|set`.

A change is for one endpoint, named by as much of its key as makes it the only one. What can be
checked is checked before the write, and the write starts over from what the endpoint has become if
somebody else was faster.
"""

from collections.abc import Callable
from dataclasses import dataclass

from calico_ctl.datastore import endpoints, profiles
from calico_ctl.datastore.store import Store
from calico_ctl.errors import Conflict, InvalidValue, NotFound
from calico_ctl.model.endpoint import Endpoint

VERBS = ("append", "remove", "set")

Profiles = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Filter:
    """What is known of an endpoint; None matches every one."""

    host: str | None = None
    orchestrator: str | None = None
    workload: str | None = None
    endpoint: str | None = None

    def __str__(self) -> str:
        """Describe it for messages."""
        known = {
            "id": self.endpoint,
            "workload": self.workload,
            "orchestrator": self.orchestrator,
            "host": self.host,
        }
        return ", ".join(f"{name} {value}" for name, value in known.items() if value is not None)


def find(store: Store, wanted: Filter) -> endpoints.Found:
    """Return the endpoints that match, and beside them the keys there that cannot be read."""
    found, problems = endpoints.all(store, wanted.host, wanted.orchestrator, wanted.workload)
    if wanted.endpoint is None:
        return found, problems
    ending = f"/{wanted.endpoint}"
    return (
        [each for each in found if each.key.id == wanted.endpoint],
        [each for each in problems if each.key.endswith(ending)],
    )


def find_one(store: Store, wanted: Filter) -> Endpoint:
    """Return the only endpoint that matches; raise NotFound or Conflict otherwise."""
    found, problems = find(store, wanted)
    if len(found) == 1:
        return found[0]
    if found:
        where = ", ".join(f"{each.key.id} on host {each.key.host}" for each in found)
        raise Conflict(
            f"{len(found)} endpoints have {wanted}: {where}",
            hint="say which: `calicoctl endpoint <ENDPOINT_ID> profile ... --host=<HOSTNAME>`",
        )
    if problems:
        raise Conflict(f"the endpoint with {wanted} cannot be read: {problems[0].reason}")
    raise NotFound(
        f"there is no endpoint with {wanted}",
        hint="`calicoctl endpoint show --detailed` lists the endpoints",
    )


def change(store: Store, wanted: Filter, verb: str, names: Profiles) -> str:
    """Append, remove or set profiles of the one endpoint that matches; return what was done."""
    _require_usable(store, verb, names)
    endpoint = find_one(store, wanted)
    apply = _CHANGES[verb]
    endpoints.edit(
        store, endpoint.key, lambda seen: seen.with_profiles(apply(seen.profiles, names))
    )
    listed = ", ".join(names)
    match verb:
        case "append":
            return f"Profile(s) {listed} appended."
        case "remove":
            return f"Profile(s) {listed} removed."
        case _:
            return f"Profile(s) {listed} set." if names else "Removed all profiles from endpoint."


def append(present: Profiles, names: Profiles) -> Profiles:
    """Return the profiles with more at the end; one that is there already keeps its place."""
    return present + tuple(name for name in names if name not in present)


def remove(present: Profiles, names: Profiles) -> Profiles:
    """Return the profiles without some; raise Conflict if one is not there."""
    missing = [name for name in names if name not in present]
    if missing:
        raise Conflict(
            f"the endpoint does not have profile {', '.join(missing)}; nothing was changed"
        )
    return tuple(name for name in present if name not in names)


def replace(_present: Profiles, names: Profiles) -> Profiles:
    """Return exactly the profiles that are named."""
    return names


_CHANGES: dict[str, Callable[[Profiles, Profiles], Profiles]] = {
    "append": append,
    "remove": remove,
    "set": replace,
}


def _require_usable(store: Store, verb: str, names: Profiles) -> None:
    if not names and verb != "set":
        raise InvalidValue("list of profiles", "", f"at least one profile to {verb}")
    for name in names:
        if names.count(name) > 1:
            raise InvalidValue("list of profiles", " ".join(names), f"{name} only once")
    missing = [name for name in names if not profiles.exists(store, name)]
    # One may take away a profile that somebody deleted, but not give it.
    if missing and verb != "remove":
        raise NotFound(
            f"profile {missing[0]} does not exist",
            hint=f"make it first: `calicoctl profile add {missing[0]}`",
        )
