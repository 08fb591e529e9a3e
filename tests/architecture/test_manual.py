"""The manual says what the commands say: it is made of their usage texts, and is current."""

import shutil
import subprocess

import pytest

from calico_ctl.commands import COMMANDS
from scripts import manual


@pytest.mark.parametrize(("path", "make"), [(manual.MAN, manual.man), (manual.DOCS, manual.docs)])
def test_the_manual_is_current(path, make) -> None:
    assert path.read_text() == make(), "run `make man docs`"


def test_the_manual_has_every_command_of_the_help() -> None:
    shown = [name for name in COMMANDS if COMMANDS[name].summary]
    assert manual.shown() == shown
    man, docs = manual.man(), manual.docs()
    for name in shown:
        assert f'.SS "calicoctl {name}"\n' in man
        assert f"\n## calicoctl {name}\n" in docs


def test_the_manual_page_is_what_groff_takes_without_a_warning() -> None:
    program = shutil.which("groff")
    assert program is not None, "groff is missing: scripts/setup installs it"
    done = subprocess.run(
        [program, "-man", "-Tutf8", "-ww"],
        input=manual.man(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "calicoctl pool show" in done.stdout


def test_a_usage_text_is_taken_apart_at_its_titles() -> None:
    found = manual.sections("Plant trees.\n\nUsage:\n  calicoctl tree\n\nMore\nof it:\n")
    assert [(each.title, list(each.lines)) for each in found] == [
        ("", ["Plant trees."]),
        ("Usage", ["  calicoctl tree"]),
        ("", ["More", "of it:"]),
    ]


def test_what_is_said_about_a_term_may_go_on_below_it() -> None:
    lines = ["  --at=<N>  Where", "            it is.", "  --a-long-option=<X>", "      That."]
    assert manual.entries(lines) == [
        ("--at=<N>", "Where it is."),
        ("--a-long-option=<X>", "That."),
    ]
