"""From what the kernel holds to what it shall hold: operations that are applied as one transaction.

Their order (a name must exist before it is used, and be unused before it goes): new sets and maps,
new chains (empty), set elements, rules of changed chains, map elements, then deletions in the
reverse order. A live table is never deleted: that would lose packets in flight.

Two beginnings: `rebuild` for a table whose contents are not known (the first transaction of an
agent's life, and whenever somebody else touched the table), `changes` from one known state to the
next. Both give the same table.
"""

from collections.abc import Iterable, Iterator

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

_EMPTY_CHAIN = Chain(())
_EMPTY_MAP = VerdictMap({})


def rebuild(live: Names, desired: Ruleset) -> list[Operation]:
    """Return what makes any live table with these names equal to `desired`."""
    steps: list[Operation] = [AddTable()]
    steps += (AddSet(name, item) for name, item in sorted(desired.sets.items()))
    steps += (AddMap(name) for name in sorted(desired.maps))
    steps += (AddChain(name, item.hook) for name, item in sorted(desired.chains.items()))
    for name, item in sorted(desired.sets.items()):
        steps.append(Flush("set", name))
        steps += _elements(name, item, item.elements)
    for name, chain in sorted(desired.chains.items()):
        steps += _rules(name, chain)
    for name, verdicts in sorted(desired.maps.items()):
        steps.append(Flush("map", name))
        steps += _verdicts(name, verdicts.verdicts.items())
    # A stale chain may jump to another stale one: empty them all before any goes.
    stale = sorted(live.chains - desired.chains.keys())
    steps += (Flush("chain", name) for name in stale)
    steps += (Delete("map", name) for name in sorted(live.maps - desired.maps.keys()))
    steps += (Delete("chain", name) for name in stale)
    steps += (Delete("set", name) for name in sorted(live.sets - desired.sets.keys()))
    return steps


def replace(desired: Ruleset) -> list[Operation]:
    """Return what puts `desired` in the place of any live table, in one transaction."""
    return [AddTable(), DeleteTable(), *rebuild(Names(), desired)]


def changes(step: Step) -> list[Operation]:
    """Return what takes a step; nothing if nothing changes."""
    before, after = step.before, step.after
    gone = sorted(before.chains.keys() - after.chains.keys())
    steps: list[Operation] = []
    steps += (
        AddSet(name, item) for name, item in sorted(after.sets.items()) if name not in before.sets
    )
    steps += (
        AddChain(name, chain.hook)
        for name, chain in sorted(after.chains.items())
        if name not in before.chains
    )
    steps += _grown_sets(before, after)
    for name, chain in sorted(after.chains.items()):
        if before.chains.get(name, _EMPTY_CHAIN).rules != chain.rules:
            steps += _rules(name, chain)
    steps += _changed_maps(before, after)
    steps += (Flush("chain", name) for name in gone)
    steps += (Delete("chain", name) for name in gone)
    steps += _shrunk_sets(before, after)
    steps += (Delete("set", name) for name in sorted(before.sets.keys() - after.sets.keys()))
    return steps


def _grown_sets(before: Ruleset, after: Ruleset) -> Iterator[Operation]:
    for name, item in sorted(after.sets.items()):
        present = before.sets.get(name, Set(item.type)).elements
        if present == item.elements:
            continue
        if item.interval:
            # A network that was merged into another cannot be taken out again: write all anew.
            if name in before.sets:
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
