"""Reading what there is, in whatever state it is."""

import os
from pathlib import Path

import pytest

from calico_ctl.errors import CalicoError, NotFound
from calico_ctl.host import evidence
from calico_ctl.host.evidence import Found


def test_a_small_file_is_read_whole_and_of_a_large_one_the_end(tmp_path):
    (tmp_path / "a").write_text("0123456789")
    assert evidence.end_of(tmp_path / "a", 10) == "0123456789"
    assert evidence.end_of(tmp_path / "a", 4) == "(the first 6 bytes are left out)\n6789"


def test_bytes_that_are_no_text_are_shown_as_escapes(tmp_path):
    (tmp_path / "a").write_bytes(b"\xff\xfeok")
    assert evidence.end_of(tmp_path / "a", 10) == "\\xff\\xfeok"


def test_what_is_no_file_is_an_error_and_nobody_waits(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(CalicoError, match="is no regular file"):
        evidence.end_of(tmp_path / "pipe", 10)
    with pytest.raises(CalicoError):
        evidence.end_of(tmp_path, 10)
    with pytest.raises(NotFound, match="there is no "):
        evidence.end_of(tmp_path / "none", 10)


def test_files_the_kernel_makes_up_have_no_size_but_a_text():
    assert evidence.end_of(Path("/proc/loadavg"), 1000).count(" ") == 4


def test_a_folder_is_listed_with_all_that_is_in_it_newest_first(tmp_path):
    (tmp_path / "sub").mkdir()
    (tmp_path / "old").write_text("1")
    (tmp_path / "sub/new").write_text("22")
    os.utime(tmp_path / "old", (1000, 1000))
    os.utime(tmp_path / "sub/new", (2000, 2000))
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to("old")
    assert evidence.below(tmp_path) == [Found("sub/new", 2, 2000.0), Found("old", 1, 1000.0)]
    with pytest.raises(NotFound):
        evidence.below(tmp_path / "none")


def test_settings_are_named_as_sysctl_does(tmp_path, monkeypatch):
    monkeypatch.setattr(evidence, "_SETTINGS", tmp_path)
    (tmp_path / "net/ipv4").mkdir(parents=True)
    (tmp_path / "net/ipv4/ip_forward").write_text("1\n")
    (tmp_path / "net/core").mkdir()
    (tmp_path / "net/core/x").write_text("a\tb\n")
    (tmp_path / "net/gone").symlink_to("nowhere")
    assert list(evidence.settings("net")) == [
        ("net.core.x", "a\tb"),
        ("net.ipv4.ip_forward", "1"),
    ]
