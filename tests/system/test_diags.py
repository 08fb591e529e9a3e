"""diags on a real node: what the bundle holds, and that another host can download it once."""

import tarfile
from pathlib import Path

import pytest

from tests.support import cluster as calico
from tests.support.cluster import ETCD, Cluster
from tests.support.host import Host
from tests.support.lab import Lab

pytestmark = pytest.mark.system

SECRET = "planted-7f3a-token"
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


def diags(host: Host, *options: str) -> str:
    """Collect; return what was printed."""
    words = ["diags", "--output-dir=/var/lib/calico", *options]
    return host.calicoctl(*words, env={"ETCD_AUTHORITY": ETCD}, timeout=170).out


def contents(file: Path) -> dict[str, str]:
    with tarfile.open(file) as archive:
        found = {}
        for entry in archive:
            content = archive.extractfile(entry)
            assert content is not None
            found[entry.name.partition("/")[2]] = content.read().decode()
        return found


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
