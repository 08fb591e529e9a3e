"""What is wrong with a node, as far as it was found (`health`), and what to try about each."""

from collections.abc import Iterator
from dataclasses import dataclass

from calico_ctl import __version__
from calico_ctl.datastore import status
from calico_ctl.datastore.status import AgentStatus, ServiceStatus
from calico_ctl.errors import CalicoError
from calico_ctl.model import keys
from calico_ctl.model.root import MOVED, MOVING
from calico_ctl.workload import health
from calico_ctl.workload.health import NODE, Health, Stored

_LOG_HINT = f"`docker logs {NODE}` shows what it does"

BIRD = "bird"
ETCD = "etcd"

_TROUBLE_HINTS = {
    status.DOCKER_PROXY: "`sudo calicoctl node --docker-proxy=<ADDR:PORT>` moves it; Docker's own"
    " socket works without it",
    status.METRICS: "`sudo calicoctl node --metrics=<ADDR:PORT>` moves them, --metrics=off does"
    " without; all else works",
}

_COMEBACK = (
    "`sudo calicoctl node` makes it a host again; if somebody removed it, `sudo calicoctl node"
    " stop` before that clears what its containers had"
)


@dataclass(frozen=True, slots=True)
class Complaint:
    """Something that is wrong and what to try; one that is not `grave` may be as it should be.

    `part` is what it is wrong with: the node's container, `etcd`, `bird`, or a service.
    """

    part: str
    what: str
    hint: str
    grave: bool = True


def complaints(found: Health) -> list[Complaint]:
    """Return all that is wrong, the cause before what may follow from it."""
    return [
        *_about_container(found),
        *_about_etcd(found),
        *_about_agent(found),
        *_about_routing(found),
        *_about_services(found),
    ]


def _about_container(found: Health) -> Iterator[Complaint]:
    container = found.container
    if isinstance(container, CalicoError):
        hint = container.hint or "`docker version` shows whether the Docker Engine answers"
        yield Complaint(NODE, container.message, hint)
    elif container is None:
        yield Complaint(NODE, f"{NODE} is not running", "`sudo calicoctl node` starts it")
    elif not container.running:
        yield Complaint(NODE, f"{NODE} is not running", _revival(container.description))


def _revival(description: str) -> str:
    # Docker counts the first two as running, so `calicoctl node` would change nothing.
    if description.endswith("(Paused)"):
        return f"`docker unpause {NODE}` lets it go on"
    if description.startswith("Restarting"):
        return f"it ends whenever Docker starts it; `docker logs {NODE}` shows why"
    return f"`docker logs {NODE}` shows why; `sudo calicoctl node` starts it"


def _about_etcd(found: Health) -> Iterator[Complaint]:
    stored = found.stored
    if isinstance(stored, CalicoError):
        hint = _other_etcd(found) or stored.hint or "ETCD_AUTHORITY says where etcd is asked"
        yield Complaint(ETCD, stored.message, hint)
    elif not stored.ready:
        yield _not_ready(found, stored)
    elif found.running and not stored.known:
        yield Complaint(
            ETCD,
            f"etcd at {found.etcd} does not know this host, {found.host}: others do not reach it",
            _other_etcd(found) or _COMEBACK,
        )


def _not_ready(found: Health, stored: Stored) -> Complaint:
    version = stored.api.version if stored.api else 0
    which = f"etcd's v{version} store at {found.etcd}"
    if stored.readiness == MOVING:
        return Complaint(
            ETCD,
            f"the cluster is being moved out of {which}, or was when that broke off",
            "if `calicoctl datastore migrate` runs no more, run it again as it was: it goes on with"
            " it; until then nothing that is changed here has an effect",
        )
    if stored.readiness == MOVED:
        return Complaint(
            ETCD,
            f"the cluster has moved out of {which}",
            f"this host has to follow: `sudo ETCD_API={5 - version} calicoctl node`",
        )
    return Complaint(
        ETCD,
        f"etcd at {found.etcd} holds no cluster: {keys.READY} is not true there",
        _other_etcd(found) or "is it the right one? `sudo calicoctl node` writes that key",
    )


def _about_agent(found: Health) -> Iterator[Complaint]:
    stored = found.stored
    if isinstance(stored, CalicoError):
        return
    agent = stored.agent
    if agent is None:
        if found.running or isinstance(found.container, CalicoError):
            hint = _other_etcd(found) or _LOG_HINT
            yield Complaint(status.FELIX, "no report of the policy agent in the last minute", hint)
        return
    yield from _about_report(agent, stored)


