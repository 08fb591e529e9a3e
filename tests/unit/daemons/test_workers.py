"""Work for many names: never twice at a time for one, and never forgotten."""

import threading
from collections import Counter
from collections.abc import Iterator

import pytest

from calico_ctl.daemons.runtime import Post, Runtime
from calico_ctl.daemons.workers import Workers
from calico_ctl.errors import CalicoError
from tests.support.command import wait_until


@pytest.fixture
def runtime() -> Iterator[Runtime]:
    runtime = Runtime()
    yield runtime
    runtime.stopping.set()


def test_each_name_is_worked_on_by_one_at_a_time(runtime):
    busy: Counter[str] = Counter()
    most: Counter[str] = Counter()
    done: Counter[str] = Counter()

    def work(name: str, post: Post) -> None:
        busy[name] += 1
        most[name] = max(most[name], busy[name])
        busy[name] -= 1
        done[name] += 1

    workers = Workers(work)
    workers.start(runtime, 4)
    for _ in range(100):
        for name in ("web", "db", "cache"):
            workers.ask(name)
    wait_until(lambda: set(done) == {"web", "db", "cache"}, 5, "all were worked on")
    assert set(most.values()) == {1}


def test_who_asks_meanwhile_has_it_done_once_more(runtime):
    began, go_on = threading.Event(), threading.Event()
    done: list[str] = []

    def work(name: str, post: Post) -> None:
        began.set()
        assert go_on.wait(60)
        done.append(name)

    workers = Workers(work)
    workers.start(runtime, 2)
    workers.ask("web")
    assert began.wait(60)
    for _ in range(10):
        workers.ask("web")
    go_on.set()
    wait_until(lambda: len(done) == 2, 5, "it is done once more")
    workers.ask("db")
    wait_until(lambda: "db" in done, 5, "what came later is done")
    assert done == ["web", "web", "db"]


def test_one_that_takes_long_does_not_hold_up_others(runtime):
    go_on = threading.Event()
    done: list[str] = []

    def work(name: str, post: Post) -> None:
        if name == "slow":
            assert go_on.wait(60)
        done.append(name)

    workers = Workers(work)
    workers.start(runtime, 2)
    workers.ask("slow")
    workers.ask("web")
    wait_until(lambda: done == ["web"], 5, "the other one is done")
    go_on.set()


def test_a_failure_that_nobody_expected_ends_the_process(runtime):
    def work(name: str, post: Post) -> None:
        raise CalicoError("oh no")

    workers = Workers(work)
    workers.start(runtime, 1)
    workers.ask("web")
    with pytest.raises(CalicoError, match="worker 1 listener ended"):
        list(runtime.batches())
