"""The test house itself: hosts come up, are apart from the machine, and leave nothing."""

import pytest

from tests.support import leftovers, probes
from tests.support.command import wait_until
from tests.support.lab import Lab

pytestmark = pytest.mark.system


@pytest.fixture(scope="module")
def lab():
    with Lab(3) as lab:
        yield lab


def test_hosts_reach_each_other_in_both_families(lab):
    first, _, third = lab.hosts
    for address in (third.ip, third.ip6):
        probes.answers(first, probes.HOST_ITSELF, address)


def test_no_host_has_a_way_out(lab):
    for host in lab.hosts:
        assert host.run("ip route show default; ip -6 route show default").out == ""


def test_each_host_has_its_own_name_and_links(lab):
    for host in lab.hosts:
        assert host.run("hostname").out.strip() == host.name
        links = host.run("ls /sys/class/net").out.split()
        assert {"lo", "eth0", "docker0"} <= set(links)


def test_docker_runs_a_container_and_filters_as_on_a_stock_host(lab):
    host = lab.hosts[0]
    host.docker("run", "--detach", "--name", "web", "busybox", "sleep", "infinity")
    probes.serve(host, "web", 80)
    address = host.docker("inspect", "-f", "{{.NetworkSettings.IPAddress}}", "web").out.strip()
    wait_until(lambda: probes.reachable(host, probes.HOST_ITSELF, address, 80), 5, "it answers")
    assert not probes.reachable(host, probes.HOST_ITSELF, address, 81)
    assert "-P FORWARD DROP" in host.run("iptables -S FORWARD").out
    host.docker("rm", "--force", "web")


def test_one_host_does_not_see_the_images_another_removed(lab):
    first, second, _ = lab.hosts
    first.docker("rmi", "--force", "busybox:latest")
    second.docker("run", "--rm", "busybox", "true")


def test_a_power_cut_ends_what_is_frozen_too_and_keeps_the_disk(lab):
    host = lab.hosts[2]
    host.docker("run", "--detach", "--name", "frozen", "busybox", "sleep", "1d")
    host.docker("pause", "frozen")
    host.docker("create", "--name", "kept", "busybox", "true")
    host.run("touch /var/lib/calico/kept")
    host.power_cycle()
    assert "kept" in host.docker("ps", "--all", "--format", "{{.Names}}").out
    host.run("test -e /var/lib/calico/kept")
    probes.answers(lab.hosts[0], probes.HOST_ITSELF, host.ip)


def test_a_pulled_cable_cuts_the_host_off(lab):
    first, second, _ = lab.hosts
    second.cable("down")
    assert not probes.pings(first, probes.HOST_ITSELF, second.ip)
    second.cable("up")
    probes.answers(first, probes.HOST_ITSELF, second.ip)


def test_a_fresh_host_has_nothing_of_ours(lab):
    assert leftovers.on_host(lab.hosts[1]) == []


def test_a_lab_leaves_nothing_on_the_machine():
    with Lab(1, docker=False) as lab:
        lab.hosts[0].run("true")
    assert lab.remains() == []
