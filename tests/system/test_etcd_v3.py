"""Three hosts whose etcd speaks its v3 API only; the live cluster moves to v2, and back.

In the end etcd wants a password.
"""

import json
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import pytest

from tests.support import cluster as calico
from tests.support import command, document, flow, mesh, route_watch
from tests.support.cluster import ETCD, Cluster
from tests.support.command import Result
from tests.support.flow import Flow
from tests.support.host import Host
from tests.support.lab import Lab
from tests.support.paths import CHECKOUT
from tests.support.route_watch import RouteWatch

# the first one also waits for the hosts to be made
pytestmark = [pytest.mark.system, pytest.mark.timeout(1200)]

PAGE = CHECKOUT / "docs/how-to/use-etcd-v3.md"


@dataclass(frozen=True)
class OwnEtcd(Cluster):
    """A cluster whose etcd is nobody's container, and can be started with other options."""

    processes: list["subprocess.Popen[bytes]"] = field(default_factory=list)
    login: dict[str, str] = field(default_factory=dict)

    def calicoctl(self, host: Host, line: str, *, check: bool = True, stdin: str = "") -> Result:
        """Run `calicoctl <line>` on a host, as the user that it has by now."""
        settings = {"ETCD_AUTHORITY": ETCD} | self.login
        return host.calicoctl(*line.split(), env=settings, check=check, stdin=stdin)

    def start_etcd(self, *options: str) -> None:
        """Start etcd on the first host with the data that it had, in the place of one that runs."""
        (first, *_) = self.hosts
        while self.processes:
            command.stop(self.processes.pop())
            # that was only nsenter: etcd itself takes its time
            calico.eventually(
                "etcd has ended",
                lambda: first.run("pgrep -x etcd", check=False, quiet=True).code == 1,
                timeout=60,
            )
        argv = ["etcd", "--data-dir=/run/etcd", "--listen-client-urls=http://0.0.0.0:2379"]
        argv += [f"--advertise-client-urls=http://{ETCD}", *options]
        self.processes.append(first.spawn(argv, "etcd.log"))
        url = f"curl -sS -m 30 http://{ETCD}/health"
        calico.eventually(
            "etcd is healthy",
            lambda: '"health":"true"' in first.run(url, check=False, quiet=True).out,
            timeout=60,
        )


@pytest.fixture(scope="module")
def cluster() -> Iterator[OwnEtcd]:
    """Three nodes with a container on each."""
    with Lab(3, node_image=True) as lab:
        cluster = OwnEtcd(lab.hosts, api=3)
        cluster.start_etcd("--enable-v2=false")
        calico.make_nodes(cluster, lab.hosts)
        mesh.populate(cluster)
        for host in lab.hosts[:2]:
            flow.answer(host, mesh.name(host))
        yield cluster


def test_everything_works_in_the_v3_store(cluster: OwnEtcd) -> None:
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
        calico.eventually(
            f"the rules let packets through: {passes}",
            lambda passes=passes: mesh.pings(first, mesh.ipv4(second)) == passes,
            timeout=mesh.PATIENCE,
        )
    mesh.all_reach_each_other(cluster)


def test_a_container_that_goes_leaves_nothing_in_the_v3_store(cluster: OwnEtcd) -> None:
    *_, last = cluster.hosts
    before = set(cluster.leaves("/calico"))
    container = cluster.run(last, "passing")
    mesh.add(cluster, last, "passing", "192.168.99.1")
    assert any(container in key for key in cluster.leaves("/calico"))
    last.docker("rm", "-f", "passing")
    calico.eventually(
        f"nothing of it is left: {set(cluster.leaves('/calico')) - before}",
        lambda: not set(cluster.leaves("/calico")) - before,
        timeout=60,
    )


