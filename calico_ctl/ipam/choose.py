"""In which order blocks are asked for a free address: own ones, unclaimed ones, anybody's."""

from collections.abc import Collection, Iterable, Iterator, Sequence
from random import Random

from netaddr import IPAddress, IPNetwork

from calico_ctl.ipam import block


def within(blocks: Iterable[IPNetwork], pools: Sequence[IPNetwork]) -> Iterator[IPNetwork]:
    """Yield the blocks that share addresses with a pool."""
    return (each for each in blocks if any(_overlap(each, pool) for pool in pools))


def unclaimed(pools: Iterable[IPNetwork], claimed: Collection[int]) -> Iterator[IPNetwork]:
    """Yield the blocks that nobody has claimed, scanning the pools in order.

    `claimed` are the first addresses of the claimed blocks, as numbers.
    """
    passed = set(claimed)
    for pool in pools:
        aligned = int(pool.first) // block.SIZE * block.SIZE
        for first in range(aligned, int(pool.last) + 1, block.SIZE):
            if first not in passed:
                passed.add(first)
                yield block.cidr_of(IPAddress(first, pool.version))


def shuffled(keys: Iterable[str], random: Random) -> Iterator[str]:
    """Yield blocks' keys in random order, so that hosts that run short do not all ask the same.

    One is chosen when it is asked for: hardly ever more than one of some hundred is.
    """
    left = sorted(keys)
    while left:
        at = random.randrange(len(left))
        left[at], left[-1] = left[-1], left[at]
        yield left.pop()


def _overlap(one: IPNetwork, other: IPNetwork) -> bool:
    return one.version == other.version and one.first <= other.last and other.first <= one.last
