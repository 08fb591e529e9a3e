"""Which workload a person means: a container by name or id, or a network namespace by path."""

from pathlib import PurePosixPath
from typing import NamedTuple

from calico_ctl.datastore import endpoints
from calico_ctl.errors import Conflict, NotFound
from calico_ctl.host import files
from calico_ctl.model import names
from calico_ctl.model.endpoint import DOCKER, NAMESPACE
from calico_ctl.workload.platform import Platform


class Workload(NamedTuple):
    """A workload on this host; `netns` is the file of its network namespace, empty if none runs."""

    orchestrator: str
    id: str
    label: str
    netns: str = ""


def running(platform: Platform, name: str) -> Workload:
    """Find the workload and make sure that it can be given an interface.

    Raises NotFound, or Conflict if it is stopped or shares the host's network.
    """
    if name.startswith("/"):
        found = _namespace(name)
        if not files.exists(found.netns):
            raise NotFound(f"there is no network namespace at {name}", hint="`ip netns` lists some")
        return found
    container = platform.docker.container(name)
    if not container.running:
        raise Conflict(
            f"container {name} is not running", hint=f"start it first: docker start {name}"
        )
    if container.network_mode == "host" or container.network_mode.startswith("container:"):
        raise Conflict(
            f"container {name} has no network of its own (--net={container.network_mode})",
            hint="start it with another --net, for example --net=none",
        )
    return Workload(DOCKER, container.id, name, f"/proc/{container.pid}/ns/net")


def known(platform: Platform, name: str) -> Workload:
    """Find the workload whether or not it still runs, even if Docker has forgotten it.

    Raises NotFound if neither Docker nor the datastore knows it on this host.
    """
    if name.startswith("/"):
        return _namespace(name)
    try:
        return Workload(DOCKER, platform.docker.container(name).id, name)
    except NotFound:
        stored, _ = endpoints.all(platform.store, platform.hostname, DOCKER)
        matching = {each.key.workload for each in stored if each.key.workload.startswith(name)}
        if len(matching) != 1:
            raise
        return Workload(DOCKER, matching.pop(), name)


def _namespace(path: str) -> Workload:
    normal = str(PurePosixPath(path))
    return Workload(NAMESPACE, names.namespace_workload_id(normal), path, normal)
