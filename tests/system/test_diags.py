"""diags on a real node: what the bundle holds, and that another host can download it once.

And both pages on finding faults, word for word.
"""

import re
import sys
from base64 import b64encode
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import pytest

from tests.support import cluster as calico
from tests.support import command, document, folders, planted, probes, receiver
from tests.support.bundle import contents
from tests.support.cluster import ETCD, Cluster
from tests.support.command import Result
from tests.support.host import Host
from tests.support.lab import Lab
from tests.support.paths import CHECKOUT

pytestmark = pytest.mark.system

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
STATUS = (
    "curl --silent --max-time 60 --path-as-is --output /dev/null --write-out '%{{http_code}}' {}"
)

COLLECTED = {
    "system/versions": r"(?s)calicoctl \S+\nPython 3\.\d.*nftables v.*iproute2.*Docker version ",
    "system/kernel": r"Linux host1 ",
    "system/modules": r"nf_|not collected",
    "network/links": r"cali[0-9a-f]+@",
    "network/addresses": r"inet 10\.99\.0\.1/24 ",
    "network/routes-ipv4": r"(?s)"
    r"(?=.*198\.51\.100\.0/24 dev eth0 table 77 )(?=.*192\.168\.1\.1 dev cali)(?=.*table local )",
    "network/routes-ipv6": r"fd99::1 dev eth0 table local ",
    "network/rules-ipv4": r"lookup main",
    "network/neighbours": r"10\.99\.0\.2 dev eth0 lladdr 02:63:63:63:00:02 ",
    "network/settings": r"(?m)^net\.ipv4\.ip_forward = 1$",
    "network/sockets": r":2377 ",
    "network/conntrack-counts": r"nf_conntrack_count: \d+\nnf_conntrack_max: \d+\n",
    "firewall/nftables": r"table inet calico \{(?s:.*)counter packets \d",
    "firewall/iptables": r"\[\d+:\d+\](?s:.*)-A FORWARD .*-j DOCKER-USER\n",
    "firewall/ip6tables": r"\[\d+:\d+\] -A FORWARD -s 2001:db8::/32 -j DROP\n",
    "docker/version": r'"Version": "\d+',
    "docker/info": r'"ServerVersion": "\d+',
    "docker/containers": r'"/calico-node"(?s:.*)"/web"|"/web"(?s:.*)"/calico-node"',
    "docker/inspect/calico-etcd": r'"Running": true',
    "docker/inspect/calico-node": r'"Running": true',
    "docker/inspect/web": r"CALICO_NOTE=seen",
    "node/services": r"(?s:.*)".join(
        f"run: /run/calico/service/{name}: "
        for name in ("bird", "docker-proxy", "felix", "lifecycle", "metrics", "routing")
    ),
    "node/output": r"",
    "node/versions": r"BIRD version 2\.(?s:.*)nftables v",
    "node/bird.conf": r"router id 10\.99\.0\.1;",
    "node/bird-status": r"Router ID is 10\.99\.0\.1\n",
    "node/bird-protocols": r"(?m)^\S+ +BGP +\S+ +up .* Established",
    "node/bird-routes": r"BIRD 2\.(?s:.*)\b192\.168\.",
    "agent/state": r'"reachable": true(?s:.*)"table": \{|"table": \{(?s:.*)"reachable": true',
    "etcd/servers": r"10\.99\.0\.1:2379: version 3\.",
    "etcd/calico": r"/calico/policy/profile/web/rules \(revision \d+\): \{",
    "checks": r"docker: ok(?s:.*)etcd: ok",
    **{
        f"logs/{name}/current": r"\d{4}-\d\d-\d\d.\d\d:\d\d:\d\d"
        for name in ("bird", "docker-proxy", "felix", "metrics", "routing")
    },
    # Nothing was to be decided there.
    "logs/lifecycle/current": r"",
}
"""What each file of a bundle has of a host that is well; the files are those that are promised."""

UPLOAD = "diags --output-dir=/var/lib/calico --upload=http://joe:planted-upload@10.99.0.2:{}"


@pytest.fixture(scope="module")
def homes(lab2: Lab) -> None:
    """Files that pages tell to write stay in the host, which has settings of its own."""
    for host in lab2.hosts:
        # a new network namespace begins with the machine's
        host.run("sysctl -qw net.ipv4.conf.all.rp_filter=0")
        for folder in ("/root", "/tmp"):
            folders.keep_apart(host, folder)


@pytest.fixture(scope="module")
def cluster(lab2: Lab, homes: None) -> Cluster:
    """Two nodes; the first has a container, and secrets in every place."""
    one = lab2.hosts[0]
    planted.before_the_node(one)
    cluster = calico.start(lab2)
    planted.run_web(one)
    cluster.calicoctl(one, "container add web 192.168.1.1")
    cluster.calicoctl(one, "profile add web")
    cluster.calicoctl(one, "container web profile append web")
    return cluster


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


