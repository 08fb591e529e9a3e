"""The accept rules next to Docker's own filter, in the real kernel."""

from collections.abc import Iterator

import pytest

from calico_ctl.dataplane import docker_firewall
from tests.support.netns import NetNs, private_netns


@pytest.fixture
def host() -> Iterator[NetNs]:
    with private_netns() as namespace, namespace.entered():
        yield namespace


def test_accept_rules_stand_first_in_docker_user_and_go_again(host):
    host.run(["iptables-nft", "-N", "DOCKER-USER"])
    host.run(["iptables-nft", "-A", "DOCKER-USER", "-j", "RETURN"])
    assert docker_firewall.ensure() == 1
    assert docker_firewall.ensure() == 0
    listed = host.run(["iptables-nft", "-S", "DOCKER-USER"]).out.splitlines()
    assert ["cali+" in line for line in listed] == [False, True, True, False]
    host.run(["iptables-nft", "-I", "DOCKER-USER", "-j", "DROP"])
    assert docker_firewall.ensure() == 1
    docker_firewall.remove()
    assert "cali" not in host.run(["iptables-nft", "-S"]).out


def test_without_docker_user_a_dropping_forward_chain_gets_them(host):
    assert docker_firewall.ensure() == 0
    host.run(["ip6tables-nft", "-P", "FORWARD", "DROP"])
    assert docker_firewall.ensure() == 1
    assert "cali+" in host.run(["ip6tables-nft", "-S", "FORWARD"]).out


def test_rules_that_somebody_pushed_down_are_first_again_and_not_there_twice(host):
    host.run(["iptables-nft", "-N", "DOCKER-USER"])
    docker_firewall.ensure()
    host.run(["iptables-nft", "-I", "DOCKER-USER", "-s", "10.1.1.1", "-j", "DROP"])
    assert docker_firewall.ensure() == 1
    listed = host.run(["iptables-nft", "-S", "DOCKER-USER"]).out.splitlines()
    assert ["cali+" in line for line in listed] == [False, True, True, False]


def test_both_families_are_mended_and_the_rules_of_others_stay(host):
    for tool in ("iptables-nft", "ip6tables-nft"):
        host.run([tool, "-N", "DOCKER-USER"])
        host.run([tool, "-A", "DOCKER-USER", "-i", "eth9", "-j", "DROP"])
    assert docker_firewall.ensure() == 2
    docker_firewall.remove()
    docker_firewall.remove()
    for tool in ("iptables-nft", "ip6tables-nft"):
        listed = host.run([tool, "-S", "DOCKER-USER"]).out.splitlines()
        assert listed == ["-N DOCKER-USER", "-A DOCKER-USER -i eth9 -j DROP"]


def test_only_what_our_table_has_marked_is_accepted(host):
    host.run(["iptables-nft", "-N", "DOCKER-USER"])
    docker_firewall.ensure()
    rules = host.run(["iptables-nft", "-S", "DOCKER-USER"]).out.splitlines()[1:]
    assert [("--mark" in rule, rule.endswith("-j ACCEPT")) for rule in rules] == [(True, True)] * 2


def test_rules_in_the_forward_chain_go_too(host):
    host.run(["iptables-nft", "-P", "FORWARD", "DROP"])
    assert docker_firewall.ensure() == 1
    docker_firewall.remove()
    assert host.run(["iptables-nft", "-S", "FORWARD"]).out.split() == ["-P", "FORWARD", "DROP"]
