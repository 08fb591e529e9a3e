"""IPAM: the compare-and-swap loop around `ipam`.

A claim lives in its block, so it is there or not there; what stands beside it (the handle of its
owner, the host's note of the block) is an index that is never too small. A new block is written
with its first address already taken, so a claim that fails leaves no block behind, and one whose
last address is given back goes.

A full pool has thousands of blocks and hosts, and every claim looks at all of them. So what is only
compared are numbers here, and nothing is read twice.

Never given out: what lies in no pool, and the addresses of the hosts themselves, which are the
gateways of containers. The first and the last address of a pool are given out like any other: each
container has a route of its own, so nothing is a network's or broadcast address.
"""

import socket
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from itertools import islice
from random import Random

from netaddr import IPAddress, IPNetwork

from calico_ctl.datastore import blocks, endpoints, entries, handles, pools
from calico_ctl.datastore.store import Entry, Store
from calico_ctl.errors import Conflict, DatastoreError, InvalidValue, NoSuchPool, PoolExhausted
from calico_ctl.ipam import block, choose
from calico_ctl.ipam.block import Block, Owner
from calico_ctl.model import address, keys
from calico_ctl.model.address import FAMILIES, AddressRequest, AnyAddress, Family
from calico_ctl.model.pool import Pool

_SHOW_HINT = "`calicoctl pool show` lists the pools, `calicoctl pool add` adds one"
_DISABLED_HINT = "use another pool; `calicoctl pool add` without --disabled enables it again"

_SAMPLES = 8
"""How many blocks of others are asked one by one before all are read at once."""

_Reserved = Mapping[int, str]
"""The hosts' own addresses as numbers, each with its host."""


@dataclass(frozen=True, slots=True)
class _Scope:
    """Which addresses may be claimed: all that are not reserved, of all pools or the one wanted.

    `pools` has the disabled ones too: a block is full only if they have no room in it either.
    """

    pools: Sequence[IPNetwork]
    wanted: Sequence[IPNetwork]
    reserved: _Reserved


_Pick = Callable[[Block], IPAddress | None]


def claim(
    store: Store,
    hostname: str,
    request: AddressRequest,
    owner: str,
    random: Random,
    *,
    also_disabled: bool = False,
) -> IPAddress:
    """Take an address for an owner (an endpoint's id) on a host; return it.

    Taking the same address for the same owner again is no error. Disabled pools give none, unless
    `also_disabled`: then it is claimed for somebody who has it already. Raises NoSuchPool,
    PoolExhausted, or Conflict if the address asked for is taken, or is a host's own.
    """
    holder = Owner(owner, {"host": hostname})
    search = _Search(store, holder, _scope(store, request, also_disabled=also_disabled), random)
    if isinstance(request, IPAddress):
        return search.claim_this(request)
    return search.claim(str(request))


def require_free(store: Store, request: AddressRequest) -> None:
    """Raise what `claim` would raise at once: NoSuchPool, or Conflict if an address is taken.

    Takes nothing; that a pool has room is not looked for.
    """
    scope = _scope(store, request)
    if not isinstance(request, IPAddress):
        return
    _require_not_reserved(request, scope.reserved)
    owner = assigned(store, request)
    if owner is not None:
        raise block.taken(request, owner)


def release(store: Store, ip: IPAddress, owner: str | None) -> bool:
    """Free an address if that owner, or for None anybody, has it; say whether it did."""
    return _free(store, block.cidr_of(ip), lambda seen: seen.release(ip, owner))


def release_all(store: Store, owner: str) -> bool:
    """Free every address that an owner has; say whether it had any."""
    known = handles.get(store, owner)
    in_blocks = _mentioning(store, owner) if known is None else list(known.counts)
    freed = False
    for cidr in in_blocks:
        freed |= _free(store, cidr, lambda seen: seen.release_all(owner))
    if known is not None:
        for cidr in in_blocks:
            handles.note(store, owner, cidr, 0)
    return freed


def assigned(store: Store, ip: IPAddress) -> Owner | None:
    """Return who has an address, or None."""
    found = blocks.get(store, block.cidr_of(ip))
    return None if found is None else found[0].owner(ip)


