"""Route reflectors, routers outside the cluster, hosts with AS numbers of their own."""

import json
import signal
from collections.abc import Mapping
from pathlib import Path

from tests.support.routers import Plain, Router, Site, eventually, host_keys, ipv4, ipv6

BGP = "/calico/bgp/v1"
MESH_OFF = {f"{BGP}/global/node_mesh": '{"enabled": false}'}

PLAIN = """\
log stderr all;
router id 10.99.7.254;
protocol device {{ scan time 10; }}
protocol direct {{ ipv4; ipv6; interface "eth0"; }}
protocol static announced4 {{ ipv4; {routes4} }}
protocol static announced6 {{ ipv6; {routes6} }}
filter told4 {{
  if proto != "announced4" then reject;
  # as if the second host had said it
  if net ~ [ 10.65.0.9/32, 10.65.2.9/32 ] then bgp_path.prepend(65002);
  accept;
}}
template bgp hosts4 {{
  local 10.99.7.254 as 65000;
  connect delay time 1; connect retry time 1; error wait time 1, 2;
  ipv4 {{ import all; export filter told4; }};
}}
template bgp hosts6 {{
  local fd99:7::254 as 65000;
  connect delay time 1; connect retry time 1; error wait time 1, 2;
  ipv6 {{ import all; export where proto = "announced6"; }};
}}
protocol bgp h1 from hosts4 {{ neighbor 10.99.7.1 as 64511; {password} }}
protocol bgp h2 from hosts4 {{ neighbor 10.99.7.2 as 65002; {password} }}
protocol bgp h1v6 from hosts6 {{ neighbor fd99:7::1 as 64511; }}
"""

REFLECTING = """\
log stderr all;
router id 10.99.7.254;
protocol device { scan time 10; }
protocol direct { ipv4; interface "eth0"; }
protocol static announced4 {
  ipv4;
  route 198.51.100.0/24 blackhole; route 10.65.0.5/32 blackhole; route 10.65.0.0/26 blackhole;
}
template bgp hosts {
  local 10.99.7.254 as 64511;
  connect delay time 1; connect retry time 1; error wait time 1, 2;
  rr client;
  ipv4 { import all; export where source = RTS_BGP || proto = "announced4"; next hop keep; };
}
protocol bgp h1 from hosts { neighbor 10.99.7.1 as 64511; }
protocol bgp h2 from hosts { neighbor 10.99.7.2 as 64511; }
"""

HARMLESS4 = ("198.51.100.0/24", "10.65.9.0/26", "10.65.0.0/17")
OF_OWN_BLOCK = ("10.65.0.0/26", "10.65.0.5/32")
OF_OTHERS_BLOCK = ("10.65.2.5/32", "10.65.2.32/27")
FORGED = ("10.65.0.9/32", "10.65.2.9/32")
NEVER = ("127.3.0.0/16", "169.254.7.0/24", "224.0.7.0/24", "10.99.7.1/32")
HARMLESS6 = ("2001:db8:7::/48", "fd80:7::900/122")
BAD6 = ("fd80:7::5/128", "fd80:7::905/128", "fe80:7::/64", "fd99:7::1/128", "::/0")


def plain(password: str, more: tuple[str, ...] = ()) -> str:
    prefixes = ("0.0.0.0/0", *HARMLESS4, *OF_OWN_BLOCK, *OF_OTHERS_BLOCK, *FORGED, *NEVER, *more)
    return PLAIN.format(
        password=password and f'password "{password}";',
        routes4=" ".join(f"route {prefix} blackhole;" for prefix in prefixes),
        routes6=" ".join(f"route {prefix} blackhole;" for prefix in (*HARMLESS6, *BAD6)),
    )


def peer(ip: str, as_number: int, password: str = "") -> str:
    fields = {"ip": ip, "as_num": str(as_number)}
    return json.dumps(fields | ({"password": password} if password else {}))


def block(host: int, cidr: str) -> dict[str, str]:
    family = 6 if ":" in cidr else 4
    return {f"/calico/ipam/v2/host/h{host}/ipv{family}/block/{cidr.replace('/', '-')}": ""}


