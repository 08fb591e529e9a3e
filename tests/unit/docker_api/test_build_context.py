import io
import tarfile
from pathlib import Path

import pytest

from calico_ctl.docker_api import build_context
from calico_ctl.errors import CalicoError
from tests.support.paths import CHECKOUT


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for name in ("calicoctl.py", "requirements.txt", "LICENSE", "calico_ctl/__init__.py"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text("x\n")
    (tmp_path / "calico_ctl/__pycache__").mkdir()
    (tmp_path / "calico_ctl/__pycache__/x.pyc").write_text("compiled")
    (tmp_path / "calico_node/bin").mkdir(parents=True)
    (tmp_path / "calico_node/bin/start").write_text("#!/bin/sh\n")
    (tmp_path / "calico_node/host-ca.crt").write_text("left over from another build\n")
    return tmp_path


def contents(context: bytes) -> dict[str, tuple[bytes, int]]:
    """Name, content and mode of what is in a tar file."""
    with tarfile.open(fileobj=io.BytesIO(context)) as tar:
        return {
            member.name: (
                b"" if (file := tar.extractfile(member)) is None else file.read(),
                member.mode,
            )
            for member in tar
        }


def test_the_context_holds_sources_only_and_programs_are_executable(root):
    found = contents(build_context.tar(root, "trusted\n"))
    assert sorted(found) == [
        "LICENSE",
        "calico_ctl/__init__.py",
        "calico_node/bin/start",
        "calico_node/host-ca.crt",
        "calicoctl.py",
        "requirements.txt",
    ]
    assert found["calico_node/bin/start"] == (b"#!/bin/sh\n", 0o755)
    assert found["calico_node/host-ca.crt"] == (b"trusted\n", 0o644)
    assert found["calicoctl.py"][1] == 0o644


def test_the_packed_file_alone_gives_the_same_context(root, tmp_path_factory):
    alone = tmp_path_factory.mktemp("alone")
    (alone / build_context.PACKED).write_bytes(build_context.packed(root))
    assert build_context.tar(alone, "ca") == build_context.tar(root, "ca")


def test_equal_files_give_equal_bytes(root):
    assert build_context.packed(root) == build_context.packed(root)


def test_a_missing_part_is_named(root):
    (root / "requirements.txt").unlink()
    with pytest.raises(CalicoError, match=r"requirements\.txt is missing"):
        build_context.packed(root)


@pytest.mark.parametrize("kept", [0, 40, -200])
def test_a_packed_file_that_is_cut_off_is_named(root, tmp_path_factory, kept):
    alone = tmp_path_factory.mktemp("alone")
    (alone / build_context.PACKED).write_bytes(build_context.packed(root)[:kept])
    with pytest.raises(CalicoError, match=r"context\.tar\.gz is damaged"):
        build_context.tar(alone, "")


def test_a_checkout_has_its_sources_as_files():
    assert build_context.root() == CHECKOUT


def test_the_frozen_program_has_them_where_it_was_unpacked(monkeypatch):
    monkeypatch.setattr("sys._MEIPASS", "/tmp/_MEI1", raising=False)
    assert build_context.root() == Path("/tmp/_MEI1")


def test_an_installed_package_has_them_beside_its_modules(root, monkeypatch):
    (root / "calico_ctl/context.tar.gz").write_bytes(b"")
    monkeypatch.setattr(build_context, "__file__", str(root / "calico_ctl/docker_api/x.py"))
    assert build_context.root() == root / "calico_ctl"
