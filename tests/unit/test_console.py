import errno
import io
import os
import sys
from pathlib import Path

import pytest

from calico_ctl.console import Console
from calico_ctl.errors import CalicoError, InvalidValue, PrivilegeRequired, UsageError


@pytest.fixture
def console() -> Console:
    return Console(user_id=0)


def test_results_go_to_stdout_and_messages_to_stderr(console, capsys) -> None:
    console.result("192.168.1.1")
    console.say("warning: it rains")
    assert capsys.readouterr() == ("192.168.1.1\n", "warning: it rains\n")


@pytest.mark.parametrize("text", ["warning: it rains", "error: it broke", "hint: mend it"])
def test_quiet_leaves_out_remarks_but_no_warnings(text, capsys) -> None:
    quiet = Console(user_id=0, quiet=True)
    quiet.say("nothing was changed")
    quiet.say(text)
    with quiet.progress() as say:
        say("building the image")
        say("warning: it is slow")
    assert capsys.readouterr().err == f"{text}\nwarning: it is slow\n"


@pytest.mark.parametrize(
    ("colour", "terminal", "expected"),
    [
        (True, True, "\x1b[31merror:\x1b[0m it broke: badly\n"),
        (True, False, "error: it broke: badly\n"),
        (False, True, "error: it broke: badly\n"),
    ],
)
def test_colour_is_for_terminals_that_may_have_it(
    colour, terminal, expected, capsys, monkeypatch
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: terminal)
    Console(user_id=0, colour=colour).error(CalicoError("it broke: badly"))
    assert capsys.readouterr().err == expected


def test_what_is_no_sign_has_no_colour(capsys, monkeypatch) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    Console(user_id=0, colour=True).say("using 10.0.0.1: the address of eth0")
    assert capsys.readouterr().err == "using 10.0.0.1: the address of eth0\n"


def test_progress_elsewhere_than_on_a_terminal_is_a_line_for_each_step(console, capsys) -> None:
    with console.progress() as say:
        say("building the image")
        say("warning: it is slow")
        say("waiting")
    assert capsys.readouterr().err == "building the image\nwarning: it is slow\nwaiting\n"


def test_progress_on_a_terminal_goes_on_below_a_warning(console, capsys, monkeypatch) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    with console.progress() as say:
        say("building the image")
        say("warning: it is slow")
        say("waiting")
    err = capsys.readouterr().err
    assert err.startswith("building the image")
    assert "\nwarning: it is slow\nwaiting" in err
    assert err.endswith("\n")


def test_an_error_is_its_message_and_its_hint(console, capsys) -> None:
    console.error(CalicoError("it broke", hint="mend it"))
    assert capsys.readouterr().err == "error: it broke\nhint: mend it\n"


def test_an_error_without_a_hint_is_one_line(console, capsys) -> None:
    console.error(CalicoError("it broke"))
    assert capsys.readouterr().err == "error: it broke\n"


def test_a_usage_error_says_itself_that_it_is_one(console, capsys) -> None:
    console.error(UsageError("error: no such form\n\nUsage:"))
    assert capsys.readouterr().err == "error: no such form\n\nUsage:\n"


def test_a_table_cuts_nothing(console, capsys) -> None:
    console.table(["Name", "Addresses"], [["x" * 300, "10.0.0.1\n10.0.0.2"]])
    out = capsys.readouterr().out
    assert "x" * 300 in out
    assert "10.0.0.2" in out


def test_a_table_without_rows_shows_its_headings(console, capsys) -> None:
    console.table(["Name", "State"], [])
    assert "| Name | State |" in capsys.readouterr().out


def test_only_root_passes(console) -> None:
    console.require_root("calicoctl node")
    with pytest.raises(PrivilegeRequired, match="`calicoctl node` must be run as root"):
        Console(user_id=1000).require_root("calicoctl node")


class Unwritable(io.StringIO):
    """A stream onto a pipe without a reader, or a full disk."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.number = number
        self.target = os.open(os.devnull, os.O_WRONLY)

    def write(self, _text: str) -> int:
        raise OSError(self.number, os.strerror(self.number))

    def fileno(self) -> int:
        return self.target


def test_a_reader_that_has_gone_does_not_stop_the_work(console, monkeypatch) -> None:
    monkeypatch.setattr(sys, "stdout", Unwritable(errno.EPIPE))
    monkeypatch.setattr(sys, "stderr", Unwritable(errno.EPIPE))
    assert console.is_heard
    console.result("one")
    console.say("two")
    assert not console.is_heard


def test_a_result_that_cannot_be_written_is_an_error(console, monkeypatch) -> None:
    monkeypatch.setattr(sys, "stdout", Unwritable(errno.ENOSPC))
    with pytest.raises(CalicoError, match=r"cannot write the output \(No space left on device\)"):
        console.result("one")


def test_input_is_read_to_its_end(console, monkeypatch, capsys) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("{\n}\n"))
    assert console.read_input("the rules as JSON") == "{\n}\n"
    assert capsys.readouterr().err == ""


def test_a_person_at_a_terminal_is_told_what_to_type(console, monkeypatch, capsys) -> None:
    terminal = io.StringIO("{}")
    monkeypatch.setattr(terminal, "isatty", lambda: True)
    monkeypatch.setattr(sys, "stdin", terminal)
    assert console.read_input("the rules as JSON") == "{}"
    assert "type the rules as JSON, then Ctrl-D" in capsys.readouterr().err


def test_input_that_never_ends_is_refused(console, monkeypatch) -> None:
    with Path("/dev/zero").open() as endless:
        monkeypatch.setattr(sys, "stdin", endless)
        with pytest.raises(CalicoError, match="stdin is larger than 32 MiB"):
            console.read_input("the rules as JSON")


def test_input_that_is_no_text_is_refused(console, monkeypatch) -> None:
    garbage = io.TextIOWrapper(io.BytesIO(b"\xff\xfe"), encoding="utf-8")
    monkeypatch.setattr(sys, "stdin", garbage)
    with pytest.raises(InvalidValue, match="in UTF-8"):
        console.read_input("the rules as JSON")
