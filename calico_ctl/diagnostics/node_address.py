"""Under which address others reach this machine, as far as it can be known."""

from netaddr import IPAddress

from calico_ctl.datastore import nodes
from calico_ctl.diagnostics.platform import Platform
from calico_ctl.errors import CalicoError
from calico_ctl.host import addresses


def find(platform: Platform) -> IPAddress:
    """Return the node's own address, or without etcd the one that `calicoctl node` would choose.

    Raises CalicoError if this machine has none that others could reach.
    """
    local = [each.ip for each in addresses.local()]
    for ip in _registered(platform):
        if ip in local:
            return ip
    detected = addresses.detect_ipv4()
    if detected is not None:
        return detected.ip
    if not local:
        raise CalicoError(
            "this machine has no address that others could reach", hint="name one with --ip"
        )
    return local[0]


def _registered(platform: Platform) -> list[IPAddress]:
    try:
        node = nodes.get(platform.store, platform.hostname)
    except CalicoError:
        return []
    return [] if node is None else [ip for ip in (node.ipv4, node.ipv6) if ip is not None]
