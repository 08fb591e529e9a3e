"""After a cleanup the kernel holds nothing of ours, and what is others' stays."""

import pytest

from calico_ctl.daemons import cleanup
from calico_ctl.dataplane import docker_firewall
from calico_ctl.dataplane.network import KernelNetwork
from calico_ctl.policy import desired, diff
from calico_ctl.policy.operations import script
from calico_ctl.policy.ruleset import Names
from tests.support import nft
from tests.support.machine import Machine
from tests.support.netns import private_netns


@pytest.mark.parametrize("again", [False, True])
def test_everything_of_ours_goes_and_the_rest_stays(again: bool) -> None:
    machine = Machine(network=KernelNetwork())  # type: ignore[arg-type]
    with private_netns() as host, host.entered():
        host.run(["ip", "link", "add", "cali1", "type", "veth", "peer", "name", "other"])
        host.run(["ip", "link", "set", "other", "up"])
        host.run(["ip", "addr", "add", "10.0.0.1/24", "dev", "other"])
        for protocol, target in (("80", "192.168.1.1"), ("12", "192.168.1.2"), ("4", "10.9.9.9")):
            host.run(["ip", "route", "add", target, "dev", "lo", "proto", protocol])
        host.run(["iptables-nft", "-N", "DOCKER-USER"])
        docker_firewall.ensure()
        nft.apply(script(diff.rebuild(Names(), desired.empty())))

        cleanup.run(machine)
        if again:
            cleanup.run(machine)

        assert host.run(["nft", "list", "tables", "inet"]).out == ""
        assert "cali" not in host.run(["ip", "link"]).out
        assert "cali" not in host.run(["iptables-nft", "-S"]).out
        assert host.run(["ip", "route"]).out.split()[0] == "10.9.9.9"
        assert len(host.run(["ip", "route"]).out.splitlines()) == 1
