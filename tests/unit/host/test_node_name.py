"""The name that a host keeps although the kernel has another one."""

import os
import socket
import stat

import pytest

from calico_ctl.errors import CalicoError, Conflict, InvalidValue
from calico_ctl.host import node_name


@pytest.fixture
def renamed(monkeypatch) -> None:
    """A host that became a node as host1 and is called host2 now."""
    node_name.keep("host1")
    monkeypatch.setattr(node_name, "of_kernel", lambda: "host2")


def test_until_a_name_is_kept_it_is_the_kernels(monkeypatch):
    monkeypatch.setenv("HOSTNAME", "somebody-exported-this")
    assert node_name.kept() is None
    assert node_name.current() == socket.gethostname()
    node_name.require_unchanged()


@pytest.mark.usefixtures("renamed")
def test_a_kept_name_stays_whatever_the_kernel_says():
    node_name.keep("host2")
    assert node_name.current() == "host1"
    with pytest.raises(Conflict, match="hostname is host2, but etcd knows this host as host1") as e:
        node_name.require_unchanged()
    for way_out in ("`hostname host1`", "node stop --force`, then `calicoctl node`", "remove the"):
        assert way_out in e.value.hint


@pytest.mark.usefixtures("renamed")
def test_a_forgotten_name_is_the_kernels_again():
    node_name.forget()
    node_name.forget()
    assert node_name.current() == "host2"
    node_name.require_unchanged()


def test_everybody_may_read_the_file_and_nothing_lies_beside_it(own_node_name):
    before = os.umask(0o077)
    try:
        node_name.keep("host1")
    finally:
        os.umask(before)
    assert stat.S_IMODE(own_node_name.stat().st_mode) == 0o644
    assert list(own_node_name.parent.glob(".nodename*")) == []


@pytest.mark.parametrize("text", ["", "two words", "a/b", ".", "..", "x\0y", "x" * 256])
def test_what_is_no_name_is_neither_written_nor_believed(own_node_name, text):
    with pytest.raises(InvalidValue, match="hostname"):
        node_name.keep(text)
    assert not own_node_name.exists()
    own_node_name.parent.mkdir(exist_ok=True)
    own_node_name.write_text(text)
    with pytest.raises(CalicoError, match="does not hold the name of this host"):
        node_name.current()


def test_a_file_that_is_none_is_an_error_in_words(own_node_name):
    own_node_name.mkdir(parents=True)
    try:
        with pytest.raises(CalicoError, match="cannot read"):
            node_name.current()
        with pytest.raises(CalicoError, match="cannot remove"):
            node_name.forget()
    finally:
        own_node_name.rmdir()


def test_a_directory_that_takes_nothing_is_an_error_and_leaves_nothing(monkeypatch, tmp_path):
    (tmp_path / "file").touch()
    monkeypatch.setattr(node_name, "FILE", tmp_path / "folder" / "nodename")

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(CalicoError, match=r"cannot write .*No space left"):
        node_name.keep("host1")
    assert list((tmp_path / "folder").iterdir()) == []
