"""Tunnels in the real kernel, each test in a namespace of its own."""

import errno
import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from netaddr import IPAddress, IPNetwork

from calico_ctl.bgp.encapsulation import Detour, Peer, Plan, Route, Tunnel
from calico_ctl.dataplane import tunnel, tunnel_state
from calico_ctl.dataplane.netlink import KernelRefused
from calico_ctl.dataplane.tunnel import KernelTunnels
from calico_ctl.errors import CommandFailed
from calico_ctl.host import command, kernel
from calico_ctl.model.encapsulation import Way
from tests.support.command import wait_until
from tests.support.netns import NetNs

pytestmark = pytest.mark.integration

V4, V6 = "vxlan.calico", "vxlan-v6.calico"
HOST, HOST_6 = IPAddress("172.30.1.1"), IPAddress("fd30::1")
PEER, PEER_6 = IPAddress("172.30.2.2"), IPAddress("fd30::2")
GATEWAY_6 = IPAddress("fe80::22")
NEAR = IPAddress("172.30.1.3")
PLAN = Plan(
    tunnels=(
        Tunnel(Way.VXLAN, 4, HOST, 1450, "02:00:00:00:00:04"),
        Tunnel(Way.VXLAN, 6, HOST_6, 1430, "02:00:00:00:00:06"),
    ),
    routes=frozenset(
        {
            Route(IPNetwork("10.65.2.0/26"), PEER, V4, HOST),
            Route(IPNetwork("10.65.2.70/32"), PEER, V4, HOST),
            Route(IPNetwork("10.65.3.0/26"), NEAR, "", HOST),
            Route(IPNetwork(f"{PEER}/32"), PEER, V4, None, 4081),
            Route(IPNetwork("fd80::40/122"), GATEWAY_6, V6, HOST_6),
            Route(IPNetwork(f"{PEER_6}/128"), GATEWAY_6, V6, None, 4081),
        }
    ),
    peers=frozenset(
        {
            Peer(V4, PEER, "02:00:00:00:02:04", PEER),
            Peer(V6, GATEWAY_6, "02:00:00:00:02:06", PEER_6),
        }
    ),
    detours=frozenset(
        {Detour(IPNetwork("10.65.0.0/16"), 4081), Detour(IPNetwork("fd80::/64"), 4081)}
    ),
)


@pytest.fixture
def host(private_netns: NetNs) -> NetNs:
    private_netns.run(
        ["ip", "-batch", "-"],
        stdin="link add eth0 type veth peer name far\nlink set eth0 up\nlink set far up\n"
        f"addr add {HOST}/24 dev eth0\naddr add {HOST_6}/64 dev eth0 nodad\n",
    )
    # Until then routes are shown as without a link.
    routes = ["ip", "route", "show", "table", "all"]
    wait_until(lambda: "linkdown" not in private_netns.run(routes).out, 10, "the link is up")
    return private_netns


LOOK = f"""
for family in -4 -6; do
  ip $family route show table all proto 81
  ip $family rule show | grep 'proto 81'
done
for device in {V4} {V6}; do
  ip neigh show dev $device
  bridge fdb show dev $device
  ip -o link show dev $device | cut -d: -f2-
  ip -d -o link show dev $device | grep -o 'addrgenmode [a-z0-9]*'
  cat /proc/sys/net/ipv4/conf/$device/rp_filter /proc/sys/net/ipv6/conf/$device/disable_ipv6
done 2>/dev/null
exit 0
"""


def state(host: NetNs) -> list[str]:
    """All that the kernel has of tunnels, as text in one order."""
    shown = host.run(["sh", "-c", LOOK]).out
    return sorted(line.strip() for line in shown.splitlines())


def test_what_is_planned_is_made_and_a_second_time_changes_nothing(host):
    tunnels = KernelTunnels()
    assert tunnels.make(PLAN) == {}
    made = state(host)
    numbers = host.run(["ip", "-o", "link"]).out
    assert tunnels.make(PLAN) == {}
    assert (state(host), host.run(["ip", "-o", "link"]).out) == (made, numbers)
    routes = host.run(["ip", "route"]).out
    assert f"10.65.2.0/26 via {PEER} dev {V4} proto 81 src {HOST} onlink" in routes
    assert f"10.65.3.0/26 via {NEAR} dev eth0 proto 81 src {HOST}" in routes
    described = json.loads(host.run(["ip", "-j", "-d", "link", "show", V4]).out)[0]
    assert (described["mtu"], described["address"]) == (1450, "02:00:00:00:00:04")
    data = described["linkinfo"]["info_data"]
    assert (data["id"], data["port"], data["learning"]) == (4096, 4789, False)
    forwarding = host.run(["bridge", "fdb", "show", "dev", V4]).out
    assert forwarding.split()[:3] == ["02:00:00:00:02:04", "dst", str(PEER)]


