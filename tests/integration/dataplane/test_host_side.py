"""The host's end of endpoints in the real kernel: the wrong is mended, the right is left alone."""

import contextlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from netaddr import IPAddress

from calico_ctl.dataplane import host_side, netlink, rtnetlink
from calico_ctl.dataplane.host_side import HostSide
from calico_ctl.dataplane.netlink import Netlink
from calico_ctl.host import kernel
from calico_ctl.model.endpoint import Endpoint, EndpointKey, State
from tests.support.command import wait_until
from tests.support.netns import NetNs, private_netns

pytestmark = pytest.mark.integration

FIVE, SIX = IPAddress("192.168.1.5"), IPAddress("fd80::6")
GATEWAYS = (IPAddress("10.99.0.1"), IPAddress("fd99::1"))
MAC, OTHER_MAC = "02:00:00:00:00:01", "02:00:00:00:00:02"
# RTNLGRP_LINK, _NEIGH, _IPV4_ROUTE, _IPV6_ROUTE, _IPV4_NETCONF, _IPV6_NETCONF
EVERYTHING = (1, 3, 7, 11, 24, 25)

SETTINGS = {
    "net/ipv4/ip_forward": "1",
    "net/ipv4/conf/cali1/rp_filter": "1",
    "net/ipv4/conf/cali1/proxy_arp": "1",
    "net/ipv4/conf/cali1/forwarding": "1",
    "net/ipv4/neigh/cali1/proxy_delay": "0",
    "net/ipv6/conf/all/forwarding": "1",
    "net/ipv6/conf/cali1/accept_ra": "0",
    "net/ipv6/conf/cali1/forwarding": "1",
    "net/ipv6/conf/cali1/proxy_ndp": "1",
    "net/ipv6/neigh/cali1/proxy_delay": "0",
}


def endpoint(name: str = "cali1", identity: str = "1") -> Endpoint:
    key = EndpointKey("host1", "docker", "c", identity)
    return Endpoint(key, State.ACTIVE, name, MAC, (), (FIVE, SIX), *GATEWAYS)


@pytest.fixture
def host() -> Iterator[NetNs]:
    with private_netns() as namespace, namespace.entered():
        yield namespace


@pytest.fixture
def side(host: NetNs) -> Iterator[HostSide]:
    with contextlib.closing(HostSide()) as side:
        yield side


def plug(host: NetNs, *names: str) -> None:
    for name in names:
        host.run(["ip", "link", "add", name, "type", "veth", "peer", "name", f"{name}in"])
        # Without addresses of its own nothing happens on it by itself afterwards.
        for end in (name, f"{name}in"):
            host.run(["ip", "link", "set", end, "addrgenmode", "none", "up"])
    wait_until(lambda: all(is_up(host, name) for name in names), 5, f"{names} are up")


def is_up(host: NetNs, name: str) -> bool:
    return " UP " in host.run(["ip", "-br", "link", "show", name], quiet=True).out


def routes(host: NetNs) -> list[str]:
    shown = host.run(["ip", "-4", "route"]).out + host.run(["ip", "-6", "route"]).out
    return [" ".join(line.split()) for line in shown.splitlines()]


def state(host: NetNs) -> tuple[list[str], list[str], list[str], dict[str, str]]:
    """Everything that matters to an endpoint on cali1, as other programs see it."""
    pinned = host.run(["ip", "neigh", "show", "nud", "permanent"]).out
    proxies = host.run(["ip", "-6", "neigh", "show", "proxy"]).out
    settings = {name: Path("/proc/sys", name).read_text().strip() for name in SETTINGS}
    return routes(host), sorted(pinned.splitlines()), sorted(proxies.splitlines()), settings


def test_an_endpoint_gets_its_settings_neighbours_and_routes(host, side):
    plug(host, "cali1")
    assert side.sync([endpoint()]) == {"cali1"}
    assert side.repairs == 0
    found_routes, pinned, proxies, settings = state(host)
    assert "192.168.1.5 dev cali1 proto 80 scope link" in found_routes
    assert "fd80::6 dev cali1 proto 80 metric 1 pref medium" in found_routes
    assert [line.strip() for line in pinned] == [
        f"192.168.1.5 dev cali1 lladdr {MAC} PERMANENT",
        f"fd80::6 dev cali1 lladdr {MAC} PERMANENT",
    ]
    assert [line.strip() for line in proxies] == ["fd99::1 dev cali1 proxy"]
    assert settings == SETTINGS


