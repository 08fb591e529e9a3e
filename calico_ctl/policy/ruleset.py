"""What the kernel shall hold, as a value: the table `inet calico`.

Chains are tuples of nft rule texts; sets and maps hold their elements as nft texts. The value says
everything about the table, so two of them can be compared without asking the kernel.
"""

from collections.abc import Mapping
from collections.abc import Set as Members
from dataclasses import dataclass, field

TABLE = "inet calico"

_NAMED = 20
"""Of more than these that change at once it is said how many they are."""


@dataclass(frozen=True, slots=True)
class Chain:
    """A chain. `hook` is the text of a base chain's hook line, empty for a regular chain."""

    rules: tuple[str, ...]
    hook: str = ""


@dataclass(frozen=True, slots=True)
class Set:
    """A set of elements of one nft type, the parts of a concatenation separated by ` . `.

    An `interval` set holds networks, overlaps merged. In a `counted` set each element counts the
    packets that were looked up by it.
    """

    type: str
    elements: frozenset[str] = frozenset()
    interval: bool = False
    counted: bool = False


@dataclass(frozen=True, slots=True)
class VerdictMap:
    """A map from interface name to verdict."""

    verdicts: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Ruleset:
    """The whole table, or the part of it that is spoken about."""

    chains: Mapping[str, Chain] = field(default_factory=dict)
    sets: Mapping[str, Set] = field(default_factory=dict)
    maps: Mapping[str, VerdictMap] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Step:
    """What changes: the same part of the table before and after; all else stays as it is.

    A set that is on both sides stands there with the elements that it loses and gains only, unless
    it is an `interval` set, which is there as a whole.
    """

    before: Ruleset
    after: Ruleset

    def __bool__(self) -> bool:
        """Say whether anything changes."""
        return self.before != self.after

    def summary(self) -> str:
        """Say in a few words how much changes."""
        chains = self.before.chains.keys() | self.after.chains.keys()
        elements = 0
        for name in self.before.sets.keys() | self.after.sets.keys():
            sides = (self.before.sets.get(name), self.after.sets.get(name))
            left, joined = (side.elements if side else frozenset() for side in sides)
            elements += len(left ^ joined)
        return f"changed {len(chains)} chains and {elements} elements"

    def details(self) -> str:
        """Name what changes, for who looks closely: `+` is new, `-` goes.

        `sets t4-web +2 -1`: that set gets two elements and loses one.
        """
        before, after = self.before, self.after
        kinds = {
            "chains": _named(before.chains, after.chains),
            "sets": _counted(_elements(before.sets), _elements(after.sets)),
            "maps": _counted(_pairs(before.maps), _pairs(after.maps)),
        }
        return "; ".join(f"{kind} {_first(each)}" for kind, each in kinds.items() if each)


def _named(before: Mapping[str, object], after: Mapping[str, object]) -> list[str]:
    new, gone = after.keys() - before.keys(), before.keys() - after.keys()
    names = sorted(before.keys() | after.keys())
    return [f"{'+' if name in new else '-' if name in gone else ''}{name}" for name in names]


def _counted(
    before: Mapping[str, Members[object]], after: Mapping[str, Members[object]]
) -> list[str]:
    counted = []
    for name in sorted(before.keys() | after.keys()):
        old, new = before.get(name, frozenset()), after.get(name, frozenset())
        joined, left = len(new - old), len(old - new)
        counted.append(name + f" +{joined}" * bool(joined) + f" -{left}" * bool(left))
    return counted


def _elements(sets: Mapping[str, Set]) -> Mapping[str, Members[object]]:
    return {name: each.elements for name, each in sets.items()}


def _pairs(maps: Mapping[str, VerdictMap]) -> Mapping[str, Members[object]]:
    return {name: each.verdicts.items() for name, each in maps.items()}


def _first(words: list[str]) -> str:
    more = len(words) - _NAMED
    return ", ".join([*words[:_NAMED], f"and {more} more"] if more > 0 else words)


@dataclass(frozen=True, slots=True)
class Names:
    """The names of what a live table holds; its contents are not known."""

    chains: frozenset[str] = frozenset()
    sets: frozenset[str] = frozenset()
    maps: frozenset[str] = frozenset()
