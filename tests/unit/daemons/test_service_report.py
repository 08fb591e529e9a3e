"""What a service tells etcd of itself, and when."""

import threading
from collections.abc import Iterator

import pytest

from calico_ctl.daemons import service_report
from calico_ctl.daemons.meters import Meters
from calico_ctl.daemons.service_report import ServiceReport
from calico_ctl.datastore import status
from calico_ctl.datastore.store import Entry
from calico_ctl.errors import DatastoreUnavailable
from tests.support.command import wait_until
from tests.support.memory_store import MemoryStore


class Store(MemoryStore):
    """One that may be away."""

    def __init__(self) -> None:
        super().__init__()
        self.away = False

    def put(self, key: str, value: str, ttl: int | None = None) -> Entry:
        if self.away:
            raise DatastoreUnavailable("127.0.0.1:4001", "connection refused")
        return super().put(key, value, ttl)


@pytest.fixture
def store() -> Store:
    return Store()


@pytest.fixture
def report(store: Store) -> Iterator[ServiceReport]:
    report = ServiceReport(store, "host1", "lifecycle")
    stopping = threading.Event()
    thread = threading.Thread(target=report.run, args=(lambda message: None, stopping))
    thread.start()
    yield report
    stopping.set()
    thread.join(60)
    assert not thread.is_alive()


def told(store: Store) -> status.ServiceStatus | None:
    return status.read_service(store, "host1", "lifecycle")


def test_what_is_said_is_written_and_what_changes_too(store, report):
    report.say(problems={"web": "no veth today"})
    wait_until(lambda: told(store), 5, "it is written")
    found = told(store)
    assert found is not None
    assert found.problems == {"web": "no veth today"}
    report.say(trouble="somebody has the port")
    wait_until(lambda: getattr(told(store), "trouble", "") != "", 5, "the change is written")


def test_without_a_word_nothing_is_told(store):
    ServiceReport(store, "host1", "lifecycle").write()
    assert told(store) is None


def test_what_was_said_before_is_not_written_again(store):
    report = ServiceReport(store, "host1", "lifecycle")
    report.say()
    report.write()
    revision = store.tree("/calico").revision
    report.say()
    assert store.tree("/calico").revision == revision


def test_what_stays_as_it_is_is_kept_alive_and_nobody_is_told(store):
    report = ServiceReport(store, "host1", "lifecycle")
    report.say()
    report.write()
    revision = store.tree("/calico").revision
    for _ in range(40):
        store.advance(status.LIFETIME - 1)
        report.write()
    assert told(store) is not None
    assert 1 <= store.tree("/calico").revision - revision <= 3
    report.say(trouble="no Docker")
    report.write()
    changed = told(store)
    assert changed is not None
    assert changed.trouble == "no Docker"


def test_etcd_that_is_away_is_told_when_it_is_back(store, report, caplog, monkeypatch):
    monkeypatch.setattr(service_report, "_RETRY_SECONDS", 0.1)
    store.away = True
    report.say()
    wait_until(lambda: "cannot report" in caplog.text, 5, "the failure is logged")
    store.away = False
    wait_until(lambda: told(store), 5, "it is written")


def test_what_is_said_is_measured_and_which_life_it_is_is_reported(store, tmp_path):
    Meters("lifecycle", str(tmp_path)).write()
    meters = Meters("lifecycle", str(tmp_path))
    report = ServiceReport(store, "host1", "lifecycle", meters)
    report.say(trouble="no Docker")
    assert meters.measured().trouble == "no Docker"
    report.write()
    found = told(store)
    assert found is not None
    assert (found.restarts, found.trouble) == (1, "no Docker")
    report.say()
    assert meters.measured().trouble == ""
