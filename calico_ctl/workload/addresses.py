"""More addresses, or fewer, for a container that has Calico networking and runs.

What is claimed belongs to the endpoint: should this process be killed in the middle, the address
goes with the endpoint at the latest.
"""

import random
from collections.abc import Sequence
from dataclasses import replace
from functools import partial

from netaddr import IPAddress

from calico_ctl.datastore import addresses as ipam
from calico_ctl.datastore import endpoints, pools, status
from calico_ctl.errors import CalicoError, Conflict, NotFound
from calico_ctl.host import locks
from calico_ctl.model import address
from calico_ctl.model.address import AddressRequest
from calico_ctl.model.endpoint import Endpoint
from calico_ctl.model.pool import Pool
from calico_ctl.workload import attach, restore
from calico_ctl.workload.platform import Platform
from calico_ctl.workload.steps import Step, incomplete, try_all
from calico_ctl.workload.workload import Workload

ADD_SECONDS = 10.0


def add(
    platform: Platform, workload: Workload, request: AddressRequest, interface: str | None = None
) -> IPAddress:
    """Give a running container one more address; return it once it works.

    Raises a CalicoError with nothing changed otherwise. `interface`, if said, has to be the one
    that the container has.
    """
    with locks.held(workload.id):
        endpoint = _only_endpoint(platform, workload, interface)
        family = address.wanted_family(request)
        gateway = endpoint.gateway(family) or attach.gateway(platform, family)
        undo: list[Step] = []
        try:
            ip = _claim(platform, request, endpoint, undo)
            wanted = endpoint.with_addresses((*endpoint.addresses, ip)).with_gateway(gateway)
            _change(platform, workload, endpoint, wanted, undo)
        except BaseException as error:
            failures = try_all(reversed(undo))
            if failures:
                what = f"{error}; not everything could be taken back"
                raise incomplete(what, failures, _hint(workload)) from error
            raise
        return ip


def remove(
    platform: Platform, workload: Workload, ip: IPAddress, interface: str | None = None
) -> None:
    """Take an address from a running container. Raises NotFound if it does not have it.

    Published first, released last, so that nobody else gets it while packets for it still arrive.
    """
    with locks.held(workload.id):
        endpoint = _only_endpoint(platform, workload, interface)
        if ip not in endpoint.addresses:
            raise NotFound(
                f"container {workload.label} does not have address {ip}",
                hint=f"see what it has: calicoctl container {workload.label} endpoint show",
            )
        wanted = endpoint.with_addresses(tuple(each for each in endpoint.addresses if each != ip))
        failures = try_all(
            [
                partial(_publish, platform, wanted),
                partial(_reconfigure, platform, workload, wanted, pools.all(platform.store)),
                partial(ipam.release, platform.store, ip, endpoint.key.id),
            ]
        )
        if failures:
            what = f"address {ip} could not be removed completely"
            raise incomplete(what, failures, _hint(workload))


def _hint(workload: Workload) -> str:
    return f"see what it has now: calicoctl container {workload.label} endpoint show"


def _claim(
    platform: Platform, request: AddressRequest, endpoint: Endpoint, undo: list[Step]
) -> IPAddress:
    if isinstance(request, IPAddress) and request in endpoint.addresses:
        raise Conflict(f"the container has address {request} already")
    store, owner = platform.store, endpoint.key.id
    chance = random.Random()  # noqa: S311 - spreads hosts over blocks, hides nothing
    ip = ipam.claim(store, platform.hostname, request, owner, chance)
    undo.append(partial(ipam.release, store, ip, owner))
    return ip


def _change(
    platform: Platform, workload: Workload, before: Endpoint, wanted: Endpoint, undo: list[Step]
) -> None:
    known = pools.all(platform.store)
    undo.append(partial(_reconfigure, platform, workload, before, known))
    _reconfigure(platform, workload, wanted, known)
    undo.append(partial(_publish, platform, before))
    revision = _publish(platform, wanted)
    new = [ip for ip in wanted.addresses if ip not in before.addresses]
    attach.require_claims(platform.store, wanted.key.id, new)
    deadline = platform.clock.monotonic() + ADD_SECONDS
    status.wait_for_endpoint(platform.store, wanted.key, revision, deadline, platform.clock)


def _reconfigure(
    platform: Platform, workload: Workload, wanted: Endpoint, known: Sequence[Pool]
) -> None:
    platform.network.reconfigure(restore.interface(wanted, workload.netns, known))


def _publish(platform: Platform, wanted: Endpoint) -> int:
    """Write the endpoint's addresses and gateways, and nothing else of it."""

    def changed(seen: Endpoint) -> Endpoint:
        return replace(
            seen,
            addresses=wanted.addresses,
            ipv4_gateway=wanted.ipv4_gateway,
            ipv6_gateway=wanted.ipv6_gateway,
        )

    return endpoints.edit(platform.store, wanted.key, changed)[1]


def _only_endpoint(platform: Platform, workload: Workload, interface: str | None) -> Endpoint:
    present = endpoints.of_workload(
        platform.store, platform.hostname, workload.orchestrator, workload.id
    )
    if not present:
        raise NotFound(
            f"container {workload.label} has no Calico networking on this host",
            hint=f"give it some: calicoctl container add {workload.label} <IP>",
        )
    if len(present) > 1:
        raise Conflict(f"container {workload.label} has {len(present)} endpoints")
    (endpoint,) = present
    if interface not in {None, endpoint.interface}:
        raise CalicoError(
            f"the Calico interface of container {workload.label} is {endpoint.interface}, not"
            f" {interface}"
        )
    return endpoint
