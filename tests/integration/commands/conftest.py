"""For tests that run calicoctl as a process, against an etcd with nothing in it."""

from pathlib import Path

import pytest

from tests.support.etcd import Etcd
from tests.support.shell import Shell


@pytest.fixture
def shell(etcd: Etcd) -> Shell:
    """A shell whose calicoctl speaks to the test's etcd."""
    return Shell(etcd.authority)


HERE = Path(__file__).parent


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Have the test that looks back on all others of this folder come after them."""
    ours = [at for at, item in enumerate(items) if item.path.parent == HERE]
    ordered = sorted(
        (items[at] for at in ours), key=lambda item: item.path.stem == "test_every_line"
    )
    for at, item in zip(ours, ordered, strict=True):
        items[at] = item
