"""The cluster as it runs while something is measured: filled, ready, an agent in sync."""

import itertools
from collections.abc import Iterable
from dataclasses import dataclass, field

from benchmarks import cluster, kernel, lab, store
from benchmarks.cluster import Endpoint
from benchmarks.lab import HOSTNAME, Agent, Host
from benchmarks.store import Store
from calico_ctl.model import keys
from tests.support.netns import NetNs

LOCAL_ENDPOINTS = 200
PROFILES_EACH = 5
OUTSIDERS = 100


@dataclass
class Measured:
    """The host, what its agent has to do, and for how many seconds a measurement may repeat."""

    host: Host
    far: NetNs
    store: Store
    seconds: float
    agent: Agent | None = None
    endpoints: dict[Endpoint, int] = field(default_factory=dict)
    """This host's own, each with the revision of its key."""
    acknowledged: float = 0.0
    """Seconds from the start of the agent until it had acknowledged every endpoint."""
    revision: int = 0
    """The revision of the last write before an agent is started."""
    ports: "itertools.count[int]" = field(default_factory=lambda: itertools.count(20_000))
    """Ports that no rule has had yet."""

    @property
    def running(self) -> Agent:
        """The agent that was started."""
        assert self.agent is not None
        return self.agent

    def check(self) -> None:
        """Fail if the agent has ended by itself."""
        self.running.check()

    def empty(self) -> None:
        """Have an empty cluster that is ready."""
        self.revision = self.store.put(keys.READY, "true")

    def fill(self, local: int = LOCAL_ENDPOINTS, profiles_each: int = PROFILES_EACH) -> None:
        """Have the whole cluster, with so many endpoints here and so many profiles for each."""
        outsiders = cluster.written(map(cluster.outsider, range(OUTSIDERS)))
        store.fill(self.host.address, cluster.without_local() | outsiders)
        self.have_local(cluster.locals_(HOSTNAME, local, profiles_each))
        self.revision = self.store.put(keys.READY, "true")

    def have_local(self, endpoints: Iterable[Endpoint]) -> None:
        """Have exactly these endpoints here; their interfaces are there before their keys."""
        endpoints = list(endpoints)
        self.host.plug((endpoint.name for endpoint in endpoints), self.far)
        self.store.delete(keys.workloads(HOSTNAME))
        self.endpoints = {each: self.store.put(each.key, each.value()) for each in endpoints}
        self.revision = max(self.endpoints.values())

    def start(self) -> float:
        """Start an agent and wait until it is in sync; return how long that took."""
        patience = max(60.0, self.seconds)
        self.agent = self.host.start_agent()
        taken = lab.wait_in_sync(self.host, self.agent, self.revision, {}, patience)
        self.acknowledged = lab.wait_in_sync(
            self.host, self.agent, self.revision, self.endpoints, patience
        )
        return taken

    def stop(self) -> None:
        """End the agent; what it made stays."""
        if self.agent is not None:
            self.agent.stop()
            self.agent = None

    def differing_sets(self) -> tuple[int, int]:
        """Compare the kernel's sets with who carries which tag; return (how many differ, of all).

        Sets are found by what they hold: their names are the agent's own business.
        """
        leaves, _ = self.store.tree("/calico")
        contents = {key: value for key, (value, _) in leaves.items()}
        used = {name for each in self.endpoints for name in each.profiles}
        named = cluster.tags_named(contents, used)
        wanted = [who for (tag, _), who in cluster.members(contents).items() if tag in named]
        held = kernel.address_sets(self.host.namespace)
        return sum(who not in held for who in wanted), len(wanted)
