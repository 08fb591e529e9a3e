"""Containers on two hosts of different subnets talk through VXLAN, over a router that looks."""

import json
import socket
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field, replace

import pytest
from netaddr import IPAddress, IPNetwork

from calico_ctl.daemons.encapsulation import Encapsulation
from calico_ctl.daemons.runtime import Tick
from calico_ctl.dataplane.network import KernelNetwork
from calico_ctl.dataplane.tunnel import KernelTunnels
from calico_ctl.datastore.follow import Change, Changes, Resync
from calico_ctl.ipam import block
from calico_ctl.ipam.block import Owner
from calico_ctl.model import codec, keys
from calico_ctl.model.interface import Interface
from calico_ctl.model.pool import Pool
from tests.support.command import wait_until
from tests.support.netns import NetNs, private_netns

pytestmark = pytest.mark.integration

PATIENCE = 10
POOLS = {
    4: Pool(IPNetwork("10.65.0.0/16"), vxlan=True),
    6: Pool(IPNetwork("fd80::/64"), vxlan=True),
}
HOSTS = {
    "h1": {4: "172.30.1.1", 6: "fd30:1::1"},
    "h2": {4: "172.30.2.1", 6: "fd30:2::1"},
}
ROUTER = {
    "h1": {4: "172.30.1.254", 6: "fd30:1::fe"},
    "h2": {4: "172.30.2.254", 6: "fd30:2::fe"},
}
CONTAINERS = {
    "h1": {4: "10.65.1.5", 6: "fd80::45"},
    "h2": {4: "10.65.2.5", 6: "fd80::85"},
}
MTU = 1400


@dataclass
class Host:
    """A host with its container; `said` is what its service reported."""

    name: str
    space: NetNs
    container: NetNs
    said: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.service = Encapsulation(self.name, KernelTunnels(), self.said.append)

    def hear(self, *messages: object) -> None:
        with self.space.entered():
            self.service.turn(messages)


@dataclass
class World:
    hosts: dict[str, Host]
    router: NetNs

    def hear(self, *messages: object) -> None:
        for host in self.hosts.values():
            host.hear(*messages)


def cluster(pools: dict[int, Pool]) -> Resync:
    values = {keys.READY: "true"}
    for host, addresses in HOSTS.items():
        for family in (4, 6):
            values[keys.bgp_host_address(host, family)] = addresses[family]
            ip = IPAddress(CONTAINERS[host][family])
            owned = block.empty(block.cidr_of(ip), host).claim(ip, Owner("e", {"host": host}))
            values[keys.block(owned.cidr)] = block.encode(owned)
    values |= {keys.pool(pool.cidr): codec.encode_pool(pool) for pool in pools.values()}
    return Resync({key: (value, 1) for key, value in values.items()}, 1)


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    with ExitStack() as stack:
        router = stack.enter_context(private_netns())
        router.run(["sysctl", "-qw", "net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1"])
        hosts = {}
        for name in HOSTS:
            space, container = (stack.enter_context(private_netns()) for _ in range(2))
            _connect(name, space, router)
            _plug(name, space, container)
            hosts[name] = Host(name, space, container)
        yield World(hosts, router)


def _connect(name: str, host: NetNs, router: NetNs) -> None:
    # Strict: what comes in must come from where its answer goes.
    strict = ["net.ipv4.conf.all.rp_filter=1", "net.ipv4.conf.default.rp_filter=1"]
    forward = ["net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1"]
    host.run(["sysctl", "-qw", *strict, *forward])
    mtu = f"mtu {MTU}"
    host.run(f"ip link add eth0 {mtu} type veth peer name {name} {mtu} netns {router.pid}".split())
    host.run(["ip", "link", "set", "eth0", "up"])
    router.run(["ip", "link", "set", name, "up"])
    for family, length, nodad in ((4, 24, ""), (6, 64, "nodad")):
        host.run(f"ip addr add {HOSTS[name][family]}/{length} dev eth0 {nodad}".split())
        router.run(f"ip addr add {ROUTER[name][family]}/{length} dev {name} {nodad}".split())
        host.run(f"ip -{family} route add default via {ROUTER[name][family]}".split())


def _plug(name: str, host: NetNs, container: NetNs) -> None:
    addresses = tuple(IPAddress(text) for text in CONTAINERS[name].values())
    gateways = tuple(IPAddress(text) for text in HOSTS[name].values())
    mac = "02:00:00:00:00:05"
    with host.entered():
        KernelNetwork().plug(
            Interface("cali5", str(container.path), "eth1", mac, addresses, gateways, overhead=70)
        )
    link = json.loads(host.run(["ip", "-j", "link", "show", "dev", "cali5"]).out)[0]
    for ip in addresses:
        host.run(["ip", "route", "add", str(ip), "dev", "cali5"])
        host.run(f"ip neigh replace {ip} lladdr {mac} dev cali5 nud permanent".split())
    for ip in gateways:
        container.run(
            f"ip neigh replace {ip} lladdr {link['address']} dev eth1 nud permanent".split()
        )


