"""How `calicoctl status` shows a node to people."""

from collections.abc import Iterable, Mapping, Sequence

from calico_ctl import __version__
from calico_ctl.commands import tables
from calico_ctl.console import Console
from calico_ctl.datastore import status
from calico_ctl.datastore.status import AgentStatus, ServiceStatus
from calico_ctl.errors import CalicoError
from calico_ctl.model.address import FAMILIES
from calico_ctl.workload import health, proxy_address
from calico_ctl.workload.health import Health, Session, Stored

_PEERS = (
    "Peer address",
    "Peer type",
    "State",
    "Since",
    "Info",
    "Routes received",
    "Routes exported",
)


def show(found: Health, console: Console) -> None:
    """Print all of it."""
    for line in _lines(found):
        console.result(line)
    if found.bird is not None:
        console.result(f"BIRD: up since {_times(found.bird.since, found.bird.restarts)}")
    if isinstance(found.sessions, Sequence):
        _show_sessions(found.sessions, console)
    elif isinstance(found.sessions, CalicoError):
        console.result("BGP sessions: not known, because BIRD does not answer")
    elif isinstance(found.container, CalicoError):
        console.result("BGP sessions: not known, because BIRD is asked through Docker")


def _lines(found: Health) -> list[str]:
    lines = [_container(found)]
    stored = found.stored
    if isinstance(stored, CalicoError):
        return [*lines, f"etcd: {stored.message}"]
    lines += [_etcd(found, stored), *_api(stored), *_agent(found, stored), *_routing(found, stored)]
    expected = found.expected | {status.LIFECYCLE, status.DOCKER_PROXY}
    if found.running:
        expected |= {status.METRICS}
    for name in health.in_order(stored.services, expected):
        if name != status.ROUTING:
            lines += _service(name, found, stored)
    return lines


def _container(found: Health) -> str:
    container = found.container
    if isinstance(container, CalicoError):
        return f"{health.NODE}: {container.message}"
    if container is None:
        return f"{health.NODE} is not running on {found.host}"
    verb = "is running" if container.running else "is not running"
    return f"{health.NODE} {verb} on {found.host} ({container.description})"


def _etcd(found: Health, stored: Stored) -> str:
    line = f"etcd at {found.etcd} answers in {stored.latency_ms:.1f} ms"
    return line if stored.member == found.etcd else f"{line}, by {stored.member}"


def _api(stored: Stored) -> list[str]:
    api = stored.api
    return [] if api is None else [f"  spoken to by its v{api.version} API: {api.reason}"]


def _agent(found: Health, stored: Stored) -> list[str]:
    agent = stored.agent
    if agent is None:
        return ["policy agent: no report in the last minute"]
    repairs = ", ".join(f"{kind} {count}" for kind, count in sorted(agent.repairs.items()))
    lines = [
        f"policy agent: {_since(found, agent)}",
        f"  version {agent.version or 'unknown'} (this command: {__version__})",
        f"  endpoints in place: {agent.endpoints}",
        f"  profiles in use: {agent.profiles}, with {agent.rules} rules and {agent.sets} sets",
        f"  {_sync(agent)} revision {agent.in_sync_revision}",
        f"  last update took {agent.last_update_ms:.1f} ms",
        f"  repairs of what others changed: {repairs or 'none'}",
    ]
    if agent.trouble:
        lines.append(f"  trouble: {agent.trouble}")
    refused = sorted(stored.refused.items())
    lines += [f"  cannot set up endpoint {id_}: {why}" for id_, why in refused]
    listed = sorted(agent.bad_keys, key=lambda each: tables.natural(each.key))
    count = max(agent.bad_key_count, len(listed))
    partly = f", the first {len(listed)} of them here" if count > len(listed) else ""
    lines.append(f"  keys that cannot be used: {count or 'none'}{partly}")
    return lines + [f"    {each.key}: {each.reason}" for each in listed]


def _sync(agent: AgentStatus) -> str:
    if agent.trouble:
        return "not in sync, but etcd was read up to"
    since = f"since {agent.in_sync_since}, " if agent.in_sync_since else ""
    return f"in sync with etcd {since}as of"


def _routing(found: Health, stored: Stored) -> Iterable[str]:
    if found.running and not found.routes:
        yield "routing service: none, CALICO_NETWORKING is false"
        return
    yield from _service(status.ROUTING, found, stored)
    yield from _keys(stored.left_out)


def _service(name: str, found: Health, stored: Stored) -> Iterable[str]:
    report, called = stored.services.get(name), health.called(name)
    if _is_off(name, found):
        yield f"{called}: off"
        return
    where = _where(name, found)
    if report is None:
        yield f"{called}{where}: no report in the last minute"
    else:
        yield f"{called}{where}: {_since(found, report)}"
        if report.trouble:
            yield f"  trouble: {report.trouble}"
        yield from _keys(report.bad_keys)
        yield from _containers("have not got the network that they wish", report.problems)
        yield from _containers("wish an address of ours but are left alone", report.left_alone)
    if name == status.DOCKER_PROXY:
        yield from _who_may_use_it(found)


def _is_off(name: str, found: Health) -> bool:
    if not found.running:
        return False
    offered = {status.DOCKER_PROXY: found.docker_proxy, status.METRICS: found.metrics}
    return name in offered and offered[name] is None


def _where(name: str, found: Health) -> str:
    offered = {status.DOCKER_PROXY: found.docker_proxy, status.METRICS: found.metrics}
    there = offered.get(name)
    return "" if there is None else f" at {there}"


def _who_may_use_it(found: Health) -> Iterable[str]:
    proxy = found.docker_proxy
    if proxy is not None and proxy.tls is not None:
        yield f"  clients need a certificate that {proxy.tls.ca} vouches for"
    elif proxy is not None and proxy_address.is_exposed(proxy):
        yield "  without certificates: whoever reaches it is root here"


def _keys(reasons: Mapping[str, str]) -> Iterable[str]:
    if reasons:
        yield f"  keys that cannot be used: {len(reasons)}"
    for key in sorted(reasons, key=tables.natural):
        yield f"    {key}: {reasons[key]}"


def _containers(what: str, reasons: Mapping[str, str]) -> Iterable[str]:
    if reasons:
        yield f"  containers that {what}: {len(reasons)}"
    for name in sorted(reasons, key=tables.natural):
        yield f"    {name}: {reasons[name]}"


def _since(found: Health, report: AgentStatus | ServiceStatus) -> str:
    """Say since when; a report outlives who wrote it by up to a minute."""
    since = _times(report.since or "unknown", report.restarts)
    if found.running:
        return f"up since {since}"
    if isinstance(found.container, CalicoError):
        return f"up since {since}, or was within the last minute"
    return f"was up since {since}; this is its last report"


def _times(since: str, restarts: int) -> str:
    if not restarts:
        return since
    return f"{since}, restarted {restarts} time{'' if restarts == 1 else 's'}"


def _show_sessions(sessions: Sequence[Session], console: Console) -> None:
    ordered = sorted(sessions, key=lambda each: tables.natural(str(each.peer.address)))
    for family in FAMILIES:
        console.result(f"IPv{family} BGP status")
        rows = [_row(each) for each in ordered if each.peer.family == family]
        console.table(_PEERS, tables.numbers_right(_PEERS, rows))


def _row(session: Session) -> tuple[int | str, ...]:
    peer, state = session.peer, session.state
    said = (str(peer.address), peer.kind, state.state, state.since, state.info)
    if state.routes is None:
        return (*said, "", "")
    return (*said, state.routes.received, state.routes.exported)
