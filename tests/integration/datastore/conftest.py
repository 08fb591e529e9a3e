"""One etcd for the tests that leave it as it is, and one of its own for each that does not."""

from collections.abc import Iterator

import pytest

from calico_ctl.datastore.etcd import Etcd
from tests.support.etcd_server import EtcdServer


@pytest.fixture(scope="session")
def shared_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EtcdServer]:
    server = EtcdServer(tmp_path_factory.mktemp("etcd"))
    server.start()
    yield server
    server.stop()


@pytest.fixture(scope="session")
def v3_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EtcdServer]:
    """One that speaks the v3 API only."""
    server = EtcdServer(tmp_path_factory.mktemp("etcd-v3"), v2=False)
    server.start()
    yield server
    server.stop()


@pytest.fixture
def own_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EtcdServer]:
    server = EtcdServer(tmp_path_factory.mktemp("etcd"))
    server.start()
    yield server
    server.stop()


@pytest.fixture
def store(shared_server: EtcdServer) -> Iterator[Etcd]:
    store = shared_server.store()
    yield store
    store.close()
