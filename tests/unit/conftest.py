"""What every unit test has: no file of the machine's own is touched."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from calico_ctl.host import locks


@pytest.fixture(autouse=True, scope="session")
def own_locks(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Have locks somewhere else than on the machine."""
    before, locks.DIRECTORY = locks.DIRECTORY, tmp_path_factory.mktemp("locks")
    yield locks.DIRECTORY
    locks.DIRECTORY = before
