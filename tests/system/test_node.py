"""Starting and stopping a node on a real host."""

import json
import time
from collections.abc import Iterator

import pytest

from tests.support import cluster as calico
from tests.support import leftovers
from tests.support.cluster import Cluster
from tests.support.etcd import Etcd
from tests.support.host import Host
from tests.support.lab import Lab

pytestmark = pytest.mark.system


@pytest.fixture
def host(lab1: Lab) -> Iterator[Host]:
    (host,) = lab1.hosts
    yield host
    host.docker("rm", "-f", "web", check=False)
    host.calicoctl("node", "stop", "--force", check=False)
    host.run("rm -rf /var/lib/calico/etcd")
    assert leftovers.on_host(host) == []


def start(host: Host, *options: str) -> str:
    return host.calicoctl("node", f"--ip={host.ip}", "--with-etcd", *options).out


def keys(host: Host) -> dict[str, str]:
    return Cluster([host]).leaves("/calico")


def container_id(host: Host) -> str:
    return host.docker("inspect", "-f", "{{.Id}} {{.State.StartedAt}}", "calico-node").out


def test_a_first_start_writes_the_cluster_and_the_host(host: Host) -> None:
    host.run("sysctl -qw net.ipv4.ip_forward=0 net.ipv6.conf.all.forwarding=0")
    said = start(host, f"--ip6={host.ip6}", "--as=1.10")
    assert said == f"calico-node is running (host1: {host.ip}, {host.ip6}, AS 65546)\n"
    stored = keys(host)
    assert stored["/calico/host/host1/bird_ip"] == str(host.ip)
    assert stored["/calico/host/host1/bird6_ip"] == str(host.ip6)
    assert stored["/calico/bgp/v1/host/host1/ip_addr_v4"] == str(host.ip)
    assert stored["/calico/bgp/v1/host/host1/as_num"] == "65546"
    assert stored["/calico/bgp/v1/global/as_num"] == "64511"
    assert json.loads(stored["/calico/bgp/v1/global/node_mesh"]) == {"enabled": True}
    assert json.loads(stored["/calico/ipam/v4/pool/192.168.0.0-16"]) == {"cidr": "192.168.0.0/16"}
    assert "/calico/ipam/v6/pool/fd80:24e2:f998:72d6::-64" in stored
    assert stored["/calico/config/InterfacePrefix"] == "cali"
    assert stored["/calico/host/host1/config/DefaultEndpointToHostAction"] == "RETURN"
    assert stored["/calico/host/host1/config/marker"] == "created"
    assert stored["/calico/Ready"] == "true"
    assert not any(key.startswith("/calico/v1") for key in stored)
    forwarding = host.run("sysctl -n net.ipv4.ip_forward net.ipv6.conf.all.forwarding").out
    assert forwarding.split() == ["1", "1"]


def test_the_container_is_not_privileged_and_comes_back(host: Host) -> None:
    start(host)
    config = json.loads(host.docker("inspect", "calico-node").out)[0]["HostConfig"]
    assert config["Privileged"] is False
    assert set(config["CapAdd"]) == {"NET_ADMIN", "NET_RAW", "SYS_ADMIN", "SYS_PTRACE"}
    assert config["RestartPolicy"]["Name"] == "always"
    services = ["bird", "docker-proxy", "felix", "lifecycle", "metrics", "routing"]
    assert host.run("ls /var/log/calico").out.split() == services


def test_the_same_arguments_change_nothing_and_others_are_kept(host: Host) -> None:
    start(host, f"--ip6={host.ip6}", "--as=65001")
    before = container_id(host)
    said = host.calicoctl("node").out
    assert "nothing changed" in said
    assert str(host.ip6) in said
    assert "AS 65001" in said
    assert container_id(host) == before
    assert "new settings" in start(host, "--ip6=fd99::77")
    assert keys(host)["/calico/host/host1/bird6_ip"] == "fd99::77"


def test_metrics_are_where_they_are_wanted_until_they_are_off(host: Host) -> None:
    start(host, "--metrics=127.0.0.1:9092")
    probe = ["curl", "-s", "http://127.0.0.1:9092/healthz"]
    calico.eventually(
        "all services measure", lambda: host.run(probe, check=False).out == "ok\n", timeout=60
    )
    assert "nothing changed" in host.calicoctl("node").out
    start(host, "--metrics=off")
    assert "metrics service: off" in host.calicoctl("status", check=False).out
    assert host.run(probe, check=False).code != 0


def test_an_address_that_is_not_given_is_found_and_said(host: Host) -> None:
    started = host.calicoctl("node", "--with-etcd")
    assert f"using {host.ip}, the address of eth0" in started.err
    assert keys(host)["/calico/host/host1/bird_ip"] == str(host.ip)


