"""Take Calico networking from a workload: unplumb, then unpublish and release.

Every step is tried for every endpoint; what failed is reported together at the end. An address is
free only when no interface has it any more and no endpoint says so: then no other host still lets
traffic to it, or sends it here.
"""

from functools import partial

from calico_ctl.datastore import addresses, endpoints
from calico_ctl.errors import NotFound
from calico_ctl.host import intents, locks
from calico_ctl.model.endpoint import Endpoint
from calico_ctl.workload import attach
from calico_ctl.workload.platform import Platform
from calico_ctl.workload.steps import incomplete, try_all
from calico_ctl.workload.workload import Workload


def detach(platform: Platform, workload: Workload) -> None:
    """Remove every endpoint of a workload on this host; raise NotFound if it has none."""
    if not release(platform, workload.orchestrator, workload.id):
        raise NotFound(
            f"container {workload.label} has no Calico networking on this host",
            hint="see what has: calicoctl endpoint show --detailed",
        )


def release(platform: Platform, orchestrator: str, workload: str) -> int:
    """Remove the endpoints that a workload (by its id) has on this host; say how many it had."""
    with locks.held(workload):
        present = endpoints.of_workload(platform.store, platform.hostname, orchestrator, workload)
        for endpoint in present:
            _remove(platform, endpoint)
    return len(present)


def detach_endpoint(platform: Platform, endpoint: Endpoint) -> None:
    """Remove one endpoint of this host with all that belongs to it."""
    with locks.held(endpoint.key.workload):
        _remove(platform, endpoint)


def _remove(platform: Platform, endpoint: Endpoint) -> None:
    key = endpoint.key
    with intents.declared(key.id, attach.describe(key)):
        failures = try_all(
            [
                partial(platform.network.unplug, endpoint.name),
                partial(addresses.retire, platform.store, key),
            ]
        )
        if failures:
            raise incomplete(f"endpoint {key.id} could not be removed completely", failures)
