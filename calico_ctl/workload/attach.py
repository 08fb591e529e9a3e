"""Give a workload its endpoint: claim addresses and publish, plumb, wait for the agent.

Each step that is done registers how to take it back; on any failure all of them run, in reverse.
Around it all stands an intent on disk: if this process is killed, or etcd is away when something
should be taken back, `recover` finishes the job later.
"""

import json
import os
import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial

from netaddr import IPAddress

from calico_ctl.datastore import addresses, endpoints, nodes
from calico_ctl.datastore.store import Store
from calico_ctl.errors import AlreadyExists, Conflict, NoGateway, NotFound
from calico_ctl.host import intents, locks
from calico_ctl.model import address, names
from calico_ctl.model import endpoint as model_endpoint
from calico_ctl.model.address import AddressRequest, Family
from calico_ctl.model.endpoint import Endpoint, EndpointKey, State
from calico_ctl.workload import restore
from calico_ctl.workload.platform import Platform
from calico_ctl.workload.steps import Step, incomplete, try_all
from calico_ctl.workload.workload import Workload


@dataclass(frozen=True, slots=True)
class Attachment:
    """What is asked for. `interface` is the name inside; `timeout` in seconds."""

    workload: Workload
    requests: tuple[AddressRequest, ...]
    interface: str = model_endpoint.DEFAULT_INTERFACE
    profiles: tuple[str, ...] = ()
    timeout: float = 10.0


def attach(platform: Platform, wanted: Attachment) -> Endpoint:
    """Return the endpoint once it works; raise a CalicoError with nothing left behind otherwise."""
    with locks.held(wanted.workload.id):
        return _all_or_nothing(platform, wanted, plumbed=True)


def reserve(platform: Platform, wanted: Attachment) -> Endpoint:
    """Return an endpoint for a workload that does not run yet: all but the interface.

    For who holds the workload's lock.
    """
    return _all_or_nothing(platform, wanted, plumbed=False)


def gateway(platform: Platform, family: Family) -> IPAddress:
    """Return this host's address, over which its workloads reach the rest; raise if it has none."""
    node = nodes.get(platform.store, platform.hostname)
    if node is None:
        raise NotFound(
            f"this host ({platform.hostname}) is not a Calico node yet",
            hint="start it: sudo calicoctl node --ip=<IP>",
        )
    found = node.address(family)
    if found is None:
        option = "--ip" if family == 4 else "--ip6"
        raise NoGateway(
            f"this host ({platform.hostname}) has no IPv{family} address to be a gateway",
            hint=f"give it one: sudo calicoctl node {option}=<IP>",
        )
    return found


def require_claims(store: Store, owner: str, ips: Iterable[IPAddress]) -> None:
    """Raise Conflict if somebody took a claim for a leak: no endpoint had the address for too long.

    To be called once an endpoint has them. From then on nobody does.
    """
    for ip in ips:
        holder = addresses.assigned(store, ip)
        if holder is None or holder.id != owner:
            raise Conflict(
                f"address {ip} was freed while the container got it",
                hint="etcd is slow, and somebody ran `calicoctl ipam check --fix`: try again",
            )


def describe(key: EndpointKey) -> str:
    """Write which endpoint an intent is about."""
    return json.dumps([key.host, key.orchestrator, key.workload, key.id])


def recover(platform: Platform) -> list[EndpointKey]:
    """Take back what broke off on this host; return the endpoints that were cleaned away.

    Raises DatastoreUnavailable if etcd is still away; the rest stays for the next time.
    """
    recovered = []
    for text in intents.abandoned():
        try:
            key = EndpointKey(*json.loads(text))
        except (ValueError, TypeError):
            # The process was killed before it had written the file: nothing else was done yet.
            continue
        platform.network.unplug(names.host_interface(key.id))
        addresses.retire(platform.store, key)
        recovered.append(key)
    return recovered


def _all_or_nothing(platform: Platform, wanted: Attachment, *, plumbed: bool) -> Endpoint:
    families = sorted({address.wanted_family(request) for request in wanted.requests})
    gateways = {family: gateway(platform, family) for family in families}
    _require_unattached(platform, wanted.workload)
    key = _new_key(platform.hostname, wanted.workload)
    undo: list[Step] = []
    with intents.declared(key.id, describe(key)) as withdraw:
        try:
            endpoint = _reserve(platform, wanted, key, gateways, undo)
            return _plumb(platform, wanted, endpoint, undo) if plumbed else endpoint
        except BaseException as error:
            failures = try_all(reversed(undo))
            if failures:
                what = f"{error}; not everything could be taken back"
                raise incomplete(what, failures) from error
            withdraw()
            raise


def _reserve(
    platform: Platform,
    wanted: Attachment,
    key: EndpointKey,
    gateways: dict[Family, IPAddress],
    undo: list[Step],
) -> Endpoint:
    store = platform.store
    unaddressed = Endpoint(
        key=key,
        state=State.INACTIVE,
        name=names.host_interface(key.id),
        mac=names.mac_address(key.id),
        profiles=wanted.profiles,
        addresses=(),
        ipv4_gateway=gateways.get(4),
        ipv6_gateway=gateways.get(6),
        extra=model_endpoint.named_inside(wanted.interface),
    )
    chance = random.Random()  # noqa: S311 - spreads hosts over blocks, hides nothing
    # The undo stands before its step: a step may fail with half of it done, and an answer of etcd
    # may get lost after the change was made.
    undo.append(partial(addresses.retire, store, key))
    ips = addresses.claim_all(
        store,
        platform.hostname,
        _definite_first(wanted.requests),
        key.id,
        chance,
        lambda ips: [endpoints.publication(unaddressed.with_addresses(tuple(ips)))],
    )
    require_claims(store, key.id, ips)
    return unaddressed.with_addresses(tuple(ips))


def _definite_first(requests: Sequence[AddressRequest]) -> list[AddressRequest]:
    """Put single addresses before wishes for any: one of those must not be given what is asked."""
    return sorted(requests, key=lambda request: not isinstance(request, IPAddress))


def _plumb(
    platform: Platform, wanted: Attachment, endpoint: Endpoint, undo: list[Step]
) -> Endpoint:
    undo.append(partial(platform.network.unplug, endpoint.name))
    deadline = platform.clock.monotonic() + wanted.timeout
    return restore.connect(platform, endpoint, wanted.workload.netns, deadline)


def _require_unattached(platform: Platform, workload: Workload) -> None:
    present = endpoints.of_workload(
        platform.store, platform.hostname, workload.orchestrator, workload.id
    )
    if present:
        raise AlreadyExists(
            f"container {workload.label} already has Calico networking",
            hint=f"see it with: calicoctl container {workload.label} endpoint show",
        )


def _new_key(hostname: str, workload: Workload) -> EndpointKey:
    # As long and as random as a UUID, of which the library's module takes long to load.
    return EndpointKey(hostname, workload.orchestrator, workload.id, os.urandom(16).hex())
