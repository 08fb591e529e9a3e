"""Somebody who touches our table is answered at once, but not in an endless fight."""

from calico_ctl.daemons.repairing import Repairing
from tests.support.machine import FakeClock


def fought(clock: FakeClock, repairing: Repairing, rounds: int) -> list[float]:
    """Touch the table again as soon as it is written anew; return how long each answer took."""
    waits = []
    for _ in range(rounds):
        began = clock.monotonic()
        repairing.touched("nft")
        while not repairing.due():
            clock.sleep(0.5)
        waits.append(clock.monotonic() - began)
    return waits


def test_nothing_is_due_before_somebody_touched_the_table():
    repairing = Repairing(FakeClock())
    assert not repairing.due()
    assert repairing.counts() == {}


def test_the_first_answers_come_at_once_and_are_counted():
    clock = FakeClock()
    repairing = Repairing(clock)
    assert fought(clock, repairing, 5) == [0.0] * 5
    assert repairing.counts() == {"table": 5}


def test_an_answer_is_due_once():
    repairing = Repairing(FakeClock())
    repairing.touched("nft")
    repairing.touched("iptables")
    assert repairing.due()
    assert not repairing.due()


def test_from_the_sixth_time_in_a_row_each_answer_waits_longer_up_to_a_minute():
    clock = FakeClock()
    waits = fought(clock, Repairing(clock), 14)
    assert waits[5:9] == [2.0, 4.0, 8.0, 16.0]
    assert waits[-1] == 60.0


def test_after_some_peace_answers_come_at_once_again():
    clock = FakeClock()
    repairing = Repairing(clock)
    fought(clock, repairing, 8)
    clock.sleep(100)
    assert fought(clock, repairing, 1) == [0.0]


def test_what_was_mended_elsewhere_is_counted_by_kind():
    repairing = Repairing(FakeClock())
    repairing.count("host", 2)
    repairing.count("firewall", 1)
    repairing.count("host", 1)
    assert repairing.counts() == {"host": 3, "firewall": 1}
