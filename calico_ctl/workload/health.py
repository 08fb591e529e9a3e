"""How this host's node is: what Docker, etcd and BIRD say of it.

`look` asks and changes nothing; `complaints` judges what was found. Whoever does not answer is
itself found, as the error, and hides nothing of the rest.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TypeVar

from calico_ctl.bgp import sessions as bgp_sessions
from calico_ctl.bgp import topology
from calico_ctl.dataplane import bird
from calico_ctl.dataplane.bird import Life, SessionState
from calico_ctl.datastore import endpoints, nodes, status
from calico_ctl.datastore.status import AgentStatus, ServiceStatus
from calico_ctl.datastore.store import Api, Store
from calico_ctl.docker_api import node_container
from calico_ctl.errors import CalicoError, InvalidValue
from calico_ctl.model import keys, metrics_address
from calico_ctl.model.container import OwnContainer
from calico_ctl.model.docker_proxy import DockerProxy
from calico_ctl.model.metrics_address import MetricsAddress
from calico_ctl.workload import proxy_address
from calico_ctl.workload.platform import Platform

_T = TypeVar("_T")

NODE = node_container.NAME

NAMES = {
    status.FELIX: "policy agent",
    status.ROUTING: "routing service",
    status.LIFECYCLE: "life-cycle service",
    status.DOCKER_PROXY: "Docker API proxy",
    status.METRICS: "metrics service",
}
"""What the services are called, in the order in which they are shown."""


@dataclass(frozen=True, slots=True)
class Session:
    """A BGP session, and who is at the other end."""

    peer: bgp_sessions.Peer
    state: SessionState


@dataclass(frozen=True, slots=True)
class Stored:
    """What etcd says. `agent` is None, and a service absent, without a report in the last minute.

    `readiness` is what `/calico/Ready` says; `known`: this host is one of the cluster. `refused`
    are the ids of endpoints that the agent cannot set up, `left_out` keys for BGP that cannot be
    used, each with the reason. `member` is the server that answered, `latency_ms` how long the
    first answer took, `api` how etcd was spoken to, and why so.
    """

    readiness: str | None
    agent: AgentStatus | None
    services: Mapping[str, ServiceStatus] = field(default_factory=dict)
    refused: Mapping[str, str] = field(default_factory=dict)
    left_out: Mapping[str, str] = field(default_factory=dict)
    member: str = ""
    latency_ms: float = 0.0
    known: bool = True
    api: Api | None = None

    @property
    def ready(self) -> bool:
        """Whether etcd holds a cluster at all, which agents may go by."""
        return self.readiness == "true"


@dataclass(frozen=True, slots=True)
class Health:
    """How the node is. `etcd` is where etcd was looked for, empty if that is not known.

    `sessions` is None where there is no BIRD that could be asked; `bird` also if it does not say.
    """

    host: str
    container: OwnContainer | CalicoError | None
    etcd: str
    stored: Stored | CalicoError
    sessions: Sequence[Session] | CalicoError | None
    bird: Life | None = None

    @property
    def running(self) -> bool:
        """Say whether the node's container runs, as far as Docker could be asked."""
        return isinstance(self.container, OwnContainer) and self.container.running

    @property
    def routes(self) -> bool:
        """Say whether the node is to route, as far as Docker could be asked."""
        return self.running and self.variable("CALICO_NETWORKING") != "false"

    @property
    def docker_proxy(self) -> DockerProxy | None:
        """Say where the node offers the Docker API, as far as Docker could be asked."""
        if not self.running or not isinstance(self.container, OwnContainer):
            return None
        return proxy_address.of_container(self.container.environment)

    @property
    def metrics(self) -> MetricsAddress | None:
        """Say where the node offers metrics; None: nowhere, or it is of before there were any."""
        text = self.variable(metrics_address.VARIABLE) if self.running else ""
        try:
            return metrics_address.parse(text, metrics_address.VARIABLE) if text else None
        except InvalidValue:
            return None

    @property
    def expected(self) -> frozenset[str]:
        """The services beside the agent that shall report, as far as Docker could be asked."""
        wanted = {
            status.ROUTING: self.routes,
            status.LIFECYCLE: self.running,
            status.DOCKER_PROXY: self.docker_proxy is not None,
            status.METRICS: self.metrics is not None,
        }
        return frozenset(name for name, shall in wanted.items() if shall)

    def variable(self, name: str) -> str:
        """Return a variable of the node's environment; empty if there is none, or no node."""
        container = self.container
        return container.environment.get(name, "") if isinstance(container, OwnContainer) else ""


def look(platform: Platform) -> Health:
    """Ask everybody who can say something about this host's node."""
    docker = platform.docker.hurried()
    container = _asked(partial(docker.own_container, NODE))
    address = _asked(lambda: platform.store.address)
    health = Health(
        platform.hostname,
        container,
        "" if isinstance(address, CalicoError) else address,
        _asked(partial(_stored, platform)),
        None,
    )
    if not health.routes:
        return health
    # BIRD's socket is inside the container.
    shown = _asked(lambda: docker.execute(NODE, bird.asking_for_sessions_and_starts()))
    if isinstance(shown, CalicoError):
        return replace(health, sessions=shown)
    return replace(health, sessions=_sessions(shown), bird=bird.parse_starts(shown))


def called(service: str) -> str:
    """Return what a service is called; one that is not known here by its own name."""
    return NAMES.get(service, f"{service} service")


def in_order(services: Mapping[str, ServiceStatus], expected: frozenset[str]) -> list[str]:
    """Return the services that reported or shall, those that are known here first."""
    known = [name for name in NAMES if name in services or name in expected]
    return known + sorted(services.keys() - set(NAMES))


def _asked(question: Callable[[], _T]) -> _T | CalicoError:
    try:
        return question()
    except CalicoError as error:
        return error


def _stored(platform: Platform) -> Stored:
    store, host = platform.store, platform.hostname
    api = store.api  # before the clock runs: it may have to be found out
    began = platform.clock.monotonic()
    ready = store.get(keys.READY)
    took = platform.clock.monotonic() - began
    return Stored(
        readiness=None if ready is None else ready.value,
        agent=_agent(platform),
        services=status.read_services(store, host),
        refused=_refused(store, host),
        left_out=_left_out(store),
        member=store.member,
        latency_ms=round(took * 1000, 1),
        known=nodes.get(store, host) is not None,
        api=api,
    )


def _agent(platform: Platform) -> AgentStatus | None:
    """Read the agent's report, or have it say so itself: a report may be some minutes old."""
    reported = status.read_agent(platform.store, platform.hostname)
    if reported is None:
        return None
    with suppress(CalicoError):
        said = status.decode_agent(platform.agent_report())
        # Etcd may be that of another cluster, with another host of this name.
        if said is not None and (said.since, said.pid) == (reported.since, reported.pid):
            return said
    return reported


def _refused(store: Store, host: str) -> Mapping[str, str]:
    present = {each.key for each in endpoints.all(store, host)[0]}
    return {
        key.id: report.reason
        for key, report in status.read_endpoints(store, host).items()
        if report.status == status.ERROR and key in present
    }


def _left_out(store: Store) -> Mapping[str, str]:
    """Read the keys that are for BGP only as the routing service does."""
    values = {each.key: each.value for each in store.tree(keys.BGP).entries}
    return topology.read({key: value for key, value in values.items() if value}).problems


def _sessions(shown: str) -> Sequence[Session]:
    found = ((bgp_sessions.peer_of(each.name), each) for each in bird.parse_sessions(shown))
    return [Session(peer, state) for peer, state in found if peer is not None]
