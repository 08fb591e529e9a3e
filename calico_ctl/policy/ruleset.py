"""What the kernel shall hold, as a value: the table `inet calico`.

Chains are tuples of nft rule texts; sets and maps hold their elements as nft texts. The value says
everything about the table, so two of them can be compared without asking the kernel.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

TABLE = "inet calico"


@dataclass(frozen=True, slots=True)
class Chain:
    """A chain. `hook` is the text of a base chain's hook line, empty for a regular chain."""

    rules: tuple[str, ...]
    hook: str = ""


@dataclass(frozen=True, slots=True)
class Set:
    """A set of elements of one nft type. An `interval` set holds networks, overlaps merged."""

    type: str
    elements: frozenset[str] = frozenset()
    interval: bool = False


@dataclass(frozen=True, slots=True)
class VerdictMap:
    """A map from interface name to verdict."""

    verdicts: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Ruleset:
    """The whole table."""

    chains: Mapping[str, Chain] = field(default_factory=dict)
    sets: Mapping[str, Set] = field(default_factory=dict)
    maps: Mapping[str, VerdictMap] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Names:
    """The names of what a live table holds; its contents are not known."""

    chains: frozenset[str] = frozenset()
    sets: frozenset[str] = frozenset()
    maps: frozenset[str] = frozenset()
