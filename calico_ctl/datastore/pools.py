"""Pools: one key per CIDR."""

from collections.abc import Iterable

from netaddr import IPAddress, IPNetwork

from calico_ctl.datastore import entries
from calico_ctl.datastore.entries import Problem
from calico_ctl.datastore.store import Entry, Store
from calico_ctl.errors import AlreadyExists, Conflict, InvalidValue, NotFound
from calico_ctl.model import codec, keys
from calico_ctl.model.address import FAMILIES, Family
from calico_ctl.model.pool import DEFAULT_POOLS, Pool

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
    """Add a pool; say whether it is new (False: the same one was there).

    Raises AlreadyExists if it is there with other options, Conflict if it overlaps another one.
    """
    for other in all(store, pool.family):
        if other.cidr == pool.cidr:
            return _require_same(pool, other)
        if other.overlaps(pool.cidr):
            raise _overlap(pool, other)
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
        if not store.tree(keys.pools(pool.family)).entries and create(store, pool):
            added.append(pool)
    return added


def remove(store: Store, cidr: IPNetwork) -> None:
    """Delete a pool. Raises NotFound."""
    if not store.delete(keys.pool(cidr)):
        raise NotFound(f"pool {cidr} does not exist", hint=_SHOW_HINT)


def containing(pools: Iterable[Pool], ip: IPAddress) -> Pool | None:
    """Return the pool that an address lies in, or None."""
    return next((pool for pool in pools if pool.contains(ip)), None)


def _decode(entry: Entry, family: Family) -> Pool:
    cidr = keys.parse_cidr_segment(entry.key.rpartition("/")[2])
    pool = entries.decode(entry, lambda text: codec.decode_pool(cidr, text))
    if pool.family != family:
        raise InvalidValue("pool", entry.key, f"an IPv{family} network here")
    return pool


def _require_same(pool: Pool, other: Pool) -> bool:
    if (pool.ipip, pool.masquerade) == (other.ipip, other.masquerade):
        return False
    message = f"pool {pool.cidr} exists already with other options"
    hint = f"to change them, remove it first: `calicoctl pool remove {pool.cidr}`"
    raise AlreadyExists(message, hint)


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
            raise _overlap(pool, other)


def _overlap(pool: Pool, other: Pool) -> Conflict:
    return Conflict(f"pool {pool.cidr} overlaps the pool {other.cidr}", hint=_SHOW_HINT)
