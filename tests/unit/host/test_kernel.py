"""Kernel settings, in a directory that stands for /proc/sys."""

import pytest

from calico_ctl.errors import CalicoError
from calico_ctl.host import kernel


@pytest.fixture
def settings(tmp_path, monkeypatch):
    monkeypatch.setattr(kernel, "_ROOT", tmp_path)
    return tmp_path


def test_a_setting_is_read_without_its_line_end(settings):
    (settings / "forwarding").write_text("1\n")
    assert kernel.read_setting("forwarding") == "1"


def test_a_setting_is_written_only_if_it_differs(settings):
    path = settings / "forwarding"
    path.write_text("1\n")
    assert kernel.write_setting("forwarding", "1")
    assert path.read_text() == "1\n"
    assert kernel.write_setting("forwarding", "0")
    assert path.read_text() == "0"


def test_a_setting_that_this_kernel_lacks_is_no_error(settings):
    assert kernel.read_setting("nothing") is None
    assert not kernel.write_setting("nothing", "1")


def test_a_setting_that_cannot_be_read_is_named(settings):
    (settings / "directory").mkdir()
    with pytest.raises(CalicoError, match="/proc/sys/directory"):
        kernel.read_setting("directory")
