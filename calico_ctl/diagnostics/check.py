"""A check of this machine: a name, a test, and perhaps a way to put right what it finds.

A test changes nothing. It returns a complaint or None; an error that it raises is a complaint too.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum

from calico_ctl.errors import CalicoError


@dataclass(frozen=True, slots=True)
class Complaint:
    """What is wrong, and what to do about it; the machine can be a node unless it is `grave`."""

    what: str
    hint: str
    grave: bool = True


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that a node needs; `about` says it in a few words, as it is when all is well.

    `fix` puts it right and may be carried out unasked only if it is safe; None: nobody but the
    operator can.
    """

    name: str
    about: str
    test: Callable[[], Complaint | None]
    fix: Callable[[], None] | None = None


class Outcome(StrEnum):
    """How a check ended."""

    OK = "ok"
    FIXED = "fixed"
    WARNING = "warning"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Result:
    """What a check found. A complaint beside `fixed` was true before."""

    check: str
    about: str
    complaint: Complaint | None = None
    fixed: bool = False

    @property
    def outcome(self) -> Outcome:
        """Say it in one word."""
        if self.complaint is None:
            return Outcome.OK
        if self.fixed:
            return Outcome.FIXED
        return Outcome.FAILED if self.complaint.grave else Outcome.WARNING


def run(checks: Iterable[Check], *, fix: bool = False) -> Iterator[Result]:
    """Carry out checks one after the other; with `fix`, put right what can be, and look again."""
    for check in checks:
        complaint = _tested(check)
        if complaint is None or not fix or check.fix is None:
            yield Result(check.name, check.about, complaint)
            continue
        left = _fixed(check, check.fix)
        yield Result(check.name, check.about, left or complaint, fixed=left is None)


def _tested(check: Check) -> Complaint | None:
    try:
        return check.test()
    except CalicoError as error:
        return Complaint(error.message, error.hint)


def _fixed(check: Check, fix: Callable[[], None]) -> Complaint | None:
    try:
        fix()
    except CalicoError as error:
        before = _tested(check)
        if before is None:
            return None
        tried = f"{before.what}; --fix did not help: {error.message}"
        return Complaint(tried, before.hint, before.grave)
    return _tested(check)
