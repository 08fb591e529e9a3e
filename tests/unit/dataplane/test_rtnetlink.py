"""Links, routes and neighbours from and to bytes, as Linux 6.18 wrote them."""

import struct

from netaddr import IPAddress

from calico_ctl.dataplane import rtnetlink
from calico_ctl.dataplane.netlink import attribute, nested
from calico_ctl.dataplane.rtnetlink import Link, Neighbour, Proxy, Route

FIVE, SIX = IPAddress("10.65.0.0").packed, IPAddress("fd80::1").packed
MAC = bytes.fromhex("020000000001")

# RTM_NEWROUTE: 10.65.0.0 dev 3 proto 80 scope link; fd80::1 dev 3 proto 80 metric 1
ROUTE4 = bytes.fromhex("02200000fe50fd010000000008000f00fe000000080001000a4100000800040003000000")
ROUTE6 = bytes.fromhex(
    "0a800000fe5000010000000008000f00fe00000014000100fd800000000000000000000000000001"
    "0800060001000000080004000300000024000c000000000000000000000000000000000000000000"
    "0000000000000000000000000500140000000000"
)
# RTM_NEWNEIGH: fd99::1 dev 401 proxy
PROXY6 = bytes.fromhex("0a000000910100000000080114000100fd990000000000000000000000000001")


def test_a_route_is_read():
    assert rtnetlink.parse_route(ROUTE4) == Route(FIVE, 32, 3, 0, rtnetlink.ON_LINK)


def test_an_ipv6_route_is_read_without_what_the_kernel_says_of_its_use():
    assert rtnetlink.parse_route(ROUTE6) == Route(SIX, 128, 3, 1, rtnetlink.UNIVERSE)


def test_a_route_with_anything_more_is_another_route():
    gateway = attribute(5, FIVE)
    assert rtnetlink.parse_route(ROUTE4 + gateway).other == gateway


def test_a_default_route_and_one_without_an_interface_are_read():
    hole = bytes.fromhex("02000000fe5000060000000008000f00fe000000")
    assert rtnetlink.parse_route(hole) == Route(bytes(4), 0, 0, 0, 0, kind=6)


def test_what_was_written_is_read_as_the_same():
    for route in (Route(FIVE, 32, 3, 0, rtnetlink.ON_LINK), Route(SIX, 128, 3, 1, 0)):
        assert rtnetlink.parse_route(rtnetlink.route_message(route)) == route


def test_a_route_is_deleted_by_the_description_that_the_kernel_gave():
    assert rtnetlink.deletion(ROUTE6) == ROUTE6


def test_a_route_through_a_nexthop_object_is_deleted_by_the_name_of_the_object():
    name = attribute(30, struct.pack("=I", 7))
    assert rtnetlink.deletion(ROUTE4 + attribute(5, FIVE) + name) == ROUTE4[:-8] + name


def test_only_routes_of_our_number_in_the_main_table_of_the_family_are_ours():
    assert rtnetlink.is_ours(ROUTE4, 4)
    assert not rtnetlink.is_ours(ROUTE4, 6)
    assert not rtnetlink.is_ours(ROUTE4[:4] + b"\xff" + ROUTE4[5:], 4)
    assert not rtnetlink.is_ours(ROUTE4[:5] + b"\x0c" + ROUTE4[6:], 4)


def test_routes_share_a_place_when_the_kernel_would_replace_one_by_the_other():
    route = Route(FIVE, 32, 3, 0, rtnetlink.ON_LINK)
    assert route.place == route._replace(ifindex=4, kind=6, scope=0).place
    assert route.place != route._replace(metric=1).place
    assert route.place != route._replace(tos=4).place


def test_a_proxy_neighbour_is_read_and_written():
    proxy = Proxy(401, IPAddress("fd99::1").packed)
    assert rtnetlink.parse_proxy(PROXY6) == proxy
    assert rtnetlink.parse_proxy(rtnetlink.neighbour_message(proxy)) == proxy


def test_a_pinned_neighbour_is_written_as_permanent_and_read():
    for address in (FIVE, SIX):
        neighbour = Neighbour(3, address, MAC)
        message = rtnetlink.neighbour_message(neighbour)
        assert message[8:10] == b"\x80\x00"
        assert rtnetlink.parse_neighbour(message) == neighbour


def test_a_link_is_read_with_its_settings():
    ipv4, ipv6 = attribute(1, struct.pack("=3i", 1, 0, 1)), attribute(2, struct.pack("=2i", 1, -1))
    families = nested(26, nested(2, ipv4), nested(10, ipv6))
    body = struct.pack("=BxHiII", 0, 1, 7, 0, 0) + attribute(3, b"cali1\0") + families
    assert rtnetlink.parse_link(body) == Link(7, "cali1", (1, 0, 1), (1, -1))


def test_a_link_without_a_family_has_no_settings_of_it():
    body = struct.pack("=BxHiII", 0, 1, 7, 0, 0) + attribute(3, b"cali1\0")
    assert rtnetlink.parse_link(body) == Link(7, "cali1", (), ())


def test_a_delay_is_read_with_its_interface():
    delay = attribute(13, struct.pack("=Q", 800))
    table = bytes([2, 0, 0, 0]) + attribute(1, b"arp_cache\0")
    of_link = nested(6, attribute(1, struct.pack("=I", 7)), delay)
    assert rtnetlink.parse_proxy_delay(table + of_link) == (7, 800)
    assert rtnetlink.parse_proxy_delay(table + nested(6, delay)) == (0, 800)
