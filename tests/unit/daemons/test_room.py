"""Who finds too little room waits, in order; nothing of it gets lost."""

from hypothesis import given, settings
from hypothesis import strategies as st

from calico_ctl.daemons.room import Room


def test_there_is_room_until_it_is_taken_and_again_when_it_is_given_back():
    room = Room(10)
    first, second, third = room.take(6), room.take(4), room.take(5)
    assert first.done()
    assert second.done()
    assert not third.done()
    room.give_back(4)
    assert not third.done()
    room.give_back(6)
    assert third.done()


def test_the_small_do_not_pass_the_large():
    room = Room(10)
    room.take(10)
    large, small = room.take(10), room.take(1)
    room.give_back(10)
    assert large.done()
    assert not small.done()


def test_who_gives_up_holds_up_nobody_and_takes_nothing():
    room = Room(10)
    room.take(8)
    large = room.take(10)
    assert large.cancel()
    assert room.take(2).done()
    room.give_back(10)
    assert room.take(10).done()


@settings(deadline=None, max_examples=30)
@given(st.lists(st.tuples(st.integers(0, 10), st.booleans()), max_size=40))
def test_never_more_is_taken_than_there_is_and_in_the_end_all_is_free(taking):
    room, asked = Room(10), []
    for size, gives_up in taking:
        future = room.take(size)
        if gives_up and future.cancel():
            continue
        asked.append((size, future))
        assert sum(size for size, future in asked if future.done()) <= 10
    while asked:
        done = [each for each in asked if each[1].done()]
        assert done, "who waits gets room when others are done"
        for each in done:
            asked.remove(each)
            room.give_back(each[0])
    assert room.take(10).done()
