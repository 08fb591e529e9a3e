"""One container on each host of a cluster, with an address of each family in blocks of its host."""

import json

from tests.support import cluster as calico
from tests.support import probes
from tests.support.cluster import Cluster
from tests.support.host import Host
from tests.support.lab import Lab

PATIENCE = 30.0
PROFILE = "net"
"""Members may talk to each other."""


def ipv4(host: Host) -> str:
    """The container's IPv4 address."""
    return f"192.168.{host.number}.1"


def ipv6(host: Host) -> str:
    """The container's IPv6 address."""
    return f"fd80:24e2:f998:72d6::{host.number}01"


def blocks(host: Host) -> set[str]:
    """The blocks that these addresses are in, and that the host announces."""
    return {f"192.168.{host.number}.0/26", f"fd80:24e2:f998:72d6::{host.number}00/122"}


def name(host: Host) -> str:
    """The container's name."""
    return f"c{host.number}"


def start(lab: Lab) -> Cluster:
    """Make every host of a lab a node with a container; wait until these have all routes."""
    cluster = calico.start(lab)
    populate(cluster)
    all_reach_each_other(cluster)
    return cluster


def populate(cluster: Cluster) -> None:
    """Start a container on each host."""
    cluster.calicoctl(cluster.hosts[0], f"profile add {PROFILE}")
    for host in cluster.hosts:
        cluster.run(host, name(host))
        add(cluster, host, name(host), ipv4(host))
        cluster.calicoctl(host, f"container {name(host)} ip add {ipv6(host)}")


def add(cluster: Cluster, host: Host, container: str, address: str) -> None:
    """Give a container an address, and let it talk to the others."""
    cluster.calicoctl(host, f"container add {container} {address}")
    cluster.calicoctl(host, f"container {container} profile append {PROFILE}")


def all_reach_each_other(cluster: Cluster) -> None:
    """Wait until each container reaches each other one, in both families."""
    for host in cluster.hosts:
        others = [other for other in cluster.hosts if other is not host]
        reaches(host, *(address(other) for other in others for address in (ipv4, ipv6)))


def reaches(host: Host, *addresses: str) -> None:
    """Wait until the container of a host reaches all these addresses."""
    for address in addresses:
        calico.eventually(
            f"{name(host)} reaches {address}",
            lambda address=address: pings(host, address),
            timeout=PATIENCE,
        )


def pings(host: Host, address: str, *options: str, container: str | None = None) -> bool:
    """Whether one of a few seconds' echo requests from a host's container is answered."""
    argv = ["ping", "-n", "-i", "0.1", "-c", "1", "-w", "3", *options, address]
    inside = probes.inside(host, name(host) if container is None else container)
    return host.run([*inside, *argv], check=False, timeout=60).code == 0


def sessions(cluster: Cluster, host: Host) -> dict[str, dict[str, object]]:
    """The BGP sessions that status shows, by the address of the peer."""
    shown = cluster.calicoctl(host, "status --output=json", check=False).out
    return {each["ip"]: each for each in json.loads(shown)["items"][0]["bgp_sessions"] or []}


def exchanged(cluster: Cluster, host: Host) -> list[tuple[object, object]]:
    """How many routes came and went with each session."""
    found = sessions(cluster, host).values()
    return [(each["received"], each["exported"]) for each in found]