def release_host(store: Store, hostname: str) -> None:
    """Take from a host that goes for good its endpoints, their addresses, and its blocks.

    Unpublished first, freed last, so that nobody gets an address to which others still send.
    """
    present, _ = endpoints.all(store, hostname)
    for endpoint in present:
        endpoints.remove(store, endpoint.key)
    store.delete(keys.workloads(hostname))  # also those that nobody can read
    leave(store, hostname)
    for endpoint in present:
        for ip in endpoint.addresses:  # those claimed without a word about the host
            change = partial(_without_claim, ip=ip, owners={None, endpoint.key.id})
            with suppress(InvalidValue):
                _free(store, block.cidr_of(ip), change)


def leave(store: Store, hostname: str) -> None:
    """Give up what was claimed in a host's name, and its preference for blocks.

    Blocks that are empty then go. Those that nobody can read stay as they are.
    """
    for cidr in _mentioning(store, hostname):
        with suppress(InvalidValue):
            _free(store, cidr, lambda seen: seen.without_host(hostname))
    blocks.drop_notes(store, hostname)


class _Search:
    """One search for an address in some pools."""

    def __init__(
        self,
        store: Store,
        holder: Owner,
        scope: _Scope,
        random: Random,
    ) -> None:
        self._store = store
        self._holder = holder
        self._owner = holder.id or ""
        self._host = holder.host or ""
        self._noted: set[IPNetwork] = set()
        self._notes: list[Entry] = []
        self._scope = scope
        self._random = random
        self._family: Family = address.family(scope.wanted[0])

    def claim_this(self, ip: IPAddress) -> IPAddress:
        _require_not_reserved(ip, self._scope.reserved)
        self._take(block.cidr_of(ip), lambda _: ip)
        return ip

    def claim(self, asked: str) -> IPAddress:
        for step in (self._from_own, self._from_unclaimed, self._from_any):
            ip = step()
            if ip is not None:
                return ip
        pool = asked if "/" in asked else f"any IPv{self._family} pool"
        raise PoolExhausted(f"no free address is left in {pool}", hint=_SHOW_HINT)

    def _from_own(self) -> IPAddress | None:
        own = _with_room(blocks.notes(self._store, self._host, self._family))
        return self._first(self._wanted(own), self._free_in)

    def _from_unclaimed(self) -> IPAddress | None:
        self._notes = blocks.all_notes(self._store, self._family)
        numbers = (self._first_number(note) for note in self._notes)
        claimed = {number for number in numbers if number is not None}
        return self._first(choose.unclaimed(self._scope.wanted, claimed), self._free_if_nobodys)

    def _from_any(self) -> IPAddress | None:
        known = choose.shuffled(_with_room(self._notes), self._random)
        ip = self._first(islice(self._wanted(known), _SAMPLES), self._free_in)
        if ip is not None:
            return ip
        listed = self._store.tree(keys.blocks(self._family)).entries
        found = [entry.key for entry in listed if self._has_room(entry)]
        return self._first(self._wanted(choose.shuffled(found, self._random)), self._free_in)

    def _first_number(self, note: Entry) -> int | None:
        first = note.key.rpartition("/")[2].rpartition("-")[0]
        return _number(first, self._family)

    def _wanted(self, listed: Iterable[str]) -> Iterator[IPNetwork]:
        return choose.within(blocks.cidrs_of(listed), self._scope.wanted)

    def _first(self, cidrs: Iterable[IPNetwork], pick: _Pick) -> IPAddress | None:
        """Claim in the first of these blocks that has a free address and can be read."""
        for cidr in cidrs:
            with suppress(InvalidValue):
                ip = self._take(cidr, pick)
                if ip is not None:
                    return ip
        return None

    def _take(self, cidr: IPNetwork, pick: _Pick) -> IPAddress | None:
        """Claim what `pick` chooses in a block, which is made if it is not there; None: nothing."""
        try:
            ip = self._try_to_take(cidr, pick)
        except (Conflict, DatastoreError):
            self._correct_handle(cidr)
            raise
        if ip is None:
            self._correct_handle(cidr)
        return ip

    def _try_to_take(self, cidr: IPNetwork, pick: _Pick) -> IPAddress | None:
        for _ in range(entries.ATTEMPTS):
            found = blocks.get(self._store, cidr)
            seen = block.empty(cidr, self._host) if found is None else found[0]
            ip = pick(seen)
            if ip is None and found is not None:
                self._mark_if_full(*found)
            if ip is None or seen.owner(ip) == self._holder:
                return ip
            wanted = seen.claim(ip, self._holder).preferred_by(self._host)
            handles.note_claim(self._store, self._owner, cidr, wanted.count(self._owner))
            self._noted.add(cidr)
            if self._write(None if found is None else found[1], seen, wanted):
                return ip
        raise entries.gave_up(keys.block(cidr))

    def _write(self, entry: Entry | None, seen: Block, wanted: Block) -> bool:
        """Write a block with one more claim; False if somebody was faster."""
        if entry is None:
            written = blocks.create(self._store, self._host, wanted)
        elif seen.affinity is None:
            written = blocks.adopt(self._store, self._host, entry, wanted)
        else:
            written = blocks.swap(self._store, entry, wanted)
        if written is None:
            return False
        self._mark_if_full(wanted, written)
        return True

    def _mark_if_full(self, seen: Block, entry: Entry) -> None:
        full = seen.free(self._scope.pools, self._scope.reserved) is None
        if full and seen.host is not None:
            blocks.mark_full(self._store, seen.host, seen.cidr, entry)

    def _correct_handle(self, cidr: IPNetwork) -> None:
        """Make the handle right again where somebody else was faster in the end."""
        if cidr in self._noted:
            found = blocks.get(self._store, cidr)
            count = 0 if found is None else found[0].count(self._owner)
            handles.note(self._store, self._owner, cidr, count)

    def _free_in(self, seen: Block) -> IPAddress | None:
        return seen.free(self._scope.wanted, self._scope.reserved)

    def _free_if_nobodys(self, seen: Block) -> IPAddress | None:
        """Return a free address of a block that no other host prefers.

        If one does though it has no note, its note is made up for, lest everybody asks for it.
        """
        if seen.host in {None, self._host}:
            return self._free_in(seen)
        entries.ensure(self._store, keys.affinity(seen.host or "", seen.cidr), "")
        return None

    def _has_room(self, entry: Entry) -> bool:
        with suppress(InvalidValue):
            cidr = keys.parse_cidr_segment(entry.key.rpartition("/")[2])
            return self._free_in(blocks.decode(cidr, entry)) is not None
        return False


