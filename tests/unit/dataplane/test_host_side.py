"""What the host's ends of endpoints shall be, and the plan that makes them so."""

from dataclasses import replace

from netaddr import IPAddress

from calico_ctl.dataplane import host_side, rtnetlink
from calico_ctl.dataplane.host_side import Desired, Installed, Plan, Setting
from calico_ctl.dataplane.rtnetlink import Link, Neighbour, Proxy, Route
from calico_ctl.model.endpoint import Endpoint, EndpointKey, State

FIVE, SIX = IPAddress("192.168.1.5"), IPAddress("fd80::6")
GATEWAY = IPAddress("fd99::1")
MAC = bytes.fromhex("020000000001")
TO_FIVE = Route(FIVE.packed, 32, 11, 0, rtnetlink.ON_LINK)
TO_SIX = Route(SIX.packed, 128, 11, 1, rtnetlink.UNIVERSE)


def link(ifindex: int = 11, name: str = "cali1") -> Link:
    """One whose settings are right."""
    ipv4, ipv6 = [0] * 32, [0] * 32
    for at in (rtnetlink.IPV4_FORWARDING, rtnetlink.IPV4_PROXY_ARP, rtnetlink.IPV4_RP_FILTER):
        ipv4[at] = 1
    for at in (rtnetlink.IPV6_FORWARDING, rtnetlink.IPV6_PROXY_NDP):
        ipv6[at] = 1
    return Link(ifindex, name, tuple(ipv4), tuple(ipv6))


def endpoint(name: str = "cali1", identity: str = "1") -> Endpoint:
    key = EndpointKey("host1", "docker", "c", identity)
    mac = "02:00:00:00:00:01"
    return Endpoint(key, State.ACTIVE, name, mac, (), (FIVE, SIX), None, GATEWAY)


def installed(*routes: Route, links: tuple[Link, ...] = ()) -> Installed:
    bodies = {route: repr(route).encode() for route in routes}
    return Installed({each.name: each for each in links}, {4: {}, 6: {}}, bodies, frozenset())


def wanted(*things: rtnetlink.Thing) -> Desired:
    return Desired(frozenset(things))


def test_an_endpoint_wants_routes_pinned_addresses_and_an_answer_for_its_gateway():
    desired = host_side.desired([endpoint()], {"cali1": link()})
    pinned = {Neighbour(11, ip.packed, MAC) for ip in (FIVE, SIX)}
    assert desired.things == {TO_FIVE, TO_SIX, Proxy(11, GATEWAY.packed), *pinned}
    assert desired.outdone == frozenset()


def test_without_a_mac_address_nothing_is_pinned():
    desired = host_side.desired([replace(endpoint(), mac=None)], {"cali1": link()})
    assert desired.things == {TO_FIVE, TO_SIX, Proxy(11, GATEWAY.packed)}


def test_an_endpoint_without_its_interface_wants_nothing():
    assert host_side.desired([endpoint()], {}) == Desired()


def test_on_an_interface_without_ipv6_only_the_route_says_what_is_missing():
    desired = host_side.desired([endpoint()], {"cali1": link()._replace(ipv6=())})
    assert desired.things == {TO_FIVE, TO_SIX, Neighbour(11, FIVE.packed, MAC)}


def test_an_address_claimed_twice_is_routed_to_the_lower_key():
    links = {"cali1": link(), "cali2": link(12, "cali2")}
    rivals = [endpoint("cali1", "2"), endpoint("cali2", "1")]
    desired = host_side.desired(rivals, links)
    assert desired == host_side.desired(reversed(rivals), links)
    assert desired.outdone == {"cali1"}
    routes = {each for each in desired.things if isinstance(each, Route)}
    assert {route.ifindex for route in routes} == {12}


def test_an_address_claimed_twice_on_one_interface_is_pinned_by_the_lower_key():
    rival = replace(endpoint(identity="2"), mac="02:00:00:00:00:02")
    for order in ([endpoint(), rival], [rival, endpoint()]):
        desired = host_side.desired(order, {"cali1": link()})
        assert Neighbour(11, FIVE.packed, MAC) in desired.things
        assert desired.outdone == frozenset()
        assert len(desired.things) == 5


def test_what_is_missing_is_put():
    plan = host_side.plan(installed(), wanted(TO_FIVE, TO_SIX, Neighbour(11, FIVE.packed, MAC)))
    assert plan == Plan(
        neighbours=(Neighbour(11, FIVE.packed, MAC),),
        routes=(TO_FIVE, TO_SIX),
    )


def test_what_is_right_is_left_alone():
    assert host_side.plan(installed(TO_FIVE, TO_SIX), wanted(TO_FIVE, TO_SIX)) == Plan()


def test_a_route_in_the_place_of_a_missing_one_is_replaced_and_not_deleted():
    elsewhere = TO_FIVE._replace(ifindex=12)
    assert host_side.plan(installed(elsewhere), wanted(TO_FIVE)) == Plan(routes=(TO_FIVE,))


def test_a_route_that_nobody_needs_is_deleted_as_the_kernel_described_it():
    other = TO_FIVE._replace(metric=7)
    plan = host_side.plan(installed(TO_FIVE, other), wanted(TO_FIVE))
    assert plan == Plan(unneeded=(repr(other).encode(),))


def test_a_wrong_setting_is_named_with_its_interface():
    wrong = list(link().ipv4)
    wrong[rtnetlink.IPV4_RP_FILTER] = 2
    plan = host_side.plan(installed(links=(link()._replace(ipv4=tuple(wrong)),)), wanted())
    assert plan.settings == (Setting(11, "cali1", "net/ipv4/conf/{}/rp_filter", 1),)


def test_a_delay_is_a_wrong_setting():
    late = replace(installed(links=(link(),)), delays={4: {11: 0, 12: 800}, 6: {11: 800}})
    plan = host_side.plan(late, wanted())
    assert plan.settings == (Setting(11, "cali1", "net/ipv6/neigh/{}/proxy_delay", 0),)


def test_settings_of_a_family_that_the_interface_has_not_are_not_wrong():
    bare = link()._replace(ipv4=(), ipv6=())
    assert host_side.plan(installed(links=(bare,)), wanted()) == Plan()