def test_what_is_right_is_not_written_again(host, side, monkeypatch):
    plug(host, "cali1")
    side.sync([endpoint()])
    monkeypatch.setattr(kernel, "write_setting", lambda *_: pytest.fail("a setting was written"))
    with Netlink(netlink.ROUTE, EVERYTHING) as listener:
        assert side.sync([endpoint()]) == {"cali1"}
        assert listener.news(0.05) == []
    assert side.repairs == 0


DRIFTS = {
    "a route was deleted": "ip route del 192.168.1.5 dev cali1",
    "an IPv6 route was deleted": "ip -6 route del fd80::6 dev cali1",
    "a route was put through another interface": "ip route replace 192.168.1.5 dev cali2",
    "an IPv6 route was put through another": "ip -6 route replace fd80::6 dev cali2 metric 1",
    "a route was replaced under our number": "ip route replace 192.168.1.5 dev cali2 proto 80",
    "an IPv6 route was replaced under our number": "ip -6 route replace fd80::6 dev cali2 metric 1"
    " proto 80",
    "a route was made a hole": "ip route replace blackhole 192.168.1.5 proto 80",
    "a route was given a source": "ip route replace 192.168.1.5 dev cali1 proto 80 src 10.9.9.9",
    "a route was given a size": "ip route replace 192.168.1.5 dev cali1 proto 80 mtu 1000",
    "a pinned address was moved": f"ip neigh replace 192.168.1.5 lladdr {OTHER_MAC} dev cali1",
    "a pinned address was deleted": "ip neigh del 192.168.1.5 dev cali1",
    "a pinned address was let loose": "ip neigh change 192.168.1.5 dev cali1 nud stale",
    "a pinned IPv6 address was deleted": "ip neigh del fd80::6 dev cali1",
    "the gateway was forgotten": "ip neigh del proxy fd99::1 dev cali1",
    "forwarding was turned off": "sysctl -qw net.ipv4.ip_forward=0",
    "IPv6 forwarding was turned off": "sysctl -qw net.ipv6.conf.all.forwarding=0",
    "an interface stopped forwarding": "sysctl -qw net.ipv4.conf.cali1.forwarding=0",
    "sources were hardly checked": "sysctl -qw net.ipv4.conf.cali1.rp_filter=2",
    "the host stopped answering": "sysctl -qw net.ipv4.conf.cali1.proxy_arp=0",
    "the host answered late": "sysctl -qw net.ipv4.neigh.cali1.proxy_delay=80",
    "routers could be advertised": "sysctl -qw net.ipv6.conf.cali1.accept_ra=2",
    "an interface stopped forwarding IPv6": "sysctl -qw net.ipv6.conf.cali1.forwarding=0",
    "the host stopped answering in IPv6": "sysctl -qw net.ipv6.conf.cali1.proxy_ndp=0",
    "the host answered late in IPv6": "sysctl -qw net.ipv6.neigh.cali1.proxy_delay=80",
}


@pytest.mark.parametrize("drift", DRIFTS.values(), ids=DRIFTS.keys())
def test_a_drift_is_mended_and_counted_once(host, side, drift):
    plug(host, "cali1", "cali2")
    host.run(["ip", "addr", "add", "10.9.9.9/32", "dev", "lo"])
    side.sync([endpoint()])
    before = state(host)
    host.run(drift.split())
    assert state(host) != before
    assert side.sync([endpoint()]) == {"cali1"}
    assert state(host) == before
    assert side.repairs == 1
    assert side.sync([endpoint()]) == {"cali1"}
    assert side.repairs == 1


