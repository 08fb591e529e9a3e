"""A block: 64 neighbouring addresses, which of them are taken, and by whom.

Blocks are the unit of compare-and-swap, so one claim never waits for the whole pool. They lie on
multiples of 64 whatever the pools are; of a block around a pool of 16 addresses only those 16 are
ever given out: who asks says which pools count. So who routes by blocks has to look at the pools
too. The JSON is the historical one (`decode`, `encode`); `decode` is total.
"""

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from netaddr import IPAddress, IPNetwork

from calico_ctl.errors import Conflict, InvalidValue
from calico_ctl.model import address

SIZE = 64

_SIZE_BITS = 6
_HOST = "host:"
_FORM = "a JSON object with cidr, affinity, 64 allocations, and attributes"


@dataclass(frozen=True, slots=True)
class Owner:
    """Who holds an address: the id of an endpoint, and what else was noted, such as the host."""

    id: str | None
    secondary: Mapping[str, object] = field(default_factory=dict, hash=False)

    @property
    def host(self) -> str | None:
        """The host of the endpoint, if it was noted."""
        host = self.secondary.get("host")
        return host if isinstance(host, str) else None


@dataclass(frozen=True, slots=True)
class Block:
    """A block. `affinity` is `host:<name>` of the host that prefers it; `owners` go by ordinal."""

    cidr: IPNetwork
    affinity: str | None
    owners: Mapping[int, Owner] = field(default_factory=dict, hash=False)

    @property
    def host(self) -> str | None:
        """The host that the block is affine to, if any."""
        if self.affinity is None or not self.affinity.startswith(_HOST):
            return None
        return self.affinity.removeprefix(_HOST)

    def owner(self, ip: IPAddress) -> Owner | None:
        """Return who holds an address of this block, or None."""
        return self.owners.get(self._ordinal(ip))

    def free(self, pools: Sequence[IPNetwork], reserved: Collection[int]) -> IPAddress | None:
        """Return the lowest address that is in a pool, neither taken nor reserved; or None."""
        first_of_block = int(self.cidr.first)
        for first, last in _within(self.cidr, pools):
            for number in range(first, last + 1):
                if number - first_of_block not in self.owners and number not in reserved:
                    return IPAddress(number, self.cidr.version)
        return None

    def count(self, owner_id: str) -> int:
        """Return how many addresses an owner has here."""
        return sum(who.id == owner_id for who in self.owners.values())

    def addresses(self) -> Iterator[tuple[IPAddress, Owner]]:
        """Yield each address that is taken with who holds it, lowest first."""
        for ordinal in sorted(self.owners):
            yield IPAddress(int(self.cidr.first) + ordinal, self.cidr.version), self.owners[ordinal]

    def preferred_by(self, hostname: str) -> "Block":
        """Return the block with a host's preference, if no host prefers it so far."""
        return self if self.affinity is not None else replace(self, affinity=_HOST + hostname)

    def without_preference(self, hostname: str) -> "Block":
        """Return the block without the preference of that host; what is claimed stays."""
        return replace(self, affinity=None) if self.host == hostname else self

    def hand_over(self, ip: IPAddress, owner: Owner) -> "Block":
        """Return the block with the address taken by that owner, whoever had it."""
        return replace(self, owners={**self.owners, self._ordinal(ip): owner})

    def claim(self, ip: IPAddress, owner: Owner) -> "Block":
        """Return the block with the address taken. Raises Conflict if somebody else has it."""
        holder = self.owner(ip)
        if holder is not None and (holder.id is None or holder.id != owner.id):
            raise taken(ip, holder)
        return self.hand_over(ip, owner)

    def release(self, ip: IPAddress, owner_id: str | None) -> "Block":
        """Return the block with the address free if that owner, or for None anybody, has it."""
        holder = self.owner(ip)
        if holder is None or owner_id not in {None, holder.id}:
            return self
        ordinal = self._ordinal(ip)
        return replace(self, owners={at: who for at, who in self.owners.items() if at != ordinal})

    def release_all(self, owner_id: str) -> "Block":
        """Return the block without anything that this owner holds."""
        return replace(
            self, owners={at: who for at, who in self.owners.items() if who.id != owner_id}
        )

    def without_host(self, hostname: str) -> "Block":
        """Return the block without a host's preference and without what its endpoints hold."""
        affinity = None if self.host == hostname else self.affinity
        owners = {at: who for at, who in self.owners.items() if who.host != hostname}
        return replace(self, affinity=affinity, owners=owners)

    def _ordinal(self, ip: IPAddress) -> int:
        return int(ip) - int(self.cidr.first)


