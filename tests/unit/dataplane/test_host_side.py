"""The plan for routes to local endpoints."""

from netaddr import IPAddress

from calico_ctl.dataplane import host_side

FIVE, SIX = IPAddress("192.168.1.5"), IPAddress("fd80::6")


def test_a_missing_route_is_added_with_our_protocol_number():
    assert host_side.plan_routes({}, {FIVE: "cali1", SIX: "cali1"}) == [
        "route replace 192.168.1.5/32 dev cali1 scope link proto 80",
        "route replace fd80::6/128 dev cali1 metric 1 proto 80",
    ]


def test_a_route_to_the_wrong_interface_is_replaced():
    (line,) = host_side.plan_routes({FIVE: "cali1"}, {FIVE: "cali2"})
    assert line.startswith("route replace 192.168.1.5/32 dev cali2")


def test_a_route_that_nobody_needs_goes_first():
    lines = host_side.plan_routes({FIVE: "cali1"}, {SIX: "cali1"})
    assert lines[0] == "route delete 192.168.1.5/32 dev cali1 proto 80"


def test_what_is_right_is_left_alone():
    assert host_side.plan_routes({FIVE: "cali1"}, {FIVE: "cali1"}) == []
