import os
import threading

import pytest

from calico_ctl.errors import CalicoError, InvalidValue
from calico_ctl.host import text_files


def test_a_file_is_read_as_utf8_whatever_the_locale(tmp_path) -> None:
    (tmp_path / "a").write_bytes("ä\r\n".encode())
    assert text_files.read(str(tmp_path / "a")) == "ä\r\n"


def test_a_pipe_is_read_to_its_end(tmp_path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    writer = threading.Thread(target=pipe.write_text, args=("from a pipe",))
    writer.start()
    assert text_files.read(str(pipe)) == "from a pipe"
    writer.join()


def test_what_cannot_be_read_is_named_with_the_reason(tmp_path) -> None:
    for path, reason in (
        (str(tmp_path / "absent"), "No such file or directory"),
        (str(tmp_path), "Is a directory"),
        (f"{tmp_path}/\0", "null"),
    ):
        with pytest.raises(CalicoError) as caught:
            text_files.read(path)
        assert caught.value.message.startswith(f"cannot read {path}: ")
        assert reason in caught.value.message


def test_what_is_no_text_is_refused(tmp_path) -> None:
    (tmp_path / "a").write_bytes(b"abc\xff\xfe")
    with pytest.raises(InvalidValue, match=r"invalid text in .*/a .*: expected UTF-8"):
        text_files.read(str(tmp_path / "a"))


def test_a_file_without_end_is_refused() -> None:
    with pytest.raises(CalicoError, match="/dev/zero is larger than 32 MiB"):
        text_files.read("/dev/zero")


def test_the_files_of_a_directory_are_listed_by_name(tmp_path) -> None:
    for name in ("b.yaml", "a.JSON", "c.yml", "d.txt", ".hidden.yaml"):
        (tmp_path / name).touch()
    (tmp_path / "deeper.yaml").mkdir()
    found = text_files.below(str(tmp_path), (".yaml", ".yml", ".json"))
    assert found == [str(tmp_path / name) for name in ("a.JSON", "b.yaml", "c.yml")]
    with pytest.raises(CalicoError, match=r"cannot read .*d\.txt: Not a directory"):
        text_files.below(str(tmp_path / "d.txt"), (".yaml",))


def test_only_directories_are_directories(tmp_path) -> None:
    (tmp_path / "a").touch()
    assert text_files.is_directory(str(tmp_path))
    assert not text_files.is_directory(str(tmp_path / "a"))
    assert not text_files.is_directory(str(tmp_path / "absent"))
    assert not text_files.is_directory("\0")
