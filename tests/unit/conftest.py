"""What every unit test has: no file of the machine's own is touched."""

import pytest

from calico_ctl.host import locks


@pytest.fixture(autouse=True)
def own_locks(tmp_path_factory, monkeypatch):
    """Give each test locks of its own."""
    monkeypatch.setattr(locks, "DIRECTORY", tmp_path_factory.mktemp("locks"))
