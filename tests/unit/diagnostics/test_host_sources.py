"""Logs and files of this machine."""

import os
from pathlib import Path

from calico_ctl.diagnostics import host_sources
from calico_ctl.diagnostics.collector import Collected, collect


def collected(folder: Path, *names: str) -> dict[str, Collected]:
    made = [each for each in host_sources.collectors(str(folder)) if each.name in names]
    return {each.name: each for each in collect(made)}


def logs(folder: Path) -> dict[str, str]:
    return dict(collected(folder, "logs")["logs"].evidence.files)


def test_logs_keep_their_places_and_the_lock_stays_away(tmp_path):
    (tmp_path / "felix").mkdir()
    (tmp_path / "felix/current").write_text("one\n")
    (tmp_path / "felix/@40000.s").write_bytes(b"\xff\n")
    (tmp_path / "felix/lock").write_text("")
    assert logs(tmp_path) == {"logs/felix/current": "one\n", "logs/felix/@40000.s": "\\xff\n"}


def test_of_a_large_log_the_end_is_kept(tmp_path, monkeypatch):
    monkeypatch.setattr(host_sources, "MOST_OF_A_LOG", 10)
    (tmp_path / "current").write_text("0123456789abcdefghij")
    found = logs(tmp_path)["logs/current"]
    assert found == "(the first 10 bytes are left out)\nabcdefghij"


def test_of_many_logs_the_newest_are_kept_and_the_others_named(tmp_path, monkeypatch):
    monkeypatch.setattr(host_sources, "MOST_OF_LOGS", 10)
    for age, name in enumerate(("new", "older", "oldest")):
        (tmp_path / name).write_text("12345")
        os.utime(tmp_path / name, (1_000_000 - age, 1_000_000 - age))
    assert logs(tmp_path) == {
        "logs/new": "12345",
        "logs/older": "12345",
        "logs/left-out": "oldest: 5 bytes\n",
    }


def test_T38_a_pipe_or_a_link_among_the_logs_stops_nothing(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to("/etc/hostname")
    (tmp_path / "current").write_text("one\n")
    assert logs(tmp_path) == {"logs/current": "one\n"}


def test_without_logs_that_is_said(tmp_path):
    assert logs(tmp_path) == {"logs": f"there are no files in {tmp_path}\n"}
    missing = collected(tmp_path / "none", "logs")["logs"]
    assert missing.failure == f"there is no folder {tmp_path / 'none'}"


def test_the_kernel_and_the_versions_are_told(tmp_path):
    found = collected(tmp_path, "system/kernel", "system/versions", "system/load")
    assert os.uname().release in found["system/kernel"].evidence.files["system/kernel"]
    assert "calicoctl " in found["system/versions"].evidence.files["system/versions"]
    assert found["system/load"].evidence.files["system/load"].count(" ") == 4


def test_settings_of_the_kernel_are_told_without_its_keys(tmp_path):
    text = collected(tmp_path, "network/settings")["network/settings"].evidence.files
    lines = text["network/settings"].splitlines()
    assert any(line.startswith("net.ipv4.conf.all.rp_filter = ") for line in lines)
    assert not [line for line in lines if "_key =" in line or "stable_secret" in line]


def test_T38_a_program_that_is_not_there_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(host_sources._PROGRAMS, "system/disks", "no-such-program-here -h")
    found = collected(tmp_path, "system/disks")["system/disks"]
    assert found.failure == "cannot run no-such-program-here: there is no such program"


def test_what_a_program_prints_comes_after_its_line(tmp_path, monkeypatch):
    monkeypatch.setitem(host_sources._PROGRAMS, "system/disks", "echo half full")
    found = collected(tmp_path, "system/disks")["system/disks"]
    assert found.evidence.files == {"system/disks": "# echo half full\nhalf full\n"}
