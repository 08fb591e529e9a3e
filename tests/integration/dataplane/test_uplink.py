"""Which interface has an address, and how large the packets of containers may be."""

import pytest
from netaddr import IPAddress, IPNetwork

from calico_ctl.bgp.encapsulation import Uplink
from calico_ctl.dataplane import uplink
from tests.support.netns import NetNs

pytestmark = pytest.mark.integration

V4, V6 = IPAddress("172.30.1.1"), IPAddress("fd30::1")
SECOND, ON_LOOPBACK = IPAddress("10.1.1.1"), IPAddress("10.2.2.2")
MINE, MINE_6 = IPAddress("10.65.0.1"), IPAddress("fd80::1")


@pytest.fixture
def host(private_netns: NetNs) -> NetNs:
    private_netns.run(
        ["ip", "-batch", "-"],
        stdin="link add eth0 mtu 1600 type veth peer name far0\n"
        "link add eth1 mtu 1330 type veth peer name far1\n"
        f"addr add {V4}/24 dev eth0\naddr add {SECOND}/32 dev eth0\naddr add {V6}/64 dev eth1\n"
        f"addr add {ON_LOOPBACK}/32 dev lo\n",
    )
    return private_netns


def test_an_address_tells_its_interface_mtu_and_subnet(host):
    assert uplink.of(V4) == Uplink("eth0", 1600, IPNetwork("172.30.1.0/24"))
    assert uplink.of(SECOND) == Uplink("eth0", 1600, IPNetwork("10.1.1.1/32"))
    assert uplink.of(V6) == Uplink("eth1", 1330, IPNetwork("fd30::/64"))


def test_an_address_of_loopback_or_of_nothing_is_on_no_link(host):
    assert uplink.of(ON_LOOPBACK) is None
    assert uplink.of(IPAddress("172.30.1.2")) is None
    assert uplink.of(IPAddress("fd30::2")) is None


def test_containers_get_the_smallest_uplink_less_what_tunnels_take(host):
    assert uplink.mtu_of_containers([V4], [MINE], 0) == 1600
    assert uplink.mtu_of_containers([V4], [MINE], 50) == 1550
    assert uplink.mtu_of_containers([V4, V6], [MINE, MINE_6], 0) == 1330


def test_no_interface_is_smaller_than_its_family_needs(host):
    assert uplink.mtu_of_containers([V6], [MINE_6], 70) == 1280
    assert uplink.mtu_of_containers([V6], [MINE], 1000) == 576


def test_where_the_uplink_is_not_known_it_is_taken_for_a_usual_one(host):
    assert uplink.mtu_of_containers([ON_LOOPBACK], [MINE], 0) is None
    assert uplink.mtu_of_containers([ON_LOOPBACK], [MINE], 50) == 1450
    assert uplink.mtu_of_containers([], [MINE], 0) is None
