"""Many collectors at once: one that fails or hangs takes nothing from the others."""

import threading
from functools import partial

import pytest

from calico_ctl.diagnostics.collector import Collector, Evidence, collect
from calico_ctl.errors import CalicoError

LONG = 60.0


def broken() -> str:
    raise CalicoError("etcd is away")


def bug() -> str:
    raise ZeroDivisionError("division by zero")


def test_each_text_has_the_name_of_its_collector_and_they_stay_in_order():
    made = [Collector(f"c{number}", partial("text {}".format, number)) for number in range(20)]
    found = collect(made)
    assert [each.name for each in found] == [each.name for each in made]
    assert [each.evidence.files for each in found] == [{f"c{n}": f"text {n}"} for n in range(20)]
    assert not any(each.failure for each in found)


def test_one_may_have_several_files_and_tell_secrets():
    evidence = Evidence({"logs/a": "1", "logs/b": "2"}, frozenset({"hunter2"}))
    (found,) = collect([Collector("logs", lambda: evidence)])
    assert found.evidence == evidence


@pytest.mark.parametrize(
    ("gather", "why"),
    [(broken, "etcd is away"), (bug, "ZeroDivisionError: division by zero")],
)
def test_T38_a_failure_is_in_its_file_and_the_others_go_on(gather, why):
    first, second = collect([Collector("a", gather), Collector("b", lambda: "fine")])
    assert first.failure == why
    assert first.evidence.files == {"a": f"not collected: {why}\n"}
    assert second.evidence.files == {"b": "fine"}


def test_those_that_hang_are_left_behind_however_many_they_are():
    never = threading.Event()

    def hang() -> str:
        never.wait(LONG)
        return "too late"

    hanging = [Collector(f"h{number}", hang, 0.05) for number in range(15)]
    try:
        *late, last = collect([*hanging, Collector("z", lambda: "fine", LONG)])
    finally:
        never.set()
    assert {each.failure for each in late} == {"it took longer than 0.05 s"}
    assert last.evidence.files == {"z": "fine"}


def test_nothing_to_collect_is_nothing_collected():
    assert collect([]) == []
