"""What the agent tells etcd: written by a thread of its own, so that a slow etcd delays no policy.

The deciding thread says how things are; this thread writes what differs from what it wrote before.
Whatever came in between two writes is one write. An endpoint is acknowledged at once; the agent's
own report is written at once when something is wrong or right again, and after some seconds when
there is more or less than before. Otherwise it is kept alive: hundreds of agents that told etcd of
every update, and all other agents with it, would be its greatest load.
"""

import logging
import random
import threading
import time
from collections.abc import Mapping
from dataclasses import replace

from calico_ctl.daemons.meters import Meters
from calico_ctl.daemons.runtime import Post, Stopping
from calico_ctl.datastore import status
from calico_ctl.datastore.heartbeat import Heartbeat
from calico_ctl.datastore.status import AgentStatus, EndpointStatus
from calico_ctl.datastore.store import Store
from calico_ctl.errors import CalicoError
from calico_ctl.model import keys, metric
from calico_ctl.model.endpoint import EndpointKey

log = logging.getLogger(__name__)

Statuses = Mapping[EndpointKey, EndpointStatus]

REPORT_SECONDS = status.LIFETIME / 3
_RETRY_SECONDS = 1.0


class Reports:
    """The mailbox between the two threads, and what has been written."""

    def __init__(self, store: Store, hostname: str, meters: Meters | None = None) -> None:
        """Know nothing to report yet; `meters` are told the same."""
        self.meters = meters or Meters(status.FELIX)
        self.meters.set(metric.IN_SYNC, 0)
        self.meters.ask(self._measure)
        self._said: str | None = None
        self.in_sync_since = ""
        """Since when the agent has no trouble; empty if it has."""
        self._store = store
        self._hostname = hostname
        self._lock = threading.Lock()
        self._something = threading.Event()
        self._statuses: Statuses | None = None
        self._agent: AgentStatus | None = None
        self._urgent = False
        self._heartbeat = Heartbeat(store, keys.agent_status(hostname), status.LIFETIME)
        self._told: AgentStatus | None = None
        # None: what a former agent has written is not known yet
        self._written: dict[EndpointKey, EndpointStatus] | None = None

    def submit(self, statuses: Statuses | None, agent: AgentStatus, *, urgent: bool) -> None:
        """Say how things are; `statuses` None: as said before. Returns at once."""
        self._note(agent)
        with self._lock:
            wake = urgent or (statuses is not None and statuses != self._statuses)
            self._statuses = self._statuses if statuses is None else statuses
            self._agent = agent
            self._urgent |= urgent
        if wake:
            self._something.set()

    def _note(self, agent: AgentStatus) -> None:
        if agent.trouble:
            self.in_sync_since = ""
        elif not self.in_sync_since:
            self.in_sync_since = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        if agent.trouble != self._said:
            self._said = agent.trouble
            self.meters.say(agent.trouble)

    def _measure(self) -> None:
        """Tell the meters, in their thread: the deciding one has other things to do."""
        agent, meters = self._agent, self.meters
        if agent is None:
            return
        meters.set(metric.IN_SYNC, int(not agent.trouble))
        meters.set(metric.REVISION, agent.in_sync_revision)
        meters.set(metric.ENDPOINTS, agent.endpoints)
        meters.set(metric.BAD_KEYS, agent.bad_key_count)
        meters.set(metric.PROFILES, agent.profiles)
        meters.set(metric.RULES, agent.rules)
        meters.set(metric.SETS, agent.sets)
        for kind, count in agent.repairs.items():
            meters.set(metric.REPAIRS, count, kind)

    def acknowledged(self, key: EndpointKey) -> bool:
        """Say whether anything was written about an endpoint."""
        return self._written is not None and key in self._written

    def as_of_now(self) -> str:
        """Return what the agent said last, as it would be written; empty: nothing yet."""
        with self._lock:
            return "" if self._agent is None else status.encode_agent(self._completed(self._agent))

    def _completed(self, agent: AgentStatus) -> AgentStatus:
        restarts = self.meters.restarts
        return replace(agent, in_sync_since=self.in_sync_since, restarts=restarts)

    def run(self, post: Post, stopping: Stopping) -> None:
        """Write what is submitted until `stopping` is set; a listener that posts nothing."""
        del post
        jitter = random.Random()  # noqa: S311 - spreads load, hides nothing
        told = ""
        # What a former agent reported is read while this one reads all the rest.
        self._something.set()
        while not stopping.is_set():
            timely = self._something.wait(REPORT_SECONDS * jitter.uniform(0.8, 1.0))
            try:
                self.write(periodic=not timely)
                told = ""
            except CalicoError as error:
                if error.message != told:
                    log.warning("cannot report to etcd: %s", error.message)
                told = error.message
                self._something.set()
                stopping.wait(_RETRY_SECONDS)

    def write(self, *, periodic: bool = False) -> None:
        """Write what was submitted and differs from what is written."""
        self._something.clear()
        if self._written is None:
            self._written = status.read_endpoints(self._store, self._hostname)
        with self._lock:
            statuses, urgent = self._statuses, self._urgent
            agent = None if self._agent is None else self._completed(self._agent)
            self._urgent = False
        try:
            if agent is not None and (urgent or periodic):
                self._write_agent(agent, urgent=urgent)
            if statuses is not None:
                self._write_endpoints(statuses, self._written)
        except CalicoError:
            self._urgent = True
            raise

    def _write_agent(self, report: AgentStatus, *, urgent: bool) -> None:
        """Write the report, or keep alive the last one, which differs in how far it is at most."""
        if urgent or _without_progress(report) != self._told or not self._heartbeat.keeps():
            status.write_agent(self._store, self._hostname, report)
            self._told = _without_progress(report)
            log.debug("told etcd how this agent is")

    def _write_endpoints(
        self, statuses: Statuses, written: dict[EndpointKey, EndpointStatus]
    ) -> None:
        for key, value in statuses.items():
            if written.get(key) != value:
                status.write_endpoint(self._store, key, value)
                written[key] = value
                log.debug("told etcd that endpoint %s is %s", key.id, value.status)
        for key in written.keys() - statuses.keys():
            status.remove_endpoint(self._store, key)
            del written[key]
            log.debug("told etcd that endpoint %s is gone", key.id)


def _without_progress(report: AgentStatus) -> AgentStatus:
    return replace(report, in_sync_revision=0, last_update_ms=0.0)
