"""One inbox, listeners that only post, one thread that decides."""

import itertools
import os
import signal
import threading

import pytest

from calico_ctl.daemons.runtime import Runtime, Tick
from calico_ctl.errors import CalicoError


def test_everything_that_waits_comes_as_one_batch():
    runtime = Runtime()

    def listener(post, stopping):
        for number in range(3):
            post(number)
        stopping.wait()

    runtime.listen("numbers", listener)
    received: list[object] = []
    for batch in runtime.batches():
        received += batch
        if len(received) == 3:
            runtime.stopping.set()
    assert received == [0, 1, 2]


def test_ticks_come_at_once_and_again():
    runtime = Runtime()
    runtime.tick_every(0.01)
    ticks = list(itertools.islice(itertools.chain.from_iterable(runtime.batches()), 3))
    runtime.stopping.set()
    assert ticks == [Tick(), Tick(), Tick()]


@pytest.mark.parametrize(
    ("end", "message"),
    [
        (lambda post, stopping: None, "the links listener ended .it returned"),
        (lambda post, stopping: 1 / 0, "the links listener ended .division by zero"),
    ],
)
def test_a_listener_that_ends_ends_the_process_with_its_name(end, message):
    runtime = Runtime()
    runtime.listen("links", end)
    with pytest.raises(CalicoError, match=message):
        list(runtime.batches())


def test_nothing_comes_once_the_process_shall_stop():
    runtime = Runtime()
    runtime.tick_every(10)
    runtime.stopping.set()
    assert list(runtime.batches()) == []


def test_what_came_in_meanwhile_is_one_batch():
    runtime = Runtime()
    posted = threading.Event()

    def listener(post, stopping):
        for number in range(5):
            post(number)
        posted.set()
        stopping.wait()

    runtime.listen("numbers", listener)
    assert posted.wait(60)
    assert next(runtime.batches()) == [0, 1, 2, 3, 4]
    runtime.stopping.set()


def test_a_listener_that_ends_because_it_shall_is_no_error():
    runtime = Runtime()
    ended = threading.Event()

    def listener(post, stopping):
        stopping.wait()
        ended.set()

    runtime.listen("links", listener)
    runtime.stopping.set()
    assert ended.wait(60)
    assert list(runtime.batches()) == []


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_batches(number):
    before = {each: signal.getsignal(each) for each in (signal.SIGTERM, signal.SIGINT)}
    try:
        runtime = Runtime()
        runtime.stop_on_signals()
        os.kill(os.getpid(), number)
        assert list(runtime.batches()) == []
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)
