"""The single steps of a transaction on the table, as values: each prints as a line of nft.

The kernel gets them as netlink messages (`dataplane.nfnetlink`); the lines are for people, and for
tests that hold what the kernel made of the messages against what nft makes of the lines.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass

from calico_ctl.policy.ruleset import TABLE, Set


@dataclass(frozen=True, slots=True)
class AddTable:
    """Make the table unless it is there."""

    def __str__(self) -> str:
        return f"add table {TABLE}"


@dataclass(frozen=True, slots=True)
class DeleteTable:
    """Delete the table with all it holds."""

    def __str__(self) -> str:
        return f"delete table {TABLE}"


@dataclass(frozen=True, slots=True)
class AddSet:
    """Make a set unless it is there; its elements come apart."""

    name: str
    like: Set

    def __str__(self) -> str:
        options = " flags interval;" if self.like.interval else ""
        options += " counter;" if self.like.counted else ""
        return f"add set {TABLE} {self.name} {{ type {self.like.type};{options} }}"


@dataclass(frozen=True, slots=True)
class AddMap:
    """Make a map from interface to verdict unless it is there."""

    name: str

    def __str__(self) -> str:
        return f"add map {TABLE} {self.name} {{ type ifname : verdict; }}"


@dataclass(frozen=True, slots=True)
class AddChain:
    """Make a chain, empty, unless it is there."""

    name: str
    hook: str = ""

    def __str__(self) -> str:
        hook = f" {{ type {self.hook}; policy accept; }}" if self.hook else ""
        return f"add chain {TABLE} {self.name}{hook}"


@dataclass(frozen=True, slots=True)
class AddRule:
    """Append a rule to a chain."""

    chain: str
    text: str

    def __str__(self) -> str:
        return f"add rule {TABLE} {self.chain} {self.text}"


@dataclass(frozen=True, slots=True)
class AddElements:
    """Add elements to a set."""

    name: str
    like: Set
    elements: Collection[str]

    def __str__(self) -> str:
        return f"add element {TABLE} {self.name} {{ {', '.join(sorted(self.elements))} }}"


@dataclass(frozen=True, slots=True)
class DeleteElements:
    """Delete elements of a set; each has to be there."""

    name: str
    like: Set
    elements: Collection[str]

    def __str__(self) -> str:
        return f"delete element {TABLE} {self.name} {{ {', '.join(sorted(self.elements))} }}"


@dataclass(frozen=True, slots=True)
class AddVerdicts:
    """Add pairs of interface and verdict to a map."""

    name: str
    pairs: Collection[tuple[str, str]]

    def __str__(self) -> str:
        return f"add element {TABLE} {self.name} {{ {_listed(self.pairs)} }}"


@dataclass(frozen=True, slots=True)
class DeleteVerdicts:
    """Delete pairs of a map; each has to be there."""

    name: str
    pairs: Collection[tuple[str, str]]

    def __str__(self) -> str:
        return f"delete element {TABLE} {self.name} {{ {_listed(self.pairs)} }}"


@dataclass(frozen=True, slots=True)
class Flush:
    """Empty a `chain`, `set` or `map`."""

    kind: str
    name: str

    def __str__(self) -> str:
        return f"flush {self.kind} {TABLE} {self.name}"


@dataclass(frozen=True, slots=True)
class Delete:
    """Delete a `chain`, `set` or `map` that nothing refers to."""

    kind: str
    name: str

    def __str__(self) -> str:
        return f"delete {self.kind} {TABLE} {self.name}"


Operation = (
    AddTable
    | DeleteTable
    | AddSet
    | AddMap
    | AddChain
    | AddRule
    | AddElements
    | DeleteElements
    | AddVerdicts
    | DeleteVerdicts
    | Flush
    | Delete
)


def script(transactions: Iterable[Iterable[Operation]]) -> str:
    """Write transactions as a script for `nft -f`, which makes one of them."""
    return "".join(f"{each}\n" for operations in transactions for each in operations)


def _listed(pairs: Iterable[tuple[str, str]]) -> str:
    return ", ".join(f"{key} : {verdict}" for key, verdict in sorted(pairs))
