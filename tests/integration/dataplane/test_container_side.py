"""What is inside a namespace, as its kernel says it."""

import ipaddress
from collections.abc import Iterator

import pytest

from calico_ctl.dataplane import container_side, netlink
from calico_ctl.dataplane.netlink import ROUTE, KernelRefused, Netlink
from tests.support.netns import NetNs, private_netns

pytestmark = pytest.mark.integration

MADE = """\
link add name eth0 type veth peer name eth9
link set eth9 up
link set eth0 up
addr add 172.17.0.2/16 dev eth0
addr add 192.0.2.1 peer 192.0.2.9/32 dev eth0
addr add fd80::5/64 dev eth0 nodad
addr add 10.0.0.1/32 dev lo
route add default via 172.17.0.1 metric 5
route add default via 172.17.0.3 dev eth0 metric 6
route add unreachable default metric 7
route add 10.1.0.0/16 dev eth0
route add 10.2.0.0/16 dev eth0 proto static
route add 10.3.0.0/16 dev eth0 table 77
route add fd99::/64 dev eth0
"""
NEW_ROUTE, DELETE_ROUTE = 24, 25
ROUTE_HEAD = 12


@pytest.fixture
def inside() -> Iterator[NetNs]:
    with private_netns() as namespace, namespace.entered():
        namespace.run(["ip", "-batch", "-"], stdin=MADE)
        yield namespace


@pytest.fixture
def kernel(inside: NetNs) -> Iterator[Netlink]:
    with Netlink(ROUTE) as kernel:
        yield kernel


@pytest.fixture
def index(kernel: Netlink) -> int:
    found = container_side.index_of(kernel, "eth0")
    assert found is not None
    return found


def test_a_link_is_found_by_its_name(inside, kernel, index):
    assert f"{index}: eth0@" in inside.run(["ip", "link", "show", "eth0"]).out
    assert container_side.index_of(kernel, "eth7") is None
    with pytest.raises(KernelRefused, match="look for"):
        container_side.index_of(kernel, "n" * 40)


def test_the_addresses_are_those_of_the_interface_in_both_families(kernel, index):
    found = [each for each in container_side.addresses(kernel, index) if each.scope == 0]
    assert sorted(map(str, found)) == ["172.17.0.2/16", "192.0.2.1/32", "fd80::5/64"]


def test_the_default_routes_are_those_of_the_main_table(kernel, index):
    found = sorted(container_side.default_routes(kernel))
    assert [(each.metric, each.ifindex) for each in found] == [(5, index), (6, index), (7, 0)]
    assert list(map(str, found)) == [
        "the default route via 172.17.0.1 with metric 5",
        "the default route via 172.17.0.3 with metric 6",
        "the default route with metric 7",
    ]


def test_a_default_route_can_be_had_with_another_metric(inside, kernel):
    (route, *_) = sorted(container_side.default_routes(kernel))
    kernel.ask("add", NEW_ROUTE, netlink.CREATE, route.with_metric(9).body)
    kernel.ask("delete", DELETE_ROUTE, 0, route.body)
    routes = inside.run(["ip", "route"]).out
    assert "default via 172.17.0.1 dev eth0 metric 9" in routes
    assert "metric 5" not in routes


def test_routes_that_were_written_are_told_from_those_of_the_kernel(kernel, index):
    found = container_side.written_routes(kernel, index, 4)
    assert sorted(map(destination, found)) == ["0.0.0.0", "0.0.0.0", "10.1.0.0"]
    assert [destination(body) for body in container_side.written_routes(kernel, index, 6)] == [
        "fd99::"
    ]


def destination(body: bytes) -> str:
    return str(ipaddress.ip_address(netlink.attributes(body, ROUTE_HEAD).get(1, bytes(4))))


def test_what_is_written_is_what_the_kernel_takes(inside, kernel, index):
    gateway, ours = bytes([10, 99, 0, 1]), bytes([192, 168, 1, 5])
    address = container_side.address_head(ours, 0, index) + netlink.attribute(2, ours)
    kernel.ask("add an address", 20, netlink.CREATE, address)
    kernel.ask("reach", NEW_ROUTE, netlink.CREATE, container_side.route_to(gateway, index))
    route = container_side.default_route(gateway, index, 0)
    kernel.ask("lead", NEW_ROUTE, netlink.CREATE, route)
    assert "inet 192.168.1.5/32" in inside.run(["ip", "addr", "show", "eth0"]).out
    routes = inside.run(["ip", "route"]).out
    assert "10.99.0.1 dev eth0 scope link" in routes
    assert "default via 10.99.0.1 dev eth0 \n" in routes