def _with_room(notes: Iterable[Entry]) -> list[str]:
    return [note.key for note in notes if note.value != blocks.FULL]


def _scope(store: Store, request: AddressRequest, *, also_disabled: bool = False) -> _Scope:
    """Return what a request may get. Raises NoSuchPool."""
    family = address.wanted_family(request)
    live = pools.all(store, family)
    giving = [pool for pool in live if also_disabled or not pool.disabled]
    wanted = _wanted(request, live, giving)
    return _Scope([pool.cidr for pool in live], wanted, _addresses_of_hosts(store, family))


def _addresses_of_hosts(store: Store, family: Family) -> dict[int, str]:
    found = {}
    for entry in store.tree(keys.BGP_HOSTS).entries:
        if entry.value and entry.key.endswith(f"/ip_addr_v{family}"):
            number = _number(entry.value, family)
            if number is not None:
                found[number] = entry.key.split("/")[-2]
    return found


def _number(text: str, family: Family) -> int | None:
    """Return an address as a number, or None for what is no address of that family.

    It takes a twentieth of the time that netaddr takes.
    """
    try:
        packed = socket.inet_pton(socket.AF_INET if family == 4 else socket.AF_INET6, text)
    except (OSError, ValueError):
        return None
    return int.from_bytes(packed)


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


def _require_not_reserved(ip: IPAddress, reserved: _Reserved) -> None:
    host = reserved.get(int(ip))
    if host is not None:
        message = f"address {ip} is the address of host {host}"
        raise Conflict(message, hint="choose another one, or 'ipv4'/'ipv6' for any free one")


def _free(store: Store, cidr: IPNetwork, wish: Callable[[Block], Block]) -> bool:
    """Free what `wish` frees in a block, then tell the handles; say whether it was anything."""
    changed = blocks.change(store, cidr, wish)
    if changed is None:
        return False
    before, after = changed
    for owner in {who.id for who in before.owners.values() if who.id is not None}:
        count = after.count(owner)
        if count != before.count(owner):
            handles.note(store, owner, cidr, count)
    return before != after


def _without_claim(seen: Block, ip: IPAddress, owners: Collection[str | None]) -> Block:
    """Return the block with the address free if one of those has it."""
    holder = seen.owner(ip)
    return seen if holder is None or holder.id not in owners else seen.release(ip, None)


def _mentioning(store: Store, text: str) -> list[IPNetwork]:
    """Return the blocks in whose JSON a text occurs."""
    found = []
    for family in FAMILIES:
        listed = store.tree(keys.blocks(family)).entries
        found += blocks.cidrs(entry for entry in listed if text in (entry.value or ""))
    return found
