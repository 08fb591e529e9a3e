"""What encapsulation costs, and whose packets it is for."""

import pytest
from netaddr import IPAddress, IPNetwork

from calico_ctl.model import encapsulation
from calico_ctl.model.encapsulation import Way
from calico_ctl.model.pool import Pool

PLAIN = Pool(IPNetwork("10.65.0.0/16"))
IPIP = Pool(IPNetwork("10.66.0.0/16"), ipip=True)
VXLAN = Pool(IPNetwork("10.67.0.0/16"), vxlan=True, cross_subnet=True)
VXLAN_6 = Pool(IPNetwork("fd80::/64"), vxlan=True)


def test_the_way_of_a_pool_is_the_one_that_was_chosen():
    ways = [encapsulation.way_of(pool) for pool in (PLAIN, IPIP, VXLAN)]
    assert ways == [None, Way.IPIP, Way.VXLAN]


@pytest.mark.parametrize(
    ("addresses", "overhead"),
    [
        ("10.65.0.1", 0),
        ("10.66.0.1", 20),
        ("10.67.0.1", 50),
        ("10.65.0.1 fd80::1", 70),
        ("10.67.0.1 10.66.0.1", 50),
        ("10.99.0.1", 0),
    ],
)
def test_who_has_several_addresses_has_room_for_the_largest_tunnel(addresses: str, overhead: int):
    ips = [IPAddress(text) for text in addresses.split()]
    assert encapsulation.overhead_of(ips, [PLAIN, IPIP, VXLAN, VXLAN_6]) == overhead