CHANGES = {
    "the device is gone": [f"ip link delete {V4}"],
    "the device has other settings": [
        f"ip link set {V4} mtu 1200",
        f"ip link set {V4} address 02:00:00:00:00:99",
    ],
    "a packet that comes back another way is dropped": [
        f"echo 1 > /proc/sys/net/ipv4/conf/{V4}/rp_filter"
    ],
    "the device has no IPv6": [f"echo 1 > /proc/sys/net/ipv6/conf/{V6}/disable_ipv6"],
    "the device takes an address": [f"ip link set {V4} addrgenmode eui64"],
    "the device is down": [f"ip link set {V4} down"],
    "the device is another tunnel": [
        f"ip link delete {V4}",
        f"ip link add {V4} type vxlan id 9 dstport 4789 local {HOST}",
    ],
    "the device is no tunnel": [f"ip link delete {V4}", f"ip link add {V4} type veth"],
    "routes and rules are missing or others": [
        "ip route delete 10.65.2.70/32",
        f"ip route replace 10.65.2.0/26 via {NEAR} proto 81",
        f"ip route flush table 4081 dev {V4}",
        "ip rule delete priority 4081",
    ],
    "routes and rules are too many": [
        f"ip route add 10.99.0.0/26 via {NEAR} proto 81",
        f"ip route add 10.65.2.0/26 via {NEAR} proto 81 metric 7",
        "ip route add blackhole 10.65.9.0/26 proto 81",
        f"ip -6 route add fd99::/64 via {GATEWAY_6} dev {V6} proto 81",
        "ip rule add from 10.1.0.0/16 lookup 77 priority 9 protocol 81",
        "ip rule add from all lookup 78 priority 9 protocol 81",
    ],
    "ends are missing": [
        f"ip neigh delete {PEER} dev {V4}",
        f"bridge fdb delete 02:00:00:00:02:04 dev {V4} dst {PEER}",
    ],
    "ends are others": [
        f"ip neigh replace {PEER} lladdr 02:00:00:00:00:98 dev {V4} nud permanent",
        f"bridge fdb replace 02:00:00:00:02:04 dev {V4} dst 10.9.9.9",
    ],
    "ends are too many": [
        f"ip neigh add 10.9.9.9 lladdr 02:00:00:00:00:98 dev {V4} nud permanent",
        f"bridge fdb append 00:00:00:00:00:00 dev {V4} dst 10.9.9.9",
    ],
}


def test_what_somebody_else_changed_is_mended(host):
    tunnels = KernelTunnels()
    assert tunnels.make(PLAN) == {}
    made = state(host)
    for what, lines in CHANGES.items():
        # By then it knows that all is as it shall be, and looks closely only for a reason.
        assert tunnels.make(PLAN) == {}, what
        host.run(["sh", "-ec", "\n".join(lines)])
        assert state(host) != made, what
        assert tunnels.make(PLAN) == {}, what
        assert state(host) == made, what


def test_where_nothing_changed_no_program_is_run(host, monkeypatch):
    tunnels, run, programs = KernelTunnels(), command.run, list[str]()

    def counted(argv: Sequence[str], *args: Any, **options: Any) -> str:
        programs.append(argv[0])
        return run(argv, *args, **options)

    def makes_without_programs() -> bool:
        programs.clear()
        assert tunnels.make(PLAN) == {}
        return not programs

    monkeypatch.setattr(command, "run", counted)
    assert not makes_without_programs()
    wait_until(makes_without_programs, 30, "all is known to be as it shall be")
    assert tunnels.make(replace(PLAN, routes=frozenset())) == {}
    assert "ip" in programs
    assert "10.65.2.0/26" not in host.run(["ip", "route"]).out


