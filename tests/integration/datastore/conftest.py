"""One etcd for the tests that leave it as it is, and one of its own for each that does not."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from calico_ctl.datastore.connection import Connection
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


NEWER = Path("/var/lib/calico-lab/etcd-trixie/usr/bin/etcd")


@pytest.fixture(scope="session")
def newer_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EtcdServer]:
    """One of another release, by v3; `scripts/newer_etcd` fetches it, which tests do not."""
    with newer(tmp_path_factory.mktemp("etcd-newer"), v2=False) as server:
        yield server


@pytest.fixture(scope="session")
def newer_v2_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EtcdServer]:
    """The same with its v2 API: the last release that has it."""
    with newer(tmp_path_factory.mktemp("etcd-newer-v2"), v2=True) as server:
        yield server


@contextmanager
def newer(directory: Path, *, v2: bool) -> Iterator[EtcdServer]:
    if not NEWER.exists():
        pytest.skip("there is no newer etcd here: scripts/newer_etcd fetches one")
    server = EtcdServer(directory, v2=v2)
    server.program = str(NEWER)
    server.start()
    try:
        yield server
    finally:
        server.stop()


@pytest.fixture
def own_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EtcdServer]:
    server = EtcdServer(tmp_path_factory.mktemp("etcd"))
    server.start()
    yield server
    server.stop()


@pytest.fixture
def connections(monkeypatch: pytest.MonkeyPatch) -> list[Connection]:
    """The connections that are made from now on."""
    made: list[Connection] = []
    real = Connection.to

    def noted(*arguments: Any, **named: Any) -> Connection:
        made.append(real(*arguments, **named))
        return made[-1]

    monkeypatch.setattr(Connection, "to", noted)
    return made


@pytest.fixture
def store(shared_server: EtcdServer) -> Iterator[Etcd]:
    store = shared_server.store()
    yield store
    store.close()
