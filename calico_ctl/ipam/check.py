"""What is wrong with the addresses of a cluster: everything that etcd holds in, findings out.

A finding says which repair would cure it, if one is safe. Both are values and equal if nothing has
changed in between: so what a container in creation looks like for a moment (an address without an
endpoint) is told from what stays so by looking twice.
"""

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from netaddr import IPAddress, IPNetwork

from calico_ctl.ipam import block
from calico_ctl.ipam.block import Block, Owner
from calico_ctl.ipam.handle import Handle
from calico_ctl.model.endpoint import Endpoint, EndpointKey


class Kind(StrEnum):
    """What can be wrong, in the order in which it is shown and repaired."""

    UNREADABLE = "unreadable"
    HANDLE = "handle"
    AFFINITY = "affinity"
    BLOCK = "block"
    LEAKED = "leaked"
    UNCLAIMED = "unclaimed"
    MISTAKEN = "mistaken"
    DOUBLE = "double"
    RESERVED = "reserved"
    OUTSIDE = "outside"


@dataclass(frozen=True, slots=True)
class FreeAddress:
    """Free an address if that owner still has it. An owner without a name: if nothing changed."""

    ip: IPAddress
    owner: str | None
    revision: int = 0


@dataclass(frozen=True, slots=True)
class ClaimAddress:
    """Claim a free address for an endpoint."""

    ip: IPAddress
    endpoint: EndpointKey


@dataclass(frozen=True, slots=True)
class HandOver:
    """Write an endpoint as the owner of the address that it has."""

    ip: IPAddress
    owner: str | None
    endpoint: EndpointKey


@dataclass(frozen=True, slots=True)
class RewriteHandle:
    """Make a handle say what is in the blocks, unless it changed since (revision 0: it is not)."""

    owner: str
    counts: tuple[tuple[IPNetwork, int], ...]
    revision: int


@dataclass(frozen=True, slots=True)
class CorrectNote:
    """Make a host's note of a block right: there if the block prefers the host, and only then."""

    hostname: str
    cidr: IPNetwork


@dataclass(frozen=True, slots=True)
class ForgetHost:
    """Take from a block the preference of a host that does not exist."""

    hostname: str
    cidr: IPNetwork


@dataclass(frozen=True, slots=True)
class DropBlock:
    """Delete a block in which nobody has anything."""

    cidr: IPNetwork


Repair = (
    FreeAddress | ClaimAddress | HandOver | RewriteHandle | CorrectNote | ForgetHost | DropBlock
)


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong. `subject` is an address, a block, an owner or a key.

    Without a `repair`, `hint` says what a person may do.
    """

    kind: Kind
    subject: str
    message: str
    repair: Repair | None = None
    hint: str = ""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What etcd holds about addresses.

    `blocks` have the revisions of their entries, `handles` too; `notes` are hosts with blocks that
    they note as theirs; `host_addresses` go with their host. Keys whose values cannot be used are
    in `unreadable`, with the reason; `veiled` are the endpoints and blocks among them.
    """

    pools: Sequence[IPNetwork] = ()
    blocks: Mapping[IPNetwork, tuple[Block, int]] = field(default_factory=dict)
    notes: Collection[tuple[str, IPNetwork]] = ()
    handles: Mapping[str, tuple[Handle, int]] = field(default_factory=dict)
    endpoints: Sequence[Endpoint] = ()
    hosts: Collection[str] = ()
    host_addresses: Mapping[IPAddress, str] = field(default_factory=dict)
    unreadable: Sequence[tuple[str, str]] = ()
    veiled_endpoints: Collection[str] = ()
    veiled_blocks: Collection[IPNetwork] = ()
    veiled_handles: Collection[str] = ()


def check(seen: Snapshot) -> list[Finding]:
    """Return all that is wrong, in the order of kinds, then of subjects as they come."""
    holders = _holders(seen.endpoints)
    found = [
        Finding(Kind.UNREADABLE, key, reason, hint="correct the value in etcd, or delete the key")
        for key, reason in seen.unreadable
    ]
    for part in (_handles(seen), _affinities(seen), _empty_blocks(seen)):
        found += part
    found += _claimed(seen, holders)
    found += _had(seen, holders)
    order = list(Kind)
    return sorted(found, key=lambda finding: order.index(finding.kind))


def persisting(before: Sequence[Finding], now: Sequence[Finding]) -> list[Finding]:
    """Return the findings of a second look that the first one had too."""
    known = set(before)
    return [finding for finding in now if finding in known]


def _holders(endpoints: Sequence[Endpoint]) -> dict[IPAddress, list[Endpoint]]:
    holders: dict[IPAddress, list[Endpoint]] = defaultdict(list)
    for endpoint in endpoints:
        for ip in dict.fromkeys(endpoint.addresses):
            holders[ip].append(endpoint)
    return dict(holders)


def _claimed(seen: Snapshot, holders: Mapping[IPAddress, list[Endpoint]]) -> Iterator[Finding]:
    """Look at every address that is claimed."""
    for cidr in sorted(seen.blocks):
        each, revision = seen.blocks[cidr]
        for ip, owner in each.addresses():
            having = holders.get(ip, [])
            if not having:
                yield from _leak(seen, ip, owner, revision)
            elif len(having) == 1 and having[0].key.id != owner.id:
                yield _mistaken(seen, ip, owner, having[0])


