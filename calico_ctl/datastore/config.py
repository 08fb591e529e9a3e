"""Settings kept in etcd: for all hosts, or for one."""

from calico_ctl.datastore import entries
from calico_ctl.datastore.store import Store
from calico_ctl.errors import NotFound
from calico_ctl.model import codec, keys
from calico_ctl.model.names import INTERFACE_PREFIX
from calico_ctl.model.node import DEFAULT_AS_NUMBER

GLOBAL_DEFAULTS = {
    keys.global_config("InterfacePrefix"): INTERFACE_PREFIX,
    keys.global_config("LogSeverityFile"): "none",
    keys.global_config("LogSeverityScreen"): "info",
    keys.global_config("LogFilePath"): "none",
    keys.global_config("IpInIpEnabled"): "false",
    keys.DEFAULT_AS: str(DEFAULT_AS_NUMBER),
    keys.NODE_MESH: codec.encode_mesh_enabled(True),
}
"""What a first `calicoctl node` writes; later ones leave it as it is."""

HOST_DEFAULTS = {"DefaultEndpointToHostAction": "RETURN", "marker": "created"}
"""Likewise, for each host."""


def get(store: Store, name: str, host: str | None = None) -> str | None:
    """Return a setting of a host, or of all hosts; None if it is not set."""
    entry = store.get(_key(name, host))
    return None if entry is None else entry.value


def set(store: Store, name: str, value: str, host: str | None = None) -> bool:
    """Set a setting; say whether that was a change."""
    return entries.assign(store, _key(name, host), value)


def remove(store: Store, name: str, host: str | None = None) -> None:
    """Delete a setting. Raises NotFound."""
    if not store.delete(_key(name, host)):
        where = "for all hosts" if host is None else f"for host {host}"
        raise NotFound(f"{name} is not set {where}")


def all(store: Store, host: str | None = None) -> dict[str, str]:
    """Return every setting of a host, or of all hosts, by name."""
    directory = _key("", host).rstrip("/")
    found = store.tree(directory).entries
    return {e.key.removeprefix(f"{directory}/"): e.value for e in found if e.value is not None}


def ensure_defaults(store: Store) -> None:
    """Write the global defaults that are absent."""
    for key, value in GLOBAL_DEFAULTS.items():
        entries.ensure(store, key, value)


def ensure_host_defaults(store: Store, host: str) -> None:
    """Write the defaults of a host that are absent."""
    for name, value in HOST_DEFAULTS.items():
        entries.ensure(store, keys.host_config(host, name), value)


def _key(name: str, host: str | None) -> str:
    return keys.global_config(name) if host is None else keys.host_config(host, name)
