"""Three hosts whose etcd speaks its v3 API only; then the live cluster moves to the v2 one."""

import base64
import json
import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest

from tests.support import command, mesh, probes
from tests.support.cluster import ETCD, Cluster, eventually
from tests.support.lab import Lab

# the first one also waits for the hosts to be made
pytestmark = [pytest.mark.system, pytest.mark.timeout(1200)]


@dataclass(frozen=True)
class V3Cluster(Cluster):
    """A cluster in etcd's v3 store; orchestrators write by its JSON gateway."""

    processes: list["subprocess.Popen[bytes]"] = field(default_factory=list)

    def start_etcd(self, *options: str) -> None:
        """Start etcd on the first host with the data that it had, in the place of one that runs."""
        while self.processes:
            command.stop(self.processes.pop())
        (first, *_) = self.hosts
        argv = ["etcd", "--data-dir=/run/etcd", "--listen-client-urls=http://0.0.0.0:2379"]
        argv += [f"--advertise-client-urls=http://{ETCD}", *options]
        self.processes.append(first.spawn(argv, "etcd.log"))
        url = f"curl -sS -m 30 http://{ETCD}/health"
        eventually(
            "etcd is healthy",
            lambda: '"health":"true"' in first.run(url, check=False, quiet=True).out,
            timeout=60,
        )

    def ask(self, path: str, wanted: dict[str, str]) -> dict[str, object]:
        """Ask something in the v3 API."""
        argv = ["curl", "-sS", "-f", "-m", "30", f"http://{ETCD}/v3/{path}", "-d"]
        said: dict[str, object] = json.loads(
            self.hosts[0].run([*argv, json.dumps(wanted)], quiet=True).out
        )
        return said

    def put(self, key: str, value: object) -> None:
        """Write JSON under a key, as an orchestrator does."""
        self.ask("kv/put", {"key": coded(key), "value": coded(json.dumps(value))})

    def all_keys(self) -> set[str]:
        """Return every key below /calico."""
        said = self.ask("kv/range", {"key": coded("/calico"), "range_end": coded("/calicp")})
        found = said.get("kvs", [])
        assert isinstance(found, list)
        return {base64.b64decode(each["key"]).decode() for each in found}


def coded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


@pytest.fixture(scope="module")
def cluster() -> Iterator[V3Cluster]:
    """Three nodes with a container on each."""
    with Lab(3, node_image=True) as lab:
        cluster = V3Cluster(lab.hosts)
        cluster.start_etcd("--enable-v2=false")
        for host in lab.hosts:
            cluster.calicoctl(host, f"node --ip={host.ip} --ip6={host.ip6}")
        mesh.populate(cluster)
        yield cluster


def test_everything_works_in_the_v3_store(cluster: V3Cluster) -> None:
    mesh.all_reach_each_other(cluster)
    first, second, _ = cluster.hosts
    for host in cluster.hosts:
        shown = cluster.calicoctl(host, "status --wait=60s").out
        assert "spoken to by its v3 API: " in shown
        assert "policy agent: up since" in shown
        told = json.loads(cluster.calicoctl(host, "status --output=json").out)
        assert told["items"][0]["etcd"]["api"] == 3
        inspected = host.docker("inspect", "-f", "{{.Config.Env}}", "calico-node").out
        assert "ETCD_API=3" in inspected
    for action, passes in (("deny", False), ("allow", True)):
        rules = {"inbound": [{"action": action}], "outbound": [{"action": "allow"}]}
        cluster.put(f"/calico/policy/profile/{mesh.PROFILE}/rules", rules)
        eventually(
            f"the rules let packets through: {passes}",
            lambda passes=passes: mesh.pings(first, mesh.ipv4(second)) == passes,
            timeout=mesh.PATIENCE,
        )
    mesh.all_reach_each_other(cluster)


def test_a_container_that_goes_leaves_nothing_in_the_v3_store(cluster: V3Cluster) -> None:
    *_, last = cluster.hosts
    before = cluster.all_keys()
    container = cluster.run(last, "passing")
    mesh.add(cluster, last, "passing", "192.168.99.1")
    assert any(container in key for key in cluster.all_keys())
    last.docker("rm", "-f", "passing")
    eventually(
        f"nothing of it is left: {cluster.all_keys() - before}",
        lambda: not cluster.all_keys() - before,
        timeout=60,
    )


def test_a_live_cluster_moves_to_the_other_store_and_packets_flow_on(cluster: V3Cluster) -> None:
    """Back to v2 here; the way there is the same."""
    first, second, _ = cluster.hosts
    cluster.start_etcd("--enable-v2=true")
    inside = probes.inside(first, mesh.name(first))
    pinging = first.spawn([*inside, "ping", "-n", "-i", "0.2", mesh.ipv4(second)], "ping.log")
    dry = cluster.calicoctl(first, "datastore migrate --from=3 --to=2 --dry-run").out
    assert "would copy to the v2 store" in dry
    cluster.calicoctl(first, "datastore migrate --from=3 --to=2")
    again = cluster.calicoctl(first, "datastore migrate --from=3 --to=2").out
    assert "nothing was copied" in again
    for host in cluster.hosts:
        cluster.calicoctl(host, f"node --ip={host.ip} --ip6={host.ip6}")
        shown = cluster.calicoctl(host, "status --wait=60s").out
        assert "spoken to by its v2 API: the cluster was moved here from" in shown
    command.stop(pinging, 2)
    log = (first.directory / "ping.log").read_text()
    sent, received = map(
        int, re.findall(r"(\d+) packets transmitted, (\d+) (?:packets )?rec", log)[0]
    )
    assert sent > 20
    # one or two may be lost on a busy machine; an interface or route that goes costs many
    assert sent - received <= 4, log[-2000:]
    cluster.calicoctl(first, f"profile {mesh.PROFILE} rule show")
    *_, last = cluster.hosts
    cluster.run(last, "later")
    mesh.add(cluster, last, "later", "192.168.98.1")
    mesh.reaches(first, "192.168.98.1")
