"""`drops` and `explain` tell what is dropped, and why, and leave nothing in the kernel."""

import re
import sys

from tests.support import command
from tests.support.cluster import ETCD, Cluster
from tests.support.drop_watch import CLIENT, DENIED, WEB, watch, watchers
from tests.support.host import Host
from tests.support.terminal import CTRL_C
from tests.support.told import reported

PATIENCE = 60


def test_a_denied_packet_is_told_with_container_profile_and_rule(well, host, client):
    before = repairs(well, host)
    watching = watch(host, "drops")
    drop = watching.drop(client)
    endpoint = well.endpoint_key(host, drop["workload"]).rpartition("/")[2]
    assert (drop["container"], drop["endpoint"], drop["hostname"]) == ("web", endpoint, host.name)
    assert (drop["direction"], drop["source"], drop["destination"]) == ("inbound", CLIENT, WEB)
    assert (drop["why"], drop["profile"], drop["position"]) == ("rule", "web", 2)
    assert drop["reason"] == DENIED
    assert watching.kill("INT") == 130
    assert repairs(well, host) == before


def repairs(cluster: Cluster, host: Host) -> object:
    """How often the agent had to mend something."""
    return reported(cluster, host)["repairs"]


FLOOD = """
import socket
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
    for number in range(5000):
        sender.sendto(b"?", ("192.168.1.1", 82))
"""


def test_on_a_terminal_ctrl_c_ends_it_and_what_was_too_much_is_said(well, host, client):
    flood = [*client, sys.executable, "-I", "-S", "-c", FLOOD]
    follow = ["calicoctl", "drops", "web", "--follow"]
    with host.on_terminal(follow, {"ETCD_AUTHORITY": ETCD, "NO_COLOR": "1"}) as person:
        command.wait_until(lambda: watchers(host), PATIENCE, "packets are traced")

        def is_warned_of() -> bool:
            host.run(flood, quiet=True)
            return bool(person.sees(b" there are too many packets; some of them are not"))

        command.wait_until(is_warned_of, PATIENCE, "it warns")
        person.type(CTRL_C)
        assert person.wait() == 130
    lines = person.seen.decode().splitlines()
    told = [
        line for line in lines if re.search(rf" web inbound udp {CLIENT}:\d+ -> {WEB}:82: ", line)
    ]
    assert len(told) >= 100
    assert re.search(r"warning: \d+ packets were not looked at: there were too many$", lines[-1])
    assert watchers(host) == []


def test_who_was_killed_leaves_no_table(well, host):
    assert watch(host, "killed").kill("KILL") != 0
    assert watchers(host) == []


def test_one_container_can_be_looked_at_for_a_while(well, host):
    shown = well.calicoctl(host, "drops web --for=1s")
    assert "in 1 s" in shown.err
    assert all(" web " in line for line in shown.out.splitlines())


def test_explain_says_what_the_kernel_does(well, host):
    denied = well.calicoctl(host, "explain client web tcp 81", check=False)
    assert denied.code == 1
    assert DENIED in denied.out
    assert well.calicoctl(host, "explain client web tcp 80").out.startswith("allowed: ")