def test_an_address_that_is_not_this_hosts_is_warned_of(host: Host) -> None:
    start(host)
    started = host.calicoctl("node", "--ip=10.99.0.77")
    assert "10.99.0.77 is not an address of this machine" in started.err


@pytest.mark.parametrize(
    "option",
    [
        "--ip=10.99.0",
        "--ip=fd99::1",
        "--ip=224.0.0.1",
        "--ip=",
        "--ip6=10.99.0.1",
        "--as=0",
        "--as=x",
        "--detach=maybe",
        "--log-dir=relative",
        "--docker-proxy=localhost:2377",
    ],
)
def test_bad_options_start_nothing(host: Host, option: str) -> None:
    refused = host.calicoctl("node", option, check=False)
    assert refused.code == 1
    assert "invalid" in refused.err
    assert "Traceback" not in refused.err
    assert leftovers.on_host(host) == []


def test_stop_refuses_while_containers_are_networked_and_forced_leaves_nothing(host: Host) -> None:
    host.docker("run", "-d", "--name", "web", "busybox", "sleep", "1d")
    with Etcd(host) as etcd:
        settings = {"ETCD_AUTHORITY": etcd.authority}
        host.calicoctl("node", f"--ip={host.ip}", env=settings)
        host.calicoctl("container", "add", "web", "192.168.1.5", env=settings)
        refused = host.calicoctl("node", "stop", env=settings, check=False)
        assert refused.code == 1
        assert "--force" in refused.err
        assert host.run("ip route get 192.168.1.5").out.startswith("192.168.1.5 dev cali")
        host.calicoctl("node", "stop", "--force", env=settings)
        left = etcd.keys("/calico")
    assert leftovers.on_host(host) == []
    assert not [key for key in left if "host1" in key]
    assert not any("/assignment/" in key for key in left)


def test_a_forced_stop_cleans_this_host_even_without_etcd(host: Host) -> None:
    start(host)
    host.docker("run", "-d", "--name", "web", "busybox", "sleep", "1d")
    host.calicoctl("container", "add", "web", "192.168.1.5")
    host.docker("rm", "-f", "calico-etcd")
    stopped = host.calicoctl("node", "stop", "--force", check=False)
    assert stopped.code == 1
    assert "127.0.0.1:4001" in stopped.err
    assert leftovers.on_host(host) == []


def test_stopping_what_does_not_run_is_no_error(host: Host) -> None:
    start(host)
    host.calicoctl("node", "stop")
    assert leftovers.on_host(host) == []


def test_the_agent_refuses_an_empty_store_and_keeps_the_rules(host: Host) -> None:
    start(host)
    cluster = Cluster([host])
    host.docker("run", "-d", "--name", "web", "busybox", "sleep", "1d")
    host.calicoctl("container", "add", "web", "192.168.1.5")
    cluster.curl("-X DELETE 'KEYS/calico?recursive=true'")
    log = "/var/log/calico/felix/current"
    calico.eventually(
        "the agent says so", lambda: "the last state stays" in host.run(f"cat {log}").out
    )
    assert host.run("ip route get 192.168.1.5").out.startswith("192.168.1.5 dev cali")
    host.docker("rm", "-f", "web")


@pytest.mark.parametrize(
    "line",
    [
        "node",
        "node stop",
        "container add idle 192.168.1.5",
        "container remove idle",
        "container idle profile append web",
        "container idle endpoint show",
        "profile show",
        "profile add web",
        "profile remove web",
        "profile web tag add x",
        "profile web rule show",
        "profile web rule add inbound allow",
        "pool show",
        "pool add 10.0.0.0/24",
        "pool remove 10.0.0.0/24",
        "endpoint show",
        "endpoint 00 profile set web",
    ],
)
@pytest.mark.parametrize("authority", ["127.0.0.1:1", "10.99.0.250:4001"])
def test_without_etcd_every_command_ends_soon_and_says_where_it_looked(
    lab1: Lab, line: str, authority: str
) -> None:
    (host,) = lab1.hosts
    if not host.docker("ps", "-q", "--filter", "name=^idle$").out:
        host.docker("run", "-d", "--name", "idle", "busybox", "sleep", "1d")
    began = time.monotonic()
    refused = host.calicoctl(*line.split(), env={"ETCD_AUTHORITY": authority}, check=False)
    assert time.monotonic() - began < 10
    assert refused.code == 1
    assert authority in refused.err
    assert "ETCD_AUTHORITY" in refused.err
    assert "Traceback" not in refused.err
    assert leftovers.links(host) == []