def test_a_live_cluster_moves_to_the_other_store_and_back_and_no_packet_is_lost(
    cluster: OwnEtcd, tmp_path: Path
) -> None:
    """To v2 with all hosts at once; back to v3 host by host, as the page says, word for word."""
    first, *_ = cluster.hosts
    mesh.all_reach_each_other(cluster)
    flows = talk(cluster)
    watches = [watch_routes(host) for host in cluster.hosts]
    cluster.start_etcd("--enable-v2=true")

    dry = cluster.calicoctl(first, "datastore migrate --from=3 --to=2 --dry-run").out
    assert "would copy to the v2 store" in dry
    cluster.calicoctl(first, "datastore migrate --from=3 --to=2")
    again = cluster.calicoctl(first, "datastore migrate --from=3 --to=2").out
    assert "nothing was copied" in again
    calico.make_nodes(cluster, cluster.hosts)
    all_is_well(cluster, 2)
    goes_on_without_loss(flows)
    # Of a route that is away for a millisecond packets may know nothing.
    assert [each.taken_away() for each in watches] == [[] for _ in watches]
    works(cluster, "there", "192.168.98.1")

    flows = talk(cluster)
    copy, follow = section("Move a live cluster")
    type_in(first, copy, tmp_path)
    for host in cluster.hosts:
        type_in(host, follow, tmp_path)
    all_is_well(cluster, 3)
    goes_on_without_loss(flows)
    works(cluster, "back", "192.168.97.1")


def test_from_now_on_etcd_wants_a_password_and_no_packet_is_lost(cluster: OwnEtcd) -> None:
    first, *_ = cluster.hosts
    flows = talk(cluster)
    known = f"export ETCDCTL_API=3 ETCDCTL_ENDPOINTS={ETCD} PASSWORD=p ROOT_PASSWORD=r"
    (lines,) = section("A user")
    first.run(f"{known}\n{lines}")
    refused = cluster.calicoctl(first, "pool show", check=False)
    assert refused.code == 1
    assert "ETCD_USERNAME" in refused.err
    password = first.directory / "password"
    password.write_text("p\n")
    password.chmod(0o600)
    cluster.login.update(ETCD_USERNAME="calico", ETCD_PASSWORD_FILE=str(password))
    calico.make_nodes(cluster, cluster.hosts)
    all_is_well(cluster, 3)
    goes_on_without_loss(flows)
    works(cluster, "known", "192.168.96.1")


def all_is_well(cluster: OwnEtcd, api: int) -> None:
    """Assert that the services of all hosts speak this API, and wait until they are well."""
    for host in cluster.hosts:
        shown = cluster.calicoctl(host, "status --wait=60s").out
        assert f"spoken to by its v{api} API: " in shown
        assert (
            f"ETCD_API={api}" in host.docker("inspect", "-f", "{{.Config.Env}}", "calico-node").out
        )


def talk(cluster: OwnEtcd) -> list[Flow]:
    """Start flows from host to host; the one that answers sends as much as the one that asks."""
    first, second, third = cluster.hosts
    return [
        flow.start(first, mesh.name(first), mesh.ipv4(second)),
        flow.start(third, mesh.name(third), mesh.ipv6(first)),
    ]


def watch_routes(host: Host) -> RouteWatch:
    """Note the changes of a host's routes from now on."""
    host.spawn(route_watch.PROGRAM, "routes.log")
    return RouteWatch(partial(host.run, quiet=True), host.directory / "routes.log")


def goes_on_without_loss(flows: list[Flow]) -> None:
    for each in flows:
        each.goes_on()
    assert [each.lost() for each in flows] == [[] for _ in flows]


def works(cluster: OwnEtcd, container: str, address: str) -> None:
    """Give a new container on the last host an address, and reach it from the first one."""
    first, *_, last = cluster.hosts
    cluster.run(last, container)
    mesh.add(cluster, last, container, address)
    mesh.reaches(first, address)


def section(title: str) -> list[str]:
    """Return what a part of the page tells to type, a block each."""
    _, _, text = PAGE.read_text().partition(f"\n## {title}\n")
    return [each.text for each in document.blocks(text.partition("\n## ")[0])]


def type_in(host: Host, lines: str, directory: Path) -> None:
    """Type lines of the page on a host that knows where etcd is."""
    host.run(f"echo export ETCD_AUTHORITY={ETCD} >{document.STATE}", quiet=True)
    page = directory / PAGE.name
    page.write_text(f"```sh\n{lines}\n```\n")
    document.play(page, {"host1": host})
