"""A handle: in which blocks an owner has addresses, and how many in each.

It is the index of blocks by owner, so that all that an owner has is found without reading every
block. The JSON is the historical one; `decode` is total.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field

from netaddr import IPNetwork

from calico_ctl.errors import InvalidValue
from calico_ctl.model import address

_FORM = "a JSON object with its id, and how many addresses are in each block"


@dataclass(frozen=True, slots=True)
class Handle:
    """A handle. `counts` has a number above 0 for each block."""

    id: str
    counts: Mapping[IPNetwork, int] = field(default_factory=dict, hash=False)

    def with_count(self, cidr: IPNetwork, count: int) -> "Handle":
        """Return the handle with so many addresses in a block; with 0 the block goes."""
        others = {block: number for block, number in self.counts.items() if block != cidr}
        return Handle(self.id, {**others, cidr: count} if count else others)


def encode(handle: Handle) -> str:
    """Write a handle."""
    counts = {str(cidr): handle.counts[cidr] for cidr in sorted(handle.counts)}
    return json.dumps({"id": handle.id, "block": counts})


def decode(owner: str, text: str) -> Handle:
    """Read the handle whose key says `owner`. Raises InvalidValue and nothing else."""
    try:
        fields = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise _invalid(text) from error
    if not isinstance(fields, dict) or fields.get("id") != owner:
        raise InvalidValue("handle", text, f"a JSON object with the id {owner}, as the key says")
    counts = fields.get("block")
    if not isinstance(counts, dict):
        raise _invalid(text)
    return Handle(owner, dict(_count(text, cidr, count) for cidr, count in counts.items()))


def _count(text: str, cidr: str, count: object) -> tuple[IPNetwork, int]:
    if isinstance(count, bool) or not isinstance(count, int) or count <= 0:
        raise _invalid(text)
    return address.parse_network(cidr), count


def _invalid(text: str) -> InvalidValue:
    return InvalidValue("handle", text, _FORM)
