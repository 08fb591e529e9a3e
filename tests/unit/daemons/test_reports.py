"""What the agent says reaches etcd once, and as soon as it matters."""

import logging
import re
import threading
from dataclasses import replace

import pytest

from calico_ctl.daemons import reports as agent_reports
from calico_ctl.daemons.meters import Meters
from calico_ctl.daemons.reports import Reports
from calico_ctl.datastore import status
from calico_ctl.datastore.status import AgentStatus, EndpointStatus
from calico_ctl.errors import DatastoreUnavailable
from calico_ctl.model.endpoint import EndpointKey
from tests.support.command import wait_until
from tests.support.memory_store import MemoryStore

HOST = "host1"
KEY = EndpointKey(HOST, "docker", "c", "e")
UP = EndpointStatus(status.UP, 7)
CALM = AgentStatus(since="now")


def as_submitted(report: AgentStatus | None) -> AgentStatus:
    """A report without what Reports adds: since when it is in sync."""
    assert report is not None
    assert re.fullmatch(r"[0-9-]{10}T[0-9:]{8}Z", report.in_sync_since)
    return replace(report, in_sync_since="")


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


@pytest.fixture
def reports(store: MemoryStore) -> Reports:
    return Reports(store, HOST)


def test_an_endpoint_is_acknowledged_once(store, reports):
    reports.submit({KEY: UP}, CALM, urgent=False)
    reports.write()
    reports.write()
    assert status.read_endpoint(store, KEY) == UP
    assert reports.acknowledged(KEY)
    assert store.writes == 1


def test_an_endpoint_that_is_gone_takes_its_report_with_it(store, reports):
    reports.submit({KEY: UP}, CALM, urgent=False)
    reports.write()
    reports.submit({}, CALM, urgent=False)
    reports.write()
    assert status.read_endpoint(store, KEY) is None
    assert not reports.acknowledged(KEY)


def test_what_was_written_is_logged_at_level_debug_only(store, reports, caplog):
    def said(level: int, statuses: dict[EndpointKey, EndpointStatus]) -> list[str]:
        caplog.clear()
        with caplog.at_level(level):
            reports.submit(statuses, CALM, urgent=True)
            reports.write()
        return [each.getMessage() for each in caplog.records]

    told = "told etcd how this agent is"
    assert said(logging.DEBUG, {KEY: UP}) == [told, "told etcd that endpoint e is up"]
    assert said(logging.DEBUG, {KEY: UP}) == [told]
    assert said(logging.DEBUG, {}) == [told, "told etcd that endpoint e is gone"]
    assert said(logging.INFO, {KEY: UP}) == []


def test_saying_nothing_new_of_endpoints_leaves_them_as_they_are(store, reports):
    reports.submit({KEY: UP}, CALM, urgent=False)
    reports.submit(None, CALM, urgent=False)
    reports.write()
    assert status.read_endpoint(store, KEY) == UP


def test_the_agents_own_report_waits_unless_it_is_urgent_or_time(store, reports):
    reports.submit(None, CALM, urgent=False)
    reports.write()
    assert status.read_agent(store, HOST) is None
    reports.write(periodic=True)
    assert as_submitted(status.read_agent(store, HOST)) == CALM
    reports.submit(None, AgentStatus(since="now", trouble="x"), urgent=True)
    reports.write()
    report = status.read_agent(store, HOST)
    assert report is not None
    assert (report.trouble, report.in_sync_since) == ("x", "")


def test_who_asks_is_told_what_is_not_worth_a_report(store, reports):
    assert reports.as_of_now() == ""
    reports.submit(None, CALM, urgent=True)
    reports.write()
    further = replace(CALM, in_sync_revision=9, last_update_ms=2.5)
    reports.submit(None, further, urgent=False)
    assert as_submitted(status.read_agent(store, HOST)) == CALM
    assert as_submitted(status.decode_agent(reports.as_of_now())) == further


def test_progress_alone_is_not_told_but_more_or_less_endpoints_are(store, reports):
    reports.submit(None, CALM, urgent=True)
    reports.write()
    revision = store.tree("/calico").revision
    reports.submit(None, replace(CALM, in_sync_revision=99, last_update_ms=4.5), urgent=False)
    for _ in range(40):
        store.advance(status.LIFETIME - 1)
        reports.write(periodic=True)
    assert status.read_agent(store, HOST) is not None
    assert 1 <= store.tree("/calico").revision - revision <= 3
    reports.submit(None, replace(CALM, endpoints=3), urgent=False)
    reports.write(periodic=True)
    report = status.read_agent(store, HOST)
    assert report is not None
    assert report.endpoints == 3


def test_a_report_that_could_not_be_written_is_written_later(store, reports):
    reports.submit({KEY: UP}, CALM, urgent=True)
    store.fail("connection refused")
    with pytest.raises(DatastoreUnavailable):
        reports.write()
    store.fail(None)
    reports.write()
    assert status.read_endpoint(store, KEY) == UP
    assert as_submitted(status.read_agent(store, HOST)) == CALM


def test_a_new_agent_removes_what_a_former_one_left_and_writes_nothing_twice(store, reports):
    gone = EndpointKey(HOST, "docker", "d", "f")
    reports.submit({KEY: UP, gone: UP}, CALM, urgent=False)
    reports.write()
    again = Reports(store, HOST)
    again.write()
    assert status.read_endpoints(store, HOST) == {KEY: UP, gone: UP}
    assert again.acknowledged(KEY)
    before = store.writes
    again.submit({KEY: UP}, CALM, urgent=False)
    again.write()
    assert status.read_endpoints(store, HOST) == {KEY: UP}
    assert status.read_endpoint(store, gone) is None
    assert store.writes - before <= 3  # the key, and directories that became empty


def test_it_is_in_sync_since_its_trouble_ended_and_not_since_the_last_report(store):
    meters = Meters(status.FELIX)
    reports = Reports(store, HOST, meters)
    assert values(meters)["calico_felix_in_sync"] == 0
    assert meters.measured().trouble is None
    reports.submit(None, replace(CALM, trouble="x"), urgent=True)
    assert values(meters)["calico_felix_in_sync"] == 0
    assert meters.measured().trouble == "x"
    reports.submit(None, replace(CALM, endpoints=3, repairs={"table": 2}), urgent=True)
    assert reports.in_sync_since
    first = reports.in_sync_since = "2026-11-24T08:46:51Z"
    found = values(meters)
    assert (found["calico_felix_endpoints"], found["calico_felix_repairs_total"]) == (3, 2)
    reports.submit(None, CALM, urgent=True)
    assert reports.in_sync_since == first
    assert values(meters)["calico_felix_in_sync"] == 1
    assert meters.measured().trouble == ""


def values(meters: Meters) -> dict[str, object]:
    return {each.metric.name: each.value for each in meters.measured().samples}


def test_the_thread_writes_what_is_submitted_and_outlives_an_absence_of_etcd(
    store, reports, monkeypatch
):
    monkeypatch.setattr(agent_reports, "_RETRY_SECONDS", 0.1)
    stopping = threading.Event()
    thread = threading.Thread(target=reports.run, args=(lambda _: None, stopping))
    thread.start()
    try:
        store.fail("connection refused")
        reports.submit({KEY: UP}, CALM, urgent=True)
        wait_until(lambda: store.reads > 0, 5, "the thread asks etcd")
        store.fail(None)
        wait_until(lambda: status.read_agent(store, HOST) is not None, 5, "the report is there")
        assert status.read_endpoint(store, KEY) == UP
    finally:
        stopping.set()
        reports.submit(None, CALM, urgent=True)
        thread.join(60)
    assert not thread.is_alive()
