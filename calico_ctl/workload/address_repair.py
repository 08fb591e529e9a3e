"""Addresses that went astray: finding them, giving them back, and what holds an address.

A container in creation has claimed its address and not yet published its endpoint. From outside
that looks like a leak, so nothing is called one, or freed, before it has been seen twice with a
pause in between. Nor is a creation harmed that takes longer: it looks for its claim after it has
published its endpoint, and here endpoints are looked for after a claim was freed. One of the two
sees the other.
"""

from collections.abc import Iterable, Sequence, Set
from dataclasses import dataclass, replace

from netaddr import IPAddress, IPNetwork

from calico_ctl.datastore import address_check, blocks, endpoints, nodes, pools
from calico_ctl.datastore.store import Store
from calico_ctl.errors import CalicoError, Conflict, NotFound
from calico_ctl.ipam import block, check
from calico_ctl.ipam.block import Owner
from calico_ctl.ipam.check import ClaimAddress, Finding, FreeAddress
from calico_ctl.model.address import FAMILIES
from calico_ctl.model.endpoint import Endpoint
from calico_ctl.workload.platform import Platform

PAUSE_SECONDS = 10.0
"""Longer than the time between a claim and its endpoint, also while etcd is slow."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a finding. `failure` says why its repair did not work."""

    finding: Finding
    fixed: bool = False
    failure: str = ""


@dataclass(frozen=True, slots=True)
class Assignment:
    """Who has an address, and what it belongs to.

    `endpoints` are all that list it; `affinity` is the host that prefers the block.
    """

    ip: IPAddress
    owner: Owner
    endpoints: tuple[Endpoint, ...]
    block: IPNetwork
    affinity: str | None
    pool: IPNetwork | None


def suspected(platform: Platform) -> list[Finding]:
    """Return what looks wrong at this moment; a container in creation may be behind it."""
    return check.check(address_check.read(platform.store))


def confirmed(platform: Platform, before: Sequence[Finding], pause: float) -> list[Finding]:
    """Return what still looks wrong after so many seconds."""
    platform.clock.sleep(pause)
    return check.persisting(before, suspected(platform))


def repair(platform: Platform, findings: Iterable[Finding]) -> list[Outcome]:
    """Repair what can be; each on its own, whatever becomes of the others."""
    store = platform.store
    outcomes = [_repair(store, finding) for finding in findings]
    freed = {each.finding.subject for each in outcomes if each.fixed and _frees(each.finding)}
    taken = _claimed_again(store, freed)
    return [
        replace(each, fixed=False, failure="a container that was in creation has it")
        if each.finding.subject in taken and _frees(each.finding)
        else each
        for each in outcomes
    ]


def assignment(store: Store, ip: IPAddress) -> Assignment:
    """Return who has an address. Raises NotFound, saying what it is instead, if nobody does."""
    cidr = block.cidr_of(ip)
    found = blocks.get(store, cidr)
    owner = None if found is None else found[0].owner(ip)
    having = _having(store, ip)
    if found is None or owner is None:
        raise _not_assigned(store, ip, having)
    pool = pools.containing(pools.all(store), ip)
    return Assignment(ip, owner, having, cidr, found[0].host, None if pool is None else pool.cidr)


def require_released(store: Store, ip: IPAddress) -> Owner:
    """Return who has claimed an address that no endpoint has.

    Raises NotFound if it is not assigned, and Conflict if an endpoint has it or may have it.
    """
    found = assignment(store, ip)
    if found.endpoints:
        raise _in_use(ip, found.endpoints[0])
    for problem in endpoints.all(store)[1]:
        if found.owner.id in {None, problem.key.rpartition("/")[2]}:
            raise Conflict(
                f"address {ip} may belong to an endpoint that cannot be read: {problem.key}",
                hint="correct its value in etcd, or delete the key",
            )
    return found.owner


def release(platform: Platform, ip: IPAddress, seen: Owner, pause: float) -> None:
    """Free an address that had this owner and no endpoint, if it is still so after the pause.

    Raises NotFound or Conflict if it is not.
    """
    before = blocks.get(platform.store, block.cidr_of(ip))
    platform.clock.sleep(pause)
    now = require_released(platform.store, ip)
    revision = 0 if before is None else before[1].revision
    wanted = FreeAddress(ip, seen.id, revision)
    freed = now == seen and address_check.repair(platform.store, wanted)
    if not freed or _claimed_again(platform.store, {str(ip)}):
        raise Conflict(f"address {ip} was claimed anew meanwhile", hint="try again")


def _repair(store: Store, finding: Finding) -> Outcome:
    if finding.repair is None:
        return Outcome(finding)
    try:
        if address_check.repair(store, finding.repair):
            return Outcome(finding, fixed=True)
    except CalicoError as error:
        return Outcome(finding, failure=error.message)
    return Outcome(finding, failure="it changed meanwhile")


def _frees(finding: Finding) -> bool:
    return isinstance(finding.repair, FreeAddress)


def _claimed_again(store: Store, freed: Set[str]) -> set[str]:
    """Claim for endpoints those addresses that they turn out to have; return them."""
    if not freed:
        return set()
    found = check.check(address_check.read(store))
    wanted = [each for each in found if isinstance(each.repair, ClaimAddress)]
    return {each.subject for each in wanted if each.subject in freed and _repair(store, each).fixed}


def _having(store: Store, ip: IPAddress) -> tuple[Endpoint, ...]:
    return tuple(each for each in endpoints.all(store)[0] if ip in each.addresses)


def _in_use(ip: IPAddress, endpoint: Endpoint) -> Conflict:
    key = endpoint.key
    return Conflict(
        f"address {ip} belongs to endpoint {key.id} of container {key.workload[:12]} on host"
        f" {key.host}",
        hint=f"on that host: calicoctl container {key.workload[:12]} ip remove {ip}",
    )


def _not_assigned(store: Store, ip: IPAddress, having: Sequence[Endpoint]) -> NotFound:
    if having:
        return NotFound(
            f"address {ip} is not assigned, though endpoint {having[0].key.id} on host"
            f" {having[0].key.host} has it",
            hint="`calicoctl ipam check --fix` claims it for the endpoint",
        )
    hosts = {node.address(family): node.host for node in nodes.all(store) for family in FAMILIES}
    if ip in hosts:
        return NotFound(f"address {ip} is not assigned: it is the address of host {hosts[ip]}")
    pool = pools.containing(pools.all(store), ip)
    where = "in no pool" if pool is None else f"in pool {pool.cidr}"
    return NotFound(f"address {ip} is not assigned; it is {where}")