def test_without_the_mesh_reflectors_of_two_clusters_pass_on_all_routes(site: Site) -> None:
    """h1, h2 serve h5, and h3, h4 serve h6; each family has sessions of its own."""
    values = host_keys(1, 2, 3, 4, 5, 6) | MESH_OFF
    values |= block(5, "10.65.5.0/26") | block(5, "fd80:7::500/122") | block(1, "10.65.1.0/26")
    for address, version in ((ipv4, 4), (ipv6, 6)):
        for n, cluster, clients in ((1, 1, 5), (2, 1, 5), (3, 2, 6), (4, 2, 6)):
            reflector = {"ip": address(n), "cluster_id": f"1.0.0.{cluster}"}
            values[f"{BGP}/rr_v{version}/{address(n)}"] = json.dumps(reflector)
            key = f"{BGP}/host/h{clients}/peer_v{version}/{address(n)}"
            values[key] = peer(address(n), 64511)
    routers = site.up(values, 1, 2, 3, 4, 5, 6)
    one, _, three, _, five, six = routers
    eventually(lambda: len(one.established()) == 8, "a reflector and its sessions")
    assert {name.partition("_")[0] for name in one.established()} == {"Reflector", "Client"}
    five.container("caliaaa", "10.65.5.5/32", "10.65.77.7/32", "fd80:7::505/128")
    # The next hop is the host that has the containers, not a reflector.
    wanted = {
        "10.65.5.0/26": ipv4(5),
        "10.65.77.7": ipv4(5),
        "10.65.1.0/26": ipv4(1),
        "fd80:7::500/122": ipv6(5),
    }
    eventually(lambda: six.learned() == wanted, "the routes have come to the other cluster")
    eventually(lambda: one.learned().get("10.65.77.7") == ipv4(5), "and to a reflector")
    assert sorted(five.established()) == [
        "Node_10_99_7_1",
        "Node_10_99_7_2",
        "Node_fd99_7__1",
        "Node_fd99_7__2",
    ]
    # One reflector of each cluster is enough.
    one.stop(signal.SIGKILL)
    three.stop(signal.SIGKILL)
    five.container("calibbb", "10.65.78.8/32")
    eventually(lambda: six.learned().get("10.65.78.8") == ipv4(5), "a later route comes too")


def test_a_router_outside_gets_aggregates_and_gives_only_what_is_its_to_give(site: Site) -> None:
    values = host_keys(1, 2) | block(1, "10.65.0.0/26") | block(2, "10.65.2.0/26")
    values |= block(1, "fd80:7::/122")
    values[f"{BGP}/host/h2/as_num"] = "65002"
    values[f"{BGP}/global/peer_v4/{ipv4(254)}"] = peer(ipv4(254), 65000, "open sesame")
    values[f"{BGP}/host/h1/peer_v6/{ipv6(254)}"] = peer(ipv6(254), 65000)
    router = site.plain(254)
    site.stack.callback(router.stop)
    router.write(plain(""))
    router.start()
    one, two = site.up(values, 1, 2)
    # It has no password yet: what the hosts say is signed, and its kernel throws it away.
    eventually(lambda: _unexpected_signatures(router) > 0, "signed packets come")
    assert not {"h1", "h2"} & router.established()
    router.write(plain("open sesame"))
    one.container("caliaaa", "10.65.0.7/32", "10.65.77.7/32", "fd80:7::7/128")
    eventually(lambda: router.established() == {"h1", "h2", "h1v6"}, "the router has its sessions")
    told = {"10.65.0.0/26", "10.65.77.7/32", "10.65.2.0/26", "fd80:7::/122"}
    eventually(lambda: router.routes() == told, "it knows the containers")

    # The hosts are in different AS, and each keeps to itself what it did not make.
    wanted = {
        "198.51.100.0/24": ipv4(254),
        "10.65.9.0/26": ipv4(254),
        "10.65.0.0/17": ipv4(254),
        "10.65.2.0/26": ipv4(2),
        "10.65.0.0/26": "blackhole",
        "2001:db8:7::/48": ipv6(254),
        "fd80:7::900/122": ipv6(254),
        "fd80:7::/122": "blackhole",
    }
    eventually(lambda: one.learned() == wanted, "the host has taken what it may")
    eventually(lambda: two.learned().get("10.65.0.0/26") == ipv4(1), "so has the other")
    _takes_a_default_route_when_told_to(one, values)
    _takes_no_more_routes_than_it_may(one, router, values)
    _believes_paths_without_the_mesh(one, values)


