"""Elements of sets as the kernel holds them, and what is made of its listings."""

import errno

import pytest

from calico_ctl.dataplane import nfnetlink
from calico_ctl.dataplane.netlink import NETFILTER, KernelRefused, Netlink
from calico_ctl.policy.ruleset import Chain


@pytest.mark.parametrize(
    ("kind", "element", "encoded"),
    [
        ("ipv4_addr", "10.65.0.1", "0a410001"),
        ("ipv6_addr", "fd80::1", "fd80" + "00" * 13 + "01"),
        ("ifname", '"cali1"', b"cali1".hex() + "00" * 11),
        (
            "ifname . ether_addr . ipv4_addr",
            '"cali1" . 02:00:00:00:00:01 . 10.65.0.1',
            b"cali1".hex() + "00" * 11 + "0200000000010000" + "0a410001",
        ),
        ("ifname . ipv4_addr", '"c" . 0.0.0.1', b"c".hex() + "00" * 15 + "00000001"),
    ],
)
def test_an_element_is_written_part_by_part_each_filled_up_to_four_bytes(kind, element, encoded):
    assert nfnetlink.encode(kind, element).hex() == encoded


def test_families_are_named_as_nft_does():
    assert nfnetlink.family_name(1) == "inet"
    assert nfnetlink.family_name(10) == "ip6"
    assert nfnetlink.family_name(99) == "99"


def test_rules_that_change_while_they_are_listed_are_not_taken_for_those_wanted(monkeypatch):
    def interrupted(what, _kind, _body):
        yield []
        raise KernelRefused(what, errno.EINTR)

    with Netlink(NETFILTER) as kernel:
        monkeypatch.setattr(kernel, "parts", interrupted)
        assert nfnetlink.chains_as(kernel, {"pi-x": Chain(())}) == frozenset()
