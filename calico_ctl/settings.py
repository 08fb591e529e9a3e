"""The environment, read once into one value. Nothing is judged before somebody needs it.

So `calicoctl version` works whatever the environment says, and a bad value is an error of the
command that would have used it.
"""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from calico_ctl.errors import InvalidValue

if TYPE_CHECKING:
    from calico_ctl.model.docker_proxy import DockerProxy

DEFAULT_ETCD_AUTHORITY = "127.0.0.1:4001"

_AUTHORITY = re.compile(r"(?:\[(?P<ipv6>[^\[\]]*)\]|(?P<name>[^:]{1,255})):(?P<port>[0-9]{1,5})")
_LABEL = re.compile(r"(?!-)[A-Za-z0-9_-]{1,63}(?<!-)")
_EXPECTED = "<host>:<port>, for example 10.0.0.1:2379, etcd.example.org:2379 or [fd80::1]:2379"


@dataclass(frozen=True, slots=True)
class EtcdAuthority:
    """Where etcd is; an IPv6 address has no brackets here."""

    host: str
    port: int


@dataclass(frozen=True, slots=True)
class Settings:
    """What the environment says. `docker` are the variables that the Docker client understands.

    `docker_proxy_variables` are those that say where we ourselves offer the Docker API.
    """

    etcd_authority: str
    docker: Mapping[str, str]
    docker_proxy_variables: Mapping[str, str]
    networking_text: str
    debug: bool

    def etcd(self) -> EtcdAuthority:
        """Return where etcd is; raise InvalidValue if ETCD_AUTHORITY is not of its form."""
        return parse_authority(self.etcd_authority)

    def docker_proxy(self) -> "DockerProxy | None":
        """Return where to offer the Docker API, or None for nowhere.

        Without a word about it: 127.0.0.1:2377. Raises InvalidValue naming the variable if it is
        not of its form.
        """
        # Imported here: only who offers the Docker API pays for it.
        from calico_ctl.model import docker_proxy

        return docker_proxy.from_environment(self.docker_proxy_variables)

    @property
    def networking(self) -> bool:
        """Whether the node shall route; raise InvalidValue unless it says true or false."""
        if self.networking_text not in {"true", "false"}:
            raise InvalidValue("CALICO_NETWORKING", self.networking_text, "true or false")
        return self.networking_text == "true"


def read(environment: Mapping[str, str] | None = None) -> Settings:
    """Read the process's environment, or the one given."""
    values = os.environ if environment is None else environment
    return Settings(
        etcd_authority=values.get("ETCD_AUTHORITY", DEFAULT_ETCD_AUTHORITY),
        docker={name: value for name, value in values.items() if name.startswith("DOCKER_")},
        docker_proxy_variables={
            name: value for name, value in values.items() if name.startswith("CALICO_DOCKER_PROXY")
        },
        networking_text=values.get("CALICO_NETWORKING") or "true",
        debug=values.get("CALICO_DEBUG", "") not in {"", "0"},
    )


def parse_authority(text: str) -> EtcdAuthority:
    """Read `<host>:<port>`, the host a name, an IPv4 address, or an IPv6 address in brackets."""
    found = _AUTHORITY.fullmatch(text)
    if found is None or not 0 < int(found["port"]) <= 65535 or not _is_host(found):
        raise InvalidValue("ETCD_AUTHORITY", text, _EXPECTED)
    return EtcdAuthority(found["ipv6"] or found["name"], int(found["port"]))


def _is_host(found: re.Match[str]) -> bool:
    name = found["name"]
    if name is None or re.fullmatch("[0-9.]+", name):
        return _is_address(name or found["ipv6"], 6 if name is None else 4)
    return all(_LABEL.fullmatch(label) for label in name.removesuffix(".").split("."))


def _is_address(text: str, version: int) -> bool:
    # Imported here: only who asks for etcd pays for it.
    from calico_ctl.model import address

    try:
        return address.parse_address(text).version == version
    except InvalidValue:
        return False
