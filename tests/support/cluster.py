"""Calico on a lab's hosts, as the system tests use it: nodes, containers, etcd by plain HTTP."""

import json
from dataclasses import dataclass
from typing import Any

from tests.support import command, leftovers, probes
from tests.support.command import Result
from tests.support.host import Host
from tests.support.lab import Lab

ETCD = "10.99.0.1:2379"


@dataclass(frozen=True)
class Cluster:
    """Hosts with calico-node on each and an etcd on the first."""

    hosts: list[Host]

    def calicoctl(self, host: Host, line: str, *, check: bool = True, stdin: str = "") -> Result:
        """Run `calicoctl <line>` on a host."""
        settings = {"ETCD_AUTHORITY": ETCD}
        return host.calicoctl(*line.split(), env=settings, check=check, stdin=stdin)

    def curl(self, line: str) -> Any:
        """Run `curl <options> <etcd>/v2/keys<path>` as a shell line; return the answer."""
        url = f"http://{ETCD}/v2/keys"
        shown = f"curl -sS -L {line.replace('KEYS', url)}"
        return json.loads(self.hosts[0].run(shown, quiet=True).out)

    def put(self, key: str, value: object) -> None:
        """Write JSON under a key, as an orchestrator does."""
        self.curl(f"-X PUT KEYS{key} --data-urlencode 'value={json.dumps(value)}'")

    def leaves(self, directory: str) -> dict[str, str]:
        """Return every key below a directory that is not a directory itself, with its value."""
        answer = self.curl(f"'KEYS{directory}?recursive=true'")
        found, nodes = {}, [answer["node"]] if "node" in answer else []
        while nodes:
            node = nodes.pop()
            nodes += node.get("nodes", [])
            if not node.get("dir"):
                found[node["key"]] = node["value"]
        return found

    def run(self, host: Host, name: str, *options: str) -> str:
        """Start a container that does nothing; return its full id."""
        host.docker("run", "-d", "--name", name, *options, "busybox", "sleep", "1d")
        return host.docker("inspect", "-f", "{{.Id}}", name).out.strip()

    def endpoint_key(self, host: Host, container_id: str) -> str:
        """Return the key of a container's only endpoint."""
        directory = f"/calico/host/{host.name}/workload/docker/{container_id}/endpoint"
        (node,) = self.curl(f"KEYS{directory}")["node"]["nodes"]
        return str(node["key"])

    def endpoint(self, host: Host, container_id: str) -> dict[str, Any]:
        """Return the JSON of a container's only endpoint."""
        key = self.endpoint_key(host, container_id)
        value: dict[str, Any] = json.loads(self.curl(f"KEYS{key}")["node"]["value"])
        return value


def start(lab: Lab, *, ipv6: bool = True) -> Cluster:
    """Make every host of a lab a node."""
    cluster = Cluster(lab.hosts)
    for host in lab.hosts:
        options = f"--ip={host.ip}" + (f" --ip6={host.ip6}" if ipv6 else "")
        first = " --with-etcd" if host is lab.hosts[0] else ""
        cluster.calicoctl(host, f"node {options}{first}")
    return cluster


def eventually(what: str, condition: Any, timeout: float = 15) -> None:
    """Wait until a condition holds."""
    command.wait_until(condition, timeout, what)


def talks(host: Host, container: str, address: str, port: int | None = None) -> None:
    """Wait until a container reaches an address (by ping, or a TCP port)."""
    eventually(
        f"{container} reaches {address} {port or ''}",
        lambda: _tries(host, container, address, port),
    )


def is_cut_off(host: Host, container: str, address: str, port: int | None = None) -> None:
    """Wait until a container no longer reaches an address."""
    eventually(
        f"{container} is cut off from {address} {port or ''}",
        lambda: not _tries(host, container, address, port),
    )


def remove_containers(cluster: Cluster, host: Host) -> None:
    """Remove the containers of a test by Docker alone, and assert that they leave nothing."""
    for name in host.docker("ps", "-aq", "--filter", "ancestor=busybox").out.split():
        host.docker("rm", "-f", name)
    nothing_of_containers_left(cluster, host)


def nothing_of_containers_left(cluster: Cluster, host: Host) -> None:
    """Assert that no container leaves anything in the kernel or in etcd."""

    def left() -> list[str]:
        routes = host.run("ip route show proto 80; ip -6 route show proto 80", quiet=True).out
        return [
            *leftovers.links(host),
            *routes.splitlines(),
            *cluster.leaves(f"/calico/host/{host.name}/workload"),
            *cluster.leaves(f"/calico/felix/v1/host/{host.name}/workload"),
            *claims(cluster),
        ]

    eventually(f"nothing is left on {host.name}: {left()}", lambda: not left())


def claims(cluster: Cluster) -> list[str]:
    """Return the addresses that are taken in etcd, whoever has them."""
    blocks = [json.loads(text) for text in cluster.leaves("/calico/ipam/v2/assignment").values()]
    return [f"{b['cidr']}: {n}" for b in blocks for n in b["allocations"] if n is not None]


def _tries(host: Host, container: str, address: str, port: int | None) -> bool:
    if port is None:
        return probes.pings(host, container, address)
    return probes.reachable(host, container, address, port)
