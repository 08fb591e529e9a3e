"""The agent's whole circle: real etcd, real kernel, a namespace of its own as the host."""

import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest
from netaddr import IPAddress

from calico_ctl.daemons import felix
from calico_ctl.daemons.runtime import Tick
from calico_ctl.dataplane.network import KernelNetwork
from calico_ctl.dataplane.nft import Nft
from calico_ctl.datastore import endpoints, follow, profiles, status
from calico_ctl.datastore.store import Store
from calico_ctl.host.clock import SystemClock
from calico_ctl.model.endpoint import Endpoint, EndpointKey, State
from calico_ctl.model.interface import Interface
from tests.support.memory_store import MemoryStore
from tests.support.netns import NetNs, private_netns

pytestmark = pytest.mark.integration

HOST = "host1"
KEY = EndpointKey(HOST, "docker", "c" * 64, "0a" * 16)
MAC = "02:00:00:00:00:01"
ENDPOINT = Endpoint(
    KEY, State.ACTIVE, "cali0a0a0a0a0a0", MAC, ("web",), (IPAddress("192.168.1.5"),)
)


@dataclass
class Host:
    """The host's namespace, its store, and an agent that takes one turn when told to."""

    namespace: NetNs
    store: Store = field(default_factory=MemoryStore)
    hostname: str = HOST
    clock: SystemClock = field(default_factory=SystemClock)
    network: KernelNetwork = field(default_factory=KernelNetwork)

    def turn(self, agent: felix.Agent) -> None:
        """Let the agent read everything anew and act on it."""
        tree = self.store.tree("/calico")
        leaves = {e.key: (e.value, e.revision) for e in tree.entries if e.value is not None}
        agent.turn([follow.Resync(leaves, tree.revision), Tick()])


@pytest.fixture
def host() -> Iterator[Host]:
    with private_netns() as namespace, namespace.entered():
        host = Host(namespace)
        host.store.create("/calico/Ready", "true")
        profiles.create(host.store, "web")
        yield host


@pytest.fixture
def container() -> Iterator[NetNs]:
    with private_netns() as namespace:
        yield namespace


def plug(container: NetNs) -> None:
    KernelNetwork().plug(
        Interface(
            ENDPOINT.name,
            str(container.path),
            "eth1",
            MAC,
            ENDPOINT.addresses,
            (IPAddress("10.9.9.1"),),
        )
    )


def test_before_anything_is_known_our_interfaces_are_closed(host):
    felix.Agent(host)
    table = Nft().listing()
    assert "counter packets 0 bytes 0 drop" in table
    assert "elements" not in table


def test_an_endpoint_is_acknowledged_when_rules_and_route_are_in_place(host, container):
    agent = felix.Agent(host)
    plug(container)
    revision = endpoints.create(host.store, ENDPOINT)
    host.turn(agent)
    assert status.read_endpoint(host.store, KEY) == status.EndpointStatus("up", revision)
    assert "192.168.1.5 dev cali0a0a0a0a0a0" in host.namespace.run(["ip", "route"]).out
    assert '"cali0a0a0a0a0a0" : goto t-cali0a0a0a0a0a0' in Nft().listing()


def test_an_endpoint_without_its_interface_is_not_acknowledged(host):
    agent = felix.Agent(host)
    endpoints.create(host.store, ENDPOINT)
    host.turn(agent)
    assert status.read_endpoint(host.store, KEY) is None


def test_a_removed_endpoint_leaves_no_route_no_rule_and_no_report(host, container):
    agent = felix.Agent(host)
    plug(container)
    endpoints.create(host.store, ENDPOINT)
    host.turn(agent)
    endpoints.remove(host.store, KEY)
    host.turn(agent)
    assert "cali" not in host.namespace.run(["ip", "route"]).out
    assert "0a0a" not in Nft().listing()
    assert status.read_endpoint(host.store, KEY) is None


