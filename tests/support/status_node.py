"""A node made of fakes for the tests of `calicoctl status`: well, until one makes it ill."""

from dataclasses import replace

from calico_ctl import __version__
from calico_ctl.datastore import status
from calico_ctl.datastore.status import AgentStatus, ServiceStatus
from calico_ctl.docker_api import node_container
from calico_ctl.model.container import OwnContainer
from tests.support.cli import Cli, Finished
from tests.support.machine import HOST, Machine

NODE = node_container.NAME

AGENT = AgentStatus(
    since="2026-11-24T08:46:51Z",
    endpoints=3,
    last_update_ms=1.5,
    in_sync_revision=1234,
    pid=7,
    version=__version__,
    in_sync_since="2026-11-24T08:46:52Z",
    profiles=2,
    rules=30,
    sets=12,
)
BIRD = """\
BIRD 2.0.12 ready.
Access restricted
Name       Proto      Table      State  Since         Info
device1    Device     ---        up     10:11:12.000
kernel4    Kernel     master4    up     10:11:12.000
somebody_s BGP        ---        start  10:11:16.000  Passive
Mesh_10_99_0_10 BGP        ---        up     10:11:16.000  Established
Mesh_10_99_0_2 BGP        ---        up     10:11:15.123  Established
  Channel ipv4
    State:          UP
    Routes:         12 imported, 3 exported, 12 preferred
Mesh_fd99__2 BGP        ---        up     10:11:15.124  Established
"""
STARTS = "2 2026-11-24T08:50:00Z\n"
PEERS = [
    "Peer address",
    "Peer type",
    "State",
    "Since",
    "Info",
    "Routes received",
    "Routes exported",
]
MESH = "node-to-node mesh"


class Node:
    """A host whose node is well, until a test makes it otherwise."""

    def __init__(self) -> None:
        self.machine = Machine()
        self.docker, self.store = self.machine.docker, self.machine.store
        self.docker.own[NODE] = OwnContainer(True, "Up 5 minutes", self.environment())
        self.docker.printed = BIRD + STARTS
        self.report()
        self.report_service(status.ROUTING, ServiceStatus("2026-11-24T08:46:52Z"))
        self.report_service(status.LIFECYCLE, ServiceStatus("2026-11-24T08:46:53Z"))
        self.report_service(status.DOCKER_PROXY, ServiceStatus("2026-11-24T08:46:54Z"))
        self.report_service(status.METRICS, ServiceStatus("2026-11-24T08:46:55Z"))

    def environment(self, **changes: str) -> dict[str, str]:
        variables = {"ETCD_AUTHORITY": self.store.address, "CALICO_NETWORKING": "true"}
        offered = {"CALICO_DOCKER_PROXY": "127.0.0.1:2377", "CALICO_METRICS": "127.0.0.1:9091"}
        return variables | offered | changes

    def runs_with(self, **changes: str) -> None:
        self.docker.own[NODE] = OwnContainer(True, "Up 5 minutes", self.environment(**changes))

    def report_service(self, name: str, report: ServiceStatus) -> None:
        status.write_service(self.store, HOST, name, report)

    def report(self, **changes: object) -> None:
        status.write_agent(self.store, HOST, replace(AGENT, **changes))  # type: ignore[arg-type]

    def run(self, *words: str, user: int = 0) -> Finished:
        return Cli(self.machine, user).run("status", *words)

    def wrong(self) -> tuple[list[str], list[str]]:
        """Run it on a node that is not well; return the lines of stdout and of stderr."""
        finished = self.run()
        assert finished.exit == 1, finished
        assert "this is a bug" not in finished.err
        return finished.out.splitlines(), finished.err.splitlines()

    def well(self) -> tuple[list[str], list[str]]:
        finished = self.run()
        assert finished.exit == 0, finished
        return finished.out.splitlines(), finished.err.splitlines()
