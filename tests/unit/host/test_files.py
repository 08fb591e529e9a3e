import pytest

from calico_ctl.errors import CalicoError
from calico_ctl.host import files


def test_a_file_is_written_only_if_it_differs(tmp_path):
    path = str(tmp_path / "below" / "file")
    assert files.write_if_changed(path, "a\n")
    assert not files.write_if_changed(path, "a\n")
    assert files.write_if_changed(path, "b\n")
    assert files.read(path) == "b\n"
    assert [each.name for each in (tmp_path / "below").iterdir()] == ["file"]


def test_a_mode_is_set_from_the_first_moment(tmp_path):
    files.write_if_changed(str(tmp_path / "secret"), "x", mode=0o600)
    assert (tmp_path / "secret").stat().st_mode & 0o777 == 0o600


def test_no_file_is_none(tmp_path):
    assert files.read(str(tmp_path / "absent")) is None


def test_what_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file.new").mkdir()
    with pytest.raises(CalicoError, match="cannot write"):
        files.write_if_changed(str(tmp_path / "file"), "y")


def test_what_cannot_be_looked_at_is_named(tmp_path):
    assert files.exists(str(tmp_path))
    assert not files.exists(str(tmp_path / "absent"))
    with pytest.raises(CalicoError, match="File name too long"):
        files.exists("a" * 300)


def test_what_never_ends_is_named():
    with pytest.raises(CalicoError, match="/dev/zero is larger than 32 MiB"):
        files.read("/dev/zero")


def test_what_cannot_be_read_is_named(tmp_path):
    with pytest.raises(CalicoError, match="cannot read"):
        files.read(str(tmp_path))