def _wire(router: NetNs) -> socket.socket:
    """Everything that the router hears from the first host."""
    with router.entered():
        ear = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(3))
        ear.bind(("h1", 3))
    ear.setblocking(False)
    return ear


def _outer(ear: socket.socket) -> set[tuple[str, str, int]]:
    """From where, to where and to which UDP port the packets went that were heard so far."""
    found: set[tuple[str, str, int]] = set()
    while True:
        try:
            packet, (_, kind, *_) = ear.recvfrom(65536)
        except BlockingIOError:
            return found
        if kind == 0x0800:
            ends, protocol, header = (packet[12:16], packet[16:20]), packet[9], 20
        elif kind == 0x86DD:
            ends, protocol, header = (packet[8:24], packet[24:40]), packet[6], 40
        else:
            continue
        family = socket.AF_INET if header == 20 else socket.AF_INET6
        port = int.from_bytes(packet[header + 2 : header + 4], "big") if protocol == 17 else 0
        source, target = (socket.inet_ntop(family, each) for each in ends)
        found.add((source, target, port))


def _reaches(source: NetNs, target: str, *options: str) -> None:
    ping = ["ping", "-n", "-c", "1", "-W", "2", *options, target]
    wait_until(
        lambda: source.run(ping, check=False, quiet=True).code == 0,
        PATIENCE,
        f"{target} answers",
    )


@pytest.mark.parametrize(("family", "cross_subnet"), [(4, False), (6, False), (4, True)])
def test_all_ways_between_hosts_and_containers_lead_through_the_tunnel(world, family, cross_subnet):
    pools = {each: replace(pool, cross_subnet=cross_subnet) for each, pool in POOLS.items()}
    world.hear(cluster(pools))
    h1, h2 = world.hosts["h1"], world.hosts["h2"]
    with _wire(world.router) as ear:
        _reaches(h1.container, CONTAINERS["h2"][family])
        _reaches(h1.space, CONTAINERS["h2"][family])
        _reaches(h1.container, HOSTS["h2"][family])
        _reaches(h2.space, CONTAINERS["h1"][family])
        heard = _outer(ear)
    one, two = HOSTS["h1"][family], HOSTS["h2"][family]
    assert {(one, two, 4789), (two, one, 4789)} <= heard
    inner = {each[family] for each in CONTAINERS.values()}
    assert not [each for each in heard if inner & {*each[:2]}]
    assert (h1.said, h2.said) == ([""], [""])


@pytest.mark.parametrize("family", [4, 6])
def test_the_largest_packet_of_a_container_fits_into_the_tunnel(world, family):
    world.hear(cluster(POOLS))
    container = world.hosts["h1"].container
    link = json.loads(container.run(["ip", "-j", "link", "show", "dev", "eth1"]).out)[0]
    assert link["mtu"] == MTU - 70
    size = MTU - 70 - (28 if family == 4 else 48)
    _reaches(container, CONTAINERS["h2"][family], "-M", "do", "-s", str(size))


def test_without_a_pool_that_wants_it_nothing_of_the_tunnel_stays(world):
    world.hear(cluster(POOLS))
    world.hear(cluster({}))
    host = world.hosts["h1"].space
    assert "vxlan" not in host.run(["ip", "link"]).out
    for family in ("-4", "-6"):
        assert host.run(["ip", family, "route", "show", "table", "all", "proto", "81"]).out == ""
        assert "4081" not in host.run(["ip", family, "rule"]).out


def test_a_tick_mends_what_somebody_changed(world):
    world.hear(cluster(POOLS))
    h1, h2 = world.hosts["h1"], world.hosts["h2"]
    h1.space.run(["ip", "link", "delete", "vxlan.calico"])
    h1.hear(Tick())
    _reaches(h1.container, CONTAINERS["h2"][4])
    assert {*h1.said, *h2.said} == {""}


def test_an_address_that_is_lent_to_the_other_host_is_followed_there(world):
    lent = IPAddress("10.65.1.40")
    owned = block.empty(block.cidr_of(lent), "h1")
    world.hear(cluster(POOLS))
    h1, h2 = world.hosts["h1"], world.hosts["h2"]
    h2.space.run(["ip", "addr", "add", f"{lent}/32", "dev", "lo"])
    text = block.encode(owned.claim(lent, Owner("x", {"host": "h2"})))
    world.hear(Changes((Change(keys.block(owned.cidr), text, 2),)))
    _reaches(h1.container, str(lent))
    assert f"{lent} via {HOSTS['h2'][4]}" in h1.space.run(["ip", "route"]).out
    world.hear(Changes((Change(keys.block(owned.cidr), block.encode(owned), 3),)))
    assert str(lent) not in h1.space.run(["ip", "route"]).out
