"""Say how this host's node is, and what is wrong.

Usage:
  calicoctl status

Asks Docker, etcd and BIRD, and changes nothing. Whoever does not answer is named; the others are
shown all the same. What the services say of themselves is what they last wrote to etcd: up to half
a minute old, and gone a minute after they end. BIRD is asked through Docker, which takes root or
membership of the group of Docker's socket.

All that is wrong is said again at the end, on stderr, with what to try. Exit code 0: everything
could be asked and is well. A BGP session that is not established, a policy agent of another version
and containers that have to be left alone are warned of, and change no exit code.

Options:
  -h --help  Show this text.

Examples:
  calicoctl status
  ETCD_AUTHORITY=10.99.0.1:2379 calicoctl status
"""

from collections.abc import Iterable, Mapping, Sequence

from calico_ctl import __version__, usage
from calico_ctl.commands import tables
from calico_ctl.console import Console
from calico_ctl.datastore.status import AgentStatus, ServiceStatus
from calico_ctl.errors import CalicoError, ExitCode
from calico_ctl.model.address import FAMILIES
from calico_ctl.workload import health, proxy_address
from calico_ctl.workload.health import Health, Session, Stored
from calico_ctl.workload.platform import Platform

_PEERS = ("Peer address", "Peer type", "State", "Since", "Info")


def run(argv: Sequence[str], platform: Platform, console: Console) -> ExitCode:
    """Look, show what was found, then say what is wrong with it."""
    usage.parse(__doc__, argv)
    found = health.look(platform)
    for line in _lines(found):
        console.result(line)
    if isinstance(found.sessions, Sequence):
        _show_sessions(found.sessions, console)
    elif isinstance(found.sessions, CalicoError):
        console.result("BGP sessions: not known, because BIRD does not answer")
    elif isinstance(found.container, CalicoError):
        console.result("BGP sessions: not known, because BIRD is asked through Docker")
    complaints = health.complaints(found)
    for each in complaints:
        if each.grave:
            console.error(CalicoError(each.what, each.hint))
        else:
            console.say(f"warning: {each.what}")
            console.say(f"hint: {each.hint}")
    return ExitCode.FAILED if any(each.grave for each in complaints) else ExitCode.OK


def _lines(found: Health) -> list[str]:
    lines = [_container(found)]
    if isinstance(found.stored, CalicoError):
        return [*lines, f"etcd: {found.stored.message}"]
    return [
        *lines,
        f"etcd at {found.etcd} answers",
        *_agent(found, found.stored),
        *_routing(found, found.stored),
        *_lifecycle(found, found.stored),
        *_docker_proxy(found, found.stored),
    ]


def _container(found: Health) -> str:
    container = found.container
    if isinstance(container, CalicoError):
        return f"{health.NODE}: {container.message}"
    if container is None:
        return f"{health.NODE} is not running on {found.host}"
    verb = "is running" if container.running else "is not running"
    return f"{health.NODE} {verb} on {found.host} ({container.description})"


def _agent(found: Health, stored: Stored) -> list[str]:
    agent = stored.agent
    if agent is None:
        return ["policy agent: no report in the last minute"]
    repairs = ", ".join(f"{kind} {count}" for kind, count in sorted(agent.repairs.items()))
    how = "not in sync, but etcd was read up to" if agent.trouble else "in sync with etcd as of"
    lines = [
        f"policy agent: {_since(found, agent)}",
        f"  version {agent.version or 'unknown'} (this command: {__version__})",
        f"  endpoints in place: {agent.endpoints}",
        f"  {how} revision {agent.in_sync_revision}",
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


def _routing(found: Health, stored: Stored) -> Iterable[str]:
    if found.running and not found.routes:
        yield "routing service: none, CALICO_NETWORKING is false"
        return
    if stored.routing is None:
        yield "routing service: no report in the last minute"
    else:
        yield f"routing service: {_since(found, stored.routing)}"
    if stored.left_out:
        yield f"  keys that cannot be used: {len(stored.left_out)}"
    for key in sorted(stored.left_out, key=tables.natural):
        yield f"    {key}: {stored.left_out[key]}"


def _lifecycle(found: Health, stored: Stored) -> Iterable[str]:
    report = stored.lifecycle
    if report is None:
        yield "life-cycle service: no report in the last minute"
        return
    yield f"life-cycle service: {_since(found, report)}"
    if report.trouble:
        yield f"  trouble: {report.trouble}"
    yield from _containers("have not got the network that they wish", report.problems)
    yield from _containers("wish an address of ours but are left alone", report.left_alone)


def _containers(what: str, reasons: Mapping[str, str]) -> Iterable[str]:
    if reasons:
        yield f"  containers that {what}: {len(reasons)}"
    for name in sorted(reasons, key=tables.natural):
        yield f"    {name}: {reasons[name]}"


def _docker_proxy(found: Health, stored: Stored) -> Iterable[str]:
    report, proxy = stored.docker_proxy, found.docker_proxy
    if found.running and proxy is None:
        yield "Docker API proxy: off"
        return
    where = "" if proxy is None else f" at {proxy}"
    if report is None:
        yield f"Docker API proxy{where}: no report in the last minute"
    else:
        yield f"Docker API proxy{where}: {_since(found, report)}"
        if report.trouble:
            yield f"  trouble: {report.trouble}"
    if proxy is not None and proxy.tls is not None:
        yield f"  clients need a certificate that {proxy.tls.ca} vouches for"
    elif proxy is not None and proxy_address.is_exposed(proxy):
        yield "  without certificates: whoever reaches it is root here"


def _since(found: Health, report: AgentStatus | ServiceStatus) -> str:
    """Say since when; a report outlives who wrote it by up to a minute."""
    since = report.since or "unknown"
    if found.running:
        return f"up since {since}"
    if isinstance(found.container, CalicoError):
        return f"up since {since}, or was within the last minute"
    return f"was up since {since}; this is its last report"


def _show_sessions(sessions: Sequence[Session], console: Console) -> None:
    ordered = sorted(sessions, key=lambda each: tables.natural(str(each.peer.address)))
    for family in FAMILIES:
        console.result(f"IPv{family} BGP status")
        console.table(_PEERS, [_row(each) for each in ordered if each.peer.family == family])


def _row(session: Session) -> tuple[str, ...]:
    peer, state = session.peer, session.state
    return (str(peer.address), peer.kind, state.state, state.since, state.info)
