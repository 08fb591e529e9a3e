"""Interfaces in the real kernel, each test in a namespace of its own."""

import contextlib
import re
from collections.abc import Iterator

import pytest
from netaddr import IPAddress

from calico_ctl.dataplane import host_side, veth
from calico_ctl.dataplane.host_side import HostSide
from calico_ctl.dataplane.network import KernelNetwork
from calico_ctl.errors import AlreadyExists, CalicoError
from calico_ctl.host import kernel
from calico_ctl.model.endpoint import Endpoint, EndpointKey, State
from calico_ctl.model.interface import Interface
from tests.support.netns import NetNs, private_netns

pytestmark = pytest.mark.integration

MAC = "02:00:00:00:00:01"
ADDRESSES = (IPAddress("192.168.1.5"), IPAddress("fd80::5"))
GATEWAYS = (IPAddress("10.99.0.1"), IPAddress("fd99::1"))


@pytest.fixture
def host() -> Iterator[NetNs]:
    with private_netns() as namespace, namespace.entered():
        yield namespace


@pytest.fixture
def container() -> Iterator[NetNs]:
    with private_netns() as namespace:
        namespace.run(["ip", "link", "set", "lo", "up"])
        namespace.run(["ip", "link", "add", "eth0", "type", "veth", "peer", "name", "bridge"])
        namespace.run(["ip", "link", "set", "eth0", "up"])
        namespace.run(["ip", "addr", "add", "172.17.0.2/16", "dev", "eth0"])
        namespace.run(["ip", "route", "add", "default", "via", "172.17.0.1"])
        # as Docker does for containers without an IPv6 network
        namespace.run(["sysctl", "-qw", "net.ipv6.conf.all.disable_ipv6=1"])
        yield namespace


def interface(container: NetNs, **changes: object) -> Interface:
    fields: dict[str, object] = {
        "host_name": "cali0a",
        "netns": str(container.path),
        "name": "eth1",
        "mac": MAC,
        "addresses": ADDRESSES,
        "gateways": GATEWAYS,
    }
    return Interface(**(fields | changes))  # type: ignore[arg-type]


def endpoint() -> Endpoint:
    key = EndpointKey("host1", "docker", "c", "0a")
    return Endpoint(key, State.ACTIVE, "cali0a", MAC, (), ADDRESSES, *GATEWAYS)


def test_a_plugged_container_has_its_addresses_and_default_routes(host, container):
    KernelNetwork().plug(interface(container))
    addresses = container.run(["ip", "-br", "addr", "show", "eth1"]).out
    assert "192.168.1.5/32" in addresses
    assert "fd80::5/128" in addresses
    routes = container.run(["ip", "route"]).out
    assert "default via 10.99.0.1 dev eth1" in routes
    assert "default via 172.17.0.1 dev eth0 metric 1" in routes
    assert "default via fd99::1 dev eth1" in container.run(["ip", "-6", "route"]).out
    assert MAC in container.run(["ip", "link", "show", "eth1"]).out


def test_a_container_reaches_itself_by_each_of_its_addresses(host, container):
    KernelNetwork().plug(interface(container))
    for address in (*ADDRESSES, "127.0.0.1", "::1"):
        container.run(["ping", "-n", "-c", "1", "-W", "5", str(address)])


def test_an_interface_name_that_is_taken_is_refused(host, container):
    with pytest.raises(AlreadyExists, match="eth0"):
        KernelNetwork().plug(interface(container, name="eth0"))
    assert host_side.interfaces() == frozenset()


def test_a_failure_in_the_middle_leaves_nothing(host, container, monkeypatch):
    before = container.run(["ip", "route"]).out
    # the very last step is refused by the kernel
    nowhere = veth.plan_default_routes(interface(container), index=77)
    monkeypatch.setattr(veth, "plan_default_routes", lambda *_: nowhere)
    with pytest.raises(CalicoError, match=r"everything else via 10\.99\.0\.1 .*unreachable"):
        KernelNetwork().plug(interface(container))
    assert host_side.interfaces() == frozenset()
    assert container.run(["ip", "route"]).out == before


def test_default_routes_that_were_there_move_with_all_that_they_say(host, container):
    container.run(["ip", "route", "del", "default"])
    for route in ("192.0.2.1 dev eth0 onlink src 172.17.0.2 mtu 1400", "172.17.0.9 metric 1"):
        container.run(["ip", "route", "add", "default", "via", *route.split()])
    container.run(["ip", "link", "set", "bridge", "up"])
    container.run(["ip", "nexthop", "add", "id", "7", "via", "172.17.0.8", "dev", "eth0"])
    container.run(["ip", "route", "add", "default", "nhid", "7", "metric", "2"])
    container.run(["ip", "route", "add", "unreachable", "default", "metric", "3"])
    KernelNetwork().plug(interface(container))
    routes = container.run(["ip", "route"]).out
    assert "default via 10.99.0.1 dev eth1 \n" in routes
    for kept in (
        r"default via 192\.0\.2\.1 dev eth0 src 172\.17\.0\.2 metric 1 onlink mtu 1400",
        r"default via 172\.17\.0\.9 dev eth0 metric 2",
        r"default nhid 7 via 172\.17\.0\.8 dev eth0 metric 3",
        r"unreachable default metric 4",
    ):
        assert re.search(kept, routes), routes
    assert routes.count("default") == 5


