"""Where a claim may take an address from: what is asked for, and one block after the other.

A full pool has thousands of blocks and hosts, and every claim looks at all of them. So what is only
compared are numbers here, and nothing is read twice.

Never given out: what lies in no pool, and the addresses of the hosts themselves, which are the
gateways of containers. That of a BGP peer, often the hosts' own gateway, is nobody's by chance, nor
is the one of zeros in the hosts' IPv6 network; who asks for it by name may be that peer, in a
container. The first and the last address of a pool are given out like any other: each container
has a route of its own, so nothing is a network's or broadcast address.

A host is what the BGP directory knows as one (decision 23).
"""

import socket
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import islice
from random import Random

from netaddr import IPAddress, IPNetwork

from calico_ctl.datastore import blocks, entries, pools
from calico_ctl.datastore.store import Entry, Store
from calico_ctl.errors import Conflict, InvalidValue, NoSuchPool, PoolExhausted
from calico_ctl.ipam import block, choose
from calico_ctl.ipam.block import Block, Owner
from calico_ctl.model import address, keys
from calico_ctl.model.address import AddressRequest, AnyAddress, Family
from calico_ctl.model.pool import Pool

_SHOW_HINT = "`calicoctl pool show` lists the pools, `calicoctl pool add` adds one"
_ENABLE_HINT = "`calicoctl pool add` without --disabled enables a pool again"
_DISABLED_HINT = f"use another pool; {_ENABLE_HINT}"

_SUBNET = -1 << 64
"""Leaves of an address the part that names its subnet, whose own address each router answers for.

RFC 4291, 2.6.1 (subnet-router anycast); that subnets are of that length is in 2.5.4.
"""

_SOCKET: Mapping[Family, int] = {4: socket.AF_INET, 6: socket.AF_INET6}

_SAMPLES = 8
"""How many blocks of others are asked one by one before all are read at once."""

Reserved = Mapping[int, str | None]
"""The addresses of hosts as numbers, each with its host, and with None those of others."""


@dataclass(frozen=True, slots=True)
class Scope:
    """Which addresses may be claimed: all that are not reserved, of all pools or the one wanted.

    `pools` has the disabled ones too: a block is full only if they have no room in it either.
    """

    request: AddressRequest
    pools: Sequence[IPNetwork]
    wanted: Sequence[IPNetwork]
    reserved: Reserved


@dataclass(frozen=True, slots=True)
class Choice:
    """An address, in a block as it was read and as it is with the claim.

    `entry` is None for a block that is not there yet.
    """

    ip: IPAddress
    seen: Block
    entry: Entry | None
    wanted: Block

    fills: bool
    """Whether nothing is left in the block then."""

    note: Entry | None = None
    """The note of the host that prefers the block, if it was read."""

    @property
    def cidr(self) -> IPNetwork:
        """The block."""
        return self.seen.cidr

    @property
    def changes(self) -> bool:
        """Whether the claim was not there before."""
        return self.wanted is not self.seen

    @property
    def joins(self) -> bool:
        """Whether the block gets a host's preference with this claim."""
        return self.entry is None or self.seen.affinity != self.wanted.affinity

    def is_among(self, written: Collection[str]) -> bool:
        """Say whether it is claimed if those keys were written."""
        return not self.changes or keys.block(self.cidr) in written


_Pick = Callable[[Block], IPAddress | None]


