"""Which tunnels, routes and detours follow from pools, blocks and hosts."""

from dataclasses import replace

import pytest
from netaddr import IPAddress, IPNetwork

from calico_ctl.bgp import encapsulation
from calico_ctl.bgp.encapsulation import Detour, Holders, Peer, Plan, Route, Tunnel, Uplink
from calico_ctl.model.encapsulation import Way
from calico_ctl.model.node import Node
from calico_ctl.model.pool import Pool

H1, H1_6 = IPAddress("10.0.1.1"), IPAddress("fd00:1::1")
NEAR, FAR, FAR_6 = IPAddress("10.0.1.2"), IPAddress("10.0.2.3"), IPAddress("fd00:2::3")
NODES = {
    "h1": Node("h1", H1, H1_6),
    "near": Node("near", NEAR),
    "far": Node("far", FAR, FAR_6),
    "new": Node("new"),
}
UPLINKS = {
    4: Uplink("eth0", 1500, IPNetwork("10.0.1.0/24")),
    6: Uplink("eth0", 1400, IPNetwork("fd00:1::/64")),
}
POOL = Pool(IPNetwork("10.65.0.0/16"), vxlan=True)
POOL_6 = Pool(IPNetwork("fd80::/64"), vxlan=True)


def block(text: str, host: str | None, **lent: str) -> Holders:
    """`lent` goes by the last number of the address, after an underscore."""
    cidr = IPNetwork(text)
    first = IPAddress(cidr.first, cidr.version)
    return Holders(cidr, host, {first + int(at[1:]): who for at, who in lent.items()})


NEAR_BLOCK, FAR_BLOCK = block("10.65.2.0/26", "near"), block("10.65.3.0/26", "far")


def plan(*blocks: Holders, pool: Pool = POOL, **changes: object) -> Plan:
    asked = {"own": NODES["h1"], "nodes": NODES, "uplinks": UPLINKS} | changes
    return encapsulation.plan(pools=[pool], blocks=list(blocks), **asked)  # type: ignore[arg-type]


def ways(made: Plan) -> dict[str, tuple[str, str]]:
    """Where a block's packets go: gateway, device; of the main table."""
    return {
        str(each.destination): (str(each.gateway), each.device)
        for each in made.routes
        if each.table == encapsulation.MAIN_TABLE
    }


def detoured(made: Plan) -> set[str]:
    """The hosts to which containers send through a tunnel."""
    return {str(each.destination) for each in made.routes if each.table != encapsulation.MAIN_TABLE}


def test_a_pool_as_it_is_needs_nothing():
    assert plan(FAR_BLOCK, pool=Pool(POOL.cidr)) == Plan()


def test_blocks_of_other_hosts_lead_into_the_tunnel_from_this_hosts_address():
    made = plan(FAR_BLOCK, NEAR_BLOCK, block("10.65.1.0/26", "h1"))
    mac = encapsulation.mac_of("h1", 4)
    assert made.tunnels == (Tunnel(Way.VXLAN, 4, H1, 1450, mac),)
    assert made.tunnels[0].device == "vxlan.calico"
    assert ways(made) == {
        "10.65.2.0/26": (str(NEAR), "vxlan.calico"),
        "10.65.3.0/26": (str(FAR), "vxlan.calico"),
    }
    assert Route(FAR_BLOCK.cidr, FAR, "vxlan.calico", H1) in made.routes
    assert made.problems == {}


def test_each_host_is_the_end_of_a_tunnel_that_has_its_mac():
    made = plan(FAR_BLOCK)
    assert Peer("vxlan.calico", FAR, encapsulation.mac_of("far", 4), FAR) in made.peers
    assert {each.host for each in made.peers} == {NEAR, FAR}


def test_packets_from_the_pool_reach_other_hosts_through_the_tunnel_too():
    made = plan()
    assert made.detours == {Detour(POOL.cidr, 4081)}
    assert detoured(made) == {f"{NEAR}/32", f"{FAR}/32"}


def test_no_detour_where_the_pool_has_the_hosts_themselves():
    made = plan(FAR_BLOCK, pool=replace(POOL, cidr=IPNetwork("10.0.0.0/8")))
    assert made.detours == frozenset()
    assert detoured(made) == set()
    assert "10.65.3.0/26" in ways(made)


def test_across_subnets_only_the_own_subnet_is_reached_without_a_tunnel():
    made = plan(FAR_BLOCK, NEAR_BLOCK, pool=replace(POOL, cross_subnet=True))
    assert ways(made) == {
        "10.65.2.0/26": (str(NEAR), ""),
        "10.65.3.0/26": (str(FAR), "vxlan.calico"),
    }
    assert made.detours == {Detour(POOL.cidr, 4082)}
    assert detoured(made) == {f"{FAR}/32"}
    assert {each.host for each in made.peers} == {FAR}


