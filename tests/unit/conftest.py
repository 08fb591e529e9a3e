"""What every unit test has: no file of the machine's own is touched."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from calico_ctl.host import locks, node_name


@pytest.fixture(autouse=True, scope="session")
def own_locks(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Have locks somewhere else than on the machine."""
    before, locks.DIRECTORY = locks.DIRECTORY, tmp_path_factory.mktemp("locks")
    yield locks.DIRECTORY
    locks.DIRECTORY = before


@pytest.fixture(autouse=True)
def own_node_name(own_locks: Path) -> Iterator[Path]:
    """Have each test's host be no node yet: its name is not written down."""
    before, node_name.FILE = node_name.FILE, own_locks / "nodename"
    yield node_name.FILE
    node_name.FILE.unlink(missing_ok=True)
    node_name.FILE = before
