import os
import pty
import sys
from threading import Event

import pytest

from calico_ctl.progress import Progress


class Written:
    """What was written, and an event for a text that is waited for."""

    def __init__(self, awaited: str = "") -> None:
        self.text = ""
        self.awaited = awaited
        self.seen = Event()

    def __call__(self, text: str) -> None:
        self.text += text
        if self.awaited and self.awaited in self.text:
            self.seen.set()


def test_a_line_ends_where_the_next_begins() -> None:
    written = Written()
    with Progress(written, interval=3600) as progress:
        progress.begin_line("building the image")
        progress.begin_line("waiting")
    assert written.text == "building the image\nwaiting\n"


def test_nothing_is_written_where_nothing_goes_on() -> None:
    written = Written()
    with Progress(written, interval=0.001) as progress:
        progress.end_line()
    assert written.text == ""


def test_the_line_is_rewritten_with_the_seconds_that_have_gone_by(monkeypatch) -> None:
    now = iter(range(0, 1_000_000, 7))
    monkeypatch.setattr("calico_ctl.progress.monotonic", lambda: next(now))
    written = Written(" ... 14 s")
    with Progress(written, interval=0.001) as progress:
        progress.begin_line("building the image")
        assert written.seen.wait(30)
    assert "\rbuilding the image ... 14 s" in written.text


def test_the_work_may_fail_in_between() -> None:
    written = Written()

    def work() -> None:
        with Progress(written, interval=3600) as progress:
            progress.begin_line("building the image")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        work()
    assert written.text == "building the image\n"


def test_a_line_is_cut_to_the_width_of_the_terminal(monkeypatch) -> None:
    ours, theirs = pty.openpty()
    with os.fdopen(ours, "rb"), os.fdopen(theirs, "w") as terminal:
        monkeypatch.setattr(sys, "stderr", terminal)
        monkeypatch.setattr(os, "get_terminal_size", lambda _: os.terminal_size((20, 5)))
        written = Written()
        with Progress(written, interval=3600) as progress:
            progress.begin_line("building the image calico/node:1.0.0")
    assert written.text == "building...de:1.0.0\n"
