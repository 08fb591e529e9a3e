from pathlib import Path

import pytest

from calico_ctl.errors import CalicoError
from calico_ctl.host import copies

ONE = {"ca.pem": b"certificate", "password": b"secret\n"}


@pytest.fixture
def root(tmp_path) -> str:
    return str(tmp_path / "below" / "copies")


def contents(directory: str) -> dict[str, bytes]:
    return {each.name: each.read_bytes() for each in Path(directory).iterdir()}


def test_files_are_kept_for_root_only(root):
    directory = copies.keep(root, ONE)
    assert contents(directory) == ONE
    assert Path(directory).parent == Path(root)
    for path in (Path(root), Path(directory)):
        assert path.stat().st_mode & 0o777 == 0o700
    for each in Path(directory).iterdir():
        assert each.stat().st_mode & 0o777 == 0o600


def test_the_same_files_are_kept_once(root):
    assert copies.keep(root, ONE) == copies.keep(root, dict(reversed(ONE.items())))
    assert len(list(Path(root).iterdir())) == 1


@pytest.mark.parametrize(
    "other", [{"ca.pem": b"certificate"}, ONE | {"key.pem": b""}, ONE | {"ca.pem": b"another"}]
)
def test_other_files_are_another_set_and_the_first_stays_as_it_is(root, other):
    first, second = copies.keep(root, ONE), copies.keep(root, other)
    assert first != second
    assert contents(first) == ONE
    assert contents(second) == other


def test_a_name_says_nothing_about_what_is_in_the_files(root, tmp_path):
    names = {Path(copies.keep(str(tmp_path / each), ONE)).name for each in "ab"}
    assert len(names) == 2


def test_all_but_one_or_all_are_removed(root):
    first, second = copies.keep(root, ONE), copies.keep(root, {"ca.pem": b""})
    copies.drop_others(root, second)
    assert not Path(first).exists()
    assert Path(second).exists()
    copies.drop_others(root, None)
    assert not Path(root).exists()
    copies.drop_others(root, None)


def test_what_cannot_be_done_is_said(root):
    Path(root).parent.mkdir()
    Path(root).write_text("no directory")
    with pytest.raises(CalicoError, match=f"cannot keep files in {root}"):
        copies.keep(root, ONE)


def test_what_cannot_be_removed_is_said(root):
    Path(root).mkdir(parents=True)
    (Path(root) / "file").write_text("")
    with pytest.raises(CalicoError, match="cannot remove"):
        copies.drop_others(root, None)
