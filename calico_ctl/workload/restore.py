"""The endpoint of a workload that starts, stops and starts again: same addresses, MAC and name.

Both ways are the same the first time, again, and after a crash in the middle. Whoever calls holds
the workload's lock.
"""

from collections.abc import Iterable

from calico_ctl.datastore import endpoints, pools, status
from calico_ctl.model import encapsulation, names
from calico_ctl.model.endpoint import Endpoint, State
from calico_ctl.model.interface import Interface
from calico_ctl.model.pool import Pool
from calico_ctl.workload.platform import Platform


def connect(platform: Platform, endpoint: Endpoint, netns: str, deadline: float) -> Endpoint:
    """Give the endpoint its interface, unless it is there; return once the agent has let it in.

    `netns` is the file of the namespace, `deadline` of the platform's clock. Raises
    DeadlineExceeded if the agent does not answer; the interface stays.
    """
    store, key = platform.store, endpoint.key
    if not platform.network.is_plugged(endpoint.name, netns):
        if endpoint.state is State.ACTIVE:
            # What the agent has said of the endpoint was about a former interface.
            endpoints.edit(store, key, lambda seen: seen.with_state(State.INACTIVE))
        platform.network.unplug(endpoint.name)
        platform.network.plug(interface(endpoint, netns, pools.all(store)))
    connected, revision = endpoints.edit(store, key, lambda seen: seen.with_state(State.ACTIVE))
    status.wait_for_endpoint(store, key, revision, deadline, platform.clock)
    return connected


def suspend(platform: Platform, endpoint: Endpoint) -> None:
    """Keep all that is the endpoint's for a workload that does not run."""
    endpoints.edit(platform.store, endpoint.key, lambda seen: seen.with_state(State.INACTIVE))
    platform.network.unplug(endpoint.name)


def interface(endpoint: Endpoint, netns: str, known: Iterable[Pool]) -> Interface:
    """Return the interface that an endpoint is, in that namespace; `known` are all pools."""
    return Interface(
        host_name=endpoint.name,
        netns=netns,
        name=endpoint.interface,
        mac=endpoint.mac or names.mac_address(endpoint.key.id),
        addresses=endpoint.addresses,
        gateways=tuple(ip for ip in (endpoint.ipv4_gateway, endpoint.ipv6_gateway) if ip),
        overhead=encapsulation.overhead_of(endpoint.addresses, known),
    )
