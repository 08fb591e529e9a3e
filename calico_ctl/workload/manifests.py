"""Profiles and pools of manifests, held against etcd and written to it."""

from collections import Counter
from collections.abc import Callable, Sequence

from calico_ctl.datastore import config, pools, profiles
from calico_ctl.datastore.entries import Problem
from calico_ctl.datastore.profiles import Write
from calico_ctl.datastore.store import Store
from calico_ctl.errors import AlreadyExists, CalicoError
from calico_ctl.model import manifest
from calico_ctl.model.pool import Pool
from calico_ctl.model.profile import Profile
from calico_ctl.workload import manifest_plan
from calico_ctl.workload.manifest_plan import Outcome, Present, Step


def present(store: Store) -> tuple[Present, list[Problem]]:
    """Return what etcd holds, and beside it what of that cannot be used."""
    found_pools, pool_problems = pools.read(store)
    found_profiles, profile_problems = profiles.all(store)
    problems = pool_problems + profile_problems
    by_name = {each.name: each for each in found_profiles}
    return Present(by_name, found_pools, frozenset(each.key for each in problems)), problems


def carry_out(
    store: Store, there: Present, steps: Sequence[Step], done: Callable[[Step], None]
) -> None:
    """Write what the steps say; call `done` for each one that is finished.

    Every write is compare-and-swap; those of profiles are made together where the store can do
    that. Raises CalicoError that says which things are not finished;
    planning and carrying out again finishes them.
    """
    left = {manifest.identity(step.wanted): step for step in steps}

    def finish(step: Step) -> None:
        done(left.pop(manifest.identity(step.wanted)))

    try:
        _write_pools(store, steps, finish)
        _write_profiles(store, there, steps, finish)
    except CalicoError as error:
        unfinished = ", ".join(" ".join(name) for name in left)
        raise CalicoError(
            f"not finished: {unfinished}: {error.message}",
            hint="the same command again goes on from here",
        ) from error


def _write_pools(store: Store, steps: Sequence[Step], finish: Callable[[Step], None]) -> None:
    for step in steps:
        if not isinstance(step.wanted, Pool):
            continue
        # Before the pool: should we be stopped between the two, a second run makes both.
        if step.wanted.ipip and step.outcome is Outcome.CREATED:
            config.set(store, "IpInIpEnabled", "true")
        _create_pool(store, step.wanted)
        pools.disable(store, step.wanted.cidr, step.wanted.disabled)
        finish(step)


def _create_pool(store: Store, pool: Pool) -> None:
    try:
        pools.create(store, pool)
    except AlreadyExists:
        # Somebody else was faster by a moment. The second look sees whether they made the same.
        pools.create(store, pool)


def _write_profiles(
    store: Store, there: Present, steps: Sequence[Step], finish: Callable[[Step], None]
) -> None:
    of_profiles = {step.wanted.name: step for step in steps if isinstance(step.wanted, Profile)}
    writes = manifest_plan.writes(there, steps)
    left = Counter(write.profile for write in writes)
    for name, step in of_profiles.items():
        if not left[name]:
            finish(step)

    def done(write: Write) -> None:
        left[write.profile] -= 1
        if not left[write.profile]:
            finish(of_profiles[write.profile])

    profiles.write(store, writes, done)
