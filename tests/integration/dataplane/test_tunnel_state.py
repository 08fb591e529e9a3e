"""All that there is of tunnels, as one value: the same as long as nothing of it changed."""

import json
import socket

import pytest
from netaddr import IPAddress, IPNetwork

from calico_ctl.bgp.encapsulation import Detour, Peer, Plan, Route, Tunnel
from calico_ctl.dataplane import tunnel_state
from calico_ctl.dataplane.tunnel import PROTOCOL, KernelTunnels
from calico_ctl.model.encapsulation import Way
from tests.support.netns import NetNs

pytestmark = pytest.mark.integration

V4, V6 = "vxlan.calico", "vxlan-v6.calico"
PEER, GATEWAY_6 = IPAddress("172.30.2.2"), IPAddress("fe80::22")
PLAN = Plan(
    tunnels=(
        Tunnel(Way.VXLAN, 4, IPAddress("172.30.1.1"), 1450, "02:00:00:00:00:04"),
        Tunnel(Way.VXLAN, 6, IPAddress("fd30::1"), 1430, "02:00:00:00:00:06"),
    ),
    routes=frozenset(
        {
            Route(IPNetwork("10.65.2.0/26"), PEER, V4),
            Route(IPNetwork("fd80::40/122"), GATEWAY_6, V6),
        }
    ),
    peers=frozenset(
        {
            Peer(V4, PEER, "02:00:00:00:02:04", PEER),
            Peer(V6, GATEWAY_6, "02:00:00:00:02:06", IPAddress("fd30::2")),
        }
    ),
    detours=frozenset({Detour(IPNetwork("10.65.0.0/16"), 4081)}),
)


def read() -> frozenset[object]:
    return tunnel_state.read((4, 6), PROTOCOL)


@pytest.fixture
def host(private_netns: NetNs) -> NetNs:
    """A host with the tunnels of the plan."""
    private_netns.run(
        ["ip", "-batch", "-"],
        stdin="link set lo up\naddr add 172.30.1.1/32 dev lo\naddr add fd30::1/128 dev lo\n"
        "addr add 10.65.1.1/32 dev lo\naddr add fd80::1/128 dev lo\n",
    )
    assert read() == frozenset()
    assert KernelTunnels().make(PLAN) == {}
    return private_netns


def test_use_changes_nothing(host):
    before = read()
    for family, target in ((socket.AF_INET, "10.65.2.1"), (socket.AF_INET6, "fd80::41")):
        with socket.socket(family, socket.SOCK_DGRAM) as sending:
            sending.sendto(b"hello", (target, 9))
    for device in (V4, V6):
        (shown,) = json.loads(host.run(["ip", "-j", "-s", "link", "show", device]).out)
        assert any(shown["stats64"]["tx"].values()), "it was used"
    assert read() == before


def test_what_is_others_changes_nothing(host):
    before = read()
    for line in (
        "ip link add other type veth peer name another",
        "ip link set other up",
        "ip neigh add 10.9.9.9 lladdr 02:00:00:00:00:98 dev other nud permanent",
        f"ip neigh add 10.9.9.9 dev {V4} nud stale lladdr 02:00:00:00:00:98",
        f"ip route add 10.88.0.0/16 via {PEER} dev {V4} onlink proto 4",
        "ip rule add from 10.88.0.0/16 lookup 4081 protocol 4",
    ):
        host.run(line.split())
    assert read() == before


def test_every_change_of_ours_is_seen(host):
    seen = {read()}
    for line in (
        f"ip link set {V4} mtu 1200",
        f"sysctl -q -w net/ipv4/conf/{V4}/rp_filter=1",
        f"ip neigh add 10.9.9.9 lladdr 02:00:00:00:00:98 dev {V4} nud permanent",
        f"bridge fdb append 02:00:00:00:00:98 dev {V6} dst fd30::9",
        "ip route delete 10.65.2.0/26",
        f"ip -6 route add fd80::80/122 via {GATEWAY_6} dev {V6} proto 81 table 4081",
        "ip rule delete priority 4081",
        f"ip link set {V6} down",
    ):
        host.run(line.split())
        now = read()
        assert now not in seen, line
        seen.add(now)
