"""What a service tells etcd of itself: written by a thread of its own, so that a slow etcd delays
nothing, at once when it changes, and otherwise kept alive.
"""

import logging
import time
from collections.abc import Mapping

from calico_ctl.daemons.meters import Meters
from calico_ctl.daemons.runtime import Post, Stopping
from calico_ctl.datastore import status
from calico_ctl.datastore.heartbeat import Heartbeat
from calico_ctl.datastore.status import ServiceStatus
from calico_ctl.datastore.store import Store
from calico_ctl.errors import CalicoError
from calico_ctl.model import keys

log = logging.getLogger(__name__)

_REPORT_SECONDS = status.LIFETIME / 3
_RETRY_SECONDS = 1.0
_LOOK_SECONDS = 0.1


class ServiceReport:
    """The report of one service of a host; nothing is told before something was said."""

    def __init__(
        self, store: Store, hostname: str, service: str, meters: Meters | None = None
    ) -> None:
        """Have nothing to say yet; trouble is said to `meters` too."""
        self._meters = meters or Meters(service)
        self._store = store
        self._hostname = hostname
        self._service = service
        self._since = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        self._said: ServiceStatus | None = None
        self._written: ServiceStatus | None = None
        self._heartbeat = Heartbeat(store, keys.service_status(hostname, service), status.LIFETIME)
        self._due = float("inf")

    def say(
        self,
        trouble: str = "",
        config: str = "",
        problems: Mapping[str, str] | None = None,
        left_alone: Mapping[str, str] | None = None,
    ) -> None:
        """Say how the service is (see `ServiceStatus`). Returns at once."""
        said = ServiceStatus(
            self._since,
            config=config,
            trouble=trouble,
            problems=problems or {},
            left_alone=left_alone or {},
            restarts=self._meters.restarts,
        )
        self._meters.say(trouble)
        if said != self._said:
            self._said = said
            self._due = 0.0

    def run(self, post: Post, stopping: Stopping) -> None:
        """Write what was said until `stopping` is set; a listener that posts nothing."""
        del post
        told = ""
        while not stopping.wait(_LOOK_SECONDS):
            if time.monotonic() < self._due:
                continue
            try:
                self.write()
                told = ""
            except CalicoError as error:
                self._due = time.monotonic() + _RETRY_SECONDS
                if error.message != told:
                    log.warning("cannot report to etcd: %s", error.message)
                told = error.message

    def write(self) -> None:
        """Write what was said last, or keep it alive."""
        self._due = time.monotonic() + _REPORT_SECONDS
        said = self._said
        if said is not None and (said != self._written or not self._heartbeat.keeps()):
            status.write_service(self._store, self._hostname, self._service, said)
            self._written = said
