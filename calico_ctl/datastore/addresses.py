"""IPAM: addresses that are claimed, looked up and given back.

A claim lives in its block, so it is there or not there; what stands beside it (the handle of its
owner, the host's note of the block) is an index that is never too small. A new block is written
with its first address already taken, so a claim that fails leaves no block behind, and one whose
last address is given back goes. `address_claims` and `block_changes` say what is written when.
"""

from collections.abc import Collection, Sequence
from contextlib import suppress
from functools import partial
from random import Random

from netaddr import IPAddress, IPNetwork

from calico_ctl.datastore import address_search, block_changes, blocks, endpoints, handles
from calico_ctl.datastore.address_claims import Claims, Publish
from calico_ctl.datastore.block_changes import Before
from calico_ctl.datastore.store import Store
from calico_ctl.errors import InvalidValue
from calico_ctl.ipam import block
from calico_ctl.ipam.block import Block, Owner
from calico_ctl.model import keys
from calico_ctl.model.address import FAMILIES, AddressRequest
from calico_ctl.model.endpoint import EndpointKey


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
    scope = address_search.scope(store, request, also_disabled=also_disabled)
    return Claims(store, holder, [scope], random).take(lambda _ips: [])[0]


def claim_all(
    store: Store,
    hostname: str,
    requests: Sequence[AddressRequest],
    owner: str,
    random: Random,
    publish: Publish,
) -> list[IPAddress]:
    """Take several addresses for an owner and publish what has them, together if the store can.

    Raises what `claim` does, and what those changes are refused with. Some of the addresses may be
    taken then.
    """
    holder = Owner(owner, {"host": hostname})
    scopes = address_search.scopes(store, requests)
    return Claims(store, holder, scopes, random).take(publish)


def require_free(store: Store, request: AddressRequest) -> None:
    """Raise what `claim` would raise at once: NoSuchPool, or Conflict if an address is taken.

    Takes nothing; that a pool has room is not looked for.
    """
    scope = address_search.scope(store, request)
    if not isinstance(request, IPAddress):
        return
    address_search.require_not_reserved(request, scope)
    owner = assigned(store, request)
    if owner is not None:
        raise block.taken(request, owner)


def release(
    store: Store, ip: IPAddress, owner: str | None, before: Before = block_changes.nothing
) -> bool:
    """Free an address if that owner, or for None anybody, has it; say whether it did.

    What `before` returns is changed first, or together with it if the store can do that.
    """
    wish = partial(Block.release, ip=ip, owner_id=owner)
    return bool(block_changes.change(store, [block.cidr_of(ip)], wish, before))


def release_all(store: Store, owner: str, before: Before = block_changes.nothing) -> bool:
    """Free every address that an owner has; say whether it had any.

    What `before` returns is changed first, or together with it if the store can do that.
    """
    known = handles.get(store, owner)
    in_blocks = _mentioning(store, owner) if known is None else list(known.counts)
    wish = partial(Block.release_all, owner_id=owner)
    freed = {seen.cidr for seen, _ in block_changes.change(store, in_blocks, wish, before)}
    for cidr in in_blocks:
        if known is not None and cidr not in freed:
            handles.note(store, owner, cidr, 0)  # it named a block in which there was nothing
    return bool(freed)


def retire(store: Store, key: EndpointKey) -> None:
    """Remove an endpoint, and free every address that it has.

    It is unpublished first or together with that, so that nobody gets an address to which others
    still send.
    """
    release_all(store, key.id, lambda: [endpoints.removal(key)])
    endpoints.remove_directories(store, key)


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
                block_changes.change(store, [block.cidr_of(ip)], change)


def leave(store: Store, hostname: str) -> None:
    """Give up what was claimed in a host's name, and its preference for blocks.

    Blocks that are empty then go. Those that nobody can read stay as they are.
    """
    for cidr in _mentioning(store, hostname):
        with suppress(InvalidValue):
            block_changes.change(store, [cidr], lambda seen: seen.without_host(hostname))
    blocks.drop_notes(store, hostname)


def _without_claim(seen: Block, ip: IPAddress, owners: Collection[str | None]) -> Block:
    """Return the block with the address free if one of those has it."""
    holder = seen.owner(ip)
    return seen if holder is None or holder.id not in owners else seen.release(ip, None)


def _mentioning(store: Store, text: str) -> list[IPNetwork]:
    """Return the blocks in whose JSON a text occurs."""
    found: list[IPNetwork] = []
    for family in FAMILIES:
        listed = store.tree(keys.blocks(family)).entries
        found += blocks.cidrs_of(entry.key for entry in listed if text in (entry.value or ""))
    return found
