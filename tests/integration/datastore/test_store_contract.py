"""etcd, through our client, keeps the contract of `Store`."""

import pytest

from tests.support.store_contract import StoreContract, Wait

pytestmark = pytest.mark.integration


class TestEtcd(StoreContract):
    @pytest.fixture
    def pass_time(self) -> Wait:
        return lambda _seconds: None  # the real clock runs; tests wait for the event
