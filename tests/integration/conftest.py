"""For tests against real things on this machine: etcd on loopback, a private network namespace."""

from collections.abc import Iterator

import pytest

from tests.support import netns
from tests.support.etcd import Etcd


@pytest.fixture(scope="session")
def etcd_server() -> Iterator[Etcd]:
    """One real etcd for the whole run."""
    with Etcd() as server:
        yield server


@pytest.fixture
def etcd(etcd_server: Etcd) -> Etcd:
    """A real etcd with nothing below /calico."""
    etcd_server.wipe()
    return etcd_server


@pytest.fixture
def private_netns() -> Iterator[netns.NetNs]:
    """The test, and what it starts, runs in a fresh network namespace."""
    with netns.private_netns() as namespace, namespace.entered():
        yield namespace