def test_an_interface_that_was_down_for_a_while_is_mended_when_it_is_up_again(host, side):
    plug(host, "cali1")
    side.sync([endpoint()])
    before = state(host)
    host.run(["ip", "link", "set", "cali1", "down"])
    assert side.sync([endpoint()]) == frozenset()
    assert "route 192.168.1.5" in side.refusals["cali1"]
    assert "network is down" in side.refusals["cali1"]
    assert side.sync([endpoint()]) == frozenset()
    host.run(["ip", "link", "set", "cali1", "up"])
    assert side.sync([endpoint()]) == {"cali1"}
    assert state(host) == before
    assert side.refusals == {}
    assert side.sync([endpoint()]) == {"cali1"}
    assert side.repairs == 5


def test_a_route_with_our_number_that_no_endpoint_needs_is_removed(host, side):
    plug(host, "cali1", "cali2")
    host.run(["ip", "nexthop", "add", "id", "7", "dev", "cali1"])
    host.run(["ip", "nexthop", "add", "id", "8", "via", "fd80::6", "dev", "cali1", "onlink"])
    side.sync([endpoint()])
    before = routes(host)
    for foreign in (
        "-4 route add 192.168.1.9/32 dev cali1 proto 80",
        "-4 route add 192.168.1.5/32 dev cali1 proto 80 metric 9",
        "-4 route add 192.168.1.5/32 tos 0x10 dev cali1 proto 80",
        "-4 route append 192.168.1.5/32 dev lo scope link proto 80",
        "-4 route add 10.7.0.0/16 via 192.168.1.5 proto 80",
        "-4 route add default dev cali1 proto 80",
        "-4 route add 10.9.0.0/16 nhid 7 proto 80",
        "-4 route add 10.10.0.0/16 proto 80 nexthop dev cali1 nexthop dev cali2",
        "-6 route add fd81::/64 nhid 8 proto 80",
        "-4 route add unreachable 10.8.0.0/16 proto 80",
        "-6 route add fd80::9/128 dev cali1 proto 80",
        "-6 route add default via fd80::6 dev cali1 proto 80",
    ):
        host.run(["ip", *foreign.split()])
    assert side.sync([endpoint()]) == {"cali1"}
    assert routes(host) == before
    assert side.refusals == {}
    assert side.repairs == 0


def test_a_route_that_the_kernel_will_not_delete_spoils_no_endpoint(host, side, monkeypatch):
    plug(host, "cali1")
    host.run(["ip", "route", "add", "10.8.0.0/16", "dev", "cali1", "proto", "80"])
    # No such route is known. The kernel takes no description with a nexthop object in it.
    nexthop = netlink.attribute(30, bytes([7, 0, 0, 0]))
    monkeypatch.setattr(rtnetlink, "deletion", lambda body: body + nexthop)
    assert side.sync([endpoint()]) == {"cali1"}
    assert "delete the route to 10.8.0.0/16" in side.refusals[""]
    assert side.repairs == 0


def test_routes_of_others_are_left_alone(host, side):
    plug(host, "cali1")
    others = ["10.7.0.0/16 dev cali1 scope link", "192.168.1.9 dev cali1 proto bird scope link"]
    for other in others:
        host.run(["ip", "route", "add", *other.split()])
    host.run(["ip", "route", "add", "10.7.0.9/32", "dev", "cali1", "proto", "80", "table", "7"])
    side.sync([endpoint()])
    side.sync([])
    assert routes(host) == others
    assert "10.7.0.9" in host.run(["ip", "route", "show", "table", "7"]).out


def test_a_removed_endpoint_has_no_route_and_its_removal_is_no_repair(host, side):
    plug(host, "cali1")
    side.sync([endpoint()])
    assert side.sync([]) == frozenset()
    assert routes(host) == []
    assert side.sync([endpoint()]) == {"cali1"}
    assert side.repairs == 0


def test_a_changed_endpoint_is_no_repair(host, side):
    plug(host, "cali1")
    side.sync([endpoint()])
    moved = replace(endpoint(), mac=OTHER_MAC, addresses=(IPAddress("192.168.1.7"), SIX))
    assert side.sync([moved]) == {"cali1"}
    assert "192.168.1.7 dev cali1 proto 80 scope link" in routes(host)
    assert not any("192.168.1.5" in line for line in routes(host))
    assert f"fd80::6 dev cali1 lladdr {OTHER_MAC}" in host.run(["ip", "neigh"]).out
    assert side.repairs == 0


