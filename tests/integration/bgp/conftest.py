"""Routers on a bridge."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import routers
from tests.support.routers import Site


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    """A bridge to put routers on."""
    with routers.site(tmp_path) as made:
        yield made
