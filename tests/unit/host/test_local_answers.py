"""One process asks another of this host: real sockets in the file system."""

import socket
import stat
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from calico_ctl.errors import CalicoError, DeadlineExceeded, NotFound
from calico_ctl.host import local_answers
from tests.support import command

PATIENCE = 60.0


@contextmanager
def giving(path: Path, answer: Callable[[], str], instead_of: int | None = None) -> Iterator[None]:
    """Answer at a path while the block runs, whatever file was there before."""
    stopping = threading.Event()
    thread = threading.Thread(target=local_answers.give, args=(path, answer, stopping))
    thread.start()
    try:
        command.wait_until(
            lambda: path.exists() and path.stat().st_ino != instead_of, 60, "it listens"
        )
        yield
    finally:
        stopping.set()
        thread.join(PATIENCE)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Look more often whether it is over."""
    monkeypatch.setattr(local_answers, "_LOOK_SECONDS", 0.02)


@pytest.fixture
def path() -> Iterator[Path]:
    """Where the socket shall be: its path must not be long."""
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        yield Path(folder) / "f/felix.sock"


def test_who_asks_gets_all_of_the_answer_made_for_them(path):
    numbers = iter(range(1000))
    with giving(path, lambda: f"{next(numbers)} " + "ä" * 200_000):
        first, second = (local_answers.ask(path, PATIENCE) for _ in range(2))
    assert first.endswith("ä" * 200_000)
    assert first.split()[0] != second.split()[0]


def test_only_root_may_ask(path):
    with giving(path, lambda: "x"):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_socket_that_was_left_there_is_replaced(path):
    path.parent.mkdir()
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(path))
    with pytest.raises(local_answers.Ended, match="no process answers"):
        local_answers.ask(path, PATIENCE)
    left_one = path.stat().st_ino
    with giving(path, lambda: "new", instead_of=left_one):
        assert local_answers.ask(path, PATIENCE) == "new"


def test_where_nobody_ever_was_is_nobody(path):
    with pytest.raises(NotFound, match=f"no process answers at {path}") as told:
        local_answers.ask(path, PATIENCE)
    assert not isinstance(told.value, local_answers.Ended)


def test_who_hangs_is_waited_for_no_longer_than_allowed(path):
    path.parent.mkdir()
    with socket.socket(socket.AF_UNIX) as hanging:
        hanging.bind(str(path))
        hanging.listen()
        with pytest.raises(DeadlineExceeded, match=r"within 0\.05 s"):
            local_answers.ask(path, 0.05)


def test_who_hangs_with_a_long_queue_is_known_to_hang_too(path):
    path.parent.mkdir()
    with socket.socket(socket.AF_UNIX) as hanging:
        hanging.bind(str(path))
        hanging.listen(0)
        for _ in range(3):
            with pytest.raises(DeadlineExceeded, match=r"within 0\.05 s"):
                local_answers.ask(path, 0.05)


def test_one_who_hangs_up_does_not_end_it(path):
    with giving(path, lambda: "x" * 5_000_000):
        with socket.socket(socket.AF_UNIX) as hasty:
            hasty.connect(str(path))
        assert len(local_answers.ask(path, PATIENCE)) == 5_000_000


def test_a_place_where_no_socket_can_be_is_an_error(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(CalicoError, match="cannot listen at"):
        local_answers.give(tmp_path / "file/felix.sock", lambda: "x", threading.Event())
