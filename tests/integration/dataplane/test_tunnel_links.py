"""The devices of tunnels in the real kernel."""

import json

import pytest
from netaddr import IPAddress

from calico_ctl.bgp.encapsulation import Tunnel
from calico_ctl.dataplane import tunnel_links
from calico_ctl.host import kernel
from calico_ctl.model.encapsulation import Way
from tests.support.netns import NetNs

pytestmark = pytest.mark.integration

V4 = Tunnel(Way.VXLAN, 4, IPAddress("172.30.1.1"), 1450, "02:00:00:00:00:04")
V6 = Tunnel(Way.VXLAN, 6, IPAddress("fd30::1"), 1430, "02:00:00:00:00:06")


@pytest.mark.parametrize("tunnel", [V4, V6], ids=["IPv4", "IPv6"])
def test_a_device_is_made_once_and_speaks_to_nobody_by_itself(private_netns: NetNs, tunnel: Tunnel):
    assert tunnel_links.ensure(tunnel)
    assert not tunnel_links.ensure(tunnel)
    shown = private_netns.run(["ip", "-j", "-d", "addr", "show", "dev", tunnel.device]).out
    (link,) = [each for each in json.loads(shown) if each]
    assert "UP" in link["flags"]
    assert link["addr_info"] == []
    assert kernel.read_setting(f"net/ipv4/conf/{tunnel.device}/rp_filter") == "2"
    assert tunnel_links.present() == [tunnel.device]


def test_removal_is_of_what_is_there_and_can_be_repeated(private_netns: NetNs):
    tunnel_links.ensure(V4)
    private_netns.run(
        ["ip", "link", "add", "vxlan0", "type", "vxlan", "id", "7", "dstport", "4790"]
    )
    for _ in range(2):
        tunnel_links.remove([V4.device, V6.device, "tunl0"])
    links = private_netns.run(["ip", "-o", "link"]).out
    assert V4.device not in links
    assert "vxlan0" in links
