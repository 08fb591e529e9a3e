import subprocess
import sys
import time

import pytest

from calico_ctl.errors import CommandFailed
from calico_ctl.host import command
from tests.support.paths import CHECKOUT


def test_output_is_returned_and_input_given():
    assert command.run(["cat"], stdin="läßt sich lesen\n") == "läßt sich lesen\n"


def test_a_program_without_input_does_not_wait_for_the_terminal():
    assert command.run(["cat"]) == ""


def test_a_failure_shows_a_line_to_paste_and_what_the_program_said():
    with pytest.raises(CommandFailed) as caught:
        command.run(["sh", "-c", "echo it broke >&2; exit 3"])
    assert caught.value.message == (
        "`sh -c 'echo it broke >&2; exit 3'` failed: it broke (exit code 3)"
    )


def test_a_program_that_is_not_there_is_named():
    with pytest.raises(CommandFailed, match="cannot run no-such-program-here"):
        command.run(["no-such-program-here"])


FIRST_PROGRAMS = """
import threading
import time
from calico_ctl.errors import CommandFailed
from calico_ctl.host import command

said = []

def fail(number):
    time.sleep(number * 0.003)
    try:
        command.run(["false"])
    except Exception as error:
        said.append(type(error))

threads = [threading.Thread(target=fail, args=(number,)) for number in range(20)]
for each in threads:
    each.start()
for each in threads:
    each.join()
assert said == [CommandFailed] * 20, said
"""


def test_several_threads_may_run_a_process_first_program():
    """As those of the agent do, where one of them fails."""
    argv = [sys.executable, "-c", FIRST_PROGRAMS]
    done = subprocess.run(argv, cwd=CHECKOUT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_a_program_that_does_not_end_is_ended():
    started = time.monotonic()
    with pytest.raises(CommandFailed, match=r"did not end within 0\.2 s"):
        command.run(["sleep", "60"], timeout=0.2)
    assert time.monotonic() - started < 50


def test_arguments_are_not_read_by_a_shell():
    assert command.run(["echo", "$HOME; *"]) == "$HOME; *\n"


def test_success_is_exit_code_0():
    assert command.succeeds(["true"])
    assert not command.succeeds(["false"])


def test_a_child_does_not_see_the_library_path_of_the_frozen_program():
    frozen = {"LD_LIBRARY_PATH": "/tmp/_MEI1", "LD_LIBRARY_PATH_ORIG": "/usr/local/lib", "A": "b"}
    assert command.child_environment(frozen) == {"LD_LIBRARY_PATH": "/usr/local/lib", "A": "b"}


def test_an_ordinary_library_path_is_passed_on():
    assert command.child_environment({"LD_LIBRARY_PATH": "/l"}) == {"LD_LIBRARY_PATH": "/l"}


def test_a_child_does_not_take_itself_for_a_part_of_the_frozen_program(monkeypatch):
    monkeypatch.setattr("sys.frozen", True, raising=False)
    frozen = {"_PYI_PARENT_PROCESS_LEVEL": "1", "LD_LIBRARY_PATH": "/tmp/_MEI1", "A": "b"}
    assert command.child_environment(frozen) == {"A": "b"}