def test_a_namespace_that_is_gone_is_no_place_to_plug_into(host):
    with private_netns() as gone:
        path = str(gone.path)
    there = Interface("cali0a", path, "eth1", MAC, ADDRESSES, GATEWAYS)
    for act in (KernelNetwork().plug, KernelNetwork().reconfigure):
        with pytest.raises(CalicoError, match=f"cannot enter the network namespace {path}"):
            act(there)
    assert host_side.interfaces() == frozenset()


def test_an_interface_that_is_gone_cannot_be_changed(host, container):
    with pytest.raises(CalicoError, match="no interface eth1"):
        KernelNetwork().reconfigure(interface(container))


def test_a_kernel_without_ipv6_refuses_an_ipv6_address_in_words(host, container, monkeypatch):
    monkeypatch.setattr(kernel, "write_setting", lambda *_: False)
    with pytest.raises(CalicoError, match="cannot have an IPv6 address"):
        KernelNetwork().plug(interface(container))
    assert host_side.interfaces() == frozenset()


def test_unplugging_removes_both_ends_and_can_be_done_again(host, container):
    network = KernelNetwork()
    network.plug(interface(container))
    assert network.unplug("cali0a") is True
    assert network.unplug("cali0a") is False
    assert "eth1" not in container.run(["ip", "-br", "link"]).out


def test_the_host_reaches_its_container_in_both_families(host, container):
    host.run(["ip", "addr", "add", "10.99.0.1/32", "dev", "lo"])
    host.run(["ip", "addr", "add", "fd99::1/128", "dev", "lo"])
    KernelNetwork().plug(interface(container))
    with contextlib.closing(HostSide()) as side:
        assert side.sync([endpoint()]) == {"cali0a"}
    for gateway in GATEWAYS:
        container.run(["ping", "-c", "1", "-W", "2", str(gateway)])
    for address in ADDRESSES:
        host.run(["ping", "-c", "1", "-W", "2", str(address)])


def test_an_interface_is_where_its_other_end_is_whatever_happens_inside(host, container):
    network = KernelNetwork()
    assert not network.is_plugged("cali0a", str(container.path))
    network.plug(interface(container))
    assert network.is_there("cali0a")
    assert network.is_plugged("cali0a", str(container.path))
    container.run(["ip", "link", "set", "eth1", "down"])
    container.run(["ip", "link", "set", "eth1", "name", "eth9", "address", "02:00:00:00:00:09"])
    assert network.is_plugged("cali0a", str(container.path))
    with private_netns() as other:
        # Numbers of links are only unique within a namespace: this one has the same.
        other.run(["ip", "link", "add", "eth1", "type", "veth", "peer", "name", "eth2"])
        assert not network.is_plugged("cali0a", str(other.path))
    network.unplug("cali0a")
    assert not network.is_there("cali0a")
    assert not network.is_plugged("cali0a", str(container.path))


def test_addresses_and_families_come_and_go(host, container):
    network = KernelNetwork()
    ipv4, ipv6 = ADDRESSES
    first = interface(container, addresses=(ipv4,), gateways=GATEWAYS[:1])
    network.plug(first)
    before = inside(container)
    both = interface(container, addresses=(*ADDRESSES, IPAddress("192.168.1.6")))
    for _ in range(2):
        network.reconfigure(both)
        found = inside(container)
        assert "192.168.1.6/32" in found
        assert "fd80::5/128" in found
        assert "default via fd99::1 metric 512" in found
        assert found.count("default via 10.99.0.1") == 1
    network.reconfigure(interface(container, addresses=(ipv6,), gateways=GATEWAYS[1:]))
    found = inside(container)
    assert "192.168.1" not in found
    assert "10.99.0.1" not in found
    assert "fd80::5/128" in found
    network.reconfigure(first)
    assert inside(container) == before


def inside(container: NetNs) -> str:
    """What Calico makes of the container's interface and routes."""
    lines = container.run(["ip", "-br", "addr", "show", "eth1"]).out
    lines += container.run(["ip", "route"]).out
    lines += container.run(["ip", "-6", "route", "show", "dev", "eth1"]).out
    # The link's own address is the kernel's.
    own = re.compile(r"fe80::/64.*\n|fe80::\S+ ")
    return own.sub("", lines)


def test_the_size_of_packets_follows_the_uplink_and_what_tunnels_take(host, container):
    network = KernelNetwork()
    host.run(["ip", "link", "add", "up0", "mtu", "1400", "type", "veth", "peer", "name", "up1"])
    host.run(["ip", "addr", "add", f"{GATEWAYS[0]}/24", "dev", "up0"])

    def sizes() -> set[str]:
        shown = host.run(["ip", "-o", "link", "show", "cali0a"]).out
        shown += container.run(["ip", "-o", "link", "show", "eth1"]).out
        return set(re.findall(r"mtu (\d+)", shown))

    network.plug(interface(container))
    assert sizes() == {"1400"}
    network.reconfigure(interface(container, overhead=50))
    assert sizes() == {"1350"}
    network.unplug("cali0a")
    network.plug(interface(container, overhead=70))
    assert sizes() == {"1330"}