@pytest.fixture
def secretive(cluster: Cluster) -> Iterator[Host]:
    """The first host, while etcd and logs have secrets too, and keys that nobody can use."""
    one = cluster.hosts[0]
    planted.in_the_cluster(cluster, one)
    yield one
    planted.repair(cluster, one)


def diags(host: Host, *options: str, **variables: str) -> Result:
    """Collect."""
    words = ["diags", "--output-dir=/var/lib/calico", *options]
    return host.calicoctl(*words, env={"ETCD_AUTHORITY": ETCD} | variables, timeout=170)


def url_in(result: Result) -> str:
    """Return where it can be downloaded."""
    return result.out.splitlines()[-1].removeprefix("URL: ")


def file_in(host: Host, result: Result) -> Path:
    """Return the file that was written, as the machine sees it."""
    (line,) = [each for each in result.out.splitlines() if each.startswith("file: ")]
    return Path(f"/proc/{host.pid}/root{line.split()[1]}")


def nobody_listens(host: Host, url: str) -> None:
    """Wait until the process that offered a file is gone."""
    port = url.split(":")[2].partition("/")[0]
    listening = f"ss --no-header --listening --tcp --numeric 'sport = :{port}'"
    calico.eventually("nobody listens", lambda: host.run(listening, quiet=True).out == "")


def test_another_host_downloads_what_there_is_to_know_and_nobody_after_it(cluster: Cluster):
    one, other = cluster.hosts
    one.run("ip route add 198.51.100.0/24 dev eth0 table 77")
    one.run("ip6tables -A FORWARD -s 2001:db8::/32 -j DROP")
    sessions = "docker exec calico-node birdc -r -s /run/calico/bird.ctl show protocols"
    command.wait_until(
        lambda: "Established" in one.run(sessions, quiet=True).out, PATIENCE, "they have met"
    )
    # As `ssh -t host1 calicoctl diags` has it: the terminal ends with the command.
    collect = ["calicoctl", "diags", "--output-dir=/var/lib/calico"]
    with one.on_terminal(collect, {"ETCD_AUTHORITY": ETCD}) as person:
        assert person.wait() == 0
    (url,) = re.findall(r"(?m)^URL: (\S+)", person.seen.decode())
    assert url.startswith(f"http://{one.ip}:")
    server, _, path = url.removeprefix("http://").partition("/")
    secret, _, name = path.partition("/")
    for wrong in (
        *("", name, f"{secret}/", f"{secret[:-1]}/{name}", f"{path}/", f"{path}?x"),
        *("../../etc/shadow", f"{secret}/../../../etc/shadow", f"{secret}/%2e%2e/etc/shadow"),
    ):
        assert other.run(STATUS.format(f"'http://{server}/{wrong}'"), quiet=True).out == "404"
    assert other.run(STATUS.format(f"--data x {url}"), quiet=True).out == "501"
    root = Path(f"/proc/{other.pid}/root/run/bundle.tar.gz")
    other.run(FETCH.format("/run/bundle.tar.gz", url))
    nobody_listens(one, url)
    assert other.run(FETCH.format("/dev/null", url), check=False).code == 7

    texts = contents(root)
    assert {path for path, text in texts.items() if text.startswith("not collected")} <= {
        *("system/modules",),
        # What the lab's machine has no program for.
        *("network/tunnel-forwarding", "network/conntrack-statistics"),
    }
    lacking = {path for path, text in COLLECTED.items() if not re.search(text, texts[path])}
    assert {path: texts[path] for path in lacking} == {}


def test_no_secret_of_a_host_is_in_the_bundle(cluster: Cluster, secretive: Host):
    there = planted.everything(cluster, secretive)
    assert {
        name for name, secret in planted.SECRETS.items() if not planted.is_in(secret, there)
    } == set()
    assert planted.LOGIN in there
    heard = f"/var/log/calico/felix/current of {planted.SECRETS['level']}"

    command.wait_until(lambda: planted.SECRETS["level"] in agent_log(secretive), PATIENCE, heard)
    result = diags(secretive, "--no-serve", **planted.variables())
    texts = contents(file_in(secretive, result)) | {"stdout": result.out, "stderr": result.err}
    assert planted.given_away(texts) == set()
    # What is none is there: a bundle with nothing in it would pass too.
    assert "INFO what is no secret stays" in texts["logs/planted/current"]
    assert '"as_num": "64999"' in texts["etcd/calico"]
    assert "neighbor 10.99.0.200" in texts["node/bird.conf"]
    assert "/calico/policy/profile/planted/rules" in texts["agent/state"]
    assert "127.0.0.1:9" in texts["docker/info"]
    assert "db.password" in texts["docker/inspect/web"]


