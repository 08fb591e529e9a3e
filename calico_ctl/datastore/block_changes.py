"""Changes of blocks with all that follows, in one write where the store can do that.

It is in the order that keeps what a crash leaves harmless. The indexes beside a block (handles, and
the note of its host) are never too small: they grow before it and shrink after it.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from netaddr import IPNetwork

from calico_ctl.datastore import blocks, entries, handles
from calico_ctl.datastore.store import Change, Delete, Entry, Put, Store
from calico_ctl.errors import AlreadyExists, Conflict, InvalidValue
from calico_ctl.ipam import block
from calico_ctl.ipam.block import Block
from calico_ctl.model import keys

Wish = Callable[[Block], Block]

Before = Callable[[], Sequence[Change]]
"""Returns what is to be changed before the blocks, as it is to be changed now."""


def nothing() -> Sequence[Change]:
    """Return no change."""
    return ()


def change(
    store: Store, cidrs: Iterable[IPNetwork], wish: Wish, before: Before = nothing
) -> list[tuple[Block, Block]]:
    """Make of blocks what `wish` makes of them; return those that changed, before and after.

    A block in which nobody has anything any more goes, with the note of its host. The changes that
    `before` returns come first. Raises InvalidValue, naming the key, if a block cannot be read,
    once all the others are changed.
    """
    left, done = list(cidrs), set[str]()
    first: Sequence[Change] = ()
    changed: list[tuple[Block, Block]] = []
    problem: InvalidValue | None = None
    for _ in range(entries.ATTEMPTS):
        first = [each for each in before() if each.key not in done]
        plans, problem = _plans(store, left, wish, problem)
        made = _write(store, plans, first)
        done |= made
        changed += [(each.seen, each.wanted) for each in plans if each.is_among(made)]
        left = [each.seen.cidr for each in plans if not each.is_among(made)]
        if not left and all(each.key in made for each in first):
            break
    else:
        raise entries.gave_up(keys.block(left[0]) if left else first[0].key)
    if problem is not None:
        raise problem
    return [(seen, wanted) for seen, wanted in changed if seen != wanted]


def replace(store: Store, seen: Block, entry: Entry, wanted: Block) -> bool:
    """Make a change of a block as it was read; False if somebody was faster."""
    plan = _Plan(seen, entry, wanted)
    return plan.is_among(_write(store, [plan], []))


@dataclass(frozen=True, slots=True)
class _Plan:
    """A block as it is, and as it shall be; one without owners goes."""

    seen: Block
    entry: Entry
    wanted: Block

    @property
    def host_left(self) -> str | None:
        """The host whose note goes, if one's does."""
        stays = self.wanted.owners and self.wanted.host == self.seen.host
        return None if stays else self.seen.host

    def change(self) -> Change:
        if self.wanted.owners:
            return Put(self.entry.key, block.encode(self.wanted), self.entry)
        return Delete(self.entry.key, self.entry)

    def is_among(self, written: set[str]) -> bool:
        return self.entry.key in written

    def counts(self) -> Iterator[tuple[str, int, int]]:
        """Yield each owner that has more or less than before, and how much before and after."""
        owners = {who.id for each in (self.seen, self.wanted) for who in each.owners.values()}
        for owner in owners - {None}:
            before, after = self.seen.count(owner or ""), self.wanted.count(owner or "")
            if before != after:
                yield owner or "", before, after


def _plans(
    store: Store, cidrs: Iterable[IPNetwork], wish: Wish, problem: InvalidValue | None
) -> tuple[list[_Plan], InvalidValue | None]:
    """Return what is to be done, and the first problem."""
    plans = []
    for cidr in cidrs:
        try:
            found = blocks.get(store, cidr)
        except InvalidValue as error:
            problem = problem or error
            continue
        if found is not None:
            plan = _Plan(*found, wish(found[0]))
            if plan.wanted != plan.seen or not plan.wanted.owners:
                plans.append(plan)
    return plans, problem


def _write(store: Store, plans: Sequence[_Plan], first: Sequence[Change]) -> set[str]:
    """Write all of it, or as much as nobody else was faster with; return the keys."""
    growing, shrinking = _handles(store, plans)
    leaving = [(each.host_left, each.seen.cidr) for each in plans if each.host_left is not None]
    notes = [store.get(keys.affinity(host, cidr)) for host, cidr in leaving]
    changes = [
        *first,
        *growing,
        *(each.change() for each in plans),
        *shrinking,
        *(Delete(note.key, note) for note in notes if note is not None),
    ]
    made: list[Change] = []
    try:
        store.write_together(changes, made.append)
    except (AlreadyExists, Conflict):
        _finish_handles(store, plans, {each.key for each in made})
    written = {each.key for each in made}
    for each in plans:
        if each.is_among(written):
            _look_at_note(store, each)
    return written


def _handles(store: Store, plans: Iterable[_Plan]) -> tuple[list[Change], list[Change]]:
    """Return the changes of handles: those that get larger, and those that only get smaller."""
    counts: dict[str, dict[IPNetwork, int]] = {}
    grow: set[str] = set()
    for plan in plans:
        for owner, before, after in plan.counts():
            counts.setdefault(owner, {})[plan.seen.cidr] = after
            grow |= {owner} if after > before else set()
    wanted = {owner: handles.changes(store, owner, each) for owner, each in counts.items()}
    growing = [change for owner, each in wanted.items() if owner in grow for change in each]
    shrinking = [change for owner, each in wanted.items() if owner not in grow for change in each]
    return growing, shrinking


def _finish_handles(store: Store, plans: Iterable[_Plan], written: set[str]) -> None:
    """Look again at the handles: they belong to what has become of the blocks."""
    for plan in plans:
        for owner, before, after in plan.counts():
            if plan.is_among(written) != (keys.handle(owner) in written):
                count = after if plan.is_among(written) else before
                handles.note(store, owner, plan.seen.cidr, count)


def _look_at_note(store: Store, plan: _Plan) -> None:
    if plan.host_left is not None:
        blocks.correct_note(store, plan.host_left, plan.seen.cidr)
    elif plan.wanted.host is not None:
        blocks.mark(store, plan.wanted.host, plan.seen.cidr, "")
