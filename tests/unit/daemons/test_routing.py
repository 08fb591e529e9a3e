from collections.abc import Mapping

import pytest
from netaddr import IPAddress, IPNetwork

from calico_ctl.bgp.encapsulation import Uplink
from calico_ctl.daemons.meters import Meters
from calico_ctl.daemons.routing import Routing
from calico_ctl.daemons.runtime import Tick
from calico_ctl.dataplane.bird import SessionState
from calico_ctl.datastore import status
from calico_ctl.datastore.follow import Change, Changes, Disconnected, Resync
from calico_ctl.errors import CommandFailed
from calico_ctl.host.clock import SystemClock
from calico_ctl.workload.platform import Counters, Docker, DropWatch, Network
from tests.support.memory_store import MemoryStore

CLUSTER = {
    "/calico/Ready": "true",
    "/calico/bgp/v1/host/h1/ip_addr_v4": "10.0.0.1",
    "/calico/bgp/v1/host/h2/ip_addr_v4": "10.0.0.2",
    "/calico/ipam/v4/pool/10.65.0.0-16": '{"cidr": "10.65.0.0/16"}',
    "/calico/policy/profile/web/tags": "[]",
}
OWN, UPLINK = IPAddress("10.0.0.1"), Uplink("eth0", 1500, IPNetwork("10.0.0.0/24"))
H2 = "/calico/bgp/v1/host/h2/ip_addr_v4"


class FakePlatform:
    hostname = "h1"

    def __init__(self) -> None:
        self.store = MemoryStore()
        self.clock = SystemClock()

    @property
    def docker(self) -> Docker:
        raise NotImplementedError

    @property
    def network(self) -> Network:
        raise NotImplementedError

    @property
    def counters(self) -> Counters:
        raise NotImplementedError

    def drop_watch(self) -> DropWatch:
        raise NotImplementedError

    def agent_report(self) -> str:
        raise NotImplementedError


class FakeBird:
    """Remembers what it was given; refuses it while `refuses` is set."""

    def __init__(self) -> None:
        self.given: list[str] = []
        self.refuses = False
        self.infos = {"Mesh_10_0_0_2": "Established"}

    def configure(self, text: str) -> bool:
        if self.refuses:
            raise CommandFailed("`bird -p` failed: syntax error")
        if self.given[-1:] == [text]:
            return False
        self.given.append(text)
        return True

    def sessions(self) -> list[SessionState] | None:
        return [SessionState(name, "up", "10:00:00", info) for name, info in self.infos.items()]


class Lab:
    def __init__(self) -> None:
        self.platform = FakePlatform()
        self.bird = FakeBird()
        self.routing = self.new_routing()

    def new_routing(self, meters: Meters | None = None) -> Routing:
        return Routing(self.platform, self.bird, meters, {OWN: UPLINK}.get)

    def resync(self, values: Mapping[str, str] = CLUSTER) -> None:
        self.routing.turn([Resync({key: (value, 1) for key, value in values.items()}, 1)])

    def change(self, key: str, value: str | None) -> None:
        self.routing.turn([Changes((Change(key, value, 2),))])

    def report(self) -> status.ServiceStatus | None:
        self.routing.report.write()
        return status.read_service(self.platform.store, "h1", "routing")


@pytest.fixture
def lab() -> Lab:
    return Lab()


def test_nothing_is_configured_before_everything_was_read(lab):
    lab.routing.turn([Tick(), Changes((Change(H2, "10.0.0.2", 2),))])
    assert lab.bird.given == []
    assert lab.report() is None


def test_of_the_own_subnet_nothing_is_learnt_but_single_addresses(lab):
    lab.resync()
    assert "in_own_subnet4() { return net ~ [ 10.0.0.0/24{24,31} ]; }" in lab.bird.given[-1]


def test_what_was_read_is_configured_and_reported(lab):
    lab.resync()
    assert "neighbor 10.0.0.2 as 64511;" in lab.bird.given[0]
    assert lab.report() is not None


def test_a_host_that_leaves_is_a_neighbour_no_more(lab):
    lab.resync()
    lab.change(H2, None)
    assert "neighbor" not in lab.bird.given[-1]


def test_another_configuration_changes_the_report(lab):
    lab.resync()
    before = lab.report()
    lab.change(H2, "10.0.0.9")
    assert lab.report() != before


def test_what_does_not_concern_routing_costs_nothing(lab):
    lab.resync()
    writes = lab.platform.store.writes
    lab.change("/calico/policy/profile/web/tags", '["a"]')
    assert len(lab.bird.given) == 1
    assert lab.platform.store.writes == writes


def test_a_store_that_is_not_ready_changes_nothing(lab):
    lab.resync()
    lab.resync({})
    assert len(lab.bird.given) == 1


def test_bird_keeps_what_it_has_while_etcd_is_away(lab, caplog):
    lab.resync()
    lab.platform.store.fail_with = "connection refused"
    lab.routing.turn([Disconnected("connection refused"), Tick()])
    assert len(lab.bird.given) == 1
    assert "etcd is away" in caplog.text


def test_what_bird_refused_is_reported_as_trouble_and_tried_again(lab):
    lab.bird.refuses = True
    lab.resync()
    refused = lab.report()
    assert (refused.config, "syntax error" in refused.trouble) == ("", True)
    lab.bird.refuses = False
    lab.routing.turn([Tick()])
    assert len(lab.bird.given) == 1
    assert (lab.report().config != "", lab.report().trouble) == (True, "")


