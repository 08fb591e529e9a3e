"""From what the kernel holds to what it shall hold: one nft script, applied as one transaction.

Order within the script (a name must exist before it is used, and be unused before it goes): new
sets and maps, new chains (empty), set elements, rules of changed chains, map elements, then
deletions in the reverse order. A live table is never deleted: that would lose packets in flight.

Two beginnings: `rebuild` for a table whose contents are not known (the first transaction of an
agent's life), `changes` between two known ones. Both give the same table.
"""

from collections.abc import Iterable, Iterator

from calico_ctl.policy.ruleset import TABLE, Chain, Names, Ruleset, Set, VerdictMap

_EMPTY_CHAIN = Chain(())
_EMPTY_MAP = VerdictMap({})


def rebuild(live: Names, desired: Ruleset) -> str:
    """Return the script that makes any live table with these names equal to `desired`."""
    lines = [f"add table {TABLE}"]
    lines += (_add_set(name, item) for name, item in sorted(desired.sets.items()))
    lines += (_add_map(name) for name in sorted(desired.maps))
    lines += (_add_chain(name, item) for name, item in sorted(desired.chains.items()))
    for name, item in sorted(desired.sets.items()):
        lines.append(f"flush set {TABLE} {name}")
        lines += _elements("add", name, item.elements)
    for name, chain in sorted(desired.chains.items()):
        lines += _rules(name, chain)
    for name, verdicts in sorted(desired.maps.items()):
        lines.append(f"flush map {TABLE} {name}")
        lines += _elements("add", name, _pairs(verdicts))
    # A stale chain may jump to another stale one: empty them all before any goes.
    lines += (f"flush chain {TABLE} {name}" for name in sorted(live.chains - desired.chains.keys()))
    lines += _deletions("map", live.maps - desired.maps.keys())
    lines += _deletions("chain", live.chains - desired.chains.keys())
    lines += _deletions("set", live.sets - desired.sets.keys())
    return _script(lines)


def changes(installed: Ruleset, desired: Ruleset) -> str:
    """Return the script that turns one known table into another; empty if they are equal."""
    old_chains = installed.chains.keys() - desired.chains.keys()
    changed = {
        name: chain
        for name, chain in sorted(desired.chains.items())
        if installed.chains.get(name, _EMPTY_CHAIN).rules != chain.rules
    }
    lines: list[str] = []
    lines += (
        _add_set(name, item)
        for name, item in sorted(desired.sets.items())
        if name not in installed.sets
    )
    lines += (
        _add_chain(name, chain)
        for name, chain in sorted(desired.chains.items())
        if name not in installed.chains
    )
    lines += _grown_sets(installed, desired)
    for name, chain in changed.items():
        lines += _rules(name, chain)
    lines += _changed_maps(installed, desired)
    lines += (f"flush chain {TABLE} {name}" for name in sorted(old_chains))
    lines += _deletions("chain", old_chains)
    lines += _shrunk_sets(installed, desired)
    lines += _deletions("set", installed.sets.keys() - desired.sets.keys())
    return _script(lines)


def _grown_sets(installed: Ruleset, desired: Ruleset) -> Iterator[str]:
    for name, item in sorted(desired.sets.items()):
        before = installed.sets.get(name, Set(item.type)).elements
        if before == item.elements:
            continue
        if item.interval:
            # A network that was merged into another cannot be taken out again: write all anew.
            yield f"flush set {TABLE} {name}"
            yield from _elements("add", name, item.elements)
        else:
            yield from _elements("add", name, item.elements - before)


def _shrunk_sets(installed: Ruleset, desired: Ruleset) -> Iterator[str]:
    for name, item in sorted(desired.sets.items()):
        if not item.interval and name in installed.sets:
            yield from _elements("delete", name, installed.sets[name].elements - item.elements)


def _changed_maps(installed: Ruleset, desired: Ruleset) -> Iterator[str]:
    for name, item in sorted(desired.maps.items()):
        before = set(_pairs(installed.maps.get(name, _EMPTY_MAP)))
        after = set(_pairs(item))
        yield from _elements("delete", name, before - after)
        yield from _elements("add", name, after - before)


def _pairs(item: VerdictMap) -> list[str]:
    return [f"{key} : {verdict}" for key, verdict in item.verdicts.items()]


def _add_set(name: str, item: Set) -> str:
    flags = " flags interval; auto-merge;" if item.interval else ""
    return f"add set {TABLE} {name} {{ type {item.type};{flags} }}"


def _add_map(name: str) -> str:
    return f"add map {TABLE} {name} {{ type ifname : verdict; }}"


def _add_chain(name: str, chain: Chain) -> str:
    hook = f" {{ type {chain.hook}; policy accept; }}" if chain.hook else ""
    return f"add chain {TABLE} {name}{hook}"


def _rules(name: str, chain: Chain) -> Iterator[str]:
    yield f"flush chain {TABLE} {name}"
    for rule in chain.rules:
        yield f"add rule {TABLE} {name} {rule}"


def _elements(verb: str, name: str, elements: Iterable[str]) -> list[str]:
    listed = ", ".join(sorted(elements))
    return [f"{verb} element {TABLE} {name} {{ {listed} }}"] if listed else []


def _deletions(kind: str, names: Iterable[str]) -> list[str]:
    return [f"delete {kind} {TABLE} {name}" for name in sorted(names)]


def _script(lines: Iterable[str]) -> str:
    return "".join(f"{line}\n" for line in lines)