def _leak(seen: Snapshot, ip: IPAddress, owner: Owner, revision: int) -> Iterator[Finding]:
    if owner.id in seen.veiled_endpoints:
        return
    what = f"is claimed{_by(owner)}, but no endpoint has it"
    if owner.id is None and seen.veiled_endpoints:
        # It may be the address of an endpoint that nobody can read.
        yield Finding(Kind.LEAKED, str(ip), what, hint="correct the unreadable endpoints first")
        return
    # Who has an id is one endpoint and no other, ever; of others only the revision tells.
    evidence = revision if owner.id is None else 0
    yield Finding(Kind.LEAKED, str(ip), what, FreeAddress(ip, owner.id, evidence))


def _mistaken(seen: Snapshot, ip: IPAddress, owner: Owner, endpoint: Endpoint) -> Finding:
    what = f"is claimed{_by(owner) or ' by nobody in particular'}, but {_name(endpoint)} has it"
    if owner.id in seen.veiled_endpoints:
        return Finding(Kind.MISTAKEN, str(ip), what, hint="correct the unreadable endpoint first")
    return Finding(Kind.MISTAKEN, str(ip), what, HandOver(ip, owner.id, endpoint.key))


def _had(seen: Snapshot, holders: Mapping[IPAddress, list[Endpoint]]) -> Iterator[Finding]:
    """Look at every address that an endpoint has."""
    for ip in sorted(holders):
        having = holders[ip]
        if len(having) > 1:
            yield Finding(
                Kind.DOUBLE,
                str(ip),
                f"{' and '.join(_name(each) for each in having)} have it at once",
                hint="take it from all but one, on its host: calicoctl container <CONTAINER> ip"
                " remove, or calicoctl container remove",
            )
        elif ip in seen.host_addresses:
            yield Finding(
                Kind.RESERVED,
                str(ip),
                f"is the address of host {seen.host_addresses[ip]}, but {_name(having[0])} has it",
                hint="give the container another address",
            )
        elif not any(ip.version == pool.version and ip in pool for pool in seen.pools):
            yield Finding(
                Kind.OUTSIDE,
                str(ip),
                f"is in no pool, but {_name(having[0])} has it",
                hint="add the pool again, or give the container another address",
            )
        else:
            yield from _unclaimed(seen, ip, having[0])


def _unclaimed(seen: Snapshot, ip: IPAddress, endpoint: Endpoint) -> Iterator[Finding]:
    cidr = block.cidr_of(ip)
    if cidr in seen.veiled_blocks:
        return
    if cidr not in seen.blocks or seen.blocks[cidr][0].owner(ip) is None:
        what = f"{_name(endpoint)} has it, but it is not claimed"
        yield Finding(Kind.UNCLAIMED, str(ip), what, ClaimAddress(ip, endpoint.key))


def _handles(seen: Snapshot) -> Iterator[Finding]:
    """Compare what handles say with what is in the blocks."""
    real: dict[str, dict[IPNetwork, int]] = defaultdict(dict)
    for cidr in sorted(seen.blocks):
        for owner in seen.blocks[cidr][0].owners.values():
            if owner.id:
                real[owner.id][cidr] = real[owner.id].get(cidr, 0) + 1
    for owner_id in sorted({*real, *seen.handles} - set(seen.veiled_handles)):
        if "/" in owner_id:
            continue
        handle, revision = seen.handles.get(owner_id, (Handle(owner_id), 0))
        hidden = {cidr: n for cidr, n in handle.counts.items() if cidr in seen.veiled_blocks}
        wanted = real.get(owner_id, {}) | hidden
        if wanted != dict(handle.counts) or not wanted:
            what = f"the handle says {_counts(handle.counts)}, the blocks say {_counts(wanted)}"
            repair = RewriteHandle(owner_id, tuple(sorted(wanted.items())), revision)
            yield Finding(Kind.HANDLE, owner_id, what, repair)


def _affinities(seen: Snapshot) -> Iterator[Finding]:
    """Compare the hosts' notes with what the blocks say, and both with the hosts that exist."""
    real = {(each.host, cidr) for cidr, (each, _) in seen.blocks.items() if each.host is not None}
    noted = {(host, cidr) for host, cidr in seen.notes if cidr not in seen.veiled_blocks}
    for hostname, cidr in sorted(real | noted):
        if hostname not in seen.hosts:
            what = f"belongs to host {hostname}, which does not exist"
            yield Finding(Kind.AFFINITY, str(cidr), what, ForgetHost(hostname, cidr))
        elif (hostname, cidr) not in real:
            what = f"is noted by host {hostname}, but {_whose(seen.blocks.get(cidr))}"
            yield Finding(Kind.AFFINITY, str(cidr), what, CorrectNote(hostname, cidr))
        elif (hostname, cidr) not in noted:
            what = f"belongs to host {hostname}, which has no note of it"
            yield Finding(Kind.AFFINITY, str(cidr), what, CorrectNote(hostname, cidr))


def _empty_blocks(seen: Snapshot) -> Iterator[Finding]:
    for cidr, (each, _) in sorted(seen.blocks.items()):
        if not each.owners and each.affinity is None:
            what = "nobody has an address in it, and it belongs to no host"
            yield Finding(Kind.BLOCK, str(cidr), what, DropBlock(cidr))


def _whose(entry: tuple[Block, int] | None) -> str:
    if entry is None:
        return "there is no such block"
    host = entry[0].host
    return "it belongs to no host" if host is None else f"it belongs to host {host}"


def _by(owner: Owner) -> str:
    who = "" if owner.id is None else f" by {owner.id}"
    return f"{who} on host {owner.host}" if owner.host else who


def _counts(counts: Mapping[IPNetwork, int]) -> str:
    return ", ".join(f"{counts[cidr]} in {cidr}" for cidr in sorted(counts)) or "nothing"


def _name(endpoint: Endpoint) -> str:
    return f"endpoint {endpoint.key.id} on host {endpoint.key.host}"
