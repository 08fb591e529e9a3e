"""What a container's environment may say about its network."""

import pytest
from netaddr import IPAddress, IPNetwork

from calico_ctl.errors import InvalidValue
from calico_ctl.model import wish
from calico_ctl.model.address import AnyAddress
from calico_ctl.model.wish import Wish


@pytest.mark.parametrize(
    ("value", "requests"),
    [
        ("10.65.0.1", (IPAddress("10.65.0.1"),)),
        (" 10.65.0.1 , fd80::5", (IPAddress("10.65.0.1"), IPAddress("fd80::5"))),
        ("auto", (AnyAddress.IPV4,)),
        ("AUTO", (AnyAddress.IPV4,)),
        ("ipv4,ipv6", (AnyAddress.IPV4, AnyAddress.IPV6)),
        ("10.65.0.0/16", (IPNetwork("10.65.0.0/16"),)),
    ],
)
def test_addresses_that_can_be_wished(value, requests):
    assert wish.parse([f"CALICO_IP={value}"]) == Wish(requests)


@pytest.mark.parametrize(
    "value",
    ["", " ", ",", "10.65.0.1,", "auto,ipv4", "10.65.0.1,10.65.0.1", "web", "10.65.0.256", "127.1"],
)
def test_what_cannot_be_read_names_the_variable(value):
    with pytest.raises(InvalidValue, match="CALICO_IP"):
        wish.parse([f"CALICO_IP={value}"])


def test_without_the_variable_a_container_is_not_ours():
    assert wish.parse(["PATH=/bin", "CALICO_PROFILE=web", "CALICO_IPS=x", "CALICO_IP"]) is None


def test_the_last_of_several_counts():
    assert wish.parse(["CALICO_IP=nonsense", "CALICO_IP=auto"]) == Wish((AnyAddress.IPV4,))


def test_profiles_keep_their_order():
    found = wish.parse(["CALICO_IP=auto", "CALICO_PROFILE=web, db"])
    assert found == Wish((AnyAddress.IPV4,), ("web", "db"))


@pytest.mark.parametrize("value", ["web,web", "a b", "web,,db", ".."])
def test_profiles_that_cannot_be(value):
    with pytest.raises(InvalidValue, match=r"profile|PROFILE"):
        wish.parse(["CALICO_IP=auto", f"CALICO_PROFILE={value}"])


def test_an_empty_list_of_profiles_is_none():
    assert wish.parse(["CALICO_IP=auto", "CALICO_PROFILE="]) == Wish((AnyAddress.IPV4,))
