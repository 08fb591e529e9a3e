"""Take a host out of the cluster for good: all that etcd holds about it, wherever that is.

The host itself is not asked: it may have burnt down. What it holds of others goes first, its own
directories last: by those a removal that broke off is found and repeated. Two at once end the same.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from calico_ctl.datastore import addresses, endpoints, nodes, status
from calico_ctl.datastore.store import Store
from calico_ctl.errors import Conflict, NotFound
from calico_ctl.model import keys

_DIRECTORIES = (keys.HOSTS, keys.BGP_HOSTS, keys.HOSTS_IPAM, keys.STATUS)
"""Where each host has a directory of its own."""

_CLOSE_ENOUGH = 0.6


@dataclass(frozen=True, slots=True)
class Removed:
    """What a host had: how many endpoints, and how many addresses those had."""

    endpoints: int
    addresses: int


def remove(store: Store, host: str, here: str, *, force: bool) -> Removed:
    """Remove a host that is gone; `here` is the host that we are on.

    Raises NotFound, and unless forced Conflict if the host is this one or some service of it
    reported lately.
    """
    _require_known(store, host)
    if not force:
        _require_gone(store, host, here)
    present, _ = endpoints.all(store, host)
    forget(store, host)
    return Removed(len(present), sum(len(each.addresses) for each in present))


def forget(store: Store, host: str) -> None:
    """Delete endpoints, addresses, blocks, reports and BGP settings of a host; again is no error.

    Who still runs there does not get them back: its agent takes the endpoints out of use.
    """
    addresses.release_host(store, host)
    store.delete(keys.host_ipam(host))
    nodes.remove(store, host)


def known(store: Store) -> list[str]:
    """Return every host of which etcd holds anything, also what a broken-off removal left."""
    return sorted({host for directory in _DIRECTORIES for host in _below(store, directory)})


def _below(store: Store, directory: str) -> Iterator[str]:
    for entry in store.tree(directory).entries:
        # A report that ran out leaves its directory.
        if entry.is_directory and directory == keys.STATUS:
            continue
        yield entry.key.removeprefix(f"{directory}/").partition("/")[0]


def _require_known(store: Store, host: str) -> None:
    hosts = known(store)
    if host not in hosts:
        raise NotFound(f"host {host} does not exist", hint=_which(host, hosts))


def _which(host: str, hosts: list[str]) -> str:
    from difflib import get_close_matches

    close = get_close_matches(host, hosts, 1, _CLOSE_ENOUGH)
    meant = [f"did you mean {close[0]}?"] if close else []
    listed = f"etcd knows {', '.join(hosts)}" if hosts else "etcd knows no host at all"
    return " ".join([*meant, listed])


def _require_gone(store: Store, host: str, here: str) -> None:
    if host == here:
        raise Conflict(
            f"{host} is this host",
            hint="`calicoctl node stop --force` removes it with all that it has in the kernel",
        )
    alive = [*status.read_services(store, host)]
    if status.read_agent(store, host) is not None:
        alive.insert(0, status.FELIX)
    if alive:
        raise Conflict(
            f"host {host} is alive: its services reported within the last {status.LIFETIME} s"
            f" ({', '.join(alive)})",
            hint="stop it there: calicoctl node stop --force. If it burnt down, wait that long;"
            " --force removes it at once, and cuts off the containers that run there",
        )
