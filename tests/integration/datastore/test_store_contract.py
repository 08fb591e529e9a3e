"""etcd, through both of our clients, keeps the contract of `Store`."""

from collections.abc import Iterator

import pytest

from calico_ctl.datastore.etcd_v3 import EtcdV3
from tests.support.etcd_server import EtcdServer
from tests.support.store_contract import Forget, StoreContract, Wait

pytestmark = pytest.mark.integration


class TestEtcd(StoreContract):
    @pytest.fixture
    def pass_time(self) -> Wait:
        return lambda _seconds: None  # the real clock runs; tests wait for the event


class TestEtcdV3(StoreContract):
    hides_underscores = False
    all_or_none = True

    @pytest.fixture
    def server(self, v3_server: EtcdServer) -> EtcdServer:
        return v3_server

    @pytest.fixture
    def store(self, server: EtcdServer) -> Iterator[EtcdV3]:
        store = server.store_v3()
        yield store
        store.close()

    @pytest.fixture
    def pass_time(self) -> Wait:
        return lambda _seconds: None

    @pytest.fixture
    def forget(self, server: EtcdServer) -> Forget:
        return lambda _base: server.forget()


class TestEtcdV3OfANewerRelease(TestEtcdV3):
    @pytest.fixture
    def server(self, newer_server: EtcdServer) -> EtcdServer:
        return newer_server