def test_a_new_agent_takes_over_a_live_table_and_drops_what_is_stale(host, container):
    first = felix.Agent(host)
    plug(container)
    endpoints.create(host.store, ENDPOINT)
    host.turn(first)
    before = Nft().listing()
    second = felix.Agent(host)
    assert Nft().listing() == before
    profiles.remove(host.store, "web")
    host.turn(second)
    assert "profile without readable rules" in Nft().listing()


def test_a_store_that_is_not_ready_changes_nothing(host, container):
    agent = felix.Agent(host)
    plug(container)
    endpoints.create(host.store, ENDPOINT)
    host.turn(agent)
    before = Nft().listing()
    host.store.delete("/calico")
    host.turn(agent)
    assert Nft().listing() == before
    assert "cali" in host.namespace.run(["ip", "route"]).out


def test_an_agent_that_started_before_its_store_was_ready_acts_once_it_is(host, container):
    host.store.put("/calico/Ready", "false")
    agent = felix.Agent(host)
    plug(container)
    revision = endpoints.create(host.store, ENDPOINT)
    host.turn(agent)
    assert status.read_endpoint(host.store, KEY) is None
    agent.turn([follow.Changes((follow.Change("/calico/Ready", "true", revision + 1),))])
    assert status.read_endpoint(host.store, KEY) == status.EndpointStatus("up", revision)


def test_a_store_that_is_emptied_change_by_change_changes_nothing(host, container):
    agent = felix.Agent(host)
    plug(container)
    endpoints.create(host.store, ENDPOINT)
    host.turn(agent)
    before = Nft().listing()
    gone = [entry.key for entry in host.store.tree("/calico").entries if not entry.is_directory]
    agent.turn([follow.Changes(tuple(follow.Change(key, None, 999) for key in sorted(gone)))])
    agent.turn([Tick()])
    assert Nft().listing() == before
    assert "cali" in host.namespace.run(["ip", "route"]).out


def test_a_table_that_somebody_flushed_is_written_anew(host, container):
    agent = felix.Agent(host)
    plug(container)
    endpoints.create(host.store, ENDPOINT)
    host.turn(agent)
    host.namespace.run(["nft", "flush", "ruleset"])
    agent.turn([Tick()])
    assert '"cali0a0a0a0a0a0" : goto t-cali0a0a0a0a0a0' in Nft().listing()


def test_a_broken_key_is_reported_and_closes_only_what_depends_on_it(host, container):
    agent = felix.Agent(host)
    plug(container)
    endpoints.create(host.store, ENDPOINT)
    host.store.put("/calico/policy/profile/web/rules", "{")
    host.turn(agent)
    report = status.read_agent(host.store, HOST)
    assert report is not None
    assert [bad.key for bad in report.bad_keys] == ["/calico/policy/profile/web/rules"]
    assert "profile without readable rules" in Nft().listing()


def test_an_endpoint_that_cannot_be_read_is_answered_with_the_reason(host):
    agent = felix.Agent(host)
    endpoints.create(host.store, ENDPOINT)
    entry = host.store.put("/calico/host/host1/workload/docker/x/endpoint/y", json.dumps({}))
    host.turn(agent)
    broken = EndpointKey(HOST, "docker", "x", "y")
    report = status.read_endpoint(host.store, broken)
    assert report is not None
    assert report.status == "error"
    assert report.revision == entry.revision
    assert "state" in report.reason or "interface name" in report.reason


def test_the_daemon_follows_the_store_until_it_is_told_to_stop(host, container):
    agent = felix.Agent(host)
    stopping = threading.Event()
    posted: list[object] = []
    follower = threading.Thread(
        target=follow.follow, args=(host.store, "/calico", posted.append, stopping)
    )
    follower.start()
    plug(container)
    revision = endpoints.create(host.store, ENDPOINT)
    deadline = host.clock.monotonic() + 5
    while status.read_endpoint(host.store, KEY) is None and host.clock.monotonic() < deadline:
        agent.turn([posted.pop(0)] if posted else [])
    stopping.set()
    follower.join(15)
    assert status.read_endpoint(host.store, KEY) == status.EndpointStatus("up", revision)
