"""How this host's node is: what Docker, etcd and BIRD say, and what of it is wrong.

`look` asks and changes nothing; `complaints` judges what was found. Whoever does not answer is
itself found, as the error, and hides nothing of the rest.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TypeVar

from calico_ctl import __version__
from calico_ctl.bgp import sessions as bgp_sessions
from calico_ctl.bgp import topology
from calico_ctl.dataplane import bird
from calico_ctl.dataplane.bird import SessionState
from calico_ctl.datastore import endpoints, status
from calico_ctl.datastore.status import AgentStatus, ServiceStatus
from calico_ctl.datastore.store import Store
from calico_ctl.docker_api import node_container
from calico_ctl.errors import CalicoError
from calico_ctl.model import keys
from calico_ctl.model.container import OwnContainer
from calico_ctl.model.docker_proxy import DockerProxy
from calico_ctl.workload import proxy_address
from calico_ctl.workload.platform import Docker, Platform

_T = TypeVar("_T")

NODE = node_container.NAME

_LOG_HINT = f"`docker logs {NODE}` shows what it does"


@dataclass(frozen=True, slots=True)
class Session:
    """A BGP session, and who is at the other end."""

    peer: bgp_sessions.Peer
    state: SessionState


@dataclass(frozen=True, slots=True)
class Stored:
    """What etcd says. `agent` and the services are None without a report in the last minute.

    `ready`: etcd holds a cluster at all. `refused` are the ids of endpoints that the agent cannot
    set up, `left_out` keys for BGP that cannot be used, each with the reason.
    """

    ready: bool
    agent: AgentStatus | None
    routing: ServiceStatus | None
    refused: Mapping[str, str]
    left_out: Mapping[str, str]
    lifecycle: ServiceStatus | None = None
    docker_proxy: ServiceStatus | None = None


@dataclass(frozen=True, slots=True)
class Health:
    """How the node is. `etcd` is where etcd was looked for, empty if that is not known.

    `sessions` is None where there is no BIRD that could be asked.
    """

    host: str
    container: OwnContainer | CalicoError | None
    etcd: str
    stored: Stored | CalicoError
    sessions: Sequence[Session] | CalicoError | None

    @property
    def running(self) -> bool:
        """Say whether the node's container runs, as far as Docker could be asked."""
        return isinstance(self.container, OwnContainer) and self.container.running

    @property
    def routes(self) -> bool:
        """Say whether the node is to route, as far as Docker could be asked."""
        return self.running and _variable(self.container, "CALICO_NETWORKING") != "false"

    @property
    def docker_proxy(self) -> DockerProxy | None:
        """Say where the node offers the Docker API, as far as Docker could be asked."""
        if not self.running or not isinstance(self.container, OwnContainer):
            return None
        return proxy_address.of_container(self.container.environment)


@dataclass(frozen=True, slots=True)
class Complaint:
    """Something that is wrong and what to try; one that is not `grave` may be as it should be."""

    what: str
    hint: str
    grave: bool = True


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
    return replace(health, sessions=_asked(partial(_sessions, docker))) if health.routes else health


def complaints(health: Health) -> list[Complaint]:
    """Return all that is wrong, the cause before what may follow from it."""
    return [
        *_about_container(health),
        *_about_etcd(health),
        *_about_agent(health),
        *_about_routing(health),
        *_about_lifecycle(health),
        *_about_docker_proxy(health),
    ]


def _asked(question: Callable[[], _T]) -> _T | CalicoError:
    try:
        return question()
    except CalicoError as error:
        return error


def _stored(platform: Platform) -> Stored:
    store, host = platform.store, platform.hostname
    ready = store.get(keys.READY)
    return Stored(
        ready=ready is not None and ready.value == "true",
        agent=status.read_agent(store, host),
        routing=status.read_service(store, host, status.ROUTING),
        refused=_refused(store, host),
        left_out=_left_out(store),
        lifecycle=status.read_service(store, host, status.LIFECYCLE),
        docker_proxy=status.read_service(store, host, status.DOCKER_PROXY),
    )


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


def _sessions(docker: Docker) -> Sequence[Session]:
    # BIRD's socket is inside the container.
    shown = docker.execute(NODE, bird.asking_for_sessions())
    found = ((bgp_sessions.peer_of(each.name), each) for each in bird.parse_sessions(shown))
    return [Session(peer, state) for peer, state in found if peer is not None]


def _about_container(health: Health) -> Iterator[Complaint]:
    container = health.container
    if isinstance(container, CalicoError):
        hint = container.hint or "`docker version` shows whether the Docker Engine answers"
        yield Complaint(container.message, hint)
    elif container is None:
        yield Complaint(f"{NODE} is not running", "`sudo calicoctl node` starts it")
    elif not container.running:
        yield Complaint(f"{NODE} is not running", _revival(container.description))


