"""Hosts: what `calicoctl node` writes about one, and what others read of it.

What makes a host one of the cluster is its place in the BGP directory, which is small: routing,
gateways and claims all go by that alone (decision 23). The same addresses stand in the host's own
directory, among all its endpoints, for older readers; they are written later and deleted later.
"""

from dataclasses import replace

from netaddr import IPAddress

from calico_ctl.datastore import addresses, config, entries, pools
from calico_ctl.datastore.store import Store
from calico_ctl.errors import InvalidValue
from calico_ctl.model import address, keys
from calico_ctl.model.address import FAMILIES, Family
from calico_ctl.model.node import Node, parse_as_number

_Values = dict[str, str]


def register(store: Store, node: Node) -> Node:
    """Write all that makes a host part of the cluster; return the node as it is now.

    What the node does not say (an IPv6 address, an AS number) is kept as it was. Writes only what
    differs, so that repeating it changes nothing. `Ready` comes last: agents wait for it.
    """
    pools.create_defaults(store)
    config.ensure_defaults(store)
    node = _with_kept(node, get(store, node.host))
    for family in FAMILIES:
        ip = node.address(family)
        key = keys.bgp_host_address(node.host, family)
        entries.assign(store, key, "" if ip is None else str(ip))
    if node.as_number is not None:
        entries.assign(store, keys.bgp_host_as(node.host), str(node.as_number))
    for family in FAMILIES:
        ip = node.address(family)
        if ip is not None:
            entries.assign(store, keys.host_address(node.host, family), str(ip))
        entries.ensure(store, keys.affinities(node.host, family), None)
    entries.ensure(store, keys.workloads(node.host), None)
    config.ensure_host_defaults(store, node.host)
    entries.assign(store, keys.READY, "true")
    return node


def get(store: Store, host: str) -> Node | None:
    """Return a host that is registered, or None."""
    return _node(host, _leaves(store, keys.bgp_host(host)))


def all(store: Store) -> list[Node]:
    """Return every host of which some address is known, registered or not, sorted by name."""
    values = _leaves(store, keys.BGP_HOSTS) | _leaves(store, keys.HOSTS)
    hosts = {_host_of(key) for key in values}
    nodes = (_node(host, values) for host in sorted(hosts))
    return [node for node in nodes if node is not None]


def names(store: Store) -> list[str]:
    """Return the names of the hosts that were registered, sorted; quick however much they run."""
    return entries.directories(store, keys.BGP_HOSTS)


def remove(store: Store, host: str) -> bool:
    """Delete all that etcd holds about a host; say whether there was anything.

    Addresses that its endpoints still hold become free.
    """
    directories = (keys.bgp_host(host), keys.host(host), keys.host_status(host))
    deleted = [store.delete(directory) for directory in directories]
    addresses.leave(store, host)
    return any(deleted)


def _with_kept(node: Node, known: Node | None) -> Node:
    if known is None:
        return node
    return replace(
        node,
        ipv4=node.ipv4 or known.ipv4,
        ipv6=node.ipv6 or known.ipv6,
        as_number=node.as_number or known.as_number,
    )


def _leaves(store: Store, directory: str) -> _Values:
    return {e.key: e.value for e in store.tree(directory).entries if e.value is not None}


def _host_of(key: str) -> str:
    """Return the host that a key below one of the two directories is about."""
    directory = keys.BGP_HOSTS if key.startswith(keys.BGP_HOSTS) else keys.HOSTS
    return key.removeprefix(f"{directory}/").partition("/")[0]


def _node(host: str, values: _Values) -> Node | None:
    """Make a node of what there is; broken values count as missing."""
    ipv4, ipv6 = (
        _address(values.get(keys.bgp_host_address(host, family)), family)
        or _address(values.get(keys.host_address(host, family)), family)
        for family in FAMILIES
    )
    if ipv4 is None and ipv6 is None:
        return None
    return Node(host, ipv4, ipv6, _as_number(values.get(keys.bgp_host_as(host))))


def _address(text: str | None, family: Family) -> IPAddress | None:
    try:
        ip = address.parse_address(text or "")
    except InvalidValue:
        return None
    return ip if address.family(ip) == family else None


def _as_number(text: str | None) -> int | None:
    try:
        return parse_as_number(text or "")
    except InvalidValue:
        return None
