"""For tests on several real Docker hosts with the node image."""

from collections.abc import Iterator

import pytest

from tests.support import frozen
from tests.support.frozen import Frozen
from tests.support.lab import Lab


@pytest.fixture(scope="module")
def lab2() -> Iterator[Lab]:
    """Two Docker hosts that have the node image, fresh for each file of tests."""
    with Lab(2, node_image=True) as lab:
        yield lab


@pytest.fixture(scope="module")
def lab1() -> Iterator[Lab]:
    """One Docker host that has the node image, fresh for each file of tests."""
    with Lab(1, node_image=True) as lab:
        yield lab


@pytest.fixture(scope="session")
def frozen_calicoctl() -> Frozen:
    """What people without Python run; built once."""
    return frozen.build()
