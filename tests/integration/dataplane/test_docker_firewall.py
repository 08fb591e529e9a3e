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
