"""What has to be written so that etcd holds what manifests state, and in which order.

A plan decides and writes nothing; `workload.manifests` carries it out. Over etcd's v3 API all of it
is one change (of more than some twenty profiles, several). Over v2 keys change one at a time, so
others see states between the old policy and the new one. The order keeps those from allowing what
neither does (docs/decisions/0018-manifests.md says how far that goes):

1. tags that are taken away,
2. rules: first those of profiles that allow nothing new, then the others,
3. tags that are given.

A tag that only deny rules ask about closes when it is given, and opens when it is taken away: it
comes before the rules, and goes after them.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from enum import StrEnum

from calico_ctl.datastore import pools
from calico_ctl.datastore.profiles import Write as Write  # noqa: PLC0414 - it is what is planned
from calico_ctl.errors import AlreadyExists
from calico_ctl.model import keys, manifest
from calico_ctl.model.manifest import Stated
from calico_ctl.model.pool import Pool
from calico_ctl.model.profile import Profile, Tags
from calico_ctl.model.rule import Action, Rule, Rules


class Outcome(StrEnum):
    """What becomes of a thing."""

    CREATED = "created"
    CHANGED = "changed"
    UNCHANGED = "unchanged"


@dataclass(frozen=True, slots=True)
class Present:
    """What etcd holds: profiles by name, pools, and the keys that nobody can read."""

    profiles: Mapping[str, Profile]
    pools: Sequence[Pool]
    unreadable: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Step:
    """One thing, as it is (None: not there, or not readable) and as it shall be."""

    wanted: Profile | Pool
    present: Profile | Pool | None
    outcome: Outcome
    place: str

    def __str__(self) -> str:
        return f"{' '.join(manifest.identity(self.wanted))} {self.outcome}"


def plan(present: Present, stated: Sequence[Stated]) -> list[Step]:
    """Return a step for each thing stated, pools first.

    Raises Conflict for a pool that overlaps one that is there, AlreadyExists for one that is there
    with other options, or cannot be read.
    """
    steps = [_step(present, each) for each in stated]
    return sorted(steps, key=lambda step: isinstance(step.wanted, Profile))


def writes(present: Present, steps: Sequence[Step]) -> list[Write]:
    """Return the writes that carry out the steps about profiles, in their order."""
    changes = [
        _Change(step.wanted, step.present if isinstance(step.present, Profile) else None, step)
        for step in steps
        if isinstance(step.wanted, Profile) and step.outcome is not Outcome.UNCHANGED
    ]
    only_denied = _only_denied(present, [each.wanted for each in changes])
    made = [Write(each.wanted.name) for each in changes if each.old is None]
    made += [
        Write(each.wanted.name, tags=each.tags_before(only_denied))
        for each in changes
        if each.writes_tags_before(only_denied)
    ]
    made += [
        Write(each.wanted.name, rules=each.wanted.rules)
        for each in sorted(changes, key=_Change.allows_more)
        if each.old is None or each.wanted.rules != each.old.rules
    ]
    made += [
        Write(each.wanted.name, tags=each.wanted.tags)
        for each in changes
        if each.writes_tags_after(only_denied)
    ]
    return made


@dataclass(frozen=True, slots=True)
class _Change:
    """A profile as it shall be, and as it is; `old` is None for a new or an unreadable one."""

    wanted: Profile
    old: Profile | None
    step: Step

    def tags_before(self, only_denied: Set[str]) -> Tags:
        """Return the tags that the profile has while rules are written."""
        old, new = self.old.tags if self.old else (), self.wanted.tags
        staying = [tag for tag in old if tag in new or tag in only_denied]
        closing = [tag for tag in new if tag not in old and tag in only_denied]
        return (*staying, *closing)

    def writes_tags_before(self, only_denied: Set[str]) -> bool:
        first = self.tags_before(only_denied)
        if self.old is not None:
            return first != self.old.tags
        # Nobody knows which tags an unreadable profile has; a new one has none anyway.
        return bool(first) or self.step.outcome is Outcome.CHANGED

    def writes_tags_after(self, only_denied: Set[str]) -> bool:
        first = self.tags_before(only_denied)
        is_bare = self.step.outcome is Outcome.CREATED and not first
        return is_bare or set(first) != set(self.wanted.tags)

    def allows_more(self) -> bool:
        before = set() if self.old is None else _allowing(self.old.rules)
        return not _allowing(self.wanted.rules) <= before


def _step(present: Present, stated: Stated) -> Step:
    wanted = stated.thing
    if isinstance(wanted, Pool):
        old = manifest.located(stated.place, _same_pool, present, wanted)
        return Step(wanted, old, _pool_outcome(old, wanted), stated.place)
    return Step(
        wanted, present.profiles.get(wanted.name), _profile_outcome(present, wanted), stated.place
    )


def _pool_outcome(old: Pool | None, wanted: Pool) -> Outcome:
    if old is None:
        return Outcome.CREATED
    return Outcome.UNCHANGED if old.disabled == wanted.disabled else Outcome.CHANGED


def _profile_outcome(present: Present, wanted: Profile) -> Outcome:
    if keys.profile(wanted.name) in present.unreadable:
        return Outcome.CHANGED
    old = present.profiles.get(wanted.name)
    if old is None:
        return Outcome.CREATED
    same = set(old.tags) == set(wanted.tags) and old.rules == wanted.rules
    return Outcome.UNCHANGED if same else Outcome.CHANGED


def _same_pool(present: Present, wanted: Pool) -> Pool | None:
    if keys.pool(wanted.cidr) in present.unreadable:
        raise AlreadyExists(
            f"pool {wanted.cidr} exists already, but its value cannot be read",
            hint=f"remove it first: `calicoctl pool remove {wanted.cidr}`",
        )
    for other in present.pools:
        if other.cidr == wanted.cidr:
            if other.options != wanted.options:
                raise pools.has_other_options(other)
            return other
        if other.overlaps(wanted.cidr):
            raise pools.overlap(wanted, other)
    return None


def _only_denied(present: Present, wanted: Iterable[Profile]) -> set[str]:
    """Return the tags that deny rules ask about, and no allow rule, neither before nor after."""
    rules = [rule for each in (*present.profiles.values(), *wanted) for rule in _all(each.rules)]
    asked = {action: set(_tags_asked(rules, action)) for action in Action}
    return asked[Action.DENY] - asked[Action.ALLOW]


def _tags_asked(rules: Iterable[Rule], action: Action) -> Iterator[str]:
    for rule in rules:
        if rule.action is action:
            yield from (tag for tag in (rule.src_tag, rule.dst_tag) if tag)


def _allowing(rules: Rules) -> set[tuple[str, Rule]]:
    lists = (("inbound", rules.inbound), ("outbound", rules.outbound))
    return {(name, rule) for name, each in lists for rule in each if rule.action is Action.ALLOW}


def _all(rules: Rules) -> tuple[Rule, ...]:
    return rules.inbound + rules.outbound
