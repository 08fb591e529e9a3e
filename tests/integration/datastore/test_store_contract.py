"""etcd, through both of our clients, keeps the contract of `Store`."""

from collections.abc import Iterator

import pytest

from calico_ctl.datastore.etcd import Etcd
from calico_ctl.datastore.etcd_v3 import EtcdV3
from tests.support.etcd_server import EtcdServer
from tests.support.store_contract import Forget, StoreContract, Wait

pytestmark = pytest.mark.integration


class TestEtcd(StoreContract):
    @pytest.fixture
    def pass_time(self) -> Wait:
        return lambda _seconds: None  # the real clock runs; tests wait for the event


class TestEtcdOfANewerRelease(TestEtcd):
    @pytest.fixture
    def store(self, newer_v2_server: EtcdServer) -> Iterator[Etcd]:
        store = newer_v2_server.store()
        yield store
        store.close()


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
