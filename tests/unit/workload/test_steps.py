"""Several steps, some of which fail."""

import pytest

from calico_ctl.errors import CalicoError
from calico_ctl.workload.steps import incomplete, try_all


def test_every_step_is_done_and_every_failure_is_kept_in_order():
    done = []

    def fail(text: str) -> None:
        raise CalicoError(text)

    failures = try_all(
        [lambda: fail("one"), lambda: done.append(1), lambda: fail("two"), lambda: done.append(2)]
    )
    assert done == [1, 2]
    assert [failure.message for failure in failures] == ["one", "two"]


def test_a_reason_is_said_once_and_who_finishes_too():
    error = incomplete("half done", [CalicoError("no etcd"), CalicoError("no etcd")])
    assert error.message == "half done: no etcd"
    assert "calico-node" in error.hint


def test_a_bug_is_not_taken_for_a_step_that_failed():
    with pytest.raises(ZeroDivisionError):
        try_all([lambda: 1 / 0])
