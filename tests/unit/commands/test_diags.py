"""What diags prints, writes and hands over, with few things to collect."""

import os
import tarfile
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from calico_ctl.commands import diags
from calico_ctl.diagnostics import node_address, plan
from calico_ctl.diagnostics.collector import Collector
from calico_ctl.errors import CalicoError
from calico_ctl.host import background, one_file_server, upload
from tests.support.cli import NOT_ROOT, Cli, Finished
from tests.support.diagnosed import Diagnosed, FakeSettings, as_platform

SECRET = "hunter2-s3cr3t"


@dataclass
class Desk:
    """A command line whose diags find little, and where the file goes."""

    folder: Path
    cli: Cli = field(
        default_factory=lambda: Cli(as_platform(Diagnosed(FakeSettings({"ETCD_PASSWORD": SECRET}))))
    )

    def run(self, *words: str) -> Finished:
        return self.cli.run("diags", f"--output-dir={self.folder}", *words)

    def files(self) -> list[Path]:
        return sorted(self.folder.iterdir())


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Desk:
    def broken() -> str:
        raise CalicoError(f"no etcd for {SECRET}")

    found = [Collector("logs/current", lambda: f"it says {SECRET}\n"), Collector("etcd", broken)]
    monkeypatch.setattr(plan, "collectors", lambda platform, logs: found)
    return Desk(tmp_path)


def contents(file: Path) -> dict[str, str]:
    with tarfile.open(file) as archive:
        return {
            entry.name.partition("/")[2]: archive.extractfile(entry).read().decode()  # type: ignore[union-attr]
            for entry in archive
        }


def test_the_list_the_file_and_nothing_secret(desk):
    finished = desk.run("--no-serve")
    (file,) = desk.files()
    *listed, last = finished.out.splitlines()
    assert finished.exit == 0
    assert listed == ["logs/current  19 B", "etcd          not collected: no etcd for <redacted>"]
    assert last.startswith(f"file: {file} (")
    assert file.stat().st_mode & 0o777 == 0o600
    assert contents(file)["logs/current"] == "it says <redacted>\n"
    assert contents(file)["etcd"] == "not collected: no etcd for <redacted>\n"
    assert SECRET not in finished.out + finished.err


def test_two_in_one_second_have_two_files(desk):
    desk.run("--no-serve")
    desk.run("--no-serve")
    assert len(desk.files()) == 2
    assert all(file.name.startswith("diags-host1-20") for file in desk.files())


def test_the_file_is_offered_by_a_process_of_its_own(desk, monkeypatch):
    left: list[object] = []

    def leave_behind(work: object, keep: object) -> int:
        left.append(work)
        return 4711

    monkeypatch.setattr(background, "leave_behind", leave_behind)
    finished = desk.run("--ip=127.0.0.1", "--expires=10m")
    assert finished.exit == 0
    (file,) = desk.files()
    url = finished.out.splitlines()[-1]
    assert url.startswith("URL: http://127.0.0.1:")
    assert url.endswith(f"/{file.name}")
    assert "for one download within 10 m; `kill 4711` ends it earlier" in finished.err
    assert len(left) == 1


@pytest.mark.parametrize(("fetched", "code"), [(True, 0), (False, 1), (None, 130)])
def test_who_waits_is_told_how_it_ended(desk, monkeypatch, fetched, code):
    def serve(server: one_file_server.OneFileServer, seconds: float) -> bool:
        server.close()
        if fetched is None:
            raise KeyboardInterrupt
        return bool(fetched)

    monkeypatch.setattr(one_file_server.OneFileServer, "serve", serve)
    finished = desk.run("--ip=127.0.0.1", "--wait", "--expires=90s")
    said = {0: "it was downloaded", 1: "nobody downloaded it within 90 s", 130: "stopped"}
    assert finished.exit == code
    assert said[code] in finished.err


def test_an_upload_prints_the_answer_and_offers_nothing(desk, monkeypatch):
    sent: list[tuple[str, int]] = []

    def put(target: upload.Target, descriptor: int, size: int) -> str:
        sent.append((str(target), os.fstat(descriptor).st_size))
        return "https://files.example.org/1"

    monkeypatch.setattr(upload, "put", put)
    finished = desk.run("--upload=http://files.example.org/in/")
    (file,) = desk.files()
    assert finished.exit == 0
    assert sent == [(f"http://files.example.org/in/{file.name}", file.stat().st_size)]
    assert finished.out.splitlines()[-1] == "https://files.example.org/1"
    assert "URL:" not in finished.out


def test_an_upload_that_fails_leaves_the_file(desk, monkeypatch):
    def put(target: upload.Target, descriptor: int, size: int) -> str:
        raise CalicoError("refused")

    monkeypatch.setattr(upload, "put", put)
    finished = desk.run("--upload=http://files.example.org/in/")
    assert finished.exit == 1
    assert "error: refused" in finished.err
    assert len(desk.files()) == 1


def test_without_an_address_the_file_is_there_and_a_warning(desk, monkeypatch):
    def find(platform: object) -> None:
        raise CalicoError("no address")

    monkeypatch.setattr(node_address, "find", find)
    finished = desk.run()
    assert finished.exit == 0
    assert "warning: it cannot be downloaded: no address" in finished.err
    assert len(desk.files()) == 1
    assert desk.run("--wait").exit == 1


def test_an_address_that_is_not_here_is_an_error(desk):
    finished = desk.run("--ip=192.0.2.1")
    assert finished.exit == 1
    assert "cannot listen on 192.0.2.1" in finished.err


def test_a_full_disk_is_named_and_another_folder_or_memory_taken(desk, monkeypatch, tmp_path):
    other = tmp_path / "other"
    other.mkdir()
    monkeypatch.setattr(diags, "_USUAL_FOLDERS", (str(other),))
    desk.folder = tmp_path / "none"
    finished = desk.run("--no-serve")
    assert finished.exit == 0
    assert f"warning: cannot write to {desk.folder}: No such file or directory" in finished.err
    assert len(list(other.iterdir())) == 1

    monkeypatch.setattr(diags, "_USUAL_FOLDERS", ())
    monkeypatch.setattr(background, "leave_behind", lambda work, keep: 1)
    finished = desk.run("--ip=127.0.0.1")
    assert finished.exit == 0
    assert "file: none, it is only in memory" in finished.out
    assert "URL: " in finished.out
    finished = desk.run("--no-serve")
    assert finished.exit == 1
    assert "cannot be written anywhere" in finished.err


def test_it_needs_root(desk):
    desk.cli.user = NOT_ROOT
    finished = desk.run("--no-serve")
    assert finished.exit == 2
    assert desk.files() == []


@pytest.mark.parametrize(
    "words",
    [
        ("--expires=soon",),
        ("--expires=0s",),
        ("--expires=8d",),
        ("--upload=ftp://h/",),
        ("--upload=http://h/", "--wait"),
        ("--log-dir=logs",),
        ("--ip=localhost",),
        ("now",),
    ],
)
def test_what_makes_no_sense_is_refused_before_anything_is_collected(desk, words):
    finished = desk.run(*words)
    assert (finished.exit, finished.out) == (1, "")
    assert "this is a bug" not in finished.err
    assert desk.files() == []


@pytest.mark.parametrize(
    ("seconds", "spoken"),
    [(3600, "1 h"), (7200, "2 h"), (90, "90 s"), (600, "10 m"), (0.5, "0.5 s")],
)
def test_times_are_said_as_people_type_them(seconds, spoken):
    assert diags._spoken(seconds) == spoken
