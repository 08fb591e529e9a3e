"""For tests that run calicoctl as a process, against an etcd with nothing in it."""

import pytest

from tests.support.etcd import Etcd
from tests.support.shell import Shell


@pytest.fixture
def shell(etcd: Etcd) -> Shell:
    """A shell whose calicoctl speaks to the test's etcd."""
    return Shell(etcd.authority)
