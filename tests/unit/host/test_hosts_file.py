"""Lines of a container's /etc/hosts."""

import pytest

from calico_ctl.errors import CalicoError
from calico_ctl.host import hosts_file


def test_lines_are_added_once_and_the_file_stays_the_same(tmp_path):
    file = tmp_path / "hosts"
    file.write_text("127.0.0.1\tlocalhost")
    inode = file.stat().st_ino
    for _ in range(2):
        hosts_file.add("/hosts", ["10.65.0.1\tweb", "fd80::1\tweb"], str(tmp_path))
    assert file.read_text() == "127.0.0.1\tlocalhost\n10.65.0.1\tweb\nfd80::1\tweb\n"
    assert file.stat().st_ino == inode


def test_a_container_without_the_file_needs_nothing(tmp_path):
    hosts_file.add("/hosts", ["10.65.0.1\tweb"], str(tmp_path))
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "hosts").mkdir()
    with pytest.raises(CalicoError, match="/hosts"):
        hosts_file.add("/hosts", ["10.65.0.1\tweb"], str(tmp_path))
