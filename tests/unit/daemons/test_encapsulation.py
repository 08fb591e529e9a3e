"""What the routing service makes of pools, blocks and hosts for tunnels, and what it reports."""

import pytest
from netaddr import IPAddress, IPNetwork

from calico_ctl.bgp.encapsulation import Holders, Plan, Uplink
from calico_ctl.daemons import encapsulation
from calico_ctl.daemons.encapsulation import Encapsulation
from calico_ctl.daemons.runtime import Tick
from calico_ctl.dataplane import uplink
from calico_ctl.datastore.follow import Change, Changes, Disconnected, Resync
from calico_ctl.errors import CalicoError, InvalidValue
from calico_ctl.ipam import block
from calico_ctl.ipam.block import Owner

POOL = "/calico/ipam/v4/pool/10.65.0.0-16"
BLOCK = "/calico/ipam/v2/assignment/ipv4/block/10.65.2.0-26"
CIDR = IPNetwork("10.65.2.0/26")
VALUE = block.encode(block.empty(CIDR, "h2").claim(CIDR[1], Owner("e", {"host": "h2"})))
CLUSTER = {
    "/calico/Ready": "true",
    "/calico/bgp/v1/host/h1/ip_addr_v4": "10.0.0.1",
    "/calico/bgp/v1/host/h2/ip_addr_v4": "10.0.0.2",
    POOL: '{"cidr": "10.65.0.0/16", "vxlan": "vxlan.calico"}',
    BLOCK: VALUE,
}


class FakeTunnels:
    """Remembers what was planned; `problems` is its answer."""

    def __init__(self) -> None:
        self.plans: list[Plan] = []
        self.problems: dict[str, str] = {}

    def make(self, plan: Plan) -> dict[str, str]:
        self.plans.append(plan)
        return self.problems


class Service:
    def __init__(self) -> None:
        self.tunnels = FakeTunnels()
        self.said: list[str] = []
        self.service = Encapsulation("h1", self.tunnels, self.said.append)

    def hear(self, *messages: object) -> int:
        """Return how often the kernel was looked at for it."""
        before = len(self.tunnels.plans)
        self.service.turn(messages)
        return len(self.tunnels.plans) - before

    def destinations(self) -> set[str]:
        return {str(each.destination) for each in self.tunnels.plans[-1].routes}


@pytest.fixture
def service(monkeypatch) -> Service:
    found = Uplink("eth0", 1500, IPNetwork("10.0.0.0/24"))
    monkeypatch.setattr(uplink, "of", lambda ip: found if ip == IPAddress("10.0.0.1") else None)
    return Service()


def resync(**changes: str) -> Resync:
    return Resync({key: (value, 1) for key, value in {**CLUSTER, **changes}.items()}, 1)


def changed(key: str, value: str | None) -> Changes:
    return Changes((Change(key, value, 2),))


def test_nothing_is_touched_before_etcd_was_read_or_while_it_holds_no_cluster(service):
    assert service.hear(Tick()) == 0
    assert service.hear(resync(**{"/calico/Ready": "false"})) == 0
    assert service.hear(resync(), Tick()) == 1
    assert "10.65.2.0/26" in service.destinations()
    assert service.hear(changed("/calico/Ready", None)) == 0
    assert service.hear(Disconnected("away")) == 0


def test_tunnels_that_work_are_reported_too_and_so_is_their_end(service):
    service.hear(resync())
    service.hear(Tick())
    assert service.said == [""]
    service.tunnels.problems = {"unused devices": "busy"}
    service.hear(changed(POOL, None))
    assert service.said == ["", "unused devices: busy"]


def test_blocks_that_came_before_the_pool_wanted_tunnels_count_then(service):
    plain = '{"cidr": "10.65.0.0/16"}'
    service.hear(resync(**{POOL: plain}))
    other = block.encode(block.empty(IPNetwork("10.65.4.0/26"), "h2"))
    assert service.hear(changed(BLOCK.replace("10.65.2.0", "10.65.4.0"), other)) == 0
    service.hear(changed(POOL, CLUSTER[POOL]))
    assert {"10.65.2.0/26", "10.65.4.0/26"} <= service.destinations()
    service.hear(changed(POOL, plain))
    assert service.tunnels.plans[-1] == Plan()


def test_a_container_that_comes_or_goes_is_no_change(service):
    service.hear(resync())
    more = block.decode(CIDR, VALUE).claim(CIDR[2], Owner("f", {"host": "h2"}))
    assert service.hear(changed(BLOCK, block.encode(more))) == 0
    assert service.hear(changed("/calico/policy/profile/web/tags", "[]")) == 0


@pytest.mark.parametrize(
    ("key", "value", "left"),
    [
        (BLOCK, None, set()),
        ("/calico/bgp/v1/host/h2/ip_addr_v4", None, set()),
        (POOL, '{"cidr": "10.65.0.0/16"}', set()),
        (POOL, None, set()),
        ("/calico/bgp/v1/host/h2/ip_addr_v4", "10.0.0.3", {"10.65.2.0/26"}),
    ],
)
def test_what_matters_is_followed(service, key, value, left):
    service.hear(resync())
    before = service.tunnels.plans[-1]
    assert service.hear(changed(key, value)) == 1
    assert service.destinations() & {"10.65.2.0/26"} == left
    assert service.tunnels.plans[-1] != before


def test_each_tick_looks_at_the_kernel_again(service):
    service.hear(resync())
    assert service.hear(Tick()) == 1
    assert service.tunnels.plans[-1] == service.tunnels.plans[-2]


def test_what_does_not_work_is_said_once_and_its_end_too(service):
    service.tunnels.problems = {"device vxlan.calico": "no such thing"}
    service.hear(resync())
    service.hear(Tick())
    assert service.said == ["device vxlan.calico: no such thing"]
    service.tunnels.problems = {}
    service.hear(Tick())
    assert service.said[1:] == [""]


def test_a_block_that_cannot_be_read_is_named_and_the_others_work(service):
    bad = BLOCK.replace("10.65.2.0", "10.65.3.0")
    service.hear(resync(**{bad: "{"}))
    assert "10.65.2.0/26" in service.destinations()
    assert len(service.said) == 1, service.said
    assert service.said[0].startswith(f"{bad}: invalid address block")
    service.hear(changed(bad, None))
    assert service.said[1:] == [""]


def test_without_a_pool_that_wants_tunnels_nothing_is_said(service):
    service.hear(resync(**{POOL: '{"cidr": "10.65.0.0/16"}', BLOCK: "{"}))
    assert (service.tunnels.plans, service.said) == ([Plan()], [])


def test_a_kernel_that_does_not_answer_leaves_the_tunnels_as_they_are(service, monkeypatch):
    def refuse(_ip: IPAddress) -> Uplink:
        raise CalicoError("the kernel refused")

    service.hear(resync())
    monkeypatch.setattr(uplink, "of", refuse)
    assert service.hear(Tick()) == 0
    assert service.said[1:] == ["tunnels stay as they are: the kernel refused"]


def test_of_a_block_who_has_what_is_read():
    lent = block.decode(CIDR, VALUE).claim(CIDR[9], Owner("x", {"host": "h3"}))
    lent = lent.claim(CIDR[10], Owner("y"))
    read = encapsulation.read_block("10.65.2.0-26", block.encode(lent))
    assert read == Holders(CIDR, "h2", {CIDR[9]: "h3"})
    with pytest.raises(InvalidValue):
        encapsulation.read_block("10.65.2.0-26", "[]")
