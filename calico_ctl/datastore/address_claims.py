"""Addresses that an owner gets together, in one write where the store can do that.

It is in the order that keeps what a crash leaves harmless: the handle of the owner, the hosts'
notes of blocks, the blocks, and then what whoever claims wants to have written with them.
"""

from collections.abc import Callable, Collection, Sequence
from random import Random

from netaddr import IPAddress, IPNetwork

from calico_ctl.datastore import blocks, handles
from calico_ctl.datastore.address_search import Choice, Scope, Search
from calico_ctl.datastore.store import Change, Put, Store
from calico_ctl.errors import (
    AlreadyExists,
    CalicoError,
    Conflict,
    DatastoreError,
    DatastoreUnavailable,
)
from calico_ctl.ipam import block
from calico_ctl.ipam.block import Owner
from calico_ctl.model import keys

Publish = Callable[[Sequence[IPAddress]], Sequence[Change]]
"""What is to be written with the claims, given the addresses; asked again before each try."""


class Claims:
    """What one owner wants, and how far that has come."""

    def __init__(
        self, store: Store, holder: Owner, scopes: Sequence[Scope], random: Random
    ) -> None:
        """Read and write nothing yet."""
        self._store = store
        self._owner, self._host = holder.id or "", holder.host or ""
        self._pending: dict[IPNetwork, Choice] = {}
        self._offers = [
            Search(store, holder, each, random, self._pending).choices() for each in scopes
        ]
        self._claimed: set[IPNetwork] = set()
        self._noted: set[IPNetwork] = set()
        self._knows_no_handle = True

    def take(self, publish: Publish) -> list[IPAddress]:
        """Claim and publish; return the addresses, in the order of what was wanted."""
        try:
            ips = self._take(publish)
        except DatastoreUnavailable:
            raise
        except CalicoError:
            self._correct_handle()
            raise
        self._correct_handle()
        return ips

    def _take(self, publish: Publish) -> list[IPAddress]:
        chosen: dict[int, Choice] = {}
        left = set(range(len(self._offers)))
        while True:
            self._pending.clear()
            for number in sorted(left):
                choice = chosen[number] = next(self._offers[number])
                self._pending[choice.cidr] = choice
            ips = [chosen[number].ip for number in sorted(chosen)]
            made: list[Change] = []
            published = publish(ips)
            try:
                self._write(published, made)
            except (AlreadyExists, Conflict):
                keys_made = {change.key for change in made}
                left = {each for each in left if not chosen[each].is_among(keys_made)}
                # With all claims there it was what is published with them.
                if not left and publish(ips) == published:
                    raise
            else:
                return ips

    def _write(self, published: Sequence[Change], made: list[Change]) -> None:
        changing = [each for each in self._pending.values() if each.changes]
        changes: list[Change] = []
        for each in changing:
            noting = [blocks.noting(self._store, self._host, each.cidr)] if each.joins else []
            changes += [*noting, Put(keys.block(each.cidr), block.encode(each.wanted), each.entry)]
        changes = [*self._handle(changing), *changes, *published]
        try:
            written = self._store.write_together(changes, made.append)
        except (AlreadyExists, Conflict, DatastoreError):
            self._settle(changing, {change.key for change in made})
            raise
        self._settle(changing, written.keys())
        for each in changing:
            if each.fills and each.wanted.host is not None:
                entry = written[keys.block(each.cidr)]
                note = written.get(keys.affinity(each.wanted.host, each.cidr), each.note)
                blocks.mark_full(self._store, each.wanted.host, each.cidr, entry, note)

    def _handle(self, changing: Sequence[Choice]) -> Sequence[Change]:
        """Return the change of the handle; the first time it is taken for an owner's first one."""
        counts = {each.cidr: each.wanted.count(self._owner) for each in changing}
        is_new = self._knows_no_handle and max(counts.values(), default=0) <= 1
        self._knows_no_handle = False
        return handles.changes(self._store, self._owner, counts, is_new=is_new)

    def _settle(self, changing: Sequence[Choice], written: Collection[str]) -> None:
        """Take in which keys were written, and look again at the notes that were."""
        for each in changing:
            if keys.block(each.cidr) in written:
                self._claimed.add(each.cidr)
            if keys.handle(self._owner) in written:
                self._noted.add(each.cidr)
            if keys.affinity(self._host, each.cidr) in written:
                blocks.correct_note(self._store, self._host, each.cidr)

    def _correct_handle(self) -> None:
        """Make the handle right again where somebody else was faster in the end."""
        for cidr in self._noted - self._claimed:
            found = blocks.get(self._store, cidr)
            count = 0 if found is None else found[0].count(self._owner)
            handles.note(self._store, self._owner, cidr, count)
