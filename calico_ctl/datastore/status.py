"""What the daemons of a host report about themselves and about endpoints, and waiting for it.

Reports have one writer each, so they are put without a condition. Those about a daemon have a
lifetime: a daemon that died stops reporting, and its report goes. Reading is total: a report that
cannot be read counts as none.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Protocol

from calico_ctl.datastore import entries
from calico_ctl.datastore.entries import Problem
from calico_ctl.datastore.store import Store
from calico_ctl.errors import CalicoError, DeadlineExceeded, HistoryLost
from calico_ctl.model import keys
from calico_ctl.model.endpoint import EndpointKey

BadKey = Problem
"""A key that the agent cannot use, and why."""

LIFETIME = 60
"""Seconds after which a report of a daemon disappears; report at least three times as often."""

FELIX = "felix"
"""The name of the policy agent among the services."""

ROUTING = "routing"
LIFECYCLE = "lifecycle"
DOCKER_PROXY = "docker-proxy"
METRICS = "metrics"
"""The names of the services that report beside the agent."""

UP = "up"
DOWN = "down"
ERROR = "error"

_LONGEST_WATCH = 5.0


class Clock(Protocol):
    """Time, as far as waiting goes."""

    def monotonic(self) -> float:
        """Return seconds from an arbitrary start."""
        ...


@dataclass(frozen=True, slots=True)
class AgentStatus:
    """How a policy agent is. `trouble` says why it cannot program its host, if it cannot.

    `bad_keys` may be only the first of `bad_key_count`. `repairs` counts what somebody else changed
    and the agent mended since it began, by kind. `last_update_ms` is how long the last change took.
    `in_sync_since` is since when there is no trouble, empty if there is. `restarts` counts how
    often it was started again since the node's container was. `profiles`, `rules` and `sets` are
    those of its table.
    """

    since: str
    endpoints: int = 0
    bad_keys: tuple[BadKey, ...] = ()
    bad_key_count: int = 0
    repairs: Mapping[str, int] = field(default_factory=dict)
    last_update_ms: float = 0.0
    trouble: str = ""
    in_sync_revision: int = 0
    pid: int = 0
    version: str = ""
    in_sync_since: str = ""
    restarts: int = 0
    profiles: int = 0
    rules: int = 0
    sets: int = 0


@dataclass(frozen=True, slots=True)
class EndpointStatus:
    """How an endpoint is: `up`, `down` or `error`, as of that revision of the endpoint's key."""

    status: str
    revision: int
    reason: str = ""


@dataclass(frozen=True, slots=True)
class ServiceStatus:
    """That a daemon runs, since when, and a digest of the configuration that it applied.

    `trouble` says why it cannot do its work at all, if it cannot. `problems` are containers by name
    that did not get what they wish, each with the reason; `left_alone` those that wish to be ours
    but were made in a way that keeps us from it. `bad_keys` are keys in etcd that the service
    cannot use, each with the reason. `restarts` is as in `AgentStatus`.
    """

    since: str
    config: str = ""
    trouble: str = ""
    problems: Mapping[str, str] = field(default_factory=dict)
    left_alone: Mapping[str, str] = field(default_factory=dict)
    bad_keys: Mapping[str, str] = field(default_factory=dict)
    restarts: int = 0


def write_agent(store: Store, host: str, report: AgentStatus, ttl: int = LIFETIME) -> None:
    """Report how a host's agent is."""
    store.put(keys.agent_status(host), encode_agent(report), ttl)


def encode_agent(report: AgentStatus) -> str:
    """Return an agent's report as it is written."""
    return json.dumps(asdict(report))


def read_agent(store: Store, host: str) -> AgentStatus | None:
    """Return what a host's agent reported lately, or None."""
    fields = _read(store, keys.agent_status(host))
    return None if fields is None else _agent(fields)


def decode_agent(text: str) -> AgentStatus | None:
    """Read what `encode_agent` wrote; None if it is nothing of the kind."""
    fields = _object(text)
    return None if fields is None else _agent(fields)


def _agent(fields: dict[str, object]) -> AgentStatus:
    listed = fields.get("bad_keys")
    bad_keys = (
        [each for each in listed if isinstance(each, dict)] if isinstance(listed, list) else []
    )
    return AgentStatus(
        since=_text(fields, "since"),
        endpoints=_number(fields, "endpoints"),
        bad_keys=tuple(BadKey(_text(each, "key"), _text(each, "reason")) for each in bad_keys),
        bad_key_count=_number(fields, "bad_key_count"),
        repairs=_counts(fields, "repairs"),
        last_update_ms=_float(fields, "last_update_ms"),
        trouble=_text(fields, "trouble"),
        in_sync_revision=_number(fields, "in_sync_revision"),
        pid=_number(fields, "pid"),
        version=_text(fields, "version"),
        in_sync_since=_text(fields, "in_sync_since"),
        restarts=_number(fields, "restarts"),
        profiles=_number(fields, "profiles"),
        rules=_number(fields, "rules"),
        sets=_number(fields, "sets"),
    )


def write_service(
    store: Store, host: str, service: str, report: ServiceStatus, ttl: int = LIFETIME
) -> None:
    """Report how another daemon of a host is."""
    store.put(keys.service_status(host, service), json.dumps(asdict(report)), ttl)


def read_service(store: Store, host: str, service: str) -> ServiceStatus | None:
    """Return what a daemon reported lately, or None."""
    fields = _read(store, keys.service_status(host, service))
    return None if fields is None else _service(fields)


