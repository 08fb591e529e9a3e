"""A namespace that is kept is this one and no other."""

import os
from pathlib import Path

import pytest

from calico_ctl.errors import Conflict, InvalidValue, NotFound
from calico_ctl.host import namespaces


def test_a_kept_namespace_has_a_file():
    assert namespaces.exists(os.getpid())
    with namespaces.pinned(os.getpid()) as path:
        assert Path(path).samefile("/proc/self/ns/net")
    assert not Path(path).exists()


def test_a_process_that_has_ended_has_none():
    child = os.fork()
    if child == 0:
        os._exit(0)
    os.waitid(os.P_PID, child, os.WEXITED | os.WNOWAIT)
    assert not namespaces.exists(child), "it has ended, although its parent has not looked"
    os.waitpid(child, 0)
    assert not namespaces.exists(child)
    with pytest.raises(NotFound, match="has ended"), namespaces.pinned(child):
        pass


def test_a_namespace_that_is_not_our_own_is_told_from_everything_else(tmp_path):
    namespaces.require_foreign("/proc/self/ns/mnt")
    with pytest.raises(Conflict, match="own network namespace"):
        namespaces.require_foreign("/proc/self/ns/net")
    with pytest.raises(InvalidValue, match="invalid network namespace"):
        namespaces.require_foreign(str(tmp_path))
    with pytest.raises(NotFound, match="No such file"):
        namespaces.require_foreign(f"{tmp_path}/none")
