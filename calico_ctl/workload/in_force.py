"""The policy that etcd holds, as the agents of all hosts read it; and as it would be after `apply`.

Also whether the agents keep up with it.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence

from calico_ctl.datastore import status
from calico_ctl.datastore.store import Store
from calico_ctl.model import codec, keys
from calico_ctl.model.address import FAMILIES
from calico_ctl.model.manifest import Stated
from calico_ctl.model.pool import Pool
from calico_ctl.model.profile import Profile
from calico_ctl.workload import manifest_plan, manifests

Entries = dict[str, tuple[str, int]]
"""Key → value and revision, as agents begin with."""


def entries(store: Store) -> Entries:
    """Read all that policy is made of.

    The parts are read one after the other, so a change in between may be seen in one of them only.
    """
    found: Entries = {}
    for directory in (
        keys.PROFILES,
        keys.HOSTS,
        keys.GLOBAL_CONFIG,
        *(keys.pools(family) for family in FAMILIES),
    ):
        for each in store.tree(directory).entries:
            if each.value is not None:
                found[each.key] = each.value, each.revision
    ready = store.get(keys.READY)
    if ready is not None and ready.value is not None:
        found[keys.READY] = ready.value, ready.revision
    return found


def applied(store: Store, known: Entries, stated: Sequence[Stated]) -> Entries:
    """Return what etcd would hold after `apply`; raise what that would raise, and write nothing."""
    there, _ = manifests.present(store)
    changed = dict(known)
    for step in manifest_plan.plan(there, stated):
        for key, value in _keys(step.wanted):
            changed[key] = value, 0
    return changed


def _keys(thing: Profile | Pool) -> Iterator[tuple[str, str]]:
    if isinstance(thing, Pool):
        yield keys.pool(thing.cidr), codec.encode_pool(thing)
        return
    yield keys.profile_tags(thing.name), codec.encode_tags(thing.tags)
    yield keys.profile_rules(thing.name), codec.encode_rules(thing.rules)


def doubts(store: Store, known: Mapping[str, tuple[str, int]], hosts: Iterable[str]) -> list[str]:
    """Say why hosts may enforce something else than what etcd holds; nothing if they keep up."""
    found = []
    if known.get(keys.READY, ("", 0))[0] != "true":
        found.append(f"{keys.READY} is not true in etcd, so agents change nothing")
    for host in dict.fromkeys(hosts):
        agent = status.read_agent(store, host)
        if agent is None:
            found.append(f"the policy agent of {host} does not report: it may enforce older rules")
        elif agent.trouble:
            found.append(f"the policy agent of {host} is in trouble: {agent.trouble}")
    return found
