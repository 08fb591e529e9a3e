"""Intents outlive whoever made them, and nobody else's are touched."""

import fcntl
import threading
from pathlib import Path

import pytest

from calico_ctl.host import intents


def names(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


def test_an_intent_is_there_while_its_maker_works_and_gone_at_a_good_end(tmp_path):
    with intents.declared("one", "text", tmp_path):
        assert (tmp_path / "one").read_text() == "text"
    assert names(tmp_path) == []


def test_an_intent_stays_when_its_maker_fails(tmp_path):
    with pytest.raises(RuntimeError), intents.declared("one", "text", tmp_path):
        raise RuntimeError
    assert list(intents.abandoned(tmp_path)) == ["text"]
    assert names(tmp_path) == []


def test_an_intent_that_was_taken_back_is_gone_before_its_makers_end(tmp_path):
    with intents.declared("one", "text", tmp_path) as withdraw:
        withdraw()
        assert names(tmp_path) == []


def test_an_intent_that_somebody_holds_is_left_alone(tmp_path):
    with intents.declared("one", "text", tmp_path):
        assert list(intents.abandoned(tmp_path)) == []
        assert names(tmp_path) == ["one"]


def test_an_intent_stays_if_it_could_not_be_carried_out(tmp_path):
    (tmp_path / "one").write_text("text")
    reader = intents.abandoned(tmp_path)
    assert next(reader) == "text"
    reader.close()
    assert names(tmp_path) == ["one"]
    with (tmp_path / "one").open() as file:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


def test_of_a_maker_that_was_killed_before_it_had_written_nothing_stays(tmp_path):
    (tmp_path / ".one").write_text("te")
    with (tmp_path / ".two").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        assert list(intents.abandoned(tmp_path)) == []
        assert names(tmp_path) == [".two"]
    with intents.declared("two", "text", tmp_path):
        assert names(tmp_path) == ["two"]


def test_no_directory_means_no_intents(tmp_path):
    assert list(intents.abandoned(tmp_path / "nowhere")) == []


def test_a_change_that_ends_well_is_never_taken_for_one_that_broke_off(tmp_path):
    stop = threading.Event()
    taken: list[str] = []

    def sweep() -> None:
        while not stop.is_set():
            taken.extend(intents.abandoned(tmp_path))

    sweepers = [threading.Thread(target=sweep) for _ in range(2)]
    for sweeper in sweepers:
        sweeper.start()
    try:
        for number in range(300):
            with intents.declared(f"intent{number}", "text", tmp_path):
                pass
    finally:
        stop.set()
        for sweeper in sweepers:
            sweeper.join(60)
    assert taken == []
    assert names(tmp_path) == []
