"""Give a workload a Calico interface: claim an address, plumb, publish, wait for the agent.

Each step that is done registers how to take it back; on any failure all of them run, in reverse.
Around it all stands an intent on disk: if this process is killed, or etcd is away when something
should be taken back, `recover` finishes the job later.
"""

import json
import random
import uuid
from dataclasses import dataclass
from functools import partial

from netaddr import IPAddress

from calico_ctl.datastore import addresses, endpoints, nodes, status
from calico_ctl.errors import AlreadyExists, CalicoError, NotFound
from calico_ctl.host import intents
from calico_ctl.model import address, names
from calico_ctl.model.address import AddressRequest
from calico_ctl.model.endpoint import Endpoint, EndpointKey, State
from calico_ctl.model.interface import Interface
from calico_ctl.workload.platform import Platform
from calico_ctl.workload.steps import Step, incomplete, try_all
from calico_ctl.workload.workload import Workload


@dataclass(frozen=True, slots=True)
class Attachment:
    """What is asked for. `interface` is the name inside; `timeout` in seconds."""

    workload: Workload
    request: AddressRequest
    interface: str = "eth1"
    profiles: tuple[str, ...] = ()
    timeout: float = 10.0


def attach(platform: Platform, wanted: Attachment) -> IPAddress:
    """Return the address once it works; raise a CalicoError with nothing left behind otherwise."""
    gateway = _gateway(platform, wanted.request)
    _require_unattached(platform, wanted.workload)
    key = _new_key(platform.hostname, wanted.workload)
    undo: list[Step] = []
    with intents.declared(key.id, describe(key)) as withdraw:
        try:
            return _attach(platform, wanted, key, gateway, undo)
        except BaseException as error:
            failures = try_all(reversed(undo))
            if failures:
                what = f"{error}; not everything could be taken back"
                raise incomplete(what, failures) from error
            withdraw()
            raise


def _attach(
    platform: Platform, wanted: Attachment, key: EndpointKey, gateway: IPAddress, undo: list[Step]
) -> IPAddress:
    store = platform.store
    # Each undo stands before its step: a step may fail with half of it done, and an answer of
    # etcd may get lost after the change was made.
    undo.append(partial(addresses.release_all, store, key.id))
    ip = addresses.claim(store, platform.hostname, wanted.request, key.id, random.Random())  # noqa: S311
    endpoint = _endpoint(key, ip, gateway, wanted.profiles)
    undo.append(partial(platform.network.unplug, endpoint.name))
    platform.network.plug(_interface(endpoint, wanted, gateway))
    undo.append(partial(endpoints.remove, store, key))
    revision = endpoints.create(store, endpoint)
    deadline = platform.clock.monotonic() + wanted.timeout
    status.wait_for_endpoint(store, key, revision, deadline, platform.clock)
    return ip


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
        endpoints.remove(platform.store, key)
        platform.network.unplug(names.host_interface(key.id))
        addresses.release_all(platform.store, key.id)
        recovered.append(key)
    return recovered


def _gateway(platform: Platform, request: AddressRequest) -> IPAddress:
    node = nodes.get(platform.store, platform.hostname)
    if node is None:
        raise NotFound(
            f"this host ({platform.hostname}) is not a Calico node yet",
            hint="start it: sudo calicoctl node --ip=<IP>",
        )
    family = address.wanted_family(request)
    gateway = node.address(family)
    if gateway is None:
        option = "--ip" if family == 4 else "--ip6"
        raise CalicoError(
            f"this host ({platform.hostname}) has no IPv{family} address to be a gateway",
            hint=f"give it one: sudo calicoctl node {option}=<IP>",
        )
    return gateway


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
    return EndpointKey(hostname, workload.orchestrator, workload.id, uuid.uuid4().hex)


def _endpoint(
    key: EndpointKey, ip: IPAddress, gateway: IPAddress, profiles: tuple[str, ...]
) -> Endpoint:
    return Endpoint(
        key=key,
        state=State.ACTIVE,
        name=names.host_interface(key.id),
        mac=names.mac_address(key.id),
        profiles=profiles,
        addresses=(ip,),
        ipv4_gateway=gateway if gateway.version == 4 else None,
        ipv6_gateway=gateway if gateway.version == 6 else None,
    )


def _interface(endpoint: Endpoint, wanted: Attachment, gateway: IPAddress) -> Interface:
    return Interface(
        host_name=endpoint.name,
        netns=wanted.workload.netns,
        name=wanted.interface,
        mac=endpoint.mac or names.mac_address(endpoint.key.id),
        addresses=endpoint.addresses,
        gateways=(gateway,),
    )
