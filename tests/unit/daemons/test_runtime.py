"""One inbox, listeners that only post, one thread that decides."""

import itertools

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
