"""The gateway inside each container is an address of its host, and follows when that changes.

Inside comes first, etcd second: what etcd still says of a container is what a start that broke off
does again. One container at a time, each under its lock; those that do not run have it when they
start. What orchestrators other than ours made is theirs to change.
"""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial

from calico_ctl.datastore import endpoints, pools
from calico_ctl.docker_api.client import Engine
from calico_ctl.errors import CalicoError, NotFound
from calico_ctl.host import locks, namespaces
from calico_ctl.model.address import FAMILIES
from calico_ctl.model.endpoint import DOCKER, NAMESPACE, Endpoint, EndpointKey
from calico_ctl.model.node import Node
from calico_ctl.workload import restore
from calico_ctl.workload.platform import Platform
from calico_ctl.workload.steps import incomplete, try_all

_AGAIN = "repeat the command once that is mended"

_ESCAPED = re.compile(r"_([_-])|-")


def follow(platform: Platform, engine: Engine, node: Node, say: Callable[[str], None]) -> None:
    """Give this host's containers the node's addresses as gateways, where they have others.

    Raises CalicoError, when all were tried, if some could not be changed.
    """
    present, _ = endpoints.all(platform.store, node.host)
    ours = (each for each in present if each.key.orchestrator in {DOCKER, NAMESPACE})
    late = [each.key for each in ours if moved(each, node) != each]
    if late:
        who = "1 container gets" if len(late) == 1 else f"{len(late)} containers get"
        say(f"{who} this host's new address as their gateway")
    failures = try_all(partial(_follow, platform, engine, node, key) for key in late)
    if failures:
        raise incomplete("not every container has its new gateway", failures, _AGAIN)


def moved(endpoint: Endpoint, node: Node) -> Endpoint:
    """Return the endpoint with the node's addresses for the gateways that it has."""
    for family in FAMILIES:
        ip = node.address(family)
        if ip is not None and endpoint.gateway(family) is not None:
            endpoint = endpoint.with_gateway(ip)
    return endpoint


def _follow(platform: Platform, engine: Engine, node: Node, key: EndpointKey) -> None:
    with locks.held(key.workload):
        try:
            endpoint, _ = endpoints.get(platform.store, key)
        except NotFound:
            # Removed meanwhile.
            return
        with suppress(NotFound), _namespace(engine, key) as netns:
            _reconfigure(platform, moved(endpoint, node), netns)
        endpoints.edit(platform.store, key, lambda seen: moved(seen, node))


def _reconfigure(platform: Platform, endpoint: Endpoint, netns: str) -> None:
    if not platform.network.is_plugged(endpoint.name, netns):
        return
    try:
        known = pools.all(platform.store)
        platform.network.reconfigure(restore.interface(endpoint, netns, known))
    except CalicoError:
        # The container may have ended and taken the interface with it.
        if platform.network.is_plugged(endpoint.name, netns):
            raise


@contextmanager
def _namespace(engine: Engine, key: EndpointKey) -> Iterator[str]:
    """Give the file of a workload's network namespace. Raises NotFound if the workload is gone."""
    if key.orchestrator == NAMESPACE:
        path = path_of(key.workload)
        namespaces.require_foreign(path)
        yield path
        return
    with namespaces.pinned(engine.container(key.workload).pid) as netns:
        yield netns


def path_of(workload_id: str) -> str:
    """Return the path of which `names.namespace_workload_id` makes that id."""
    return _ESCAPED.sub(lambda found: found[1] or "/", workload_id)
