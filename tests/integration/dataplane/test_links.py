"""Changes of links and of our routes wake whoever waits for them."""

import socket
from collections.abc import Iterator

import pytest

from calico_ctl.dataplane import links
from calico_ctl.dataplane.netlink import Netlink
from tests.support.command import wait_until
from tests.support.netns import NetNs, private_netns

pytestmark = pytest.mark.integration


@pytest.fixture
def host() -> Iterator[NetNs]:
    with private_netns() as namespace, namespace.entered():
        # A new namespace has what the machine has; a machine with Docker forwards.
        namespace.run(["sysctl", "-qw", "net.ipv4.ip_forward=0"])
        namespace.run(["ip", "link", "add", "cali1", "type", "veth", "peer", "name", "other"])
        for end in ("cali1", "other"):
            namespace.run(["ip", "link", "set", end, "addrgenmode", "none", "up"])
        shown = ["ip", "-br", "link", "show", "up", "type", "veth"]
        wait_until(lambda: namespace.run(shown).out.count(" UP ") == 2, 5, "the links are up")
        yield namespace


@pytest.fixture
def watch(host: NetNs) -> Iterator[Netlink]:
    with links.open_watch() as watch:
        assert not links.wait(watch, 0.05)
        yield watch


@pytest.mark.parametrize(
    "change",
    [
        "ip link add cali2 type veth peer name other2",
        "ip link set cali1 down",
        "ip link del cali1",
        "ip route add 10.0.0.1/32 dev cali1 proto 80",
        "ip -6 route add fd80::1/128 dev cali1 proto 80",
        "sysctl -qw net.ipv4.conf.cali1.rp_filter=2",
        "sysctl -qw net.ipv4.ip_forward=1",
        "sysctl -qw net.ipv6.conf.cali1.proxy_ndp=1",
    ],
)
def test_a_change_of_a_link_or_of_a_route_of_ours_is_noticed(host, watch, change):
    host.run(change.split())
    assert links.wait(watch, 2)


@pytest.mark.parametrize("family", ["-4", "-6"])
def test_a_route_of_ours_that_somebody_deleted_is_noticed(host, watch, family):
    target = {"-4": "10.0.0.1/32", "-6": "fd80::1/128"}[family]
    host.run(["ip", family, "route", "add", target, "dev", "cali1", "proto", "80"])
    while links.wait(watch, 0.05):
        pass
    host.run(["ip", family, "route", "del", target, "dev", "cali1"])
    assert links.wait(watch, 2)


def test_routes_and_neighbours_of_others_wake_nobody(host, watch):
    for change in (
        "ip route add 10.0.0.1/32 dev cali1 proto bird",
        "ip route replace 10.0.0.1/32 dev other proto bird",
        "ip route del 10.0.0.1/32 proto bird",
        "ip -6 route add fd80::1/128 dev cali1 proto bird",
        "ip neigh add 10.0.0.7 lladdr 02:00:00:00:00:07 dev cali1",
    ):
        host.run(change.split())
    assert not links.wait(watch, 0.05)


def test_more_changes_than_the_kernel_keeps_count_as_one(host, watch):
    with socket.fromfd(watch.fileno(), socket.AF_NETLINK, socket.SOCK_RAW) as same:
        same.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
    names = [f"dummy{number}" for number in range(20)]
    script = "".join(f"link add {name} type veth\n" for name in names)
    host.run(["ip", "-batch", "-"], stdin=script)
    assert links.wait(watch, 2)
