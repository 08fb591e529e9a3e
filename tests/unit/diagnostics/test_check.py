"""Checks: what a complaint leads to, with and without somebody to put it right."""

import pytest

from calico_ctl.diagnostics import check
from calico_ctl.diagnostics.check import Check, Complaint, Outcome, Result
from calico_ctl.errors import CalicoError

GRAVE = Complaint("it is broken", "mend it")
SLIGHT = Complaint("it is old", "renew it", grave=False)


class Thing:
    """What a check looks at; `mended` by a fix, if that works."""

    def __init__(self, complaint: Complaint | None, fix_works: bool = True) -> None:
        self.complaint = complaint
        self.fix_works = fix_works
        self.fixes = 0

    def test(self) -> Complaint | None:
        return self.complaint

    def fix(self) -> None:
        self.fixes += 1
        if not self.fix_works:
            raise CalicoError("no tool for it")
        self.complaint = None

    def check(self) -> Check:
        return Check("thing", "a thing that works", self.test, self.fix)


def run(made: Check, *, fix: bool = False) -> Result:
    (result,) = check.run([made], fix=fix)
    return result


@pytest.mark.parametrize(
    ("complaint", "outcome"),
    [(None, Outcome.OK), (SLIGHT, Outcome.WARNING), (GRAVE, Outcome.FAILED)],
)
def test_a_complaint_says_how_bad_it_is(complaint, outcome):
    thing = Thing(complaint)
    result = run(thing.check())
    assert result.outcome is outcome
    assert result.complaint == complaint
    assert thing.fixes == 0


@pytest.mark.parametrize("complaint", [SLIGHT, GRAVE])
def test_what_was_fixed_is_said_with_what_was_wrong(complaint):
    result = run(Thing(complaint).check(), fix=True)
    assert result.outcome is Outcome.FIXED
    assert result.complaint == complaint


def test_what_is_well_is_not_fixed():
    thing = Thing(None)
    assert run(thing.check(), fix=True).outcome is Outcome.OK
    assert thing.fixes == 0


def test_a_fix_that_fails_leaves_the_complaint_and_says_why():
    result = run(Thing(GRAVE, fix_works=False).check(), fix=True)
    assert result.outcome is Outcome.FAILED
    assert result.complaint == Complaint(
        "it is broken; --fix did not help: no tool for it", "mend it"
    )


def test_a_fix_that_changes_nothing_is_none():
    made = Check("thing", "", lambda: GRAVE, lambda: None)
    result = run(made, fix=True)
    assert result.outcome is Outcome.FAILED
    assert result.complaint == GRAVE


def test_what_only_the_operator_can_put_right_is_left():
    assert run(Check("thing", "", lambda: GRAVE), fix=True).outcome is Outcome.FAILED


def test_an_error_is_a_complaint_and_the_next_check_is_carried_out():
    def broken() -> Complaint | None:
        raise CalicoError("etcd is away", "start it")

    first, second = check.run([Check("a", "", broken), Check("b", "", lambda: None)])
    assert first.complaint == Complaint("etcd is away", "start it")
    assert second.outcome is Outcome.OK
