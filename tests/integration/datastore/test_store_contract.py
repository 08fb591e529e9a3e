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

    @pytest.fixture
    def store(self, v3_server: EtcdServer) -> Iterator[EtcdV3]:
        store = v3_server.store_v3()
        yield store
        store.close()

    @pytest.fixture
    def pass_time(self) -> Wait:
        return lambda _seconds: None

    @pytest.fixture
    def forget(self, v3_server: EtcdServer) -> Forget:
        return lambda _base: v3_server.forget()
