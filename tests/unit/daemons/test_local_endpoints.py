"""This host's endpoints in memory follow those in etcd."""

import threading
from collections.abc import Iterator
from dataclasses import replace

import pytest
from netaddr import IPAddress

from calico_ctl.daemons.local_endpoints import LocalEndpoints
from calico_ctl.datastore import endpoints
from calico_ctl.model import keys
from calico_ctl.model.endpoint import Endpoint, EndpointKey, State
from tests.support.command import wait_until
from tests.support.memory_store import MemoryStore

WEB, DB = "a" * 64, "b" * 64


def endpoint(container: str, number: int = 1) -> Endpoint:
    key = EndpointKey("host1", "docker", container, f"{number:032x}")
    ip = IPAddress(f"10.65.0.{number}")
    return Endpoint(key, State.ACTIVE, f"cali{number}", "02:00:00:00:00:01", addresses=(ip,))


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


@pytest.fixture
def known(store) -> Iterator[LocalEndpoints]:
    """Those of host1, followed."""
    endpoints.create(store, endpoint(WEB))
    known = LocalEndpoints(store, "host1")
    stopping = threading.Event()
    thread = threading.Thread(target=known.run, args=(lambda message: None, stopping))
    thread.start()
    wait_until(lambda: known.of(WEB) == endpoint(WEB), 5, "it has been read")
    yield known
    stopping.set()
    # It waits for changes in etcd, and sees only after one that it shall end.
    store.put(f"{keys.orchestrator('host1', 'docker')}/end", "x")
    thread.join(60)
    assert not thread.is_alive()


def test_what_comes_changes_and_goes_is_known(store, known):
    endpoints.create(store, endpoint(DB, 2))
    wait_until(lambda: known.of(DB) == endpoint(DB, 2), 5, "it is known")
    endpoints.edit(store, endpoint(DB, 2).key, lambda seen: replace(seen, name="cali9"))
    wait_until(lambda: (known.of(DB) or endpoint(WEB)).name == "cali9", 5, "it has changed")
    endpoints.remove(store, endpoint(DB, 2).key)
    wait_until(lambda: known.of(DB) is None, 5, "it is gone")
    assert known.of(WEB) == endpoint(WEB)


def test_of_several_the_first_counts_until_it_goes(store, known):
    endpoints.create(store, endpoint(WEB, 2))
    endpoints.remove(store, endpoint(WEB).key)
    wait_until(lambda: known.of(WEB) == endpoint(WEB, 2), 5, "the second one is the first now")


def test_one_that_cannot_be_read_is_none(store, known):
    store.put(keys.endpoint(endpoint(WEB).key), "junk")
    wait_until(lambda: known.of(WEB) is None, 5, "it is not known any more")


def test_what_was_just_changed_can_be_read_at_once(store):
    known = LocalEndpoints(store, "host1")
    assert known.of(WEB) is None
    endpoints.create(store, endpoint(WEB))
    known.read(WEB)
    assert known.of(WEB) == endpoint(WEB)
    endpoints.remove(store, endpoint(WEB).key)
    known.read(WEB)
    assert known.of(WEB) is None
