"""In which order blocks are asked for a free address: own ones, unclaimed ones, anybody's."""

from collections.abc import Collection, Iterable, Iterator
from random import Random

from netaddr import IPAddress, IPNetwork

from calico_ctl.ipam import block


def within(blocks: Iterable[IPNetwork], pools: Iterable[IPNetwork]) -> list[IPNetwork]:
    """Return the blocks that share addresses with a pool, in order."""
    wanted = list(pools)
    return sorted(each for each in blocks if any(_overlap(each, pool) for pool in wanted))


def unclaimed(pools: Iterable[IPNetwork], claimed: Collection[int]) -> Iterator[IPNetwork]:
    """Yield the blocks that nobody has claimed, scanning the pools in order.

    `claimed` are the first addresses of the claimed blocks, as numbers: a full pool has thousands.
    """
    passed = set(claimed)
    for pool in pools:
        aligned = int(pool.first) // block.SIZE * block.SIZE
        for number in range(aligned, int(pool.last) + 1, block.SIZE):
            if number not in passed:
                passed.add(number)
                yield block.cidr_of(IPAddress(number, pool.version))


def shuffled(blocks: Iterable[IPNetwork], random: Random) -> list[IPNetwork]:
    """Return the blocks in random order, so that hosts that run short do not all ask the same."""
    mixed = sorted(blocks)
    random.shuffle(mixed)
    return mixed


def _overlap(one: IPNetwork, other: IPNetwork) -> bool:
    return one.version == other.version and one.first <= other.last and other.first <= one.last
