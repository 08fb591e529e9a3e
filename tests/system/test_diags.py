"""diags on a real node: what the bundle holds, and that another host can download it once.

And both pages on finding faults, word for word.
"""

import sys
from pathlib import Path

import pytest

from tests.support import cluster as calico
from tests.support import command, document, folders, probes
from tests.support.bundle import contents
from tests.support.cluster import ETCD, Cluster
from tests.support.host import Host
from tests.support.lab import Lab
from tests.support.paths import CHECKOUT

pytestmark = pytest.mark.system

SECRET = "planted-7f3a-token"
HOW_TO = CHECKOUT / "docs/how-to"
WHY = HOW_TO / "why-is-my-traffic-dropped.md"
PATIENCE = 60

FALSE_ADDRESS, OTHERS_TABLE = "192.168.1.77", "inet firewall"
SEND = """
import socket
for kind, source, *there in (
    (socket.SOCK_STREAM, "192.168.1.2", "192.168.1.1", 81),
    (socket.SOCK_DGRAM, "192.168.1.2", "192.168.1.1", 53),
    (socket.SOCK_DGRAM, "192.168.1.77", "192.168.1.1", 53),
    (socket.SOCK_STREAM, "192.168.1.2", "192.0.2.7", 80),
):
    sender = socket.socket(socket.AF_INET, kind)
    sender.setblocking(False)
    sender.bind((source, 0))
    sender.connect_ex(tuple(there))
    kind == socket.SOCK_DGRAM and sender.send(b"?")
"""
"""Sends what the page shows to be dropped."""

FETCH = "curl --silent --show-error --max-time 60 --fail --output {} {}"


@pytest.fixture(scope="module")
def cluster(lab2: Lab) -> Cluster:
    """Two nodes, and a container with a secret on the first."""
    cluster = calico.start(lab2)
    cluster.run(cluster.hosts[0], "web", "--env=CALICO_NOTE=seen", f"--env=TOKEN={SECRET}")
    cluster.calicoctl(cluster.hosts[0], "container add web 192.168.1.1")
    cluster.calicoctl(cluster.hosts[0], "profile add web")
    cluster.calicoctl(cluster.hosts[0], "container web profile append web")
    return cluster


@pytest.fixture(scope="module")
def homes(cluster: Cluster) -> None:
    """Files that pages tell to write stay in the host, which has settings of its own."""
    for host in cluster.hosts:
        # a new network namespace begins with the machine's
        host.run("sysctl -qw net.ipv4.conf.all.rp_filter=0")
        for folder in ("/root", "/tmp"):
            folders.keep_apart(host, folder)


@pytest.fixture
def client(cluster: Cluster) -> list[str]:
    """The container client beside web, which denies port 81; the words to enter its network."""
    one = cluster.hosts[0]
    cluster.run(one, "client")
    cluster.calicoctl(one, "container add client 192.168.1.2")
    cluster.calicoctl(one, "profile add client")
    cluster.calicoctl(one, "container client profile append client")
    cluster.calicoctl(one, "profile web rule add inbound deny tcp to ports 81")
    return probes.inside(one, "client")


def diags(host: Host, *options: str) -> str:
    """Collect; return what was printed."""
    words = ["diags", "--output-dir=/var/lib/calico", *options]
    return host.calicoctl(*words, env={"ETCD_AUTHORITY": ETCD}, timeout=170).out


def test_another_host_downloads_what_there_is_to_know_and_nobody_after_it(cluster: Cluster):
    one, other = cluster.hosts
    printed = diags(one).splitlines()
    url = printed[-1].removeprefix("URL: ")
    assert url.startswith(f"http://{one.ip}:")
    root = Path(f"/proc/{other.pid}/root/run/bundle.tar.gz")
    other.run(FETCH.format("/run/bundle.tar.gz", url))
    port = url.split(":")[2].split("/")[0]
    listening = f"ss --no-header --listening --tcp --numeric 'sport = :{port}'"
    calico.eventually("nobody listens", lambda: one.run(listening, quiet=True).out == "")
    assert other.run(FETCH.format("/dev/null", url), check=False).code == 7

    texts = contents(root)
    assert {path for path, text in texts.items() if text.startswith("not collected")} <= {
        *("system/modules", "docker/daemon.json"),
        # What the lab's machine has no program for.
        *("network/tunnel-forwarding", "network/conntrack-statistics"),
    }
    assert "table inet calico" in texts["firewall/nftables"]
    assert "counter packets" in texts["firewall/nftables"]
    assert "DOCKER-USER" in texts["firewall/iptables"]
    assert "192.168.1.1" in texts["network/routes-ipv4"]
    assert "run: /run/calico/service/felix:" in texts["node/services"]
    assert "router id" in texts["node/bird.conf"]
    # Which sessions and routes there are by now is another matter.
    assert "Device" in texts["node/bird-protocols"]
    assert texts["node/bird-routes"].startswith("BIRD 2.")
    assert '"reachable": true' in texts["agent/state"]
    assert "/calico/policy/profile/web/rules" in texts["etcd/calico"]
    assert "docker: ok" in texts["checks"]
    assert "etcd: ok" in texts["checks"]
    assert any(path.startswith("logs/felix/") and text for path, text in texts.items())
    assert "CALICO_NOTE=seen" in texts["docker/inspect/web"]
    assert [path for path, text in texts.items() if SECRET in text] == []


def test_with_an_etcd_that_hangs_the_rest_is_collected(cluster: Cluster):
    one = cluster.hosts[0]
    one.run("docker pause calico-etcd")
    try:
        printed = diags(one, "--no-serve")
    finally:
        one.run("docker unpause calico-etcd")
    path = printed.splitlines()[-1].split()[1]
    texts = contents(Path(f"/proc/{one.pid}/root{path}"))
    assert texts["etcd/calico"].startswith("not collected: cannot reach etcd")
    assert '"table": {' in texts["agent/state"]
    assert "etcd: failed" in texts["checks"]


def test_the_page_on_collecting_is_right_word_for_word(cluster: Cluster, homes: None):
    hosts = {host.name: host for host in cluster.hosts}
    assert document.play(HOW_TO / "collect-diagnostics.md", hosts) == 9


def test_the_page_on_dropped_traffic_is_right_word_for_word(
    cluster: Cluster, homes: None, client: list[str]
):
    (one, _) = cluster.hosts
    assert document.play(WHY, {one.name: one}) == 6
    (block,) = [each for each in document.blocks(WHY.read_text()) if not each.is_run]
    first, *shown = block.text.splitlines()
    assert len(shown) == 4
    log = one.directory / "drops.log"
    one.run([*client, "ip", "address", "add", f"{FALSE_ADDRESS}/32", "dev", "eth1"])
    one.run("ip route add 192.0.2.7 dev eth0")
    chain = "chain forward { type filter hook forward priority 10; ip daddr 192.0.2.7 drop; }"
    one.run(["nft", "-f", "-"], stdin=f"table {OTHERS_TABLE} {{\n{chain}\n}}\n")
    typed = first.removeprefix("host1$ sudo ")
    script = f"echo $$ >{log}.pid; exec {typed}"
    running = one.spawn(["sh", "-c", script], log.name)

    def are_told() -> bool:
        one.run([*client, sys.executable, "-I", "-S", "-c", SEND], quiet=True)
        told = log.read_text().splitlines()
        return all(any(document.matches(line, each) for each in told) for line in shown)

    try:
        command.wait_until(are_told, PATIENCE, f"{shown} are told", every=0.3)
    finally:
        print(log.read_text())
    one.run(f"kill -INT $(cat {log}.pid)")
    assert running.wait(PATIENCE) == 130
