"""Work is done in order, only so much at a time, by threads that nobody waits for."""

import threading
from functools import partial

import pytest

from calico_ctl.daemons.lanes import Lane

PATIENCE = 60.0


class Gate:
    """Work that waits until it may go on."""

    def __init__(self) -> None:
        self.begun = threading.Semaphore(0)
        self.may_end = threading.Event()

    def __call__(self) -> threading.Thread:
        self.begun.release()
        assert self.may_end.wait(PATIENCE)
        return threading.current_thread()

    def wait(self, count: int) -> None:
        for _ in range(count):
            assert self.begun.acquire(timeout=PATIENCE)


def test_what_is_returned_or_raised_comes_back():
    lane = Lane(1)
    assert lane.submit(lambda: 6 * 7).result(PATIENCE) == 42
    with pytest.raises(ZeroDivisionError):
        lane.submit(lambda: 1 // 0).result(PATIENCE)
    assert lane.submit(lambda: "still there").result(PATIENCE) == "still there"


def test_no_more_than_so_many_are_done_at_a_time_and_in_order():
    lane, gate, done = Lane(2), Gate(), list[int]()
    held = [lane.submit(gate) for _ in range(2)]
    gate.wait(2)
    waiting = [lane.submit(partial(done.append, number)) for number in range(20)]
    one = Lane(1)
    one.submit(lambda: done.append(-1)).result(PATIENCE)
    assert done == [-1]
    assert not any(each.running() or each.done() for each in waiting)
    gate.may_end.set()
    for each in (*held, *waiting):
        each.result(PATIENCE)
    assert sorted(done) == [-1, *range(20)]


def test_in_a_lane_of_one_the_order_is_that_of_asking():
    lane, gate, done = Lane(1), Gate(), list[int]()
    lane.submit(gate)
    waiting = [lane.submit(partial(done.append, number)) for number in range(20)]
    gate.may_end.set()
    for each in waiting:
        each.result(PATIENCE)
    assert done == list(range(20))


def test_what_is_given_up_before_its_turn_is_not_done():
    lane, gate, done = Lane(1), Gate(), list[str]()
    held = lane.submit(gate)
    gate.wait(1)
    given_up = lane.submit(lambda: done.append("given up"))
    last = lane.submit(lambda: done.append("last"))
    assert given_up.cancel()
    assert not held.cancel()
    gate.may_end.set()
    last.result(PATIENCE)
    assert done == ["last"]


def test_a_process_that_ends_waits_for_no_thread_and_idle_ones_are_gone():
    lane, gate = Lane(3), Gate()
    held = [lane.submit(gate) for _ in range(3)]
    gate.wait(3)
    gate.may_end.set()
    threads = [each.result(PATIENCE) for each in held]
    for thread in threads:
        assert isinstance(thread, threading.Thread)
        assert thread.daemon
        thread.join(PATIENCE)
        assert not thread.is_alive()