def test_it_is_sent_to_a_server_or_kept_and_expires(cluster: Cluster):
    one, other = cluster.hosts
    serve = [sys.executable, "-I", "-S", receiver.__file__, other.ip, "8099", "/run/received"]
    server = other.spawn(serve, "receiver.log")
    listening = "ss --no-header --listening --tcp --numeric 'sport = :8099'"
    command.wait_until(lambda: other.run(listening, quiet=True).out, PATIENCE, "it listens")
    lines = (
        UPLOAD.format("8099/incoming/"),
        UPLOAD.format("8099/broken/"),
        UPLOAD.format("1/incoming/"),
        "diags --output-dir=/var/lib/calico --expires=1s",
    )
    try:
        with ThreadPoolExecutor() as pool:
            run = partial(cluster.calicoctl, one, check=False)
            sent, broken, nobody, expired = pool.map(run, lines)
    finally:
        command.stop(server)
    assert [each.code for each in (sent, broken, nobody, expired)] == [0, 1, 1, 0]
    kept = file_in(one, sent)
    login = b64encode(b"joe:planted-upload").decode()
    assert sent.out.endswith(f"\nkept as {kept.name}, login: Basic {login}\n")
    received = Path(f"/proc/{other.pid}/root/run/received/{kept.name}")
    assert received.read_bytes() == kept.read_bytes()
    to = "http://10.99.0.2:{}/" + file_in(one, broken).name
    refused = "error: {} refused the upload: 500 Internal Server Error"
    assert refused.format(to.format("8099/broken")) in broken.err
    to = to.replace(file_in(one, broken).name, file_in(one, nobody).name)
    assert f"error: cannot upload to {to.format('1/incoming')}: Connection refused" in nobody.err
    for each in (broken, nobody, expired):
        assert "etcd/calico" in contents(file_in(one, each))
    assert "planted-upload" not in broken.err + nobody.err
    url = url_in(expired)
    nobody_listens(one, url)
    assert other.run(FETCH.format("/dev/null", url), check=False).code == 7


def test_with_an_etcd_that_hangs_the_rest_is_collected(cluster: Cluster):
    one = cluster.hosts[0]
    one.run("docker pause calico-etcd")
    try:
        printed = diags(one, "--no-serve")
    finally:
        one.run("docker unpause calico-etcd")
    texts = contents(file_in(one, printed))
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


def test_the_agents_of_all_hosts_or_of_one_log_as_much_as_is_said(cluster: Cluster):
    one, other = cluster.hosts
    own = f"/calico/host/{one.name}/config/LogSeverityScreen"
    seen = {host.name: len(agent_log(host)) for host in cluster.hosts}

    def hears(host: Host, word: str) -> None:
        line = f" calico_ctl.daemons.etcd_news: logging from {word} on\n"
        command.wait_until(lambda: line in agent_log(host)[seen[host.name] :], PATIENCE, line)
        seen[host.name] = len(agent_log(host))

    cluster.calicoctl(one, "config felix loglevel debug")
    for host in cluster.hosts:
        hears(host, "debug")
    cluster.write(own, "warning")
    hears(one, "warning")
    cluster.calicoctl(other, "config felix loglevel --remove")
    hears(other, "info")
    cluster.delete(own)
    hears(one, "info")
    # The others have nothing to hear.
    for name in ("docker-proxy", "lifecycle", "metrics", "routing"):
        told = one.directory / f"private/var/log/calico/{name}/current"
        assert "logging from" not in told.read_text()


def agent_log(host: Host) -> str:
    """Return what the policy agent of a host has logged."""
    return (host.directory / "private/var/log/calico/felix/current").read_text()


def test_without_a_node_and_an_etcd_the_rest_is_collected_and_offered(cluster: Cluster):
    other, two = cluster.hosts
    two.docker("rm", "-f", "calico-node")
    result = diags(two, ETCD_AUTHORITY="10.99.0.2:2379")
    url = url_in(result)
    assert url.startswith(f"http://{two.ip}:")
    other.run(FETCH.format("/run/other.tar.gz", url))
    texts = contents(Path(f"/proc/{other.pid}/root/run/other.tar.gz"))
    for path in ("etcd/calico", "etcd/servers"):
        assert "cannot reach etcd at 10.99.0.2:2379" in texts[path]
    none = "not collected: there is no container calico-node"
    for path in ("node/output", "node/services", "node/bird.conf", "node/bird-protocols"):
        assert texts[path].startswith(none)
    assert texts["agent/state"].startswith("not collected: ")
    assert texts["docker/inspect"] == "no container has to do with Calico\n"
    for path in ("network/links", "network/settings", "firewall/iptables", "docker/info"):
        assert re.search(COLLECTED[path].replace("cali[0-9a-f]+@", "eth0"), texts[path])
    assert "etcd: failed" in texts["checks"]
    assert "docker: ok" in texts["checks"]
