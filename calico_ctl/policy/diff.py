"""From what the kernel holds to what it shall hold: operations, as one or two transactions.

The first, if there is any, makes what is new: sets with their elements, chains with their rules. As
nobody refers to it yet, it changes no packet's way. The second is the change. Why not one: a packet
on its way asks the old rules, but finds the elements of the moment. Made in one transaction, the
element of a map may send it to a chain that has no rules for it yet, and a set of ranges is empty
for it; both were seen to let denied packets in.

Their order within the second (a name must be unused before it goes): set elements, rules of changed
chains, map elements, then deletions. A live table is never deleted: that would lose packets in
flight.

Two beginnings: `rebuild` for a table whose contents are hardly known (the first transaction of an
agent's life, and whenever somebody else touched the table), `changes` from one known state to the
next. Both give the same table.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from calico_ctl.policy.operations import (
    AddChain,
    AddElements,
    AddMap,
    AddRule,
    AddSet,
    AddTable,
    AddVerdicts,
    Delete,
    DeleteElements,
    DeleteTable,
    DeleteVerdicts,
    Flush,
    Operation,
)
from calico_ctl.policy.ruleset import Chain, Names, Ruleset, Set, Step, VerdictMap

Transaction = list[Operation]

_EMPTY_MAP = VerdictMap({})


@dataclass(frozen=True, slots=True)
class Held:
    """What is known of a live table: the elements of sets, and chains with the desired rules."""

    elements: Mapping[str, frozenset[str]] = field(default_factory=dict)
    chains: frozenset[str] = frozenset()


_NOTHING = Held()


def rebuild(live: Names, desired: Ruleset, held: Held = _NOTHING) -> list[Transaction]:
    """Return what makes any live table with these names equal to `desired`.

    Of a table that does not exist there are no names; it is made in one transaction. Of what is
    known to be `held`, only what differs is written.
    """
    if live == Names():
        return [[AddTable(), *_rewritten(live, desired)]]
    new = _new(desired, live.sets, live.chains)
    known = Ruleset(
        {name: item for name, item in desired.chains.items() if name not in new.chains},
        {name: item for name, item in desired.sets.items() if name not in new.sets},
        desired.maps,
    )
    gone = Names(
        live.chains - desired.chains.keys(),
        live.sets - desired.sets.keys(),
        live.maps - desired.maps.keys(),
    )
    return _without_empty(_made(new), _rewritten(gone, known, held))


def replace(desired: Ruleset) -> list[Transaction]:
    """Return what puts `desired` in the place of any live table, in one transaction."""
    return [[AddTable(), DeleteTable(), AddTable(), *_rewritten(Names(), desired)]]


def changes(step: Step) -> list[Transaction]:
    """Return what takes a step; nothing if nothing changes."""
    before, after = step.before, step.after
    new = _new(after, before.sets.keys(), before.chains.keys())
    gone = sorted(before.chains.keys() - after.chains.keys())
    change: Transaction = [*_grown_sets(before, after)]
    for name, chain in sorted(after.chains.items()):
        if name in before.chains and before.chains[name].rules != chain.rules:
            change += _rules(name, chain)
        elif name not in before.chains and chain.hook:
            change += [AddChain(name, chain.hook), *_rules(name, chain)]
    change += _changed_maps(before, after)
    change += (Flush("chain", name) for name in gone)
    change += (Delete("chain", name) for name in gone)
    change += _shrunk_sets(before, after)
    change += (Delete("set", name) for name in sorted(before.sets.keys() - after.sets.keys()))
    return _without_empty(_made(new), change)


def _new(desired: Ruleset, sets: Iterable[str], chains: Iterable[str]) -> Ruleset:
    """Return the part of a table that is not among these names and that nobody's packets meet."""
    known_sets, known_chains = frozenset(sets), frozenset(chains)
    return Ruleset(
        {k: v for k, v in desired.chains.items() if k not in known_chains and not v.hook},
        {k: v for k, v in desired.sets.items() if k not in known_sets},
    )


def _made(new: Ruleset) -> Transaction:
    """Make sets and chains, all names before any rule."""
    steps: Transaction = [AddSet(name, item) for name, item in sorted(new.sets.items())]
    steps += (AddChain(name, chain.hook) for name, chain in sorted(new.chains.items()))
    for name, item in sorted(new.sets.items()):
        steps += _elements(name, item, item.elements)
    for name, chain in sorted(new.chains.items()):
        steps += (AddRule(name, text) for text in chain.rules)
    return steps


def _rewritten(gone: Names, desired: Ruleset, held: Held = _NOTHING) -> Transaction:
    """Empty and fill again all that is desired and not held, then delete what is gone."""
    steps: Transaction = [AddSet(name, item) for name, item in sorted(desired.sets.items())]
    steps += (AddMap(name) for name in sorted(desired.maps))
    steps += (
        AddChain(name, item.hook)
        for name, item in sorted(desired.chains.items())
        # One with a hook may be the kernel's, but hang elsewhere.
        if item.hook or name not in held.chains
    )
    for name, item in sorted(desired.sets.items()):
        present = held.elements.get(name)
        if present is None:
            steps.append(Flush("set", name))
        elif left := present - item.elements:
            steps.append(DeleteElements(name, item, left))
        steps += _elements(name, item, item.elements - (present or frozenset()))
    for name, chain in sorted(desired.chains.items()):
        if name not in held.chains:
            steps += _rules(name, chain)
    for name, verdicts in sorted(desired.maps.items()):
        steps.append(Flush("map", name))
        steps += _verdicts(name, verdicts.verdicts.items())
    # A chain that goes may jump to another such: empty them all before any goes.
    steps += (Flush("chain", name) for name in sorted(gone.chains))
    for kind, names in (("map", gone.maps), ("chain", gone.chains), ("set", gone.sets)):
        steps += (Delete(kind, name) for name in sorted(names))
    return steps


def _without_empty(*transactions: Transaction) -> list[Transaction]:
    return [each for each in transactions if each]


def _grown_sets(before: Ruleset, after: Ruleset) -> Iterator[Operation]:
    for name, item in sorted(after.sets.items()):
        present = before.sets.get(name, item).elements
        if present == item.elements:
            continue
        if item.interval:
            # A network that was merged into another cannot be taken out again: write all anew.
            yield Flush("set", name)
            yield from _elements(name, item, item.elements)
        else:
            yield from _elements(name, item, item.elements - present)


def _shrunk_sets(before: Ruleset, after: Ruleset) -> Iterator[Operation]:
    for name, item in sorted(after.sets.items()):
        if not item.interval and name in before.sets:
            left = before.sets[name].elements - item.elements
            if left:
                yield DeleteElements(name, item, left)


def _changed_maps(before: Ruleset, after: Ruleset) -> Iterator[Operation]:
    for name, item in sorted(after.maps.items()):
        old = before.maps.get(name, _EMPTY_MAP).verdicts.items()
        new = item.verdicts.items()
        # An interface that has another verdict has to go before it can come.
        if old - new:
            yield DeleteVerdicts(name, old - new)
        yield from _verdicts(name, new - old)


def _rules(name: str, chain: Chain) -> Iterator[Operation]:
    yield Flush("chain", name)
    for text in chain.rules:
        yield AddRule(name, text)


def _elements(name: str, item: Set, elements: frozenset[str]) -> list[Operation]:
    return [AddElements(name, item, elements)] if elements else []


def _verdicts(name: str, pairs: Iterable[tuple[str, str]]) -> list[Operation]:
    listed = frozenset(pairs)
    return [AddVerdicts(name, listed)] if listed else []
