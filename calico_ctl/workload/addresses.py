"""More addresses, or fewer, for a container that has Calico networking and runs.

In etcd an address comes together with its claim, before the interface has it, and goes with it,
after that: so nobody else gets it while packets for it still arrive. Where etcd changes one key at
a time, this process may be killed between the claim and the endpoint; then the address goes with
the endpoint at the latest.
"""

import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial

from netaddr import IPAddress

from calico_ctl.datastore import addresses as ipam
from calico_ctl.datastore import endpoints, pools, status
from calico_ctl.datastore.store import Change, Store
from calico_ctl.errors import CalicoError, Conflict, NotFound
from calico_ctl.host import locks
from calico_ctl.model import address
from calico_ctl.model.address import AddressRequest
from calico_ctl.model.endpoint import Endpoint, EndpointKey
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
        if isinstance(request, IPAddress) and request in endpoint.addresses:
            # Whoever was killed at it before may not have come to the interface.
            _reconfigure(platform, workload, endpoint)
            raise Conflict(f"the container has address {request} already")
        with _taken_back(workload) as undo:
            ip = _claim(platform, endpoint, request, undo)
            undo.append(partial(_reconfigure, platform, workload, endpoint))
            _let_in(platform, workload, endpoint.key)
        return ip


def remove(
    platform: Platform, workload: Workload, ip: IPAddress, interface: str | None = None
) -> None:
    """Take an address from a running container. Raises NotFound if it does not have it."""
    with locks.held(workload.id):
        endpoint = _only_endpoint(platform, workload, interface)
        if ip not in endpoint.addresses:
            raise NotFound(
                f"container {workload.label} does not have address {ip}",
                hint=f"see what it has: calicoctl container {workload.label} endpoint show",
            )
        failures = try_all(
            [
                partial(_reconfigure, platform, workload, _without(ip, endpoint)),
                partial(_release, platform.store, endpoint.key, ip),
            ]
        )
        if failures:
            what = f"address {ip} could not be removed completely"
            raise incomplete(what, failures, _hint(workload))


def _hint(workload: Workload) -> str:
    return f"see what it has now: calicoctl container {workload.label} endpoint show"


@contextmanager
def _taken_back(workload: Workload) -> Iterator[list[Step]]:
    """Take the steps of the list that is given, last one first, should the body fail."""
    undo: list[Step] = []
    try:
        yield undo
    except BaseException as error:
        failures = try_all(reversed(undo))
        if failures:
            what = f"{error}; not everything could be taken back"
            raise incomplete(what, failures, _hint(workload)) from error
        raise


def _claim(
    platform: Platform, endpoint: Endpoint, request: AddressRequest, undo: list[Step]
) -> IPAddress:
    """Claim an address and publish it; `undo` gets how to take both back."""
    store, key = platform.store, endpoint.key
    family = address.wanted_family(request)
    gateway = endpoint.gateway(family) or attach.gateway(platform, family)

    def publish(ips: Sequence[IPAddress]) -> Sequence[Change]:
        (ip,) = ips
        # The undo stands before its step: an answer of etcd may get lost.
        undo[:] = [partial(_release, store, key, ip)]
        return endpoints.alteration(
            store,
            key,
            lambda seen: seen.with_addresses((*seen.addresses, ip)).with_gateway(gateway),
        )

    chance = random.Random()  # noqa: S311 - spreads hosts over blocks, hides nothing
    (ip,) = ipam.claim_all(store, platform.hostname, [request], key.id, chance, publish)
    attach.require_claims(store, key.id, [ip])
    return ip


def _let_in(platform: Platform, workload: Workload, key: EndpointKey) -> None:
    """Make the interface as it is published, and wait for the agent to let it in."""
    endpoint, entry = endpoints.get(platform.store, key)
    _reconfigure(platform, workload, endpoint)
    deadline = platform.clock.monotonic() + ADD_SECONDS
    status.wait_for_endpoint(platform.store, key, entry.revision, deadline, platform.clock)


def _release(store: Store, key: EndpointKey, ip: IPAddress) -> None:
    """Take an address from an endpoint, and free it."""

    def unpublish() -> Sequence[Change]:
        with suppress(NotFound):
            return endpoints.alteration(store, key, partial(_without, ip))
        return []

    ipam.release(store, ip, key.id, unpublish)


def _without(ip: IPAddress, endpoint: Endpoint) -> Endpoint:
    return endpoint.with_addresses(tuple(each for each in endpoint.addresses if each != ip))


def _reconfigure(platform: Platform, workload: Workload, wanted: Endpoint) -> None:
    known = pools.all(platform.store)
    platform.network.reconfigure(restore.interface(wanted, workload.netns, known))


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
