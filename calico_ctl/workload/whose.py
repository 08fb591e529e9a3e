"""Whose an interface of this host is: its endpoint as etcd has it, and what Docker calls it.

Where etcd or Docker do not answer, less is known; nothing fails for it.
"""

from dataclasses import dataclass

from calico_ctl.datastore import endpoints
from calico_ctl.errors import CalicoError, NotFound
from calico_ctl.model.endpoint import DOCKER, Endpoint
from calico_ctl.workload.platform import Platform

_LOOK_SECONDS, _TROUBLE_SECONDS = 2.0, 60.0
"""How often etcd is asked at most: while it answers, and after it did not."""


@dataclass(frozen=True, slots=True)
class Owner:
    """What is known of an interface's endpoint; `container` is empty if Docker knows of none."""

    endpoint: Endpoint | None = None
    container: str = ""

    def name(self, interface: str) -> str:
        """Return the shortest that a person knows it by."""
        if self.endpoint is None:
            return interface
        return self.container or self.endpoint.key.id


class Owners:
    """The owners of this host's interfaces, looked up again when an unknown one comes up."""

    def __init__(self, platform: Platform) -> None:
        """Know nobody."""
        self._platform = platform
        self._by_interface: dict[str, Endpoint] = {}
        self._containers: dict[str, str] = {}
        self._docker_answers = True
        self._looked: float | None = None
        self.trouble = ""

    def of(self, interface: str) -> Owner:
        """Return what is known of an interface's owner."""
        if interface not in self._by_interface:
            self._look()
        endpoint = self._by_interface.get(interface)
        if endpoint is None:
            return Owner()
        return Owner(endpoint, self._container(endpoint))

    def _look(self) -> None:
        """Ask etcd, but not again and again."""
        now = self._platform.clock.monotonic()
        pause = _LOOK_SECONDS if not self.trouble else _TROUBLE_SECONDS
        if self._looked is not None and now - self._looked < pause:
            return
        self._looked = now
        try:
            found, _ = endpoints.all(self._platform.store, self._platform.hostname)
        except CalicoError as error:
            self.trouble = error.message
            return
        self.trouble = ""
        self._by_interface = {each.name: each for each in found}

    def _container(self, endpoint: Endpoint) -> str:
        """Return the name of an endpoint's container; empty if it is none, or not known."""
        workload = endpoint.key.workload
        if endpoint.key.orchestrator != DOCKER or not self._docker_answers:
            return self._containers.get(workload, "")
        if workload not in self._containers:
            self._containers[workload] = self._asked(workload)
        return self._containers[workload]

    def _asked(self, workload: str) -> str:
        try:
            return self._platform.docker.hurried().container(workload).name
        except NotFound:
            return ""
        except CalicoError:
            self._docker_answers = False
            return ""