def empty(cidr: IPNetwork, host: str) -> Block:
    """Return a new block for a host."""
    return Block(cidr, _HOST + host)


def cidr_of(ip: IPAddress) -> IPNetwork:
    """Return the network of the block that an address belongs to."""
    return IPNetwork(f"{ip}/{address.width(ip) - _SIZE_BITS}").cidr


def taken(ip: IPAddress, holder: Owner) -> Conflict:
    """Return the error for an address that somebody has."""
    who = f" to endpoint {holder.id}" if holder.id else ""
    where = f" on host {holder.host}" if holder.host else ""
    return Conflict(
        f"address {ip} is already assigned{who}{where}",
        hint="choose another one, or 'ipv4'/'ipv6' for any free one; "
        "`calicoctl endpoint show --detailed` lists who has which",
    )


def encode(block: Block) -> str:
    """Write a block; equal owners share an attribute, unused attributes go."""
    attributes = list(dict.fromkeys(block.owners[at] for at in sorted(block.owners)))
    # Owners are equal only if their notes are; a dictionary finds them without comparing all.
    numbers = {owner: number for number, owner in enumerate(attributes)}
    indexes = {at: numbers[owner] for at, owner in block.owners.items()}
    return json.dumps(
        {
            "cidr": str(block.cidr),
            "affinity": block.affinity,
            "allocations": [indexes.get(ordinal) for ordinal in range(SIZE)],
            "attributes": [
                {"handle_id": owner.id, "secondary": dict(owner.secondary)} for owner in attributes
            ],
        }
    )


def decode(cidr: IPNetwork, text: str) -> Block:
    """Read the block whose key says `cidr`. Raises InvalidValue and nothing else."""
    if cidr.size != SIZE:
        raise _invalid(str(cidr), f"a network of {SIZE} addresses")
    try:
        fields = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise _invalid(text) from error
    if not isinstance(fields, dict) or fields.get("cidr") != str(cidr):
        raise _invalid(text, f"a JSON object with the cidr {cidr}, as the key says")
    affinity = fields.get("affinity")
    if affinity is not None and not isinstance(affinity, str):
        raise _invalid(text)
    owners = _owners(text, fields.get("attributes"))
    return Block(cidr, affinity, _allocations(text, fields.get("allocations"), owners))


def _within(cidr: IPNetwork, pools: Sequence[IPNetwork]) -> Iterator[tuple[int, int]]:
    """Yield the parts of a block that lie in pools, lowest first."""
    for pool in sorted(pool for pool in pools if pool.version == cidr.version):
        first, last = max(cidr.first, pool.first), min(cidr.last, pool.last)
        if first <= last:
            yield int(first), int(last)


def _owners(text: str, value: object) -> list[Owner]:
    if not isinstance(value, list):
        raise _invalid(text)
    owners = []
    for attribute in value:
        if not isinstance(attribute, dict):
            raise _invalid(text)
        handle_id, secondary = attribute.get("handle_id"), attribute.get("secondary") or {}
        if not isinstance(handle_id, str | None) or not isinstance(secondary, dict):
            raise _invalid(text)
        owners.append(Owner(handle_id, secondary))
    return owners


def _allocations(text: str, value: object, owners: Sequence[Owner]) -> dict[int, Owner]:
    if not isinstance(value, list) or len(value) != SIZE:
        raise _invalid(text)
    allocated = {}
    for ordinal, index in enumerate(value):
        if index is None:
            continue
        if isinstance(index, bool) or not isinstance(index, int) or not 0 <= index < len(owners):
            raise _invalid(text)
        allocated[ordinal] = owners[index]
    return allocated


def _invalid(text: str, expected: str = _FORM) -> InvalidValue:
    return InvalidValue("address block", text, expected)
