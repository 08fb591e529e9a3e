"""Who carries which tag: kept up to date change by change, never counted anew.

member(tag) is every address of every endpoint, on all hosts, that lists at least one profile whose
tags contain the tag. An address is counted once for each profile and endpoint that makes it a
member, and stays one until the last of them is gone.

Addresses are texts here, as nft writes them.
"""

import itertools
from collections.abc import Collection, Iterable, Iterator, Mapping

from calico_ctl.model import address
from calico_ctl.model.address import FAMILIES, Family
from calico_ctl.model.endpoint import Endpoint, EndpointKey

Addresses = Mapping[Family, tuple[str, ...]]
_Counts = dict[str, int]

_NOBODY: tuple[tuple[str, ...], Addresses] = ((), {})


class TagIndex:
    """Memberships of all tags, for a cluster that changes."""

    def __init__(self) -> None:
        """Start with nobody."""
        self._tags_of: dict[str, tuple[str, ...]] = {}
        self._endpoints: dict[EndpointKey, tuple[tuple[str, ...], Addresses]] = {}
        self._users: dict[str, dict[EndpointKey, Addresses]] = {}
        self._members: dict[Family, dict[str, _Counts]] = {family: {} for family in FAMILIES}
        self._watched: dict[tuple[str, Family], dict[str, bool]] = {}

    def members(self, tag: str, family: Family) -> frozenset[str]:
        """Return the addresses of one family that carry the tag."""
        return frozenset(self._members[family].get(tag, ()))

    def carries(self, tag: str, ip: str, family: Family) -> bool:
        """Say whether an address carries the tag."""
        return ip in self._members[family].get(tag, ())

    def watch(self, tag: str) -> None:
        """From now on, tell what becomes of the tag in `changes`."""
        for family in FAMILIES:
            self._watched[tag, family] = {}

    def watches(self, tag: str) -> bool:
        """Say whether changes of the tag are told."""
        return (tag, 4) in self._watched

    def forget(self, tag: str) -> None:
        """Stop telling about the tag."""
        for family in FAMILIES:
            del self._watched[tag, family]

    def changes(self) -> dict[tuple[str, Family], tuple[frozenset[str], frozenset[str]]]:
        """Return who left and who joined each watched tag since `watch` or the last call.

        Tags without a change are left out.
        """
        told = {}
        for (tag, family), before in self._watched.items():
            if not before:
                continue
            now = self._members[family].get(tag, {})
            left = frozenset(ip for ip, was in before.items() if was and ip not in now)
            joined = frozenset(ip for ip, was in before.items() if not was and ip in now)
            if left or joined:
                told[tag, family] = (left, joined)
            self._watched[tag, family] = {}
        return told

    def set_endpoint(self, key: EndpointKey, endpoint: Endpoint | None) -> None:
        """Take over an endpoint as it is now (None: it is gone or unreadable)."""
        profiles, addresses = self._endpoints.pop(key, _NOBODY)
        new_profiles, new_addresses = _NOBODY
        if endpoint is not None:
            new_profiles, new_addresses = endpoint.profiles, _addresses(endpoint)
            self._endpoints[key] = new_profiles, new_addresses
        if (profiles, addresses) == (new_profiles, new_addresses):
            return
        for profile in new_profiles:
            self._users.setdefault(profile, {})[key] = new_addresses
            self._count(self._tags_of.get(profile, ()), [new_addresses], 1)
        for profile in profiles:
            if profile not in new_profiles:
                del self._users[profile][key]
            self._count(self._tags_of.get(profile, ()), [addresses], -1)

    def set_profile(self, profile: str, tags: Iterable[str]) -> None:
        """Take over the tags that a profile carries now."""
        before, after = self._tags_of.get(profile, ()), tuple(tags)
        self._tags_of[profile] = after
        users = self._users.get(profile, {}).values()
        self._count([tag for tag in after if tag not in before], users, 1)
        self._count([tag for tag in before if tag not in after], users, -1)

    def _count(self, tags: Iterable[str], owners: Collection[Addresses], by: int) -> None:
        for tag in tags:
            for family in FAMILIES:
                counts = self._members[family].setdefault(tag, {})
                watched = self._watched.get((tag, family))
                for ip in _of_family(owners, family):
                    count = counts.get(ip, 0)
                    if watched is not None:
                        watched.setdefault(ip, count > 0)
                    if count + by:
                        counts[ip] = count + by
                    else:
                        del counts[ip]


def _of_family(owners: Iterable[Addresses], family: Family) -> Iterator[str]:
    return itertools.chain.from_iterable(each.get(family, ()) for each in owners)


def _addresses(endpoint: Endpoint) -> Addresses:
    split: dict[Family, tuple[str, ...]] = {}
    for family in FAMILIES:
        texts = tuple(str(ip) for ip in endpoint.addresses if address.family(ip) == family)
        if texts:
            split[family] = texts
    return split
