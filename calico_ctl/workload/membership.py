"""Which profiles an endpoint has: the steps behind `profile append|remove|set`.

A change is for one endpoint, named in any way that leaves no doubt. What can be checked is checked
before the write, and the write starts over from what the endpoint has become if somebody else was
faster.
"""

from collections.abc import Callable

from calico_ctl.datastore import endpoints, profiles
from calico_ctl.datastore.store import Store
from calico_ctl.errors import Conflict, InvalidValue, NotFound
from calico_ctl.workload import which_endpoint
from calico_ctl.workload.platform import Platform
from calico_ctl.workload.which_endpoint import Filter

VERBS = ("append", "remove", "set")

Profiles = tuple[str, ...]


def change(platform: Platform, wanted: Filter, verb: str, names: Profiles) -> str:
    """Append, remove or set profiles of the one endpoint that matches; return what was done."""
    store = platform.store
    _require_usable(store, verb, names)
    endpoint = which_endpoint.find_one(platform, wanted)
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