def _about_report(agent: AgentStatus, stored: Stored) -> Iterator[Complaint]:
    felix = status.FELIX
    if agent.trouble:
        yield Complaint(felix, f"the policy agent: {agent.trouble}", _LOG_HINT)
    if agent.bad_key_count:
        yield Complaint(
            felix,
            f"{_number(agent.bad_key_count, 'key')} in etcd cannot be used by the policy agent",
            "write the value anew or delete the key; what depends on it stays closed until then",
        )
    for id_, reason in stored.refused.items():
        yield Complaint(
            felix,
            f"the policy agent cannot set up endpoint {id_}: {reason}",
            f"`calicoctl endpoint show --detailed --endpoint={id_}` shows what it is to be",
        )
    if agent.version != __version__:
        yield Complaint(
            felix,
            f"calicoctl is version {__version__}, the policy agent {agent.version or 'unknown'}",
            "`sudo calicoctl node` starts the services of this version",
            grave=False,
        )


def _about_routing(found: Health) -> Iterator[Complaint]:
    stored = found.stored
    if isinstance(stored, Stored) and stored.left_out:
        yield Complaint(
            status.ROUTING,
            f"{_number(len(stored.left_out), 'key')} for BGP in etcd cannot be used",
            "write the value anew (`calicoctl node` does for its own host) or delete the key",
        )
    if isinstance(found.sessions, CalicoError):
        yield Complaint(BIRD, f"BIRD does not answer: {found.sessions.message}", _LOG_HINT)
    elif found.sessions:
        down = [each for each in found.sessions if not each.state.established]
        if down:
            peers = ", ".join(str(each.peer.address) for each in down)
            yield Complaint(
                BIRD,
                f"{len(down)} of {_number(len(found.sessions), 'BGP session')}"
                f" not established: {peers}",
                "does calico-node run there, and may this host reach its TCP port 179?",
                grave=False,
            )


def _about_services(found: Health) -> Iterator[Complaint]:
    if not isinstance(found.stored, Stored):
        return
    services = found.stored.services
    for name in health.in_order(services, found.expected):
        report = services.get(name)
        if report is not None:
            yield from _about_service(name, report)
        else:
            what = f"no report of the {health.called(name)} in the last minute"
            yield Complaint(name, what, _silence_hint(name, found))


def _silence_hint(name: str, found: Health) -> str:
    if name == status.DOCKER_PROXY and found.docker_proxy is not None:
        return f"{_LOG_HINT}; perhaps something else listens on {found.docker_proxy}"
    return _LOG_HINT


def _about_service(name: str, report: ServiceStatus) -> Iterator[Complaint]:
    if report.trouble:
        hint = _TROUBLE_HINTS.get(name, _LOG_HINT)
        yield Complaint(name, f"the {health.called(name)}: {report.trouble}", hint)
    if report.bad_keys:
        yield Complaint(
            name,
            f"{_number(len(report.bad_keys), 'key')} in etcd cannot be used by the"
            f" {health.called(name)}",
            "write the value anew or delete the key",
        )
    for container, reason in sorted(report.problems.items()):
        yield Complaint(
            name,
            f"container {container} has not got the network that it wishes: {reason}",
            "it is tried again every half minute, so put right what is said",
        )
    for container, reason in sorted(report.left_alone.items()):
        yield Complaint(
            name,
            f"container {container} wishes an address of ours but is left alone: {reason}",
            "create it anew, through the Docker API proxy or with --net=none; or without CALICO_IP",
            grave=False,
        )


def _other_etcd(found: Health) -> str:
    """Say which etcd the node uses, if it may be another one than was asked."""
    theirs = found.variable("ETCD_AUTHORITY")
    if theirs not in {"", found.etcd}:
        return f"{NODE} on this host uses ETCD_AUTHORITY={theirs}; try it with that"
    api = found.stored.api if isinstance(found.stored, Stored) else None
    theirs = found.variable("ETCD_API")
    if api is None or theirs in {"", str(api.version)}:
        return ""
    return (
        f"{NODE} on this host uses ETCD_API={theirs}; try it with that, or, if the cluster was"
        f" moved from there, `sudo ETCD_API={api.version} calicoctl node`"
    )


def _number(count: int, what: str) -> str:
    return f"{count} {what}" if count == 1 else f"{count} {what}s"
