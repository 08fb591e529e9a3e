"""Who carries which tag: kept up to date change by change, never counted anew.

member(tag) is every address of every endpoint, on all hosts, that lists at least one profile whose
tags contain the tag. An address is counted once for each profile and endpoint that makes it a
member, and stays one until the last of them is gone.

Addresses are texts here, as nft writes them.
"""

from collections.abc import Iterable, Mapping

from calico_ctl.model import address
from calico_ctl.model.address import FAMILIES, Family
from calico_ctl.model.endpoint import Endpoint, EndpointKey

Addresses = Mapping[Family, tuple[str, ...]]
_Users = tuple[tuple[str, ...], Addresses]
_Counts = dict[str, int]


class TagIndex:
    """Memberships of all tags, for a cluster that changes."""

    def __init__(self) -> None:
        """Start with nobody."""
        self._tags_of: dict[str, tuple[str, ...]] = {}
        self._endpoints: dict[EndpointKey, _Users] = {}
        self._users: dict[str, set[EndpointKey]] = {}
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
        before = self._endpoints.pop(key, None)
        if endpoint is not None:
            after = (endpoint.profiles, _addresses(endpoint))
            if before == after:
                self._endpoints[key] = after
                return
            self._endpoints[key] = after
            for profile in endpoint.profiles:
                self._users.setdefault(profile, set()).add(key)
                self._count(self._tags_of.get(profile, ()), after[1], 1)
        if before is not None:
            for profile in before[0]:
                if endpoint is None or profile not in endpoint.profiles:
                    self._users[profile].discard(key)
                self._count(self._tags_of.get(profile, ()), before[1], -1)

    def set_profile(self, profile: str, tags: Iterable[str]) -> None:
        """Take over the tags that a profile carries now."""
        before, after = self._tags_of.get(profile, ()), tuple(tags)
        self._tags_of[profile] = after
        gained = [tag for tag in after if tag not in before]
        lost = [tag for tag in before if tag not in after]
        for key in self._users.get(profile, ()):
            _, addresses = self._endpoints[key]
            self._count(gained, addresses, 1)
            self._count(lost, addresses, -1)

    def _count(self, tags: Iterable[str], addresses: Addresses, by: int) -> None:
        for tag in tags:
            for family, texts in addresses.items():
                counts = self._members[family].setdefault(tag, {})
                watched = self._watched.get((tag, family))
                for ip in texts:
                    count = counts.get(ip, 0)
                    if watched is not None:
                        watched.setdefault(ip, count > 0)
                    if count + by:
                        counts[ip] = count + by
                    else:
                        del counts[ip]


def _addresses(endpoint: Endpoint) -> Addresses:
    split: dict[Family, tuple[str, ...]] = {}
    for family in FAMILIES:
        texts = tuple(str(ip) for ip in endpoint.addresses if address.family(ip) == family)
        if texts:
            split[family] = texts
    return split
