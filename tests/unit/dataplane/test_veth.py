"""What is asked for to make a container's interface, as plans."""

import struct

from netaddr import IPAddress

from calico_ctl.dataplane import netlink, veth
from calico_ctl.dataplane.container_side import Address, DefaultRoute
from calico_ctl.dataplane.rtnetlink import ON_LINK, UNIVERSE
from calico_ctl.dataplane.veth import Request
from calico_ctl.model.interface import Interface

INTERFACE = Interface(
    host_name="cali1234",
    netns="/proc/7/ns/net",
    name="eth1",
    mac="02:00:00:00:00:01",
    addresses=(IPAddress("192.168.1.5"), IPAddress("fd80::5")),
    gateways=(IPAddress("10.99.0.1"), IPAddress("fd99::1")),
)
OURS = 7
"""The interface's number inside."""

OIF, GATEWAY, METRIC = 4, 5, 6
ON_LINK_AND_DOWN = 4 | 16
METRIC_AT = 12


def said(requests: list[Request]) -> list[str]:
    return [request.what for request in requests]


def default_route(gateway: str, ifindex: int, metric: int = 0, flags: int = 0) -> DefaultRoute:
    """As the kernel describes one."""
    body = struct.pack("=BBBBBBBBI", 2, 0, 0, 0, 254, 3, 0, 1, flags)
    body += netlink.attribute(GATEWAY, IPAddress(gateway).packed)
    body += netlink.attribute(OIF, struct.pack("=I", ifindex))
    if metric:
        body += netlink.attribute(METRIC, struct.pack("=I", metric))
    return DefaultRoute(metric, ifindex, body)


def address(ip: str, length: int, scope: int = UNIVERSE) -> Address:
    return Address(IPAddress(ip).packed, length, scope, ip.encode())


def test_the_pair_is_made_with_its_final_names_and_then_brought_up():
    plan = veth.plan_pair(INTERFACE, 5)
    assert said(plan) == ["make the pair cali1234 and, inside, eth1", "bring cali1234 up"]
    assert b"cali1234\0" in plan[0].body
    assert b"eth1\0" in plan[0].body
    assert bytes([2, 0, 0, 0, 0, 1]) in plan[0].body


def test_both_ends_of_the_pair_have_the_size_that_is_asked_for():
    size = struct.pack("=HHI", 8, 4, 1450)
    assert veth.plan_pair(INTERFACE, 5, 1450)[0].body.count(size) == 2
    assert size not in veth.plan_pair(INTERFACE, 5)[0].body


def test_inside_each_address_stands_alone_and_each_gateway_is_on_the_link():
    assert said(veth.plan_inside(INTERFACE, OURS)) == [
        "bring eth1 up",
        "give eth1 the address 192.168.1.5/32",
        "give eth1 the address fd80::5/128",
        "route 10.99.0.1/32 through eth1",
        "route fd99::1/128 through eth1",
    ]


def test_the_ipv6_default_route_is_preferred_to_one_without_a_metric():
    ipv4, ipv6 = veth.plan_default_routes(INTERFACE, OURS)
    assert ipv4.what == "route everything else via 10.99.0.1 through eth1"
    assert METRIC not in netlink.attributes(ipv4.body, METRIC_AT)
    assert netlink.attributes(ipv6.body, METRIC_AT)[METRIC] == struct.pack("=I", 512)


def test_default_routes_move_up_by_one_the_highest_first():
    routes = [
        default_route("172.17.0.1", 2),
        default_route("172.18.0.1", 3, metric=1, flags=ON_LINK_AND_DOWN),
    ]
    steps = veth.plan_demotion(routes, OURS)
    assert said([step.do for step in steps]) == [
        "add the default route via 172.18.0.1 with metric 2",
        "delete the default route via 172.18.0.1 with metric 1",
        "add the default route via 172.17.0.1 with metric 1",
        "delete the default route via 172.17.0.1 with metric 0",
    ]
    assert said([step.undo for step in steps]) == [
        "delete the default route via 172.18.0.1 with metric 2",
        "add the default route via 172.18.0.1 with metric 1",
        "delete the default route via 172.17.0.1 with metric 1",
        "add the default route via 172.17.0.1 with metric 0",
    ]
    # That its gateway is on the link is a wish; that the link is down is how it is.
    assert struct.unpack_from("=I", steps[0].do.body, 8) == (4,)
    assert netlink.attributes(steps[0].do.body, METRIC_AT)[METRIC] == struct.pack("=I", 2)


def test_the_way_back_for_a_route_that_was_down_is_one_that_the_kernel_takes():
    (_, delete) = veth.plan_demotion([default_route("172.17.0.1", 2, flags=16)], OURS)
    assert struct.unpack_from("=I", delete.undo.body, 8) == (0,)


def test_nothing_moves_where_metric_0_is_free():
    assert veth.plan_demotion([default_route("172.17.0.1", 2, metric=1)], OURS) == []
    assert veth.plan_demotion([], OURS) == []


def test_a_default_route_of_our_own_is_not_moved():
    assert veth.plan_demotion([default_route("10.99.0.1", OURS)], OURS) == []


def test_addresses_are_made_what_they_shall_be():
    present = [
        address("192.168.1.5", 32),
        address("192.168.1.6", 32),
        address("fe80::1", 64, scope=ON_LINK),
    ]
    wanted = Interface(
        "cali1",
        "/run/netns/web",
        "eth1",
        "02:00:00:00:00:01",
        (IPAddress("192.168.1.6"), IPAddress("fd80::5")),
        (),
    )
    assert said(veth.plan_addresses(wanted, OURS, present)) == [
        "take 192.168.1.5/32 from eth1",
        "give eth1 the address fd80::5/128",
    ]
