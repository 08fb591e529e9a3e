"""The environment, read once into one value. Nothing is judged before somebody needs it."""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass

from calico_ctl.errors import InvalidValue

DEFAULT_ETCD_AUTHORITY = "127.0.0.1:4001"

_AUTHORITY = re.compile(
    r"(?:\[(?P<ipv6>[0-9A-Fa-f:]+)\]|(?P<name>[A-Za-z0-9._-]{1,255})):(?P<port>[0-9]{1,5})"
)
_LABEL = re.compile(r"(?!-)[A-Za-z0-9_-]{1,63}(?<!-)")


@dataclass(frozen=True, slots=True)
class EtcdAuthority:
    """Where etcd is."""

    host: str
    port: int


@dataclass(frozen=True, slots=True)
class Settings:
    """What the environment says. `docker` are the variables that the Docker client understands."""

    etcd_authority: str
    docker: Mapping[str, str]
    networking: bool
    debug: bool

    def etcd(self) -> EtcdAuthority:
        """Return where etcd is; raise InvalidValue if ETCD_AUTHORITY is not of its form."""
        return parse_authority(self.etcd_authority)


def read(environment: Mapping[str, str] | None = None) -> Settings:
    """Read the process's environment, or the one given."""
    values = os.environ if environment is None else environment
    return Settings(
        etcd_authority=values.get("ETCD_AUTHORITY", DEFAULT_ETCD_AUTHORITY),
        docker={name: value for name, value in values.items() if name.startswith("DOCKER_")},
        networking=values.get("CALICO_NETWORKING", "true") != "false",
        debug=values.get("CALICO_DEBUG", "") not in {"", "0"},
    )


def parse_authority(text: str) -> EtcdAuthority:
    """Read `<host>:<port>`, the host a name, an IPv4 address, or an IPv6 address in brackets."""
    found = _AUTHORITY.fullmatch(text)
    if found is None or not 0 < int(found["port"]) <= 65535 or not _is_host(found):
        raise InvalidValue("ETCD_AUTHORITY", text, "<host>:<port>, for example 127.0.0.1:4001")
    return EtcdAuthority(found["ipv6"] or found["name"], int(found["port"]))


def _is_host(found: re.Match[str]) -> bool:
    if found["ipv6"]:
        return True
    return all(_LABEL.fullmatch(label) for label in found["name"].removesuffix(".").split("."))
