"""What `calicoctl status` found, as data; `docs/reference/status.md` says what each field means."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict

from calico_ctl import __version__
from calico_ctl.commands import tables
from calico_ctl.datastore import status
from calico_ctl.datastore.status import AgentStatus
from calico_ctl.errors import CalicoError
from calico_ctl.model.container import OwnContainer
from calico_ctl.workload import health
from calico_ctl.workload.complaints import Complaint
from calico_ctl.workload.health import Health, Session, Stored

Item = dict[str, object]


def item(found: Health, wrong: Sequence[Complaint]) -> Item:
    """Return a node, and what is wrong with it, as JSON values."""
    stored = found.stored if isinstance(found.stored, Stored) else None
    return {
        "hostname": found.host,
        "healthy": not any(each.grave for each in wrong),
        "version": __version__,
        "container": _container(found),
        "etcd": _etcd(found),
        "agent": None if stored is None or stored.agent is None else _agent(stored.agent, stored),
        "services": [] if stored is None else _services(found, stored),
        "bird": None if found.bird is None else asdict(found.bird),
        "bgp_sessions": _sessions(found.sessions) if isinstance(found.sessions, Sequence) else None,
        "problems": [
            {
                "part": each.part,
                "severity": "error" if each.grave else "warning",
                "message": each.what,
                "hint": each.hint,
            }
            for each in wrong
        ],
    }


def _container(found: Health) -> Item:
    container = found.container
    return {
        "name": health.NODE,
        "running": None if isinstance(container, CalicoError) else found.running,
        "description": container.description if isinstance(container, OwnContainer) else None,
    }


def _etcd(found: Health) -> Item:
    stored = found.stored if isinstance(found.stored, Stored) else None
    return {
        "servers": found.etcd.split(",") if found.etcd else [],
        "answered_by": None if stored is None else stored.member,
        "latency_ms": None if stored is None else stored.latency_ms,
        "ready": None if stored is None else stored.ready,
        "api": None if stored is None or stored.api is None else stored.api.version,
        "api_reason": None if stored is None or stored.api is None else stored.api.reason,
    }


def _agent(agent: AgentStatus, stored: Stored) -> Item:
    return {
        "version": agent.version or None,
        "since": agent.since,
        "restarts": agent.restarts,
        "trouble": agent.trouble or None,
        "in_sync_since": agent.in_sync_since or None,
        "revision": agent.in_sync_revision,
        "endpoints": agent.endpoints,
        "profiles": agent.profiles,
        "rules": agent.rules,
        "sets": agent.sets,
        "last_update_ms": agent.last_update_ms,
        "repairs": dict(sorted(agent.repairs.items())),
        "unusable_key_count": max(agent.bad_key_count, len(agent.bad_keys)),
        "unusable_keys": _reasons("key", {each.key: each.reason for each in agent.bad_keys}),
        "refused_endpoints": _reasons("id", stored.refused),
    }


def _services(found: Health, stored: Stored) -> list[Item]:
    addresses = {status.DOCKER_PROXY: found.docker_proxy, status.METRICS: found.metrics}
    items = []
    for name in health.in_order(stored.services, found.expected):
        report, address = stored.services.get(name), addresses.get(name)
        left_out = stored.left_out if name == status.ROUTING else {}
        bad_keys = {**left_out, **(report.bad_keys if report else {})}
        items.append(
            {
                "name": name,
                "expected": name in found.expected,
                "since": report.since if report else None,
                "restarts": report.restarts if report else None,
                "address": None if address is None else str(address),
                "trouble": (report.trouble or None) if report else None,
                "unusable_keys": _reasons("key", bad_keys),
                "without_network": _reasons("container", report.problems if report else {}),
                "left_alone": _reasons("container", report.left_alone if report else {}),
            }
        )
    return items


def _sessions(sessions: Sequence[Session]) -> list[Item]:
    ordered = sorted(sessions, key=lambda each: tables.natural(str(each.peer.address)))
    return [
        {
            "ip": str(each.peer.address),
            "type": each.peer.kind,
            "state": each.state.state,
            "since": each.state.since,
            "info": each.state.info,
            "established": each.state.established,
            "received": None if each.state.routes is None else each.state.routes.received,
            "exported": None if each.state.routes is None else each.state.routes.exported,
        }
        for each in ordered
    ]


def _reasons(what: str, reasons: Mapping[str, str]) -> list[Item]:
    return [{what: name, "reason": reasons[name]} for name in sorted(reasons, key=tables.natural)]
