"""What `explain` says about the packets that tests send: to hold it against words and kernel."""

from collections.abc import Mapping

from netaddr import IPAddress

from calico_ctl.model.endpoint import Endpoint, EndpointKey
from calico_ctl.policy import explain
from calico_ctl.policy.explain import End, Stage, Views
from calico_ctl.policy.verdict import Packet
from tests.support.packets import HOST, OUTSIDE


def views(contents: Mapping[str, str]) -> Views:
    """What hosts make of the keys of a cluster."""
    return Views({key: (value, 1) for key, value in contents.items()})


def stages(views: Views, packet: Packet, source: str, target: str) -> list[Stage] | None:
    """Ask about a packet between two of the wire's ends; None if one has no readable endpoint."""
    ends = [_end(views, name, ip) for name, ip in ((source, packet.src), (target, packet.dst))]
    if ends[0] is None or ends[1] is None:
        return None
    return explain.explain(views, ends[0], ends[1], packet)


def _end(views: Views, name: str, ip: IPAddress) -> End | None:
    if name == OUTSIDE:
        return End(ip)
    if name == HOST:
        return End(ip, hostname=HOST)
    endpoint = endpoint_of(views, name)
    return None if endpoint is None else End(ip, endpoint)


def endpoint_of(views: Views, name: str) -> Endpoint | None:
    """The endpoint of a container of the wire."""
    key = EndpointKey(HOST, "docker", name, name)
    return views.of(HOST).snapshot.endpoints.get(key)