def test_a_lent_address_leads_to_the_host_that_has_it():
    made = plan(
        block("10.65.1.0/26", "h1", _5="far"),
        block("10.65.3.0/26", "far", _6="h1", _7="near"),
        block("10.65.4.0/26", None, _8="far"),
    )
    assert {to: gateway for to, (gateway, _) in ways(made).items()} == {
        "10.65.1.5/32": str(FAR),
        "10.65.3.0/26": str(FAR),
        "10.65.3.7/32": str(NEAR),
        "10.65.4.8/32": str(FAR),
    }


def test_of_a_block_only_what_the_pool_has_of_it_is_routed():
    small = replace(POOL, cidr=IPNetwork("10.65.3.16/28"))
    made = plan(block("10.65.3.0/26", "far", _17="near", _40="near"), pool=small)
    assert {*ways(made)} == {"10.65.3.16/28", "10.65.3.17/32"}
    assert ways(plan(FAR_BLOCK, pool=replace(POOL, cidr=IPNetwork("10.66.0.0/16")))) == {}


def test_ipv6_has_a_device_of_its_own_over_ipv6_and_link_local_gateways():
    made = plan(block("fd80::40/122", "far"), pool=POOL_6)
    mac = encapsulation.mac_of("far", 6)
    ((target, (gateway, device)),) = ways(made).items()
    assert (target, device) == ("fd80::40/122", "vxlan-v6.calico")
    assert IPAddress(gateway) in IPNetwork("fe80::/64")
    assert made.peers == {Peer("vxlan-v6.calico", IPAddress(gateway), mac, FAR_6)}
    assert (made.tunnels[0].mtu, made.tunnels[0].local) == (1330, H1_6)


def test_ip_in_ip_needs_no_ends_and_fewer_bytes():
    made = plan(FAR_BLOCK, pool=Pool(POOL.cidr, ipip=True))
    assert made.tunnels == (Tunnel(Way.IPIP, 4, H1, 1480),)
    assert ways(made) == {"10.65.3.0/26": (str(FAR), "tunl0")}
    assert made.peers == frozenset()
    assert made.detours == {Detour(POOL.cidr, 4083)}


@pytest.mark.parametrize(
    ("changes", "subject", "reason"),
    [
        ({"own": Node("h1", None, H1_6)}, "pool 10.65.0.0/16", "this host has no IPv4 address"),
        ({"uplinks": {}}, "pool 10.65.0.0/16", "no interface of this host has its address 10.0.1"),
        ({"pool": Pool(POOL_6.cidr, ipip=True)}, "pool fd80::/64", "there is no ipip for IPv6"),
    ],
)
def test_a_pool_that_cannot_have_a_tunnel_is_named_with_the_reason(changes, subject, reason):
    made = plan(FAR_BLOCK, **changes)
    assert (made.tunnels, made.routes) == ((), frozenset())
    assert reason in made.problems[subject]


@pytest.mark.parametrize("host", ["new", "gone"])
def test_a_block_of_a_host_without_an_address_is_named_and_the_others_work(host):
    made = plan(FAR_BLOCK, block("10.65.9.0/26", host))
    assert {*ways(made)} == {"10.65.3.0/26"}
    assert "10.65.9.0/26 is not reached" in made.problems[f"host {host}"]


@pytest.mark.parametrize(
    ("pool", "block_with_machines", "other"),
    [
        ("10.0.0.0/16", "10.0.1.64/26", "10.0.3.0/26"),  # in the subnet of this host
        ("10.0.0.0/16", "10.0.2.0/26", "10.0.2.64/26"),  # with the address of another host
    ],
)
def test_a_block_in_which_hosts_may_be_leads_nowhere_and_is_named(
    pool: str, block_with_machines: str, other: str
) -> None:
    made = plan(
        block(block_with_machines, "far", _9="near"),
        block(other, "far"),
        pool=Pool(IPNetwork(pool), vxlan=True),
    )
    lent = IPNetwork(block_with_machines)[9]
    assert ways(made).keys() == {other, f"{lent}/32"}
    assert made.problems.keys() == {f"block {block_with_machines}"}


def test_mac_addresses_are_of_one_host_each_and_stay():
    macs = {encapsulation.mac_of(f"host{n}", f) for n in range(100) for f in (4, 6)}
    assert len(macs) == 200
    assert {int(mac[:2], 16) & 3 for mac in macs} == {2}
    assert encapsulation.mac_of("h1", 4) == "e2:5a:70:0b:fb:92"
