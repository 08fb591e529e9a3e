"""Who may send into the tunnels of a host: other hosts, and neither containers nor strangers."""

import contextlib
import socket
from collections.abc import Iterator
from contextlib import closing

import pytest
from netaddr import IPAddress

from calico_ctl.dataplane.host_side import HostSide
from calico_ctl.dataplane.network import KernelNetwork
from calico_ctl.dataplane.table import KernelTable
from calico_ctl.model.interface import Interface
from tests.support import states
from tests.support.netns import NetNs, private_netns

pytestmark = pytest.mark.integration

HOST = {4: "10.99.0.1", 6: "fd99::1"}
OTHER = {4: "10.99.0.2", 6: "fd99::2"}
STRANGER = {4: "10.99.0.9", 6: "fd99::9"}
MINE = {4: "10.65.0.97", 6: "fd80::61"}
KEY, VALUE = states.endpoint("a")
CONTENTS = {
    KEY: VALUE.replace('"ipv6_gateway": null', f'"ipv6_gateway": "{HOST[6]}"'),
    "/calico/host/host1/bird_ip": HOST[4],
    "/calico/host/host1/bird6_ip": HOST[6],
    "/calico/host/host2/bird_ip": OTHER[4],
    "/calico/host/host2/bird6_ip": OTHER[6],
} | states.profile("web", '{"inbound": [{}], "outbound": [{}]}', "web")
TUNNEL = {
    "/calico/ipam/v4/pool/10.65.0.0-16": '{"cidr": "10.65.0.0/16", "vxlan": "vxlan.calico"}',
}
VXLAN, MARKER = 4789, 4790


@pytest.fixture(scope="module")
def ends() -> Iterator[tuple[NetNs, NetNs, NetNs, KernelTable]]:
    """This host, a container on it, the others behind it, and the host's table."""
    with private_netns() as host, private_netns() as container, private_netns() as world:
        _connect(host, world)
        addresses = tuple(IPAddress(text) for text in MINE.values())
        gateways = tuple(IPAddress(text) for text in HOST.values())
        with host.entered(), closing(KernelTable()) as table, closing(HostSide()) as side:
            known = states.desired(CONTENTS)
            known.take()
            (endpoint,) = known.enforced.values()
            mac = str(endpoint.mac)
            KernelNetwork().plug(
                Interface("calia", str(container.path), "eth1", mac, addresses, gateways)
            )
            table.rebuild(known.table())
            assert side.sync(known.enforced.values()) == {"calia"}
            yield host, container, world, table


def _connect(host: NetNs, world: NetNs) -> None:
    far = f"peer name up1 netns {world.pid}"
    host.run(["ip", "-batch", "-"], stdin=f"link add up0 type veth {far}\nlink set up0 up\n")
    host.run(["sysctl", "-qw", "net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1"])
    world.run(["ip", "link", "set", "up1", "up"])
    for family, length, nodad in ((4, 24, ""), (6, 64, "nodad")):
        host.run(f"ip addr add {HOST[family]}/{length} dev up0 {nodad}".split())
        for each in (OTHER, STRANGER):
            world.run(f"ip addr add {each[family]}/{length} dev up1 {nodad}".split())
        world.run(["ip", "route", "add", MINE[family], "via", HOST[family]])


def _socket(where: NetNs, ip: str, port: int) -> socket.socket:
    with where.entered():
        opened = socket.socket(socket.AF_INET6 if ":" in ip else socket.AF_INET, socket.SOCK_DGRAM)
    opened.settimeout(0.2)
    opened.bind((ip, port))
    return opened


def arrives(source: NetNs, ip: str, target: NetNs, to: str) -> bool:
    """Send to a tunnel, and each time also to a port that is open: so what was sent has come."""
    with (
        _socket(target, to, VXLAN) as tunnel,
        _socket(target, to, MARKER) as marker,
        _socket(source, ip, 0) as sending,
    ):
        tunnel.setblocking(False)
        rounds = 0
        for _ in range(150):
            sending.sendto(b"inner", (to, VXLAN))
            sending.sendto(b"marker", (to, MARKER))
            with contextlib.suppress(TimeoutError):
                marker.recv(100)
                rounds += 1
            with contextlib.suppress(BlockingIOError):
                return tunnel.recv(100) == b"inner"
            if rounds == 3:
                return False
    pytest.fail("nothing arrives at all")


@pytest.mark.parametrize("family", [4, 6])
def test_only_hosts_of_the_cluster_send_into_a_tunnel(ends, family):
    host, container, world, table = ends
    cases = (
        (world, OTHER[family], host, HOST[family]),
        (world, STRANGER[family], host, HOST[family]),
        (container, MINE[family], host, HOST[family]),
        (container, MINE[family], world, OTHER[family]),
        (container, MINE[family], world, STRANGER[family]),
    )
    table.rebuild(states.ruleset(CONTENTS | TUNNEL))
    assert [arrives(*case) for case in cases] == [True, False, False, False, True]
    table.rebuild(states.ruleset(CONTENTS))
    assert [arrives(*case) for case in cases] == [True] * 5
