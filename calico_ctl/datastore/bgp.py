"""What etcd holds about BGP beside hosts: peers, route reflectors, the mesh, settings.

What is for one host is given with its name, what is for all hosts with None. All is written by
compare-and-swap. No error shows a peer's value: it may hold a password.
"""

from collections.abc import Callable
from typing import TypeVar

from netaddr import IPAddress

from calico_ctl.datastore import entries
from calico_ctl.datastore.entries import Problem
from calico_ctl.datastore.store import Store
from calico_ctl.errors import InvalidValue, NotFound
from calico_ctl.model import bgp, codec, keys
from calico_ctl.model.address import FAMILIES, Family
from calico_ctl.model.bgp import BgpPeer, Reflector
from calico_ctl.model.node import DEFAULT_AS_NUMBER, parse_as_number

_T = TypeVar("_T")


def peers(
    store: Store, family: Family, host: str | None = None
) -> tuple[list[BgpPeer], list[Problem]]:
    """Return the peers of a family, and beside them the keys whose values cannot be used."""
    return _read(store, keys.bgp_peers(family, host), codec.decode_bgp_peer)


def set_peer(store: Store, peer: BgpPeer, host: str | None = None) -> bool:
    """Add a peer, in the place of one with the same address; say whether that was a change."""
    return entries.assign(store, keys.bgp_peer(peer.ip, host), codec.encode_bgp_peer(peer))


def remove_peer(store: Store, ip: IPAddress, host: str | None = None) -> None:
    """Delete a peer, also one that nobody can read. Raises NotFound."""
    if not store.delete(keys.bgp_peer(ip, host)):
        whose = "all hosts" if host is None else f"host {host}"
        raise NotFound(f"{ip} is no BGP peer of {whose}")


def reflectors(store: Store) -> tuple[list[Reflector], list[Problem]]:
    """Return the route reflectors of both families, and the keys that cannot be used."""
    found: list[Reflector] = []
    problems: list[Problem] = []
    for family in FAMILIES:
        some, broken = _read(store, keys.reflectors(family), codec.decode_reflector)
        found += some
        problems += broken
    return found, problems


def set_reflector(store: Store, reflector: Reflector) -> bool:
    """Make an address a route reflector's, of that cluster; say whether that was a change."""
    return entries.assign(store, keys.reflector(reflector.ip), codec.encode_reflector(reflector))


def remove_reflector(store: Store, ip: IPAddress) -> None:
    """Let an address be no route reflector's. Raises NotFound."""
    if not store.delete(keys.reflector(ip)):
        raise NotFound(f"{ip} is no route reflector")


def mesh(store: Store) -> bool:
    """Say whether all hosts peer with each other; they do if nothing is said."""
    entry = store.get(keys.NODE_MESH)
    return True if entry is None else entries.decode(entry, codec.decode_mesh_enabled)


def set_mesh(store: Store, enabled: bool) -> bool:
    """Say whether all hosts shall peer with each other; say whether that was a change."""
    return entries.assign(store, keys.NODE_MESH, codec.encode_mesh_enabled(enabled))


def default_as(store: Store) -> int:
    """Return the AS number of all hosts that have none of their own."""
    entry = store.get(keys.DEFAULT_AS)
    return DEFAULT_AS_NUMBER if entry is None else entries.decode(entry, parse_as_number)


def set_default_as(store: Store, number: int) -> bool:
    """Set the AS number of all hosts that have none; say whether that was a change."""
    return entries.assign(store, keys.DEFAULT_AS, str(number))


def setting(store: Store, name: str, host: str | None = None) -> str | None:
    """Return a setting, or None if it is not set."""
    entry = store.get(keys.bgp_setting(name, host))
    return None if entry is None else entry.value


def set_setting(store: Store, name: str, value: str, host: str | None = None) -> bool:
    """Set a setting; say whether that was a change."""
    return entries.assign(store, keys.bgp_setting(name, host), value)


def remove_setting(store: Store, name: str, host: str | None = None) -> bool:
    """Delete a setting; say whether it was set."""
    return store.delete(keys.bgp_setting(name, host))


def _read(
    store: Store, directory: str, decode: Callable[[IPAddress, str], _T]
) -> tuple[list[_T], list[Problem]]:
    found: list[_T] = []
    problems: list[Problem] = []
    for entry in store.tree(directory).entries:
        try:
            ip = bgp.parse_peer_address(entry.key.removeprefix(f"{directory}/"))
            found.append(decode(ip, entry.value or ""))
        except InvalidValue as error:
            problems.append(Problem(entry.key, error.message))
    return found, problems
