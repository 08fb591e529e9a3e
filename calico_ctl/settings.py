"""The environment, read once into one value. Nothing is judged before somebody needs it.

So `calicoctl version` works whatever the environment says, and a bad value is an error of the
command that would have used it.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from calico_ctl.errors import InvalidValue

if TYPE_CHECKING:
    from calico_ctl.model.docker_proxy import DockerProxy
    from calico_ctl.model.etcd_access import EtcdAccess
    from calico_ctl.model.metrics_address import MetricsAddress


@dataclass(frozen=True, slots=True)
class Settings:
    """What the environment says. `docker` are the variables that the Docker client understands.

    `etcd_variables` are those that say how etcd is reached, a password perhaps among them;
    `docker_proxy_variables` those that say where we ourselves offer the Docker API.
    """

    etcd_variables: Mapping[str, str] = field(repr=False)
    docker: Mapping[str, str]
    docker_proxy_variables: Mapping[str, str]
    networking_text: str
    debug: bool
    colour: bool = False
    metrics_variables: Mapping[str, str] = field(default_factory=dict)

    def etcd(self) -> "EtcdAccess":
        """Return how etcd is reached; raise InvalidValue naming the variable that is wrong."""
        # Imported here: only who asks for etcd pays for it.
        from calico_ctl.model import etcd_access

        return etcd_access.from_environment(self.etcd_variables)

    def docker_proxy(self) -> "DockerProxy | None":
        """Return where to offer the Docker API, or None for nowhere.

        Without a word about it: 127.0.0.1:2377. Raises InvalidValue naming the variable if it is
        not of its form.
        """
        # Imported here: only who offers the Docker API pays for it.
        from calico_ctl.model import docker_proxy

        return docker_proxy.from_environment(self.docker_proxy_variables)

    def metrics(self) -> "MetricsAddress | None":
        """Return where to offer metrics, or None for nowhere; without a word: 127.0.0.1:9091.

        Raises InvalidValue naming the variable if it is not of its form.
        """
        # Imported here: only who offers metrics pays for it.
        from calico_ctl.model import metrics_address

        return metrics_address.from_environment(self.metrics_variables)

    @property
    def metrics_directory(self) -> str:
        """Where services say what they measured."""
        return self.metrics_variables.get("CALICO_METRICS_DIRECTORY") or "/run/calico/metrics"

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
        etcd_variables={name: value for name, value in values.items() if name.startswith("ETCD_")},
        docker={name: value for name, value in values.items() if name.startswith("DOCKER_")},
        docker_proxy_variables={
            name: value for name, value in values.items() if name.startswith("CALICO_DOCKER_PROXY")
        },
        networking_text=values.get("CALICO_NETWORKING") or "true",
        debug=values.get("CALICO_DEBUG", "") not in {"", "0"},
        metrics_variables={
            name: value for name, value in values.items() if name.startswith("CALICO_METRICS")
        },
        colour=not values.get("NO_COLOR") and values.get("TERM", "dumb") != "dumb",
    )