class Search:
    """One search for an address. `pending` are choices that are to be written together with it."""

    def __init__(
        self,
        store: Store,
        holder: Owner,
        scope: Scope,
        random: Random,
        pending: Mapping[IPNetwork, Choice],
    ) -> None:
        """Read nothing yet."""
        self._store = store
        self._holder = holder
        self._host = holder.host or ""
        self._notes: blocks.Notes = {}
        self._scope = scope
        self._random = random
        self._pending = pending
        self._family: Family = address.family(scope.wanted[0])

    def choices(self) -> Iterator[Choice]:
        """Yield what may be claimed; the next one if somebody else was faster with it.

        That is in the same block again as long as it has room. Raises PoolExhausted at the end, or
        Conflict if the one address that is asked for is taken, or is a host's own.
        """
        request = self._scope.request
        if isinstance(request, IPAddress):
            require_not_reserved(request, self._scope)
            yield from self._in(block.cidr_of(request), lambda _: request)
        for step in (self._from_own, self._from_unclaimed, self._from_any):
            yield from step()
        raise _exhausted(self._scope, self._family)

    def _from_own(self) -> Iterator[Choice]:
        self._notes = blocks.notes(self._store, self._host, self._family)
        pending = [each.cidr for each in self._pending.values() if each.wanted.host == self._host]
        own = [*(keys.block(cidr) for cidr in pending), *_with_room(self._notes)]
        yield from self._in_each(self._wanted(own), self._free_in)

    def _from_unclaimed(self) -> Iterator[Choice]:
        self._notes = blocks.all_notes(self._store, self._family)
        kind = _SOCKET[self._family]
        firsts = (_number(key[key.rfind("/") + 1 : key.rfind("-")], kind) for key in self._notes)
        claimed = set(filter(None, firsts))
        unclaimed = choose.unclaimed(self._scope.wanted, claimed)
        yield from self._in_each(unclaimed, self._free_if_nobodys)

    def _from_any(self) -> Iterator[Choice]:
        known = choose.shuffled(_with_room(self._notes), self._random)
        yield from self._in_each(islice(self._wanted(known), _SAMPLES), self._free_in)
        listed = self._store.leaves(keys.blocks(self._family)).entries
        found = [key for key, (value, _) in listed.items() if self._has_room(key, value)]
        shuffled = choose.shuffled(found, self._random)
        yield from self._in_each(self._wanted(shuffled), self._free_in)

    def _wanted(self, listed: Iterable[str]) -> Iterator[IPNetwork]:
        return choose.within(blocks.cidrs_of(listed), self._scope.wanted)

    def _in_each(self, cidrs: Iterable[IPNetwork], pick: _Pick) -> Iterator[Choice]:
        """Yield choices in these blocks, but for those that cannot be read."""
        for cidr in cidrs:
            with suppress(InvalidValue):
                yield from self._in(cidr, pick)

    def _in(self, cidr: IPNetwork, pick: _Pick) -> Iterator[Choice]:
        """Yield what `pick` chooses in a block, as long as it chooses something."""
        for _ in range(entries.ATTEMPTS):
            before = self._pending.get(cidr) or self._read(cidr)
            ip = pick(before.wanted)
            if ip is None:
                self._mark_if_full(before)
                return
            wanted = before.wanted
            if wanted.owner(ip) != self._holder:
                wanted = wanted.claim(ip, self._holder).preferred_by(self._host)
            yield replace(before, ip=ip, wanted=wanted, fills=self._is_full(wanted))
        raise entries.gave_up(keys.block(cidr))

    def _read(self, cidr: IPNetwork) -> Choice:
        """Return a block of which nothing is chosen yet; an empty one if it is not there."""
        found = blocks.get(self._store, cidr)
        seen, entry = (block.empty(cidr, self._host), None) if found is None else found
        nobody = IPAddress(cidr.first, cidr.version)
        return Choice(nobody, seen, entry, seen, fills=False, note=self._note(seen))

    def _note(self, seen: Block) -> Entry | None:
        """Return the note of the host that prefers a block, as far as notes were read."""
        key = keys.affinity(seen.host or "", seen.cidr)
        return Entry(key, *self._notes[key]) if key in self._notes else None

    def _mark_if_full(self, read: Choice) -> None:
        host = read.seen.host
        if read.entry and host is not None and not read.changes and self._is_full(read.seen):
            blocks.mark_full(self._store, host, read.cidr, read.entry, read.note)

    def _is_full(self, seen: Block) -> bool:
        return seen.free(self._scope.pools, self._scope.reserved) is None

    def _free_in(self, seen: Block) -> IPAddress | None:
        return seen.free(self._scope.wanted, self._scope.reserved)

    def _free_if_nobodys(self, seen: Block) -> IPAddress | None:
        """Return a free address of a block that no other host prefers.

        If one does though it has no note, its note is made up for, lest everybody asks for it.
        """
        if seen.host in {None, self._host}:
            return self._free_in(seen)
        blocks.correct_note(self._store, seen.host or "", seen.cidr)
        return None

    def _has_room(self, key: str, value: str) -> bool:
        with suppress(InvalidValue):
            cidr = keys.parse_cidr_segment(key.rpartition("/")[2])
            return self._free_in(block.decode(cidr, value)) is not None
        return False