def test_a_router_in_the_as_of_the_cluster_passes_on_what_hosts_lend_and_adds_nothing(
    site: Site,
) -> None:
    """It reflects, and no host was told that it does."""
    values = host_keys(1, 2) | MESH_OFF | block(1, "10.65.0.0/26") | block(2, "10.65.2.0/26")
    values[f"{BGP}/global/peer_v4/{ipv4(254)}"] = peer(ipv4(254), 64511)
    router = site.plain(254)
    site.stack.callback(router.stop)
    router.write(REFLECTING)
    router.start()
    one, two = site.up(values, 1, 2)
    two.container("caliaaa", "10.65.0.9/32")
    wanted = {
        "198.51.100.0/24": ipv4(254),
        "10.65.0.9": ipv4(2),
        "10.65.2.0/26": ipv4(2),
        "10.65.0.0/26": "blackhole",
    }
    eventually(lambda: one.learned() == wanted, "the host has what the other one announces")


def test_hosts_in_different_networks_exchange_routes_through_their_gateway(site: Site) -> None:
    gateway = site.plain(250)
    gateway.namespace.run(["ip", "addr", "add", "10.99.8.250/24", "dev", "eth0"])
    gateway.namespace.run(["sysctl", "-q", "-w", "net.ipv4.ip_forward=1"])
    values = host_keys(1) | {f"{BGP}/host/h9/ip_addr_v4": "10.99.8.9"}
    (near,) = site.up(values, 1)
    far = site.router(9)
    far.namespace.run(
        ["ip", "-batch", "-"],
        stdin=f"addr del {ipv4(9)}/24 dev eth0\naddr add 10.99.8.9/24 dev eth0\n"
        "route replace default via 10.99.8.250 dev eth0\n",
    )
    site.stack.callback(far.stop)
    far.configure(values)
    far.start()
    far.container("caliaaa", "10.65.0.9/32")
    eventually(lambda: near.learned() == {"10.65.0.9": ipv4(250)}, "the route leads to the gateway")
    # What leads to other hosts is for finding them, and nothing to announce.
    counts = near.counts("Mesh_10_99_8_9")
    assert counts is not None
    assert counts.exported == 0


def _believes_paths_without_the_mesh(host: Router, values: Mapping[str, str]) -> None:
    """What another host was lent may then come from a router alone."""
    told = {prefix.removesuffix("/32") for prefix in FORGED}
    host.configure({**values, **MESH_OFF})
    eventually(lambda: told <= host.learned().keys(), "the routes with such paths are taken")


def _takes_a_default_route_when_told_to(host: Router, values: Mapping[str, str]) -> None:
    before = host.ups()
    # One that the host has from elsewhere would go before it.
    host.namespace.run(["ip", "route", "del", "default"])
    host.configure({**values, f"{BGP}/global/accept_default_route": "true"})
    wanted = {"0.0.0.0/0": ipv4(254), "::/0": ipv6(254)}
    eventually(lambda: wanted.items() <= host.learned().items(), "the default routes are there")
    host.configure(values)
    eventually(lambda: not wanted.keys() & host.learned().keys(), "the default routes are gone")
    assert host.ups() == before


def _takes_no_more_routes_than_it_may(
    host: Router, router: Plain, values: Mapping[str, str]
) -> None:
    host.configure({**values, f"{BGP}/host/h1/max_prefixes": "5"})
    router.write(plain("open sesame", tuple(f"203.0.113.{n}/32" for n in range(10))))

    def taken() -> int:
        counts = host.counts("Global_10_99_7_254")
        return counts.received if counts else 0

    log = host.directory / "log"
    eventually(lambda: "hits route import limit (5)" in log.read_text(), "more than that came")
    eventually(lambda: taken() == 5, "it has taken as many as it may")
    host.configure(values)
    eventually(lambda: taken() > 12, "what was left out comes when the limit is higher")
    assert "h1" in router.established()


def _unexpected_signatures(router: Plain) -> int:
    """How many TCP packets came with an MD5 signature for which there is no key."""
    path = Path(f"/proc/{router.namespace.pid}/net/netstat")
    names, numbers = (
        line.split() for line in path.read_text().splitlines() if line.startswith("TcpExt:")
    )
    return int(dict(zip(names, numbers, strict=True))["TCPMD5Unexpected"])
