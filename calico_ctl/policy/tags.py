"""Who carries which tag: kept up to date change by change, never counted anew.

member(tag) is every address of every endpoint, on all hosts, that lists at least one profile whose
tags contain the tag. An address stays a member until its last owner is gone, so each is counted.
"""

from collections import Counter
from collections.abc import Iterable

from netaddr import IPAddress

from calico_ctl.model import address
from calico_ctl.model.address import Family
from calico_ctl.model.endpoint import Endpoint, EndpointKey


class TagIndex:
    """Memberships of all tags, for a snapshot that changes."""

    def __init__(self) -> None:
        """Start with nobody."""
        self._tags_of: dict[str, tuple[str, ...]] = {}
        self._endpoints: dict[EndpointKey, Endpoint] = {}
        self._users: dict[str, set[EndpointKey]] = {}
        self._members: dict[str, Counter[IPAddress]] = {}

    def members(self, tag: str, family: Family) -> frozenset[IPAddress]:
        """Return the addresses of one family that carry the tag."""
        counted = self._members.get(tag, ())
        return frozenset(ip for ip in counted if address.family(ip) == family)

    def set_endpoint(self, key: EndpointKey, endpoint: Endpoint | None) -> None:
        """Take over an endpoint as it is now (None: it is gone or unreadable)."""
        before = self._endpoints.pop(key, None)
        if before is not None:
            self._count(before, -1)
            for profile in before.profiles:
                self._users[profile].discard(key)
        if endpoint is not None:
            self._endpoints[key] = endpoint
            for profile in endpoint.profiles:
                self._users.setdefault(profile, set()).add(key)
            self._count(endpoint, 1)

    def set_profile(self, profile: str, tags: Iterable[str]) -> None:
        """Take over the tags that a profile carries now."""
        users = [self._endpoints[key] for key in self._users.get(profile, ())]
        for endpoint in users:
            self._count(endpoint, -1)
        self._tags_of[profile] = tuple(tags)
        for endpoint in users:
            self._count(endpoint, 1)

    def _count(self, endpoint: Endpoint, by: int) -> None:
        tags = {tag for name in endpoint.profiles for tag in self._tags_of.get(name, ())}
        for tag in tags:
            counted = self._members.setdefault(tag, Counter())
            for ip in endpoint.addresses:
                counted[ip] += by
                if not counted[ip]:
                    del counted[ip]
