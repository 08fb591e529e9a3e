"""Work that goes on when its command has ended: real processes."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from calico_ctl.host import background
from tests.support import command, terminal
from tests.support.paths import CHECKOUT

PROGRAM = """
import os, sys, time
from pathlib import Path
from calico_ctl.host import background

folder = Path(sys.argv[1])
kept = os.open(folder / "kept", os.O_RDWR | os.O_CREAT)
lost = os.open(folder / "lost", os.O_RDWR | os.O_CREAT)

def work():
    (folder / "facts.new").write_text(" ".join([
        str(os.getsid(0) == os.getpid()), os.getcwd(),
        ",".join(sorted(os.readlink(f"/proc/self/fd/{n}") for n in os.listdir("/proc/self/fd")
                        if os.path.exists(f"/proc/self/fd/{n}"))),
    ]))
    (folder / "facts.new").rename(folder / "facts")
    if sys.argv[2] == "fail":
        raise SystemExit("never seen")
    until = time.monotonic() + 120
    while not (folder / "go").exists() and time.monotonic() < until:
        time.sleep(0.02)
    os.write(kept, b"done")

if sys.argv[2] == "slow":
    leave = os.setsid
    os.setsid = lambda: (time.sleep(0.3), leave())
print(background.leave_behind(work, [kept]))
"""


def start(folder: Path, how: str = "work") -> int:
    """Run the command to the end of its output; return the number of what it left behind."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(folder), how],
        env=command.clean_environment({"PYTHONPATH": str(CHECKOUT)}),
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert done.stderr == ""
    return int(done.stdout)


def is_there(pid: int) -> bool:
    """Whether it runs; one that ended and that nobody waits for does not."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


def test_the_command_is_over_and_its_work_goes_on(tmp_path):
    pid = start(tmp_path)
    try:
        assert is_there(pid)
        command.wait_until((tmp_path / "facts").exists, 9, "it works")
        leads, where, files = (tmp_path / "facts").read_text().split()
        assert leads == "True"
        assert where == "/"
        assert set(files.split(",")) == {"/dev/null", str(tmp_path / "kept")}
        (tmp_path / "go").touch()
        command.wait_until(lambda: not is_there(pid), 9, "it ends")
        assert (tmp_path / "kept").read_text() == "done"
    finally:
        (tmp_path / "go").touch()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it(tmp_path, number):
    pid = start(tmp_path)
    try:
        command.wait_until((tmp_path / "facts").exists, 9, "it works")
        os.kill(pid, number)
        command.wait_until(lambda: not is_there(pid), 9, "it ends")
        assert (tmp_path / "kept").read_text() == ""
    finally:
        (tmp_path / "go").touch()


def test_the_end_of_a_terminal_does_not_end_it(tmp_path):
    """As `ssh -t host calicoctl diags` has it: the command leads the terminal's session."""
    argv = ["setsid", "--ctty", "--wait", sys.executable, "-c", PROGRAM, str(tmp_path), "slow"]
    environment = command.clean_environment({"PYTHONPATH": str(CHECKOUT)})
    with terminal.running(argv, environment) as person:
        assert person.wait() == 0
        pid = int(person.seen)
    try:
        command.wait_until((tmp_path / "facts").exists, 9, "it works")
        assert is_there(pid)
        assert (tmp_path / "facts").read_text().startswith("True ")
    finally:
        (tmp_path / "go").touch()


def test_who_is_interrupted_meanwhile_leaves_nothing(monkeypatch):
    def interrupt(_descriptor: int, _count: int) -> bytes:
        raise KeyboardInterrupt

    forked: list[int] = []
    fork = os.fork

    def remember() -> int:
        forked.append(fork())
        return forked[-1]

    monkeypatch.setattr(os, "fork", remember)
    monkeypatch.setattr(os, "read", interrupt)
    with pytest.raises(KeyboardInterrupt):
        background.leave_behind(signal.pause, [])
    _, status = os.waitpid(forked[0], 0)
    assert os.WTERMSIG(status) == signal.SIGKILL


def test_work_that_fails_ends_in_silence(tmp_path):
    pid = start(tmp_path, "fail")
    command.wait_until(lambda: not is_there(pid), 9, "it ends")
    assert (tmp_path / "facts").exists()
