"""Packets from a pool with `masquerade` leave with the host's address, but never between pools."""

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
NEIGHBOUR = {4: "10.99.0.2", 6: "fd99::2"}
MINE = {4: "10.65.0.97", 6: "fd80::61"}
IN_A_POOL = {4: "10.66.0.9", 6: "fd81::9"}
OUTSIDE_ALL = {4: "203.0.113.1", 6: "2001:db8::1"}
POOLS = {
    "/calico/ipam/v4/pool/10.65.0.0-16": '{"cidr": "10.65.0.0/16", "masquerade": true}',
    "/calico/ipam/v6/pool/fd80::-64": '{"cidr": "fd80::/64", "masquerade": true}',
    "/calico/ipam/v4/pool/10.66.0.0-16": '{"cidr": "10.66.0.0/16"}',
    "/calico/ipam/v6/pool/fd81::-64": '{"cidr": "fd81::/64"}',
}
KEY, VALUE = states.endpoint("a")
CONTENTS = {
    KEY: VALUE.replace('"ipv6_gateway": null', f'"ipv6_gateway": "{HOST[6]}"'),
} | states.profile("web", '{"inbound": [{}], "outbound": [{}]}', "web")
MAC = "02:00:00:00:00:97"


@pytest.fixture(scope="module")
def ends() -> Iterator[tuple[NetNs, NetNs, KernelTable]]:
    """A container, the world behind the host, and the host's table."""
    with private_netns() as host, private_netns() as container, private_netns() as world:
        _connect(host, world)
        addresses = tuple(IPAddress(text) for text in MINE.values())
        gateways = tuple(IPAddress(text) for text in HOST.values())
        with host.entered(), closing(KernelTable()) as table, closing(HostSide()) as side:
            KernelNetwork().plug(
                Interface("calia", str(container.path), "eth1", MAC, addresses, gateways)
            )
            known = states.desired(CONTENTS)
            known.take()
            table.rebuild(known.table())
            assert side.sync(known.enforced.values()) == {"calia"}
            yield container, world, table


def _connect(host: NetNs, world: NetNs) -> None:
    far = f"peer name up1 netns {world.pid}"
    host.run(["ip", "-batch", "-"], stdin=f"link add up0 type veth {far}\nlink set up0 up\n")
    world.run(["ip", "link", "set", "up1", "up"])
    for family in (4, 6):
        length, nodad = (24, "") if family == 4 else (64, "nodad")
        host.run(f"ip addr add {HOST[family]}/{length} dev up0 {nodad}".split())
        host.run(["ip", "route", "add", "default", "via", NEIGHBOUR[family]])
        world.run(f"ip addr add {NEIGHBOUR[family]}/{length} dev up1 {nodad}".split())
        world.run(["ip", "route", "add", MINE[family], "via", HOST[family]])
        for mine in (IN_A_POOL[family], OUTSIDE_ALL[family]):
            world.run(["ip", "addr", "add", mine, "dev", "lo"])


def seen_from(container: NetNs, world: NetNs, target: str) -> str:
    """Send a datagram; return from which address it seems to come, and see the answer arrive."""
    family = socket.AF_INET6 if ":" in target else socket.AF_INET
    with world.entered():
        listening = socket.socket(family, socket.SOCK_DGRAM)
    with container.entered():
        sending = socket.socket(family, socket.SOCK_DGRAM)
    with listening, sending:
        for each in (listening, sending):
            each.settimeout(60)
        listening.bind((target, 5000))
        sending.connect((target, 5000))
        sending.send(b"who am I?")
        _, source = listening.recvfrom(100)
        listening.sendto(b"you are", source)
        assert sending.recv(100) == b"you are"
        return str(source[0])


@pytest.mark.parametrize("family", [4, 6])
def test_only_to_the_outside_of_all_pools_and_only_from_pools_that_want_it(ends, family):
    container, world, table = ends
    table.rebuild(states.ruleset(CONTENTS))
    assert seen_from(container, world, OUTSIDE_ALL[family]) == MINE[family]
    table.rebuild(states.ruleset(CONTENTS | POOLS))
    assert seen_from(container, world, OUTSIDE_ALL[family]) == HOST[family]
    assert seen_from(container, world, IN_A_POOL[family]) == MINE[family]
