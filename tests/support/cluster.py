"""Calico on a lab's hosts, as the system tests use it: nodes, containers, etcd by plain HTTP."""

import base64
import json
import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

from tests.support import command, etcd, leftovers, probes
from tests.support.command import Result
from tests.support.host import Host
from tests.support.lab import Lab

ETCD = "10.99.0.1:2379"


def chosen_api(usual: int = 2) -> int:
    """Return by which of etcd's APIs a cluster is to live; with 3 its etcd has no other one."""
    return int(os.environ.get("CALICO_TEST_ETCD_API", usual))


@dataclass(frozen=True)
class Cluster:
    """Hosts with calico-node on each and an etcd on the first."""

    hosts: list[Host]
    api: int = field(default_factory=chosen_api, kw_only=True)

    def calicoctl(self, host: Host, line: str, *, check: bool = True, stdin: str = "") -> Result:
        """Run `calicoctl <line>` on a host."""
        words = line.split()
        settings = {"ETCD_AUTHORITY": ETCD}
        if "--with-etcd" in words:
            settings |= api_of_a_new_etcd(self.api)
        return host.calicoctl(*words, env=settings, check=check, stdin=stdin)

    def curl(self, line: str) -> Any:
        """Run `curl <options> <etcd>/v2/keys<path>` as a shell line; return the v2 API's answer."""
        url = f"http://{ETCD}/v2/keys"
        shown = f"curl -sS -L -m 30 {line.replace('KEYS', url)}"
        return json.loads(self.hosts[0].run(shown, quiet=True).out)

    def gateway(self, path: str, **wanted: str) -> dict[str, Any]:
        """Ask something of the JSON gateway of etcd's v3 API; return the answer."""
        argv = ["curl", "-sS", "-f", "-m", "30", f"http://{ETCD}/v3/{path}"]
        argv += ["-d", json.dumps(wanted)]
        said: dict[str, Any] = json.loads(self.hosts[0].run(argv, quiet=True).out)
        return said

    def put(self, key: str, value: object) -> None:
        """Write JSON under a key, as an orchestrator does."""
        self.write(key, json.dumps(value))

    def write(self, key: str, text: str) -> None:
        """Write a text, which has no single quotes, under a key."""
        if self.api == 2:
            self.curl(f"-X PUT KEYS{quote(key)} --data-urlencode 'value={text}'")
        else:
            self.gateway("kv/put", key=_coded(key), value=_coded(text))

    def make_directory(self, key: str) -> None:
        """Make a directory, as an orchestrator does for a profile."""
        if self.api == 2:
            self.curl(f"-X PUT KEYS{key} -d dir=true")
        else:
            self.gateway("kv/put", key=_coded(f"{key}/"))

    def delete(self, key: str) -> None:
        """Delete a key, or a directory with all that is in it."""
        if self.api == 2:
            self.curl(f"-X DELETE 'KEYS{quote(key)}?recursive=true'")
        else:
            self.gateway("kv/deleterange", key=_coded(key))
            self.gateway("kv/deleterange", **_below(key))

    def read(self, key: str) -> str:
        """Return what is under a key."""
        return self.leaves(key)[key]

    def leaves(self, directory: str) -> dict[str, str]:
        """Return every key below a directory that is not a directory itself, with its value.

        The directory may be a key with a value, too.
        """
        if self.api == 2:
            answer = self.curl(f"'KEYS{directory}?recursive=true'")
            return etcd.leaves(answer.get("node", {}))
        around = _below(directory) | {"key": _coded(directory)}
        found = self.gateway("kv/range", **around).get("kvs", [])
        values = {_decoded(each["key"]): _decoded(each.get("value", "")) for each in found}
        return {
            key: value
            for key, value in values.items()
            if f"{key}/".startswith(f"{directory}/") and not key.endswith("/")
        }

    def run(self, host: Host, name: str, *options: str) -> str:
        """Start a container that does nothing; return its full id."""
        host.docker("run", "-d", "--name", name, *options, "busybox", "sleep", "1d")
        return host.docker("inspect", "-f", "{{.Id}}", name).out.strip()

    def endpoint_key(self, host: Host, container_id: str) -> str:
        """Return the key of a container's only endpoint."""
        (key,) = self.leaves(f"/calico/host/{host.name}/workload/docker/{container_id}/endpoint")
        return key

    def endpoint(self, host: Host, container_id: str) -> dict[str, Any]:
        """Return the JSON of a container's only endpoint."""
        value: dict[str, Any] = json.loads(self.read(self.endpoint_key(host, container_id)))
        return value


def api_of_a_new_etcd(api: int) -> dict[str, str]:
    """Return what `calicoctl node --with-etcd` has to be told."""
    return {} if api == 2 else {"ETCD_API": str(api)}


def start(lab: Lab, *, ipv6: bool = True, usual_api: int = 2) -> Cluster:
    """Make every host of a lab a node; those that have no etcd begin as soon as it answers."""
    cluster = Cluster(lab.hosts, api=chosen_api(usual_api))
    first, *others = lab.hosts
    with ThreadPoolExecutor(1) as pool:
        beginning = pool.submit(make_nodes, cluster, [first], "--with-etcd", ipv6=ipv6)
        eventually("etcd answers", lambda: beginning.done() or _has_etcd(first), timeout=60)
        if beginning.done():
            beginning.result()  # if it failed, that is what is to be read
        make_nodes(cluster, others, ipv6=ipv6)
        beginning.result()
    return cluster


def make_nodes(cluster: Cluster, hosts: list[Host], *options: str, ipv6: bool = True) -> None:
    """Make hosts nodes, all at once."""

    def make(host: Host) -> None:
        addresses = [f"--ip={host.ip}", *([f"--ip6={host.ip6}"] if ipv6 else [])]
        cluster.calicoctl(host, " ".join(["node", *addresses, *options]))

    with ThreadPoolExecutor() as pool:
        list(pool.map(make, hosts))


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


def _has_etcd(host: Host) -> bool:
    argv = ["curl", "-sS", "-m", "5", f"http://{ETCD}/health"]
    return '"health":"true"' in host.run(argv, check=False, quiet=True).out


def _tries(host: Host, container: str, address: str, port: int | None) -> bool:
    if port is None:
        return probes.pings(host, container, address)
    return probes.reachable(host, container, address, port)


def _below(directory: str) -> dict[str, str]:
    """Return the range of all keys below a directory, and of the one that makes it a directory."""
    return {"key": _coded(f"{directory}/"), "range_end": _coded(f"{directory}0")}


def _coded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def _decoded(text: str) -> str:
    return base64.b64decode(text).decode()
