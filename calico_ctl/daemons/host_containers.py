"""Answers what the Docker API proxy asks about this host's containers."""

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager

from calico_ctl.daemons.local_endpoints import LocalEndpoints
from calico_ctl.daemons.meters import Meters
from calico_ctl.datastore import status
from calico_ctl.errors import CalicoError, DeadlineExceeded, InvalidValue
from calico_ctl.host import local_answers
from calico_ctl.model import metric
from calico_ctl.model.container import Container
from calico_ctl.model.endpoint import Endpoint
from calico_ctl.model.wish import Wish
from calico_ctl.workload import containers
from calico_ctl.workload.platform import Platform

log = logging.getLogger(__name__)

_LOOK_SECONDS = 0.1

_DONE = {
    "reserve": "reserved its addresses",
    "connect": "saw to its network",
    "release": "released what it had",
}


class HostContainers:
    """Implements `docker_proxy.Workloads`: called by many threads."""

    def __init__(
        self, platform: Platform, known: LocalEndpoints, meters: Meters | None = None
    ) -> None:
        """Take what is outside, and this host's endpoints; count the questions."""
        self._meters = meters or Meters(status.DOCKER_PROXY)
        self._platform = platform
        self._known = known

    def check(self, wish: Wish) -> None:
        """Raise what stands in the way of a container with this wish."""
        with self._counted("check"):
            containers.check(self._platform, wish)

    def reserve(self, container_id: str, wish: Wish) -> None:
        """Reserve what a container that was just created wishes."""
        with self._changed("reserve", container_id):
            containers.reserve(self._platform, container_id, wish)
            self._learn(container_id)

    def identify(self, name: str) -> str | None:
        """Return a container's id if it has to do with Calico."""
        with self._counted("identify"):
            container = containers.find(self._platform, name)
        return container.id if container is not None and self._is_ours(container) else None

    def wishes(self, name: str) -> bool:
        """Say whether a container has a network of ours in the place of Docker's."""
        with self._counted("wishes"):
            container = containers.find(self._platform, name)
        return container is not None and _wishes(container)

    def await_agent(self, container_id: str, seconds: float, *, unless_running: bool) -> None:
        """Wait until the policy agent answers; after so many seconds raise DeadlineExceeded.

        With less than none nobody is asked. With `unless_running` a container that runs needs none.
        """
        clock = self._platform.clock
        deadline = clock.monotonic() + seconds
        with self._counted("agent"):
            if seconds > 0 and self._agent_is_there():
                return
            if unless_running and self._runs(container_id):
                return
            while clock.monotonic() < deadline:
                clock.sleep(_LOOK_SECONDS)
                if self._agent_is_there():
                    return
            raise DeadlineExceeded(
                f"container {container_id[:12]} is left as it is: the policy agent on"
                f" {self._platform.hostname} does not answer",
                hint="is calico-node running there? `calicoctl status` shows it, "
                "`calicoctl node` starts it",
            )

    def connect(self, name: str, seconds: float = containers.CONNECT_SECONDS) -> None:
        """Give a container that was just started its network in so many seconds, or stop it."""
        # One that was to be removed at its end may be gone already.
        container = containers.find(self._platform, name)
        if container is not None and self._is_ours(container):
            began = time.monotonic()
            with self._changed("connect", container.id):
                containers.connect_or_kill(self._platform, container, seconds)
                self._learn(container.id)
            self._meters.observe(metric.ATTACH, time.monotonic() - began)

    def release(self, container_id: str) -> None:
        """Give back what a container had that was just removed."""
        with self._changed("release", container_id):
            containers.release(self._platform, container_id)
            self._learn(container_id)

    def stop(self, container_id: str) -> None:
        """Stop a container at once, if it runs."""
        self._platform.docker.kill(container_id)

    def remove(self, container_id: str) -> None:
        """Remove a container, if it is there; what it had is released as soon as that is heard."""
        self._platform.docker.remove(container_id)

    def endpoint(self, container_id: str) -> Endpoint | None:
        """Return a container's endpoint, from memory."""
        return self._known.of(container_id)

    @contextmanager
    def _counted(self, question: str) -> Iterator[None]:
        """Count a question by whether it could be answered."""
        try:
            yield
        except CalicoError:
            self._meters.count(metric.QUESTIONS, question, "failed")
            raise
        self._meters.count(metric.QUESTIONS, question, "done")

    @contextmanager
    def _changed(self, question: str, container_id: str) -> Iterator[None]:
        """Count a question about what is done for a container, and tell what was and how long."""
        began = time.monotonic()
        with self._counted(question):
            yield
        took = (time.monotonic() - began) * 1000
        log.info("container %s: %s in %.1f ms", container_id[:12], _DONE[question], took)

    def _learn(self, container_id: str) -> None:
        """Have the next inspection show what has just changed."""
        try:
            self._known.read(container_id)
        except CalicoError as error:
            # What follows etcd will learn it too, only later.
            log.warning("cannot read the endpoint of %s: %s", container_id[:12], error.message)

    def _agent_is_there(self) -> bool:
        try:
            self._platform.agent_report()
        except (local_answers.Ended, DeadlineExceeded):
            return False
        except CalicoError:
            # It may work without a socket to be asked at. What it does will tell.
            return True
        return True

    def _runs(self, container_id: str) -> bool:
        try:
            container = containers.find(self._platform, container_id)
        except CalicoError:
            return False
        return container is not None and container.running

    def _is_ours(self, container: Container) -> bool:
        # Neither asks etcd: without it, Docker goes on working for all containers but ours.
        return self._known.of(container.id) is not None or _wishes(container)


def _wishes(container: Container) -> bool:
    try:
        return containers.wish_of(container) is not None
    except InvalidValue:
        return True