def test_where_the_kernel_does_not_say_it_in_one_value_all_is_compared(host, monkeypatch):
    def refuse(*_: object) -> frozenset[object]:
        raise KernelRefused("list the detours", errno.EINVAL)

    monkeypatch.setattr(tunnel_state, "read", refuse)
    tunnels = KernelTunnels()
    assert tunnels.make(PLAN) == {}
    made = state(host)
    host.run(["ip", "link", "delete", V4])
    assert tunnels.make(PLAN) == {}
    assert state(host) == made


def test_what_a_former_life_left_goes_and_what_is_others_stays(host):
    KernelTunnels().make(PLAN)
    host.run(f"ip route add 10.88.0.0/16 via {NEAR} proto 4".split())
    moved = Route(IPNetwork("10.65.2.0/26"), NEAR, "", HOST)
    assert KernelTunnels().make(replace(PLAN, routes=frozenset({moved}))) == {}
    routes = host.run(["ip", "route", "show", "table", "all", "proto", "81"]).out.splitlines()
    assert [line.split()[:3] for line in routes] == [["10.65.2.0/26", "via", str(NEAR)]]
    assert "10.88.0.0/16" in host.run(["ip", "route"]).out


def test_all_of_ours_can_be_removed_again_and_again(host):
    routes = ["ip", "route", "show", "table", "all"]
    # The kernel adds them once nobody else on the link has the address.
    wait_until(lambda: host.run(routes).out.count("local fe80::") == 2, 30, "its own routes")
    before = host.run(routes).out
    KernelTunnels().make(PLAN)
    for _ in range(2):
        tunnel.remove_all()
        assert state(host) == []
        assert host.run(routes).out == before


def test_one_route_that_the_kernel_refuses_is_told_and_keeps_no_other_back(host):
    far = Route(IPNetwork("10.65.8.0/26"), IPAddress("192.0.2.1"), "", HOST)
    problems = KernelTunnels().make(replace(PLAN, routes=PLAN.routes | {far}))
    assert [*problems] == ["IPv4 routes"]
    assert "10.65.3.0/26" in host.run(["ip", "route"]).out


def test_a_device_whose_number_is_taken_is_told_and_the_other_family_works(host):
    other = f"ip link add other type vxlan id 4096 dstport 4789 local {HOST}"
    host.run(other.split())
    problems = KernelTunnels().make(PLAN)
    assert [*problems] == [f"device {V4}"]
    assert "fd80::40/122" in host.run(["ip", "-6", "route"]).out
    assert "10.65.2.0/26" not in host.run(["ip", "route"]).out


def test_ip_in_ip_has_its_device_where_the_kernel_can_and_a_complaint_where_not(host):
    made = Plan(
        (Tunnel(Way.IPIP, 4, HOST, 1480),),
        frozenset({Route(IPNetwork("10.65.2.0/26"), PEER, "tunl0", HOST)}),
    )
    probe = ["ip", "link", "add", "probe", "type", "ipip", "local", "10.9.9.9"]
    kernel_can = host.run(probe, check=False).code == 0
    tunnels = KernelTunnels()
    problems = tunnels.make(made)
    if not kernel_can:
        assert "this kernel makes no IP-in-IP tunnels" in problems["device tunl0"]
        return
    assert problems == {}
    assert f"10.65.2.0/26 via {PEER} dev tunl0" in host.run(["ip", "route"]).out
    tunnels.make(Plan())
    assert "UP" not in json.loads(host.run(["ip", "-j", "link", "show", "tunl0"]).out)[0]["flags"]


def test_a_kernel_without_ipv6_is_not_asked_about_it(host, monkeypatch):
    monkeypatch.setattr(kernel, "read_setting", lambda _name: None)
    host.run(f"ip -6 route add fd99::/64 via {PEER_6} dev eth0 proto 81".split())
    assert KernelTunnels().make(replace(PLAN, tunnels=PLAN.tunnels[:1])) == {}
    assert "10.65.2.0/26" in host.run(["ip", "route"]).out
    assert "fd99::/64" in host.run(["ip", "-6", "route"]).out


def test_a_removal_that_fails_says_what_failed(host, monkeypatch):
    KernelTunnels().make(PLAN)
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(CommandFailed, match="there is no such program"):
        tunnel.remove_all()