def scope(store: Store, request: AddressRequest, *, also_disabled: bool = False) -> Scope:
    """Return what a request may get. Raises NoSuchPool."""
    return scopes(store, [request], also_disabled=also_disabled)[0]


def scopes(
    store: Store, requests: Sequence[AddressRequest], *, also_disabled: bool = False
) -> list[Scope]:
    """Return what each request may get; what they all need is read once. Raises NoSuchPool."""
    families = [address.wanted_family(request) for request in requests]
    known = {family: pools.all(store, family) for family in dict.fromkeys(families)}
    bgp = store.leaves(keys.BGP).entries
    found = []
    for request, family in zip(requests, families, strict=True):
        live = known[family]
        giving = [pool for pool in live if also_disabled or not pool.disabled]
        wanted = _wanted(request, live, giving)
        found.append(Scope(request, [pool.cidr for pool in live], wanted, _reserved(bgp, family)))
    return found


def require_not_reserved(ip: IPAddress, within: Scope) -> None:
    """Raise Conflict if an address is a host's own."""
    host = within.reserved.get(int(ip))
    if host is not None:
        message = f"address {ip} is the address of host {host}"
        raise Conflict(message, hint="choose another one, or 'ipv4'/'ipv6' for any free one")


def _exhausted(scope: Scope, family: Family) -> PoolExhausted:
    """Return the error for a search that found nothing; name pools left out as disabled."""
    if not isinstance(scope.request, AnyAddress):
        return PoolExhausted(f"no free address is left in {scope.request}", hint=_SHOW_HINT)
    disabled = sorted({*scope.pools} - {*scope.wanted})
    hint = f"not searched, because disabled: {', '.join(map(str, disabled))}; {_ENABLE_HINT}"
    what = f"no free address is left in any IPv{family} pool"
    return PoolExhausted(what, hint=hint if disabled else _SHOW_HINT)


def _with_room(notes: blocks.Notes) -> list[str]:
    return [key for key, (value, _) in notes.items() if value != blocks.FULL]


def reserved(store: Store, family: Family) -> Reserved:
    """Return the addresses that are no container's by chance."""
    return _reserved(store.leaves(keys.BGP).entries, family)


def _reserved(bgp: Mapping[str, tuple[str, int]], family: Family) -> Reserved:
    kind = _SOCKET[family]
    host_leaf, peers = f"ip_addr_v{family}", {f"peer_v{family}", f"rr_v{family}"}
    hosts: dict[int, str | None] = {}
    others: dict[int, str | None] = {}
    for key, (value, _) in bgp.items():
        _, parent, leaf = key.rsplit("/", 2)
        if leaf == host_leaf and (number := _number(value, kind)):
            hosts[number] = parent
        elif parent in peers and (number := _number(leaf, kind)):
            others[number] = None
    if family == 6:
        others |= dict.fromkeys(number & _SUBNET for number in hosts)
    return others | hosts


def _number(text: str, kind: int) -> int:
    """Return an address as a number, or 0 for what is no address of that kind of sockets.

    It takes a twentieth of the time that netaddr takes.
    """
    try:
        return int.from_bytes(socket.inet_pton(kind, text))
    except (OSError, ValueError):
        return 0


def _wanted(request: AddressRequest, live: list[Pool], giving: list[Pool]) -> list[IPNetwork]:
    """Return the networks to search; `giving` are those of the live pools that give addresses."""
    if isinstance(request, AnyAddress):
        if not giving:
            family = address.wanted_family(request)
            raise NoSuchPool(
                f"all IPv{family} pools are disabled" if live else f"there is no IPv{family} pool",
                hint=_SHOW_HINT,
            )
        return [pool.cidr for pool in giving]
    pool = _pool_of(request, live)
    if pool not in giving:
        raise NoSuchPool(f"pool {pool.cidr} is disabled: it gives no addresses", _DISABLED_HINT)
    return [pool.cidr]


def _pool_of(request: IPNetwork | IPAddress, live: list[Pool]) -> Pool:
    """Return the pool that is asked for, or that has the address asked for."""
    if isinstance(request, IPNetwork):
        pool = next((each for each in live if each.cidr == request), None)
        problem = f"{request} is not a configured pool"
    else:
        pool = pools.containing(live, request)
        problem = f"address {request} is in no configured pool"
    if pool is None:
        raise NoSuchPool(problem, hint=_SHOW_HINT)
    return pool
