"""Where a node offers its metrics: `127.0.0.1:9091`, `[fd80::1]:9091` or `off`.

In the environment of the services it is the variable CALICO_METRICS.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from netaddr import IPAddress

from calico_ctl.errors import InvalidValue
from calico_ctl.model import docker_proxy
from calico_ctl.model.docker_proxy import OFF

VARIABLE = "CALICO_METRICS"

_EXPECTED = "<address>:<port> such as 127.0.0.1:9091 or [::1]:9091, or off"


@dataclass(frozen=True, slots=True)
class MetricsAddress:
    """An address of this host (all zeros: every one) and a port."""

    address: IPAddress
    port: int

    def __str__(self) -> str:
        shown = f"[{self.address}]" if self.address.version == 6 else str(self.address)
        return f"{shown}:{self.port}"


DEFAULT = MetricsAddress(IPAddress("127.0.0.1"), 9091)


def parse(text: str, what: str) -> MetricsAddress | None:
    """Return where it is, or None for `off`; raise InvalidValue otherwise."""
    try:
        # It is written as the address of the Docker API proxy is.
        found = docker_proxy.parse(text, what)
    except InvalidValue as error:
        raise InvalidValue(what, text, _EXPECTED) from error
    return None if found is None else MetricsAddress(found.address, found.port)


def from_environment(variables: Mapping[str, str]) -> MetricsAddress | None:
    """Return what the variable says: the default without it, None if metrics are off.

    Raises InvalidValue, naming the variable.
    """
    text = variables.get(VARIABLE, "")
    return parse(text, VARIABLE) if text else DEFAULT


def to_environment(there: MetricsAddress | None) -> dict[str, str]:
    """Return the variable that says it."""
    return {VARIABLE: OFF if there is None else str(there)}


@dataclass(frozen=True, slots=True)
class MetricsRequest:
    """What `calicoctl node` was told; nothing: as it is."""

    listen: MetricsAddress | None = None
    off: bool = False

    def decide(self, before: MetricsAddress | None) -> MetricsAddress | None:
        """Return where it shall be; None: nowhere."""
        return None if self.off else self.listen or before
