"""The check of all addresses: reading what it looks at, and carrying out one repair after another.

Each repair makes sure once more that things are as they were seen; what changed is left alone.
"""

from collections.abc import Iterable
from random import Random

from netaddr import IPNetwork

from calico_ctl.datastore import addresses, block_changes, blocks, endpoints, handles, nodes, pools
from calico_ctl.datastore.entries import Problem
from calico_ctl.datastore.store import Store
from calico_ctl.errors import Conflict, InvalidValue, NoSuchPool
from calico_ctl.ipam import block
from calico_ctl.ipam.block import Block, Owner
from calico_ctl.ipam.check import (
    ClaimAddress,
    CorrectNote,
    DropBlock,
    ForgetHost,
    FreeAddress,
    HandOver,
    Repair,
    RewriteHandle,
    Snapshot,
)
from calico_ctl.ipam.handle import Handle
from calico_ctl.model import keys
from calico_ctl.model.address import FAMILIES
from calico_ctl.model.keys import ParsedKey


def read(store: Store) -> Snapshot:
    """Return what etcd holds about addresses.

    Endpoints come after the blocks: of an address that is claimed and then published, the endpoint
    is never missing because it was read too early.
    """
    present, block_problems = _blocks(store)
    known_handles, handle_problems = handles.read(store)
    notes = _notes(store)
    published, endpoint_problems = endpoints.all(store)
    live, pool_problems = pools.read(store)
    known = nodes.all(store)
    veiled = [parsed.endpoint for parsed in _parsed(endpoint_problems) if parsed.endpoint]
    problems = [*pool_problems, *endpoint_problems, *block_problems, *handle_problems]
    return Snapshot(
        pools=tuple(pool.cidr for pool in live),
        blocks=present,
        notes=notes,
        handles={owner: (each, entry.revision) for owner, (each, entry) in known_handles.items()},
        endpoints=published,
        hosts={
            *(node.host for node in known),
            *(endpoint.key.host for endpoint in published),
            *(key.host for key in veiled),
        },
        host_addresses={
            ip: node.host
            for node in known
            for family in FAMILIES
            if (ip := node.address(family)) is not None
        },
        unreadable=[(problem.key, problem.reason) for problem in problems],
        veiled_endpoints={key.id for key in veiled},
        veiled_blocks=set(blocks.cidrs_of(problem.key for problem in block_problems)),
        veiled_handles={problem.key.rpartition("/")[2] for problem in handle_problems},
    )


def repair(store: Store, wanted: Repair) -> bool:
    """Carry out a repair; False if things are not as they were seen any more."""
    match wanted:
        case FreeAddress():
            return _free(store, wanted)
        case ClaimAddress():
            return _claim(store, wanted)
        case HandOver():
            return _hand_over(store, wanted)
        case RewriteHandle():
            return _rewrite_handle(store, wanted)
        case DropBlock(cidr):
            return not block_changes.change(store, [cidr], lambda seen: seen)
        case ForgetHost(hostname, cidr):
            block_changes.change(store, [cidr], lambda seen: seen.without_preference(hostname))
        case CorrectNote():
            pass
    blocks.correct_note(store, wanted.hostname, wanted.cidr)
    return True


def _free(store: Store, wanted: FreeAddress) -> bool:
    if wanted.owner is not None:
        return addresses.release(store, wanted.ip, wanted.owner)
    found = blocks.get(store, block.cidr_of(wanted.ip))
    if found is None or found[1].revision != wanted.revision:
        return False
    seen, entry = found
    return block_changes.replace(store, seen, entry, seen.release(wanted.ip, None))


def _claim(store: Store, wanted: ClaimAddress) -> bool:
    """Claim what an endpoint has, if it still has it; it loses the claim again with the address."""
    ip, key = wanted.ip, wanted.endpoint
    try:
        chance = Random(0)  # noqa: S311 - nothing to choose
        addresses.claim(store, key.host, ip, key.id, chance, also_disabled=True)
    except (Conflict, NoSuchPool):
        return False
    if not _has(store, wanted):
        addresses.release(store, ip, key.id)
        return False
    return True


def _hand_over(store: Store, wanted: HandOver) -> bool:
    if not _has(store, wanted):
        return False
    ip, key = wanted.ip, wanted.endpoint
    cidr = block.cidr_of(ip)
    to = Owner(key.id, {"host": key.host})

    def handed_over(seen: Block) -> Block:
        holder = seen.owner(ip)
        same = holder is not None and holder.id == wanted.owner
        return seen.hand_over(ip, to) if same else seen

    return bool(block_changes.change(store, [cidr], handed_over))


def _has(store: Store, wanted: ClaimAddress | HandOver) -> bool:
    held = endpoints.of_workload(
        store, wanted.endpoint.host, wanted.endpoint.orchestrator, wanted.endpoint.workload
    )
    return any(each.key == wanted.endpoint and wanted.ip in each.addresses for each in held)


def _rewrite_handle(store: Store, wanted: RewriteHandle) -> bool:
    entry = store.get(keys.handle(wanted.owner))
    if (0 if entry is None else entry.revision) != wanted.revision:
        return False
    return handles.write(store, entry, Handle(wanted.owner, dict(wanted.counts)))


def _blocks(store: Store) -> tuple[dict[IPNetwork, tuple[Block, int]], list[Problem]]:
    found: dict[IPNetwork, tuple[Block, int]] = {}
    problems: list[Problem] = []
    for family in FAMILIES:
        for entry in store.tree(keys.blocks(family)).entries:
            try:
                cidr = keys.parse_cidr_segment(entry.key.rpartition("/")[2])
                found[cidr] = (blocks.decode(cidr, entry), entry.revision)
            except InvalidValue as error:
                problems.append(Problem(entry.key, error.message))
    return found, problems


def _notes(store: Store) -> set[tuple[str, IPNetwork]]:
    found = set()
    for family in FAMILIES:
        for key in blocks.all_notes(store, family):
            hostname = key.removeprefix(f"{keys.HOSTS_IPAM}/").partition("/")[0]
            found |= {(hostname, cidr) for cidr in blocks.cidrs_of([key])}
    return found


def _parsed(problems: Iterable[Problem]) -> list[ParsedKey]:
    parsed = (keys.parse(problem.key) for problem in problems)
    return [each for each in parsed if each is not None]
