"""A file that only its owner reads, wherever there is room."""

import os
import stat
from pathlib import Path

import pytest

from calico_ctl.errors import CalicoError
from calico_ctl.host import private_file
from calico_ctl.host.private_file import Kept

FULL = Path("/dev/full-is-no-folder")


@pytest.fixture
def full(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every disk takes four bytes and is full then."""
    real, written = os.write, dict[int, int]()

    def write(descriptor: int, content: bytes) -> int:
        on_disk = not str(Path(f"/proc/self/fd/{descriptor}").readlink()).startswith("/memfd:")
        if on_disk and written.get(descriptor, 0) >= 4:
            raise OSError(28, "No space left on device")
        part = content[:4] if on_disk else content
        written[descriptor] = written.get(descriptor, 0) + len(part)
        return real(descriptor, part)

    monkeypatch.setattr(os, "write", write)


def content(kept: Kept) -> bytes:
    found = os.pread(kept.descriptor, kept.size + 1, 0)
    os.close(kept.descriptor)
    return found


def test_it_is_in_the_first_folder_and_only_its_owner_may_read_it(tmp_path):
    kept = private_file.keep("a.tar.gz", b"content", [tmp_path, FULL])
    file = tmp_path / "a.tar.gz"
    assert (kept.path, kept.refused) == (file, [])
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert file.read_bytes() == content(kept) == b"content"


def test_a_folder_that_is_not_there_is_named_and_the_next_one_tried(tmp_path):
    kept = private_file.keep("a", b"content", [tmp_path / "none", tmp_path])
    assert kept.path == tmp_path / "a"
    assert kept.refused == [f"cannot write to {tmp_path / 'none'}: No such file or directory"]
    assert content(kept) == b"content"


def test_nothing_that_is_there_is_overwritten_or_followed(tmp_path):
    (tmp_path / "one").mkdir()
    (tmp_path / "one/a").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "two").mkdir()
    (tmp_path / "two/a").write_text("somebody's")
    kept = private_file.keep("a", b"content", [tmp_path / "one", tmp_path / "two"])
    assert kept.path is None
    assert [each.rpartition(": ")[2] for each in kept.refused] == ["File exists", "File exists"]
    assert not (tmp_path / "elsewhere").exists()
    assert (tmp_path / "two/a").read_text() == "somebody's"
    assert content(kept) == b"content"


def test_with_all_disks_full_it_is_in_memory_and_no_part_of_it_on_disk(tmp_path, full):
    kept = private_file.keep("a", b"much content", [tmp_path])
    assert kept.path is None
    assert kept.refused == [f"cannot write to {tmp_path}: No space left on device"]
    assert list(tmp_path.iterdir()) == []
    assert content(kept) == b"much content"


def test_without_memory_it_is_an_error(tmp_path, monkeypatch):
    def refuse(name: str) -> int:
        raise OSError(12, "Cannot allocate memory")

    monkeypatch.setattr(os, "memfd_create", refuse)
    with pytest.raises(CalicoError, match="cannot keep a anywhere: Cannot allocate memory"):
        private_file.keep("a", b"content", [tmp_path / "none"])


def test_a_large_content_is_written_whole(tmp_path):
    large = os.urandom(1 << 20) * 3
    kept = private_file.keep("a", large, [tmp_path])
    assert content(kept) == large
