"""Who carries which tag: kept up to date change by change, never counted anew.

member(tag) is every address of every endpoint, on all hosts, that lists at least one profile whose
tags contain the tag. An address is counted once for each profile and endpoint that makes it a
member, and stays one until the last of them is gone.

Only tags that somebody watches are counted: a host asks about few of a cluster's tags. Addresses
are texts here, as nft writes them.
"""

import itertools
from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field
from operator import attrgetter

from calico_ctl.model.address import FAMILIES, Family
from calico_ctl.model.endpoint import EndpointKey, Membership

_NOBODY = Membership()


@dataclass(slots=True)
class _Watched:
    """A tag's addresses of one family.

    `counts` says how often each is a member; `before` whether those whose count changed since the
    last telling were members then.
    """

    counts: dict[str, int] = field(default_factory=dict)
    before: dict[str, bool] = field(default_factory=dict)


class TagIndex:
    """Who has which profile, which profile carries which tag, and the members of watched tags."""

    def __init__(self) -> None:
        """Start with nobody."""
        self._tags_of: dict[str, tuple[str, ...]] = {}
        self._carriers: dict[str, set[str]] = {}
        self._members: dict[EndpointKey, Membership] = {}
        self._users: dict[str, dict[EndpointKey, Membership]] = {}
        self._watched: dict[tuple[str, Family], _Watched] = {}

    def members(self, tag: str, family: Family) -> frozenset[str]:
        """Return the addresses of one family that carry a tag."""
        watched = self._watched.get((tag, family))
        return frozenset(
            _of_family(self._owners(tag), family) if watched is None else watched.counts
        )

    def carries(self, tag: str, ip: str, family: Family) -> bool:
        """Say whether an address carries a tag; quick for a watched one."""
        watched = self._watched.get((tag, family))
        return ip in (_of_family(self._owners(tag), family) if watched is None else watched.counts)

    def watches(self, tag: str) -> bool:
        """Say whether a tag is watched."""
        return (tag, 4) in self._watched

    def watch(self, tag: str) -> None:
        """Count who carries a tag, and from now on tell in `changes` what becomes of it."""
        owners = list(self._owners(tag))
        for family in FAMILIES:
            counts = dict(Counter(_of_family(owners, family)))
            self._watched[tag, family] = _Watched(counts)

    def forget(self, tag: str) -> None:
        """Stop watching a tag."""
        for family in FAMILIES:
            del self._watched[tag, family]

    def changes(self) -> dict[tuple[str, Family], tuple[frozenset[str], frozenset[str]]]:
        """Return who left and who joined each watched tag since `watch` or the last call.

        Tags without a change are left out.
        """
        told = {}
        for key, watched in self._watched.items():
            if not watched.before:
                continue
            now, before = watched.counts, watched.before
            left = frozenset(ip for ip, was in before.items() if was and ip not in now)
            joined = frozenset(ip for ip, was in before.items() if not was and ip in now)
            if left or joined:
                told[key] = (left, joined)
            watched.before = {}
        return told

    def set_endpoint(self, key: EndpointKey, member: Membership | None) -> None:
        """Take over an endpoint as it is now (None: it is gone or unreadable)."""
        before, after = self._members.pop(key, _NOBODY), member or _NOBODY
        if member is not None:
            self._members[key] = member
        if before == after:
            return
        for profile in after.profiles:
            self._users.setdefault(profile, {})[key] = after
            self._count(self._tags_of.get(profile, ()), [after], 1)
        for profile in before.profiles:
            if profile not in after.profiles:
                del self._users[profile][key]
            self._count(self._tags_of.get(profile, ()), [before], -1)

    def set_profile(self, profile: str, tags: Iterable[str]) -> None:
        """Take over the tags that a profile carries now."""
        before, after = self._tags_of.get(profile, ()), tuple(tags)
        self._tags_of[profile] = after
        for tag in before:
            self._carriers[tag].discard(profile)
        for tag in after:
            self._carriers.setdefault(tag, set()).add(profile)
        users = self._users.get(profile, {}).values()
        self._count([tag for tag in after if tag not in before], users, 1)
        self._count([tag for tag in before if tag not in after], users, -1)

    def _owners(self, tag: str) -> Iterator[Membership]:
        """Give every endpoint once for each of its profiles with the tag."""
        for profile in self._carriers.get(tag, ()):
            yield from self._users.get(profile, {}).values()

    def _count(self, tags: Iterable[str], owners: Collection[Membership], by: int) -> None:
        for tag in tags:
            for family in FAMILIES:
                watched = self._watched.get((tag, family))
                if watched is None:
                    break
                counts, before = watched.counts, watched.before
                for ip in _of_family(owners, family):
                    count = counts.get(ip, 0)
                    before.setdefault(ip, count > 0)
                    if count + by:
                        counts[ip] = count + by
                    else:
                        del counts[ip]


def _of_family(owners: Iterable[Membership], family: Family) -> Iterator[str]:
    addresses = attrgetter("ipv4" if family == 4 else "ipv6")
    return itertools.chain.from_iterable(map(addresses, owners))
