"""The tests' own store keeps the contract that etcd keeps (see tests/integration/datastore)."""

import pytest

from tests.support.memory_store import MemoryStore
from tests.support.store_contract import StoreContract, Wait


class TestMemoryStore(StoreContract):
    @pytest.fixture
    def store(self) -> MemoryStore:
        return MemoryStore()

    @pytest.fixture
    def pass_time(self, store: MemoryStore) -> Wait:
        return store.advance


class TestTransactionalMemoryStore(TestMemoryStore):
    all_or_none = True

    @pytest.fixture
    def store(self) -> MemoryStore:
        store = MemoryStore()
        store.transactional = True
        return store
