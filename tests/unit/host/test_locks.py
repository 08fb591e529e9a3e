"""One holder at a time, whoever it is, and nothing left behind."""

import threading

from calico_ctl.host import locks
from tests.support.command import wait_until


def test_a_lock_is_held_by_one_at_a_time():
    inside: list[int] = []
    most: list[int] = []

    def work(number: int) -> None:
        with locks.held("web"):
            inside.append(number)
            most.append(len(inside))
            inside.remove(number)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert most == [1] * 20


def test_who_holds_a_lock_keeps_others_waiting():
    entered = threading.Event()

    def wait_for_it() -> None:
        with locks.held("web"):
            entered.set()

    with locks.held("web"):
        thread = threading.Thread(target=wait_for_it)
        thread.start()
        assert not entered.wait(0.1)
    wait_until(entered.is_set, 5, "the other one gets the lock")
    thread.join(60)


def test_locks_of_other_names_do_not_matter():
    with locks.held("web"), locks.held("db"):
        pass


def test_a_name_may_be_longer_than_that_of_a_file():
    with locks.held("-" * 4000):
        pass


def test_nothing_is_left_of_a_lock(tmp_path):
    with locks.held("web", tmp_path):
        assert len(list(tmp_path.iterdir())) == 1
    assert list(tmp_path.iterdir()) == []
