"""Pools: one key per CIDR."""

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING

from netaddr import IPAddress, IPNetwork

from calico_ctl.datastore import endpoints, entries
from calico_ctl.datastore.entries import Problem
from calico_ctl.datastore.store import Entry, Store
from calico_ctl.errors import AlreadyExists, Conflict, InvalidValue, NotFound
from calico_ctl.model import address, codec, keys
from calico_ctl.model.address import FAMILIES, Family
from calico_ctl.model.pool import DEFAULT_POOLS, Pool

if TYPE_CHECKING:
    from calico_ctl.ipam.block import Owner

_SHOW_HINT = "`calicoctl pool show` lists the pools"


def all(store: Store, family: Family | None = None) -> list[Pool]:
    """Return the pools of a family, or of both; sorted, IPv4 first. Broken ones are left out."""
    return read(store, family)[0]


def read(store: Store, family: Family | None = None) -> tuple[list[Pool], list[Problem]]:
    """Return the pools, and beside them the keys whose values cannot be used."""
    found: list[Pool] = []
    problems: list[Problem] = []
    for each in FAMILIES if family is None else (family,):
        for entry in store.tree(keys.pools(each)).entries:
            try:
                found.append(_decode(entry, each))
            except InvalidValue as error:
                problems.append(Problem(entry.key, error.message))
    return sorted(found, key=lambda pool: (pool.family, pool.cidr)), problems


def create(store: Store, pool: Pool) -> bool:
    """Add a pool; say whether it is new (False: the same one was there, disabled or not).

    Raises AlreadyExists if it is there with other options, Conflict if it overlaps another one.
    """
    for other in all(store, pool.family):
        if other.cidr == pool.cidr:
            return _require_same(pool, other)
        if other.overlaps(pool.cidr):
            raise overlap(pool, other)
    try:
        made = store.create(keys.pool(pool.cidr), codec.encode_pool(pool))
    except AlreadyExists as error:
        raise AlreadyExists(f"pool {pool.cidr} exists already", _SHOW_HINT) from error
    _withdraw_if_late(store, pool, made)
    return True


def create_defaults(store: Store) -> list[Pool]:
    """Add the default pool of each family that has none; return what was added."""
    added = []
    for cidr in DEFAULT_POOLS:
        pool = Pool(cidr)
        # Of hosts that start at once only one may be the first; another's pool will do as well.
        with suppress(AlreadyExists, Conflict):
            if not store.tree(keys.pools(pool.family)).entries and create(store, pool):
                added.append(pool)
    return added


def disable(store: Store, cidr: IPNetwork, disabled: bool) -> bool:
    """Have a pool give out no more addresses, or do so again; say whether that is a change.

    Raises NotFound; and InvalidValue if the value cannot be read.
    """
    changed = False

    def change(seen: Entry) -> str:
        nonlocal changed
        pool = _decode(seen, address.family(cidr))
        changed = pool.disabled != disabled
        return codec.encode_pool(replace(pool, disabled=disabled)) if changed else seen.value or ""

    entries.edit(store, keys.pool(cidr), change)
    return changed


def remove(store: Store, cidr: IPNetwork) -> None:
    """Delete a pool. Raises NotFound."""
    if not store.delete(keys.pool(cidr)):
        raise NotFound(f"pool {cidr} does not exist", hint=_SHOW_HINT)


def containing(pools: Iterable[Pool], ip: IPAddress) -> Pool | None:
    """Return the pool that an address lies in, or None."""
    return next((pool for pool in pools if pool.contains(ip)), None)


def holders(store: Store, cidrs: Iterable[IPNetwork]) -> dict[IPAddress, str]:
    """Return who has which address of some networks, in words: endpoints, and what IPAM notes.

    Blocks and endpoints that cannot be read hold nothing.
    """
    wanted = [Pool(cidr) for cidr in cidrs]
    found: dict[IPAddress, str] = {}
    for family in sorted({pool.family for pool in wanted}):
        for entry in store.tree(keys.blocks(family)).entries:
            found |= _noted(entry)
    listed, _ = endpoints.all(store)
    for each in listed:
        found |= dict.fromkeys(each.addresses, f"endpoint {each.key.id} on host {each.key.host}")
    return {ip: who for ip, who in sorted(found.items()) if containing(wanted, ip) is not None}


def has_other_options(pool: Pool) -> AlreadyExists:
    """Return the error for a pool that is there with these options, and not with those wanted."""
    which = ", ".join(pool.words) or "none"
    message = f"pool {pool.cidr} exists already with other options: {which}"
    hint = f"to change them, remove it first: `calicoctl pool remove {pool.cidr}`"
    return AlreadyExists(message, hint)


def overlap(pool: Pool, other: Pool) -> Conflict:
    """Return the error for a pool that shares addresses with another one."""
    return Conflict(f"pool {pool.cidr} overlaps the pool {other.cidr}", hint=_SHOW_HINT)


def _noted(entry: Entry) -> dict[IPAddress, str]:
    # Imported here: most who read pools need no blocks.
    from calico_ctl.ipam import block

    with suppress(InvalidValue):
        cidr = keys.parse_cidr_segment(entry.key.rpartition("/")[2])
        owners = block.decode(cidr, entry.value or "").owners
        first = IPAddress(cidr.first, cidr.version)
        return {first + ordinal: _holder(owner) for ordinal, owner in owners.items()}
    return {}


def _holder(owner: "Owner") -> str:
    where = f" on host {owner.host}" if owner.host else ""
    return f"owner {owner.id}{where}" if owner.id else f"somebody unnamed{where}"


def _decode(entry: Entry, family: Family) -> Pool:
    cidr = keys.parse_cidr_segment(entry.key.rpartition("/")[2])
    pool = entries.decode(entry, lambda text: codec.decode_pool(cidr, text))
    if pool.family != family:
        raise InvalidValue("pool", entry.key, f"an IPv{family} network here")
    return pool


def _require_same(pool: Pool, other: Pool) -> bool:
    if pool.options == other.options:
        return False
    raise has_other_options(other)


def _withdraw_if_late(store: Store, pool: Pool, made: Entry) -> None:
    """Of two overlapping pools that were added at the same time, the later one goes again."""
    for entry in store.tree(keys.pools(pool.family)).entries:
        if entry.revision >= made.revision:
            continue
        try:
            other = _decode(entry, pool.family)
        except InvalidValue:
            continue
        if other.overlaps(pool.cidr):
            store.delete(made.key, seen=made)
            raise overlap(pool, other)
