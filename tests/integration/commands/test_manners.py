"""The manners of a program: on pipes, terminals and signals, and in poor environments."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from tests.support import terminal
from tests.support.paths import CHECKOUT

PATIENCE = 60
PROGRAM = (sys.executable, str(CHECKOUT / "calicoctl.py"))
# As little as a process can have, and no UTF-8.
POOR = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}


def run(
    words: Sequence[str | bytes], environment: Mapping[str, str], **streams: object
) -> subprocess.CompletedProcess[bytes]:
    given = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE} | streams
    return subprocess.run(  # type: ignore[call-overload,no-any-return]
        [*PROGRAM, *words], env=environment, timeout=PATIENCE, check=False, **given
    )


@pytest.fixture
def environment(shell) -> dict[str, str]:
    return {"ETCD_AUTHORITY": shell.authority}


@pytest.fixture
def closed_pipe():
    """The writing end of a pipe that nobody reads."""
    reading, writing = os.pipe()
    os.close(reading)
    yield writing
    os.close(writing)


@pytest.mark.parametrize(
    "words", [["--help"], ["version"], ["pool", "show"], ["completion", "zsh"]]
)
def test_a_reader_that_has_gone_is_no_failure(environment, closed_pipe, words) -> None:
    done = run(words, environment, stdout=closed_pipe)
    assert (done.returncode, done.stderr) == (0, b"")


def test_a_change_is_made_although_nobody_hears_of_it(shell, environment, closed_pipe) -> None:
    done = run(["profile", "add", "web"], environment, stdout=closed_pipe, stderr=closed_pipe)
    assert done.returncode == 0
    assert "web" in shell.done("profile show")


def test_an_error_that_nobody_hears_has_its_exit_code(environment, closed_pipe) -> None:
    done = run(["profile", "remove", "web"], environment, stderr=closed_pipe)
    assert (done.returncode, done.stdout) == (1, b"")


@pytest.mark.parametrize("words", [["version"], ["pool", "show"]])
def test_a_full_disk_is_a_failure(environment, words) -> None:
    with Path("/dev/full").open("wb") as full:
        done = run(words, environment, stdout=full)
    assert done.returncode == 1
    assert done.stderr == b"error: cannot write the output (No space left on device)\n"


def test_neither_home_nor_path_nor_utf8_is_needed(shell, environment) -> None:
    shell.done("profile add web")
    done = run(["profile", "show", "--output=name"], environment | POOR)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"web\n", b"")


@pytest.mark.parametrize("name", [b"\xff\xfe", "wéb".encode(), b"w\x1b[31m", b"a\nb", b""])
@pytest.mark.parametrize("more", [{}, POOR])
def test_names_of_odd_bytes_are_refused_in_good_order(environment, name, more) -> None:
    done = run(["profile", "add", name], environment | more)
    assert (done.returncode, done.stdout) == (1, b"")
    assert done.stderr.startswith(b"error: invalid profile")
    assert b"Traceback" not in done.stderr
    assert b"\x1b" not in done.stderr


def test_letters_that_a_terminal_cannot_show_are_written_as_numbers(etcd, environment) -> None:
    etcd.request("PUT", "/v2/keys/calico/v1/host/h%C3%B6st/bird_ip", "10.0.0.1")
    etcd.request("PUT", "/v2/keys/calico/policy/profile/w%C3%A9b/tags", '["w"]')
    done = run(["profile", "show"], environment | POOR)
    assert done.returncode == 0
    assert b"w\\xe9b" in done.stdout + done.stderr
    assert b"Traceback" not in done.stderr


def on_a_terminal(line: str, environment: Mapping[str, str]) -> tuple[int, str]:
    """Run a command line on a terminal; return its exit code and all that one sees."""
    with terminal.running([*PROGRAM, *line.split()], environment) as person:
        code = person.wait(PATIENCE)
        return code, person.seen.decode().replace("\r\n", "\n")


@pytest.mark.parametrize("columns", ["20", "200"])
def test_a_table_is_the_same_on_narrow_terminals_wide_ones_and_pipes(
    shell, environment, columns
) -> None:
    shell.done(f"profile add {'x' * 60}")
    piped = shell.done("profile show --detailed")
    seen = on_a_terminal("profile show --detailed", environment | {"COLUMNS": columns})
    assert seen == (0, piped)
    assert "x" * 60 in piped


@pytest.mark.parametrize(
    ("more", "coloured"),
    [
        ({"TERM": "xterm"}, True),
        ({"TERM": "xterm", "NO_COLOR": "1"}, False),
        ({"TERM": "xterm", "NO_COLOR": ""}, True),
        ({"TERM": "dumb"}, False),
        ({}, False),
    ],
)
def test_signs_have_colour_on_terminals_that_may_have_it(environment, more, coloured) -> None:
    code, seen = on_a_terminal("profile web rule show", environment | more)
    assert code == 1
    assert ("\x1b[31merror:\x1b[0m profile web does not exist" in seen) is coloured
    assert ("\x1b[" in seen) is coloured


@pytest.mark.parametrize("words", ["--quiet {}", "{} --quiet"])
def test_quiet_leaves_out_remarks_and_keeps_errors(shell, words) -> None:
    again = "profile web rule add inbound allow tcp"
    shell.done("profile add web")
    shell.done(again)
    assert "already" in shell.run(again).err
    assert shell.run(words.format(again)).err == ""
    assert "error: " in shell.refused(words.format("profile remove nobody"))


def test_debugging_shows_where_an_error_happened(environment) -> None:
    for more, shown in (({}, False), ({"CALICO_DEBUG": "0"}, False), ({"CALICO_DEBUG": "1"}, True)):
        done = run(["profile", "web", "rule", "show"], environment | more)
        assert (b"Traceback" in done.stderr) is shown
        assert done.stderr.endswith(b"`calicoctl profile show` lists the profiles\n")


@pytest.mark.parametrize("words", [["pool", "show"], ["profile", "add", "web"]])
def test_an_interrupt_ends_a_command_at_once_and_quietly(words) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        silent.settimeout(PATIENCE)
        host, port = silent.getsockname()
        with subprocess.Popen(
            # Whoever runs this in the background may have had interrupts ignored.
            ["env", "--default-signal=INT", *PROGRAM, *words],
            env={"PATH": os.environ["PATH"], "ETCD_AUTHORITY": f"{host}:{port}"},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        ) as process:
            connected, _ = silent.accept()
            with connected:
                connected.settimeout(PATIENCE)
                assert connected.recv(1 << 16)
                process.send_signal(signal.SIGINT)
                out, err = process.communicate(timeout=PATIENCE)
    assert (process.returncode, out, err) == (130, b"", b"")
