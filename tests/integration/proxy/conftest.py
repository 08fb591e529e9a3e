"""An engine that nobody else uses, and the proxy in front of it."""

from collections.abc import Iterator

import pytest

from tests.support import docker_proxy, engine
from tests.support.differential import Both
from tests.support.docker_proxy import RunningProxy
from tests.support.engine import OwnEngine


@pytest.fixture(scope="session")
def own_engine() -> Iterator[OwnEngine]:
    """One real engine, with an image, for all these tests."""
    with engine.own_engine() as running:
        yield running


@pytest.fixture(scope="session")
def proxy(own_engine: OwnEngine) -> Iterator[RunningProxy]:
    """One proxy for all these tests; it must not fail in any of them."""
    with docker_proxy.running(own_engine.socket) as running:
        yield running


@pytest.fixture(scope="session")
def both(own_engine: OwnEngine, proxy: RunningProxy) -> Both:
    """The engine and the proxy, to be compared."""
    return Both(own_engine, proxy)
