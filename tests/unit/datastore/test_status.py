import threading
import time

import pytest

from calico_ctl.datastore import status
from calico_ctl.datastore.status import AgentStatus, BadKey, EndpointStatus, ServiceStatus
from calico_ctl.errors import CalicoError, DeadlineExceeded
from calico_ctl.model import keys
from calico_ctl.model.endpoint import EndpointKey
from tests.support.memory_store import MemoryStore

KEY = EndpointKey("h1", "docker", "c1", "e1")


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


def in_(seconds: float) -> float:
    return time.monotonic() + seconds


def test_an_agents_report_is_read_as_it_was_written(store: MemoryStore) -> None:
    report = AgentStatus(
        since="2026-01-01T00:00:00Z",
        endpoints=3,
        bad_keys=(BadKey("/a", "why"),),
        bad_key_count=9,
        repairs={"table": 2},
        last_update_ms=1.5,
        trouble="trouble",
        in_sync_revision=17,
        pid=4,
        version="1",
    )
    status.write_agent(store, "h1", report)
    assert status.read_agent(store, "h1") == report


def test_the_report_of_a_dead_agent_disappears(store: MemoryStore) -> None:
    status.write_agent(store, "h1", AgentStatus("now"))
    status.write_service(store, "h1", "routing", ServiceStatus("now", "digest"))
    assert status.read_service(store, "h1", "routing") == ServiceStatus("now", "digest")
    store.advance(status.LIFETIME)
    assert status.read_agent(store, "h1") is None
    assert status.read_service(store, "h1", "routing") is None


def test_a_services_report_is_read_as_it_was_written(store: MemoryStore) -> None:
    report = ServiceStatus("now", "", "no port", {"web": "no pool"}, {"db": "on bridge"})
    status.write_service(store, "h1", status.LIFECYCLE, report)
    assert status.read_service(store, "h1", status.LIFECYCLE) == report
    odd = '{"since": "now", "problems": {"web": 1, "db": "why"}, "left_alone": [], "trouble": {}}'
    store.put(keys.service_status("h1", status.LIFECYCLE), odd)
    found = status.read_service(store, "h1", status.LIFECYCLE)
    assert found == ServiceStatus("now", problems={"db": "why"})


@pytest.mark.parametrize("text", ["", "x", "[]", "[" * 100_000])
def test_a_report_that_cannot_be_read_counts_as_none(store: MemoryStore, text: str) -> None:
    store.put(keys.agent_status("h1"), text)
    store.put(keys.service_status("h1", "routing"), text)
    store.put(keys.endpoint_status(KEY), text)
    assert status.read_agent(store, "h1") is None
    assert status.read_service(store, "h1", "routing") is None
    assert status.read_endpoint(store, KEY) is None


def test_a_report_with_odd_fields_is_read_without_them(store: MemoryStore) -> None:
    store.put(
        keys.agent_status("h1"), '{"since": 3, "endpoints": "x", "bad_keys": [1, {"key": "/a"}]}'
    )
    assert status.read_agent(store, "h1") == AgentStatus("", 0, (BadKey("/a", ""),))


def test_a_report_about_an_endpoint_goes_with_its_directories(store: MemoryStore) -> None:
    status.write_endpoint(store, KEY, EndpointStatus("up", 1))
    status.remove_endpoint(store, KEY)
    left = [entry.key for entry in store.tree(keys.host_status("h1")).entries]
    assert left == [
        f"{keys.host_status('h1')}/workload",
        f"{keys.host_status('h1')}/workload/docker",
    ]


def test_an_acknowledgement_that_is_there_is_found_at_once(store: MemoryStore) -> None:
    status.write_endpoint(store, KEY, EndpointStatus("up", 8))
    assert status.wait_for_endpoint(store, KEY, 7, in_(-1), time).revision == 8


def test_an_acknowledgement_of_an_older_revision_does_not_count(store: MemoryStore) -> None:
    status.write_endpoint(store, KEY, EndpointStatus("up", 6))
    with pytest.raises(DeadlineExceeded):
        status.wait_for_endpoint(store, KEY, 7, in_(0.05), time)


@pytest.mark.parametrize("before", [EndpointStatus("up", 6), EndpointStatus("down", 7), None])
def test_waiting_ends_with_the_acknowledgement(store: MemoryStore, before) -> None:
    if before is not None:
        status.write_endpoint(store, KEY, before)
    outcome: list[EndpointStatus] = []
    waiting = threading.Thread(
        target=lambda: outcome.append(status.wait_for_endpoint(store, KEY, 7, in_(60), time))
    )
    waiting.start()
    status.write_endpoint(store, KEY, EndpointStatus("up", 7))
    waiting.join(60)
    assert outcome == [EndpointStatus("up", 7)]


def test_waiting_survives_lost_history(store: MemoryStore) -> None:
    class Forgetful(MemoryStore):
        def watch(self, directory: str, after: int, timeout: float):
            status.write_endpoint(self, KEY, EndpointStatus("up", 7))
            for _ in range(1001):
                self.put("/elsewhere", "x")
            return super().watch(directory, after, timeout)

    assert status.wait_for_endpoint(Forgetful(), KEY, 7, in_(60), time).status == "up"


def test_what_a_busy_etcd_does_not_tell_who_waits_is_asked_for(store: MemoryStore) -> None:
    class Busy(MemoryStore):
        def watch(self, directory: str, after: int, timeout: float):
            status.write_endpoint(self, KEY, EndpointStatus("up", 7))
            return ()

    assert status.wait_for_endpoint(Busy(), KEY, 7, in_(60), time).status == "up"
    assert status.wait_for_endpoint(Busy(), KEY, 7, in_(0.01), time).status == "up"


def test_the_agents_reason_is_passed_on(store: MemoryStore) -> None:
    status.write_endpoint(store, KEY, EndpointStatus("error", 7, "bad name"))
    with pytest.raises(CalicoError, match="on h1 cannot set up endpoint e1: bad name"):
        status.wait_for_endpoint(store, KEY, 7, in_(60), time)


def test_a_silent_agent_is_named_with_its_host(store: MemoryStore) -> None:
    began = time.monotonic()
    with pytest.raises(DeadlineExceeded, match="the policy agent on h1 does not answer") as caught:
        status.wait_for_endpoint(store, KEY, 7, in_(0.1), time)
    assert time.monotonic() - began < 10
    assert "calicoctl status" in caught.value.hint


def test_an_agent_in_trouble_says_which(store: MemoryStore) -> None:
    status.write_agent(store, "h1", AgentStatus("now", trouble="nft failed"))
    with pytest.raises(DeadlineExceeded, match="in time: nft failed"):
        status.wait_for_endpoint(store, KEY, 7, in_(0.05), time)


def test_reports_about_a_hosts_endpoints_are_read_at_once(store: MemoryStore) -> None:
    broken, elsewhere = (
        EndpointKey("h1", "docker", "c2", "e2"),
        EndpointKey("h2", "docker", "c", "e"),
    )
    for key in (KEY, broken, elsewhere):
        status.write_endpoint(store, key, EndpointStatus("error", 7, key.id))
    store.put(keys.endpoint_status(broken), "nonsense")
    before = store.reads
    assert status.read_endpoints(store, "h1") == {KEY: EndpointStatus("error", 7, "e1")}
    assert store.reads == before + 1
    assert status.read_endpoints(store, "h3") == {}