def _revival(description: str) -> str:
    # Docker counts the first two as running, so `calicoctl node` would change nothing.
    if description.endswith("(Paused)"):
        return f"`docker unpause {NODE}` lets it go on"
    if description.startswith("Restarting"):
        return f"it ends whenever Docker starts it; `docker logs {NODE}` shows why"
    return f"`docker logs {NODE}` shows why; `sudo calicoctl node` starts it"


def _about_etcd(health: Health) -> Iterator[Complaint]:
    stored = health.stored
    if isinstance(stored, CalicoError):
        hint = _other_etcd(health) or stored.hint or "ETCD_AUTHORITY says where etcd is asked"
        yield Complaint(stored.message, hint)
    elif not stored.ready:
        yield Complaint(
            f"etcd at {health.etcd} holds no cluster: {keys.READY} is not true there",
            _other_etcd(health) or "is it the right one? `sudo calicoctl node` writes that key",
        )


def _about_agent(health: Health) -> Iterator[Complaint]:
    stored = health.stored
    if isinstance(stored, CalicoError):
        return
    agent = stored.agent
    if agent is None:
        if health.running or isinstance(health.container, CalicoError):
            hint = _other_etcd(health) or _LOG_HINT
            yield Complaint("no report of the policy agent in the last minute", hint)
        return
    if agent.trouble:
        yield Complaint(f"the policy agent: {agent.trouble}", _LOG_HINT)
    if agent.bad_key_count:
        yield Complaint(
            f"{_number(agent.bad_key_count, 'key')} in etcd cannot be used by the policy agent",
            "write the value anew or delete the key; what depends on it stays closed until then",
        )
    for id_, reason in stored.refused.items():
        yield Complaint(
            f"the policy agent cannot set up endpoint {id_}: {reason}",
            f"`calicoctl endpoint show --detailed --endpoint={id_}` shows what it is to be",
        )
    if agent.version != __version__:
        yield Complaint(
            f"calicoctl is version {__version__}, the policy agent {agent.version or 'unknown'}",
            "`sudo calicoctl node` starts the services of this version",
            grave=False,
        )


def _about_routing(health: Health) -> Iterator[Complaint]:
    stored = health.stored
    if isinstance(stored, Stored) and stored.left_out:
        yield Complaint(
            f"{_number(len(stored.left_out), 'key')} for BGP in etcd cannot be used",
            "write the value anew (`calicoctl node` does for its own host) or delete the key",
        )
    if isinstance(stored, Stored) and stored.routing is None and health.routes:
        yield Complaint("no report of the routing service in the last minute", _LOG_HINT)
    if isinstance(health.sessions, CalicoError):
        yield Complaint(f"BIRD does not answer: {health.sessions.message}", _LOG_HINT)
    elif health.sessions:
        down = [each for each in health.sessions if not each.state.established]
        if down:
            peers = ", ".join(str(each.peer.address) for each in down)
            yield Complaint(
                f"{len(down)} of {_number(len(health.sessions), 'BGP session')}"
                f" not established: {peers}",
                "does calico-node run there, and may this host reach its TCP port 179?",
                grave=False,
            )


def _about_lifecycle(health: Health) -> Iterator[Complaint]:
    if not isinstance(health.stored, Stored):
        return
    report = health.stored.lifecycle
    if report is None:
        if health.running:
            yield Complaint("no report of the life-cycle service in the last minute", _LOG_HINT)
        return
    if report.trouble:
        yield Complaint(f"the life-cycle service: {report.trouble}", _LOG_HINT)
    for name, reason in sorted(report.problems.items()):
        yield Complaint(
            f"container {name} has not got the network that it wishes: {reason}",
            "it is tried again every half minute, so put right what is said",
        )
    for name, reason in sorted(report.left_alone.items()):
        yield Complaint(
            f"container {name} wishes an address of ours but is left alone: {reason}",
            "create it anew, through the Docker API proxy or with --net=none; or without CALICO_IP",
            grave=False,
        )


def _about_docker_proxy(health: Health) -> Iterator[Complaint]:
    if not isinstance(health.stored, Stored):
        return
    report, proxy = health.stored.docker_proxy, health.docker_proxy
    if report is None and proxy is not None:
        yield Complaint(
            "no report of the Docker API proxy in the last minute",
            f"{_LOG_HINT}; perhaps something else listens on {proxy}",
        )
    elif report is not None and report.trouble:
        yield Complaint(
            f"the Docker API proxy: {report.trouble}",
            "`sudo calicoctl node --docker-proxy=<ADDR:PORT>` moves it; Docker's own socket works"
            " without it",
        )


def _other_etcd(health: Health) -> str:
    """Say which etcd the node uses, if it may be another one than was asked."""
    theirs = _variable(health.container, "ETCD_AUTHORITY")
    if theirs in {"", health.etcd}:
        return ""
    return f"{NODE} on this host uses ETCD_AUTHORITY={theirs}; try it with that"


def _variable(container: OwnContainer | CalicoError | None, name: str) -> str:
    return container.environment.get(name, "") if isinstance(container, OwnContainer) else ""


def _number(count: int, what: str) -> str:
    return f"{count} {what}" if count == 1 else f"{count} {what}s"