def read_services(store: Store, host: str) -> dict[str, ServiceStatus]:
    """Return what each daemon beside the agent reported lately, whichever there are, by name."""
    found = {}
    for entry in store.tree(keys.service_statuses(host)).entries:
        fields = _object(entry.value)
        if fields is not None:
            found[entry.key.rsplit("/", 1)[1]] = _service(fields)
    return found


def _service(fields: dict[str, object]) -> ServiceStatus:
    return ServiceStatus(
        since=_text(fields, "since"),
        config=_text(fields, "config"),
        trouble=_text(fields, "trouble"),
        problems=_texts(fields, "problems"),
        left_alone=_texts(fields, "left_alone"),
        bad_keys=_texts(fields, "bad_keys"),
        restarts=_number(fields, "restarts"),
    )


def write_endpoint(store: Store, key: EndpointKey, report: EndpointStatus) -> None:
    """Report how an endpoint is."""
    store.put(keys.endpoint_status(key), json.dumps(asdict(report)))


def read_endpoints(store: Store, host: str) -> dict[EndpointKey, EndpointStatus]:
    """Return what a host's agent reported about each of its endpoints."""
    found = {}
    for entry in store.tree(keys.endpoint_statuses(host)).entries:
        match entry.key.split("/")[7:]:
            case [orchestrator, workload, "endpoint", id_]:
                report = _decode_endpoint(entry.value)
                if report is not None:
                    found[EndpointKey(host, orchestrator, workload, id_)] = report
            case _:
                pass
    return found


def read_endpoint(store: Store, key: EndpointKey) -> EndpointStatus | None:
    """Return what the agent reported about an endpoint, or None."""
    entry = store.get(keys.endpoint_status(key))
    return None if entry is None else _decode_endpoint(entry.value)


def remove_endpoint(store: Store, key: EndpointKey) -> None:
    """Take back the report about an endpoint, with the directories that become empty."""
    path = keys.endpoint_status(key)
    store.delete(path)
    parent, workload = path.rsplit("/", 1)[0], path.rsplit("/", 2)[0]
    if entries.delete_if_empty(store, parent):
        entries.delete_if_empty(store, workload)


def wait_for_endpoint(
    store: Store, key: EndpointKey, revision: int, deadline: float, clock: Clock
) -> EndpointStatus:
    """Wait until the agent has programmed an endpoint as it was at `revision`, or a later one.

    Raises DeadlineExceeded once `clock` has passed `deadline`, or CalicoError with the agent's
    reason if it cannot do it.
    """
    wanted, position = _position(store, key)
    while True:
        if wanted is not None and wanted.revision >= revision and wanted.status != DOWN:
            return _require_up(key, wanted)
        remaining = deadline - clock.monotonic()
        if remaining <= 0:
            raise _no_acknowledgement(store, key)
        try:
            events = store.watch(
                keys.endpoint_status(key), position, min(remaining, _LONGEST_WATCH)
            )
        except HistoryLost:
            wanted, position = _position(store, key)
            continue
        if events:
            position = events[-1].revision
            wanted = _decode_endpoint(events[-1].value)
        else:
            # An etcd that is busy may tell a question by itself sooner than one that waits.
            wanted, position = _position(store, key)


def _position(store: Store, key: EndpointKey) -> tuple[EndpointStatus | None, int]:
    """Return the present report, and the revision after which the next one comes."""
    path = keys.endpoint_status(key)
    tree = store.tree(path.rpartition("/")[0])
    present = next((entry for entry in tree.entries if entry.key == path), None)
    return None if present is None else _decode_endpoint(present.value), tree.revision


def _require_up(key: EndpointKey, report: EndpointStatus) -> EndpointStatus:
    if report.status == UP:
        return report
    raise CalicoError(
        f"the policy agent on {key.host} cannot set up endpoint {key.id}: {report.reason}",
        hint=f"its log is on {key.host}; `calicoctl status` there shows what is wrong",
    )


def _no_acknowledgement(store: Store, key: EndpointKey) -> DeadlineExceeded:
    agent = read_agent(store, key.host)
    if agent is None:
        return DeadlineExceeded(
            f"the policy agent on {key.host} does not answer",
            hint="is calico-node running there? `calicoctl status` shows it, "
            "`calicoctl node` starts it",
        )
    why = f": {agent.trouble}" if agent.trouble else ""
    return DeadlineExceeded(
        f"the policy agent on {key.host} did not set up endpoint {key.id} in time{why}",
        hint="`calicoctl status` there shows how it is",
    )


def _decode_endpoint(text: str | None) -> EndpointStatus | None:
    fields = _object(text)
    if fields is None:
        return None
    reason = _text(fields, "reason")
    return EndpointStatus(_text(fields, "status"), _number(fields, "revision"), reason)


def _read(store: Store, key: str) -> dict[str, object] | None:
    entry = store.get(key)
    return None if entry is None else _object(entry.value)


def _object(text: str | None) -> dict[str, object] | None:
    try:
        value = json.loads(text or "")
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def _text(fields: dict[str, object], name: str) -> str:
    value = fields.get(name)
    return value if isinstance(value, str) else ""


def _number(fields: dict[str, object], name: str) -> int:
    value = fields.get(name)
    return value if isinstance(value, int) else 0


def _float(fields: dict[str, object], name: str) -> float:
    value = fields.get(name)
    return float(value) if isinstance(value, int | float) else 0.0


def _texts(fields: dict[str, object], name: str) -> dict[str, str]:
    value = fields.get(name)
    pairs = value.items() if isinstance(value, dict) else ()
    return {key: text for key, text in pairs if isinstance(text, str)}


def _counts(fields: dict[str, object], name: str) -> dict[str, int]:
    value = fields.get(name)
    pairs = value.items() if isinstance(value, dict) else ()
    return {kind: number for kind, number in pairs if isinstance(number, int)}