def test_a_new_interface_under_an_old_name_is_set_up_and_not_repaired(host, side):
    plug(host, "cali1")
    side.sync([endpoint()])
    before = state(host)
    host.run(["ip", "link", "del", "cali1"])
    assert side.sync([endpoint()]) == frozenset()
    assert side.refusals == {}
    plug(host, "cali1")
    assert side.sync([endpoint()]) == {"cali1"}
    assert state(host) == before
    assert side.repairs == 0


def vanish_after_reading(host: NetNs, monkeypatch: pytest.MonkeyPatch) -> None:
    read = host_side.read

    def read_and_vanish(*arguments):
        installed = read(*arguments)
        host.run(["ip", "link", "del", "cali1"])
        return installed

    monkeypatch.setattr(host_side, "read", read_and_vanish)


def test_a_new_interface_that_vanishes_in_the_middle_is_not_complete(host, side, monkeypatch):
    plug(host, "cali1", "cali2")
    other = replace(endpoint("cali2", "2"), addresses=(IPAddress("192.168.1.7"),))
    vanish_after_reading(host, monkeypatch)
    assert side.sync([endpoint(), other]) == {"cali2"}
    assert side.refusals == {}
    assert routes(host) == ["192.168.1.7 dev cali2 proto 80 scope link"]


def test_an_interface_that_vanishes_before_its_repair_is_not_complete(host, side, monkeypatch):
    plug(host, "cali1")
    side.sync([endpoint()])
    host.run(["ip", "route", "del", "192.168.1.5", "dev", "cali1"])
    host.run(["ip", "route", "add", "192.168.1.9", "dev", "cali1", "proto", "80"])
    vanish_after_reading(host, monkeypatch)
    assert side.sync([endpoint()]) == frozenset()
    assert side.refusals == {}
    assert side.repairs == 0


def test_an_address_claimed_twice_goes_to_the_lower_key_in_whatever_order(host, side):
    plug(host, "cali1", "cali2")
    first, second = endpoint("cali2", "1"), endpoint("cali1", "2")
    assert side.sync([first, second]) == {"cali2"}
    settled = state(host)
    with Netlink(netlink.ROUTE, EVERYTHING) as listener:
        assert side.sync([second, first]) == {"cali2"}
        assert listener.news(0.05) == []
    host.run(["ip", "link", "del", "cali2"])
    assert side.sync([first, second]) == {"cali1"}
    plug(host, "cali2")
    assert side.sync([first, second]) == {"cali2"}
    assert state(host) == settled
    assert side.repairs == 0


def test_one_interface_with_two_claims_of_its_address_stays_as_it_is(host, side):
    plug(host, "cali1")
    first, second = endpoint(), replace(endpoint(identity="2"), mac=OTHER_MAC)
    assert side.sync([first, second]) == {"cali1"}
    settled = state(host)
    assert side.sync([second, first]) == {"cali1"}
    assert state(host) == settled
    assert side.repairs == 0


def test_an_interface_without_ipv6_does_for_an_endpoint_without_ipv6(host, side):
    plug(host, "cali1")
    # less than IPv6 requires
    host.run(["ip", "link", "set", "cali1", "mtu", "1200"])
    only_ipv4 = replace(endpoint(), addresses=(FIVE,))
    assert side.sync([only_ipv4]) == {"cali1"}
    assert side.sync([endpoint()]) == frozenset()
    assert "fd80::6" in side.refusals["cali1"]


def test_an_interface_that_is_down_spoils_no_other_endpoint(host, side):
    plug(host, "cali1", "cali2")
    host.run(["ip", "link", "set", "cali1", "down"])
    other = replace(endpoint("cali2", "2"), addresses=(IPAddress("192.168.1.7"),))
    assert side.sync([endpoint(), other]) == {"cali2"}
    assert side.refusals.keys() == {"cali1"}


def test_all_our_routes_can_be_removed(host, side):
    plug(host, "cali1")
    side.sync([endpoint()])
    host.run(["ip", "route", "add", "10.7.0.0/16", "dev", "cali1"])
    host_side.remove_all()
    host_side.remove_all()
    assert routes(host) == ["10.7.0.0/16 dev cali1 scope link"]
