"""Endpoints as values."""

from netaddr import IPAddress

from calico_ctl.model.endpoint import Endpoint, EndpointKey, Membership, ShownEndpoint, State

KEY = EndpointKey("host1", "docker", "c", "e")
FOUR, SIX = IPAddress("192.168.1.5"), IPAddress("fd80::5")
ENDPOINT = Endpoint(KEY, State.ACTIVE, "calie", None, ("web",), (FOUR, SIX), IPAddress("10.0.0.1"))


def test_addresses_and_gateways_are_told_apart_by_family():
    assert ENDPOINT.of_family(4) == (FOUR,)
    assert ENDPOINT.of_family(6) == (SIX,)
    assert ENDPOINT.gateway(4) == IPAddress("10.0.0.1")
    assert ENDPOINT.gateway(6) is None


def test_its_membership_is_what_other_hosts_have_to_know():
    assert ENDPOINT.membership == Membership(("web",), ("192.168.1.5",), ("fd80::5",))
    assert ENDPOINT.membership.of_family(4) == ("192.168.1.5",)
    assert ENDPOINT.membership.of_family(6) == ("fd80::5",)


def test_people_are_shown_its_addresses_in_their_order():
    many = ENDPOINT.with_addresses((SIX, IPAddress("10.0.0.10"), IPAddress("10.0.0.9")))
    assert many.shown == ShownEndpoint(
        key=KEY,
        state=State.ACTIVE,
        name="calie",
        mac=None,
        profiles=("web",),
        addresses=("10.0.0.9", "10.0.0.10", "fd80::5"),
        ipv4_gateway="10.0.0.1",
    )


def test_other_profiles_make_another_endpoint_and_leave_this_one_alone():
    changed = ENDPOINT.with_profiles(("a", "b"))
    assert (changed.profiles, ENDPOINT.profiles) == (("a", "b"), ("web",))
    assert changed.key == KEY


def test_the_order_of_profiles_counts():
    assert ENDPOINT.with_profiles(("a", "b")) != ENDPOINT.with_profiles(("b", "a"))
