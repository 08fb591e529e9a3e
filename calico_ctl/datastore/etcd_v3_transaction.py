"""Changes of several keys as one transaction of etcd's v3 API.

A change becomes conditions and an operation, and what is looked for if a condition does not hold:
that says which it was. etcd evaluates all conditions first, and writes a key once only.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from calico_ctl.datastore import etcd_v3_messages as messages
from calico_ctl.datastore.etcd_requests import changed_meanwhile, misplaced
from calico_ctl.datastore.etcd_v3_messages import Object
from calico_ctl.datastore.store import Change, Entry, Put
from calico_ctl.errors import AlreadyExists, CalicoError

BELOW_A_KEY = "lies below a key that is not a directory"

MAX_OPERATIONS = 128
"""Of each kind in one transaction: etcd's own limit unless it is started with another one."""

MAX_BYTES = 1_000_000
"""Of all values together; etcd takes 1.5 MB with all that is around them."""


@dataclass(frozen=True, slots=True)
class _Step:
    """What becomes of one key: `change` has the last value, `seen` is from before the first."""

    change: Change
    seen: Entry | None

    @property
    def is_new(self) -> bool:
        return isinstance(self.change, Put) and self.seen is None

    @property
    def size(self) -> int:
        value = self.change.value if isinstance(self.change, Put) else ""
        return len((value or "").encode())

    def conditions(self) -> list[Object]:
        key = self.change.key
        if self.is_new:
            return [*messages.absent({"key": messages.coded(key)}), *messages.placeable(key)]
        return [] if self.seen is None else [messages.unchanged(self.seen)]

    def operations(self) -> list[Object]:
        key = self.change.key
        if isinstance(self.change, Put):
            if self.change.value is None:
                return [messages.putting(f"{key}/", "")]
            return [messages.putting(key, self.change.value)]
        itself = {"key": messages.coded(key)}
        return messages.deleting(itself, *([messages.below(key)] if self.seen is None else []))

    def looks(self) -> list[Object]:
        """Return the operations that look what was wrong: at it, and if it is new around it."""
        key = self.change.key
        if self.is_new:
            above = [messages.looking(each) for each in messages.parents(key)]
            return [*messages.whether(key), *above]
        return [] if self.seen is None else [messages.looking(key)]

    def refusal(self, found: Sequence[Sequence[Entry]]) -> CalicoError | None:
        """Return the error for what was found by those; None: nothing is wrong with this one."""
        key = self.change.key
        if self.is_new:
            itself, inside, *above = found
            if itself or inside:
                return AlreadyExists(f"{key} exists already")
            return misplaced(key, BELOW_A_KEY) if any(above) else None
        if self.seen is None or [each.revision for each in found[0]] == [self.seen.revision]:
            return None
        return changed_meanwhile(key)


class Transaction:
    """Changes that are made at once, as many as etcd takes."""

    def __init__(self, written: Mapping[str, Entry]) -> None:
        """Begin with none; `written` is what the transactions before it have left."""
        self._written = written
        self._steps: dict[str, _Step] = {}
        self._conditions: list[Object] = []
        self._looks: list[Object] = []
        self._size = self._operations = 0
        self.changes: list[Change] = []

    @property
    def key(self) -> str:
        """The first key, for messages."""
        return self.changes[0].key

    def takes(self, change: Change) -> bool:
        """Add a change; say whether there is room for it. The first one always has."""
        before = self._steps.get(change.key)
        seen = before.seen if before else self._written.get(change.key, change.seen)
        if seen is not None and seen.is_directory:
            raise changed_meanwhile(change.key)
        step = _Step(change, seen)
        conditions = _united(self._conditions, step.conditions())
        looks = _united(self._looks, step.looks())
        size = self._size + step.size - (before.size if before else 0)
        operations = self._operations + (0 if before else len(step.operations()))
        most = max(len(conditions), len(looks), operations)
        if self.changes and (most > MAX_OPERATIONS or size > MAX_BYTES):
            return False
        self._steps[change.key] = step
        self._conditions, self._looks, self._operations = conditions, looks, operations
        self._size = size
        self.changes.append(change)
        return True

    def wanted(self) -> Object:
        """Return the request."""
        steps = self._steps.values()
        return {
            "compare": self._conditions,
            "success": [each for step in steps for each in step.operations()],
            "failure": self._looks,
        }

    def written(self, revision: int) -> dict[str, Entry]:
        """Return what was written, by key, given the revision of the transaction."""
        puts = [each.change for each in self._steps.values() if isinstance(each.change, Put)]
        return {each.key: Entry(each.key, each.value, revision) for each in puts}

    def refusal(self, found: Sequence[Sequence[Entry]]) -> CalicoError:
        """Return the error for the first change that does not hold, given what was found."""
        for step in self._steps.values():
            error = step.refusal([found[self._looks.index(each)] for each in step.looks()])
            if error is not None:
                return error
        return changed_meanwhile(self.key)


def _united(known: list[Object], more: list[Object]) -> list[Object]:
    return [*known, *(each for each in more if each not in known)]