def test_a_key_that_cannot_be_read_is_logged_once(lab, caplog):
    lab.resync({**CLUSTER, "/calico/bgp/v1/host/h3/ip_addr_v4": "junk"})
    lab.routing.turn([Tick()])
    assert caplog.text.count("/calico/bgp/v1/host/h3/ip_addr_v4") == 1
    assert "10.0.0.2" in lab.bird.given[0]


def test_a_host_without_an_address_of_its_own_waits_for_one(lab):
    own = "/calico/bgp/v1/host/h1/ip_addr_v4"
    lab.resync({key: value for key, value in CLUSTER.items() if key != own})
    assert lab.bird.given == []
    lab.change(own, "10.0.0.1")
    assert len(lab.bird.given) == 1


AFFINITY = "/calico/ipam/v2/host/h1/ipv4/block/10.65.0.0-26"
BLOCK = "/calico/ipam/v2/assignment/ipv4/block/10.65.0.0-26"


def test_a_block_of_this_host_is_announced_until_it_is_another_hosts(lab):
    lab.resync()
    assert "blackhole" not in lab.bird.given[-1]
    lab.change(AFFINITY, "")
    assert "route 10.65.0.0/26 blackhole;" in lab.bird.given[-1]
    lab.change(BLOCK, '{"affinity": "host:h1", "allocations": []}')
    lab.change(BLOCK, '{"affinity": "host:h1", "allocations": [0]}')
    assert len(lab.bird.given) == 2
    lab.change(BLOCK, '{"affinity": "host:h2", "allocations": [0]}')
    assert "blackhole" not in lab.bird.given[-1]


def test_blocks_of_others_change_nothing(lab):
    lab.resync({**CLUSTER, BLOCK: '{"affinity": "host:h2"}'})
    writes = lab.platform.store.writes
    lab.change(AFFINITY.replace("h1", "h2"), "")
    lab.change(BLOCK, '{"affinity": "host:h2", "attributes": []}')
    assert len(lab.bird.given) == 1
    assert lab.platform.store.writes == writes


def test_peers_and_log_levels_are_followed(lab):
    lab.resync()
    peer = '{"ip": "10.0.0.9", "as_num": "65000", "password": "sesam"}'
    lab.change("/calico/bgp/v1/global/peer_v4/10.0.0.9", peer)
    assert "neighbor 10.0.0.9 as 65000;" in lab.bird.given[-1]
    lab.change("/calico/bgp/v1/host/h1/loglevel", "debug")
    assert "debug protocols all;" in lab.bird.given[-1]
    lab.change("/calico/bgp/v1/rr_v4/10.0.0.1", '{"ip": "10.0.0.1", "cluster_id": "1.0.0.1"}')
    lab.change("/calico/bgp/v1/global/peer_v4/10.0.0.1", '{"ip": "10.0.0.1", "as_num": "64511"}')
    assert "protocol bgp Client_10_0_0_2 from reflecting4" in lab.bird.given[-1]


def test_no_log_line_shows_a_password(lab, caplog):
    lab.resync()
    lab.change("/calico/bgp/v1/global/peer_v4/10.0.0.9", '{"ip": "10.0.0.9", "password": "sesam"')
    assert "left out /calico/bgp/v1/global/peer_v4/10.0.0.9" in caplog.text
    assert "sesam" not in caplog.text


def test_what_bird_refuses_is_the_trouble_that_is_reported_until_it_takes_it(lab):
    lab.resync()
    lab.bird.refuses = True
    lab.change(H2, "10.0.0.9")
    lab.routing.turn([Tick()])
    report = lab.report()
    assert report is not None
    assert report.trouble == "BIRD keeps what it had: `bird -p` failed: syntax error"
    lab.bird.refuses = False
    lab.routing.turn([Tick()])
    report = lab.report()
    assert report is not None
    assert report.trouble == ""


def test_sessions_and_new_configurations_are_measured(lab):
    meters = Meters("routing")
    lab.routing = lab.new_routing(meters)
    lab.resync()
    lab.change(H2, "10.0.0.9")
    lab.routing.turn([Tick()])
    values = {each.metric.name: each.value for each in meters.measured().samples}
    assert values["calico_bgp_configurations_total"] == 2
    assert values["calico_bgp_sessions"] == values["calico_bgp_sessions_established"] == 1
    assert meters.measured().trouble == ""


class HandClock(SystemClock):
    """Shows what it is set to."""

    now = 100.0

    def monotonic(self) -> float:
        return self.now


def test_a_session_that_comes_or_goes_is_a_line_with_its_name_and_how_long(lab, caplog):
    caplog.set_level("INFO")
    lab.platform.clock = clock = HandClock()
    lab.resync()

    def told(seconds: float, **infos: str) -> list[str]:
        caplog.clear()
        clock.now += seconds
        lab.bird.infos = infos
        lab.routing.turn([Tick()])
        return [each for each in caplog.messages if each.startswith("session ")]

    assert told(0, a="Established", b="Active") == [
        "session a is established, seen for the first time: 1 of 2 are established"
    ]
    assert told(10, a="Established", b="Connect") == []
    assert told(10, a="Established", b="Established") == [
        "session b is established after 20 s: 2 of 2 are established"
    ]
    assert told(40, a="Active Socket: Connection refused", b="Established") == [
        "session a is lost after 60 s: 1 of 2 are established"
    ]
    # As many as before are established, yet not the same.
    assert told(10, a="Established", b="Active") == [
        "session a is established after 10 s: 1 of 2 are established",
        "session b is lost after 50 s: 1 of 2 are established",
    ]
    assert told(10, b="Active") == ["session a is no more, after 10 s: 0 of 1 are established"]
    assert told(10) == []
