"""IPAM: the compare-and-swap loop around `ipam`.

A claim lives in its block and nowhere else, so it is there or not there. A host notes the blocks
that it prefers (affinity): the note is written before the block, and goes again if the block turns
out to be another host's. A new block is written with its first address already taken, so a claim
that fails leaves no block behind.

Never given out: what lies in no pool, and the addresses of the hosts themselves.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from random import Random

from netaddr import IPAddress, IPNetwork

from calico_ctl.datastore import entries, pools
from calico_ctl.datastore.store import Entry, Store
from calico_ctl.errors import (
    AlreadyExists,
    Conflict,
    DatastoreError,
    InvalidValue,
    NoSuchPool,
    PoolExhausted,
)
from calico_ctl.ipam import block, choose
from calico_ctl.ipam.block import Block, Owner
from calico_ctl.model import address, keys
from calico_ctl.model.address import FAMILIES, AddressRequest, AnyAddress, Family

_SHOW_HINT = "`calicoctl pool show` lists the pools, `calicoctl pool add` adds one"

_SAMPLES = 8
"""How many blocks of others are asked one by one before all are read at once."""

Reserved = Mapping[IPAddress, str]


def claim(
    store: Store, hostname: str, request: AddressRequest, owner: str, random: Random
) -> IPAddress:
    """Take an address for an owner (an endpoint's id) on a host; return it.

    Taking the same address for the same owner again is no error. Raises NoSuchPool, PoolExhausted,
    or Conflict if the address asked for is taken, or is a host's own.
    """
    holder = Owner(owner, {"host": hostname})
    wanted = _pools(store, request)
    reserved = _addresses_of_hosts(store, address.wanted_family(request))
    if isinstance(request, IPAddress):
        return _claim_this(store, request, holder, reserved)
    return _Search(store, holder, wanted, reserved, random).claim(str(request))


def require_free(store: Store, request: AddressRequest) -> None:
    """Raise what `claim` would raise at once: NoSuchPool, or Conflict if an address is taken.

    Takes nothing; that a pool has room is not looked for.
    """
    _pools(store, request)
    if not isinstance(request, IPAddress):
        return
    _require_not_reserved(request, _addresses_of_hosts(store, address.family(request)))
    owner = assigned(store, request)
    if owner is not None:
        raise block.taken(request, owner)


def release(store: Store, ip: IPAddress, owner: str | None) -> bool:
    """Free an address if that owner, or for None anybody, has it; say whether it did."""
    return _change(store, block.cidr_of(ip), lambda seen: seen.release(ip, owner))


def release_all(store: Store, owner: str) -> bool:
    """Free every address that an owner has; say whether it had any."""
    freed = False
    for family in FAMILIES:
        listed = store.tree(keys.blocks(family)).entries
        for cidr in _cidrs(entry for entry in listed if owner in (entry.value or "")):
            freed |= _change(store, cidr, lambda seen: seen.release_all(owner))
    return freed


def assigned(store: Store, ip: IPAddress) -> Owner | None:
    """Return who has an address, or None."""
    cidr = block.cidr_of(ip)
    entry = store.get(keys.block(cidr))
    return None if entry is None else _decode(cidr, entry).owner(ip)


def leave(store: Store, hostname: str) -> None:
    """Give up all that a host has: what its endpoints hold, and its preference for blocks.

    Blocks that are empty then go. Those that nobody can read stay as they are.
    """
    for family in FAMILIES:
        listed = store.tree(keys.blocks(family)).entries
        for cidr in _cidrs(entry for entry in listed if hostname in (entry.value or "")):
            with suppress(InvalidValue):
                _change(store, cidr, lambda seen: seen.without_host(hostname))
    store.delete(keys.host_ipam(hostname))


class _Search:
    """One search for any free address in some pools."""

    def __init__(
        self,
        store: Store,
        holder: Owner,
        wanted: Sequence[IPNetwork],
        reserved: Reserved,
        random: Random,
    ) -> None:
        self._store = store
        self._holder = holder
        self._pools = wanted
        self._reserved = reserved
        self._random = random
        self._family: Family = address.family(wanted[0])

    def claim(self, asked: str) -> IPAddress:
        for step in (self._from_own, self._from_unclaimed, self._from_any):
            ip = step()
            if ip is not None:
                return ip
        pool = asked if "/" in asked else f"any IPv{self._family} pool"
        raise PoolExhausted(f"no free address is left in {pool}", hint=_SHOW_HINT)

    def _from_own(self) -> IPAddress | None:
        own = _affine(self._store, _host(self._holder), self._family)
        return self._first(choose.within(own, self._pools))

    def _from_unclaimed(self) -> IPAddress | None:
        for cidr in choose.unclaimed(self._pools, self._claimed()):
            ip = block.empty(cidr, _host(self._holder)).free(self._pools, self._reserved)
            if ip is not None and _create(self._store, cidr, ip, self._holder):
                return ip
        return None

    def _from_any(self) -> IPAddress | None:
        known = choose.shuffled(choose.within(self._claimed(), self._pools), self._random)
        ip = self._first(known[:_SAMPLES])
        if ip is not None:
            return ip
        listed = self._store.tree(keys.blocks(self._family)).entries
        found = (entry for entry in listed if self._free_in(entry) is not None)
        return self._first(choose.shuffled(_cidrs(found), self._random))

    def _claimed(self) -> set[IPNetwork]:
        """Return the blocks that some host prefers: cheaper to read than the blocks themselves."""
        listed = self._store.tree(f"{keys.IPAM}/host").entries
        part = f"/ipv{self._family}/block/"
        return set(_cidrs(entry for entry in listed if part in entry.key))

    def _first(self, cidrs: Sequence[IPNetwork]) -> IPAddress | None:
        """Claim in the first of these blocks that has a free address."""
        for cidr in cidrs:
            ip = self._claim_in(cidr)
            if ip is not None:
                return ip
        return None

    def _claim_in(self, cidr: IPNetwork) -> IPAddress | None:
        for _ in range(entries.ATTEMPTS):
            entry = self._store.get(keys.block(cidr))
            if entry is None:
                fresh = block.empty(cidr, _host(self._holder)).free(self._pools, self._reserved)
                if fresh is None:
                    return None
                if _create(self._store, cidr, fresh, self._holder):
                    return fresh
                continue
            ip = self._free_in(entry)
            if ip is None:
                return None
            claimed = _decode(cidr, entry).claim(ip, self._holder)
            try:
                self._store.swap(entry, block.encode(claimed))
            except Conflict:
                continue
            return ip
        raise entries.gave_up(keys.block(cidr))

    def _free_in(self, entry: Entry) -> IPAddress | None:
        """Return a free address of a block; none if it cannot be read, others may do."""
        with suppress(InvalidValue):
            cidr = keys.parse_cidr_segment(entry.key.rpartition("/")[2])
            return _decode(cidr, entry).free(self._pools, self._reserved)
        return None


def _pools(store: Store, request: AddressRequest) -> list[IPNetwork]:
    family = address.wanted_family(request)
    live = [pool.cidr for pool in pools.all(store, family)]
    if isinstance(request, AnyAddress):
        if not live:
            raise NoSuchPool(f"there is no IPv{family} pool", hint=_SHOW_HINT)
        return live
    if isinstance(request, IPNetwork):
        if request not in live:
            raise NoSuchPool(f"{request} is not a configured pool", hint=_SHOW_HINT)
        return [request]
    if not any(request in cidr for cidr in live):
        raise NoSuchPool(f"address {request} is in no configured pool", hint=_SHOW_HINT)
    return live


def _claim_this(store: Store, ip: IPAddress, holder: Owner, reserved: Reserved) -> IPAddress:
    _require_not_reserved(ip, reserved)
    cidr = block.cidr_of(ip)
    for _ in range(entries.ATTEMPTS):
        entry = store.get(keys.block(cidr))
        if entry is None:
            if _create(store, cidr, ip, holder):
                return ip
            continue
        claimed = _decode(cidr, entry).claim(ip, holder)
        with suppress(Conflict):
            store.swap(entry, block.encode(claimed))
            return ip
    raise entries.gave_up(keys.block(cidr))


def _require_not_reserved(ip: IPAddress, reserved: Reserved) -> None:
    if ip in reserved:
        message = f"address {ip} is the address of host {reserved[ip]}"
        raise Conflict(message, hint="choose another one, or 'ipv4'/'ipv6' for any free one")


def _create(store: Store, cidr: IPNetwork, ip: IPAddress, holder: Owner) -> bool:
    """Make a block with its first address taken; False if somebody else made it meanwhile."""
    hostname = _host(holder)
    noted = entries.ensure(store, keys.affinity(hostname, cidr), "")
    try:
        store.create(keys.block(cidr), block.encode(block.empty(cidr, hostname).claim(ip, holder)))
    except AlreadyExists:
        _drop_affinity_unless_own(store, hostname, cidr)
        return False
    except DatastoreError:
        if noted:
            store.delete(keys.affinity(hostname, cidr))
        raise
    return True


def _drop_affinity_unless_own(store: Store, hostname: str, cidr: IPNetwork) -> None:
    entry = store.get(keys.block(cidr))
    try:
        own = entry is not None and _decode(cidr, entry).host == hostname
    except InvalidValue:
        own = False
    if not own:
        store.delete(keys.affinity(hostname, cidr))


def _change(store: Store, cidr: IPNetwork, change: Callable[[Block], Block]) -> bool:
    """Swap a block for what `change` makes of it; say whether that was a change.

    A block that is empty and that no host prefers goes.
    """
    for _ in range(entries.ATTEMPTS):
        entry = store.get(keys.block(cidr))
        if entry is None:
            return False
        seen = _decode(cidr, entry)
        wanted = change(seen)
        if wanted == seen:
            return False
        try:
            if wanted.owners or wanted.affinity is not None:
                store.swap(entry, block.encode(wanted))
            else:
                store.delete(entry.key, seen=entry)
        except Conflict:
            continue
        return True
    raise entries.gave_up(keys.block(cidr))


def _affine(store: Store, hostname: str, family: Family) -> list[IPNetwork]:
    return _cidrs(store.tree(keys.affinities(hostname, family)).entries)


def _cidrs(listed: Iterable[Entry]) -> list[IPNetwork]:
    """Return the blocks that keys are about; keys that are about none are passed over."""
    found = []
    for entry in listed:
        with suppress(InvalidValue):
            found.append(keys.parse_cidr_segment(entry.key.rpartition("/")[2]))
    return [cidr for cidr in found if cidr.size == block.SIZE]


def _addresses_of_hosts(store: Store, family: Family) -> dict[IPAddress, str]:
    """Return the hosts' own addresses, each with its host."""
    directory = keys.BGP_HOSTS
    found = {}
    for entry in store.tree(directory).entries:
        hostname = entry.key.removeprefix(f"{directory}/").partition("/")[0]
        if entry.value and entry.key == keys.bgp_host_address(hostname, family):
            with suppress(InvalidValue):
                found[address.parse_address(entry.value)] = hostname
    return found


def _decode(cidr: IPNetwork, entry: Entry) -> Block:
    return entries.decode(entry, lambda text: block.decode(cidr, text))


def _host(holder: Owner) -> str:
    return holder.host or ""
