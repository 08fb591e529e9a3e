"""The lines that make a container's interface, as plans."""

import json

from netaddr import IPAddress

from calico_ctl.dataplane import veth
from calico_ctl.model.interface import Interface

INTERFACE = Interface(
    host_name="cali1234",
    netns="/proc/7/ns/net",
    name="eth1",
    mac="02:00:00:00:00:01",
    addresses=(IPAddress("192.168.1.5"), IPAddress("fd80::5")),
    gateways=(IPAddress("10.99.0.1"), IPAddress("fd99::1")),
)


def test_the_pair_is_made_with_its_final_names_and_then_brought_up():
    assert veth.plan_pair(INTERFACE) == [
        "link add name cali1234 type veth"
        " peer name eth1 address 02:00:00:00:00:01 netns /proc/7/ns/net",
        "link set dev cali1234 up",
    ]


def test_both_ends_of_the_pair_have_the_size_that_is_asked_for():
    assert veth.plan_pair(INTERFACE, 1450)[0] == (
        "link add name cali1234 mtu 1450 type veth"
        " peer name eth1 mtu 1450 address 02:00:00:00:00:01 netns /proc/7/ns/net"
    )


def test_inside_each_address_stands_alone_and_each_gateway_is_on_the_link():
    assert veth.plan_inside(INTERFACE) == [
        "link set dev eth1 up",
        "addr add 192.168.1.5/32 dev eth1",
        "addr add fd80::5/128 dev eth1 nodad",
        "route replace 10.99.0.1/32 dev eth1",
        "route replace fd99::1/128 dev eth1",
    ]


def test_the_ipv6_default_route_is_preferred_to_one_without_a_metric():
    assert veth.plan_default_routes(INTERFACE) == [
        "route replace default via 10.99.0.1 dev eth1",
        "route replace default via fd99::1 dev eth1 metric 512",
    ]


def test_default_routes_move_up_by_one_the_highest_first():
    routes: list[dict[str, object]] = [
        {"dst": "default", "gateway": "172.17.0.1", "dev": "eth0"},
        {
            "dst": "default",
            "gateway": "172.18.0.1",
            "dev": "eth2",
            "metric": 1,
            "flags": ["onlink"],
        },
    ]
    lines = [step.do for step in veth.plan_demotion(routes, "eth1")]
    assert lines == [
        "route add default via 172.18.0.1 dev eth2 onlink metric 2",
        "route del default via 172.18.0.1 dev eth2 onlink metric 1",
        "route add default via 172.17.0.1 dev eth0 metric 1",
        "route del default via 172.17.0.1 dev eth0 metric 0",
    ]


def test_nothing_moves_where_metric_0_is_free():
    routes = [{"dst": "default", "gateway": "172.17.0.1", "dev": "eth0", "metric": 1}]
    assert veth.plan_demotion(routes, "eth1") == []
    assert veth.plan_demotion([], "eth1") == []


def test_a_default_route_of_our_own_is_not_moved():
    ours = [{"dst": "default", "gateway": "10.99.0.1", "dev": "eth1"}]
    assert veth.plan_demotion(ours, "eth1") == []


def test_addresses_are_made_what_they_shall_be():
    shown = [
        {},
        {
            "ifname": "eth1",
            "addr_info": [
                {"local": "192.168.1.5", "prefixlen": 32, "scope": "global"},
                {"local": "192.168.1.6", "prefixlen": 32, "scope": "global"},
                {"local": "fe80::1", "prefixlen": 64, "scope": "link"},
            ],
        },
    ]
    wanted = Interface(
        "cali1",
        "/run/netns/web",
        "eth1",
        "02:00:00:00:00:01",
        (IPAddress("192.168.1.6"), IPAddress("fd80::5")),
        (),
    )
    assert veth.plan_addresses(wanted, json.dumps(shown)) == [
        "addr del 192.168.1.5/32 dev eth1",
        "addr add fd80::5/128 dev eth1 nodad",
    ]
