"""Where a node offers the Docker API to clients, and which certificates it asks for and shows.

As text it is `127.0.0.1:2377`, `[fd80::1]:2377` or `off`; in the environment of the services, the
variable CALICO_DOCKER_PROXY, with the three files of TLS in variables beside it.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from netaddr import IPAddress

from calico_ctl.errors import InvalidValue
from calico_ctl.model import address

VARIABLE = "CALICO_DOCKER_PROXY"
CERTIFICATE_VARIABLE = "CALICO_DOCKER_PROXY_CERT"
KEY_VARIABLE = "CALICO_DOCKER_PROXY_KEY"
CA_VARIABLE = "CALICO_DOCKER_PROXY_CA"
OFF = "off"

_FORM = re.compile(r"(?:\[(?P<ipv6>[^\[\]]+)\]|(?P<ipv4>[^:\[\]]+)):(?P<port>[1-9][0-9]{0,4})")
_EXPECTED = "<address>:<port> such as 127.0.0.1:2377 or [::1]:2377, or off"


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """Paths of PEM files: what the proxy shows and proves, and who may sign clients."""

    certificate: str
    key: str
    ca: str


@dataclass(frozen=True, slots=True)
class DockerProxy:
    """An address of this host (all zeros: every one) and a port; with `tls` only for the known."""

    address: IPAddress
    port: int
    tls: TlsFiles | None = None

    @property
    def host(self) -> str:
        """The address as a socket takes it, without brackets."""
        return str(self.address)

    @property
    def is_loopback(self) -> bool:
        """Whether only this host itself reaches it."""
        return bool(self.address.is_loopback())

    def __str__(self) -> str:
        shown = f"[{self.address}]" if self.address.version == 6 else str(self.address)
        return f"{shown}:{self.port}"


DEFAULT = DockerProxy(IPAddress("127.0.0.1"), 2377)


def parse(text: str, what: str) -> DockerProxy | None:
    """Return where it is, without certificates, or None for `off`; raise InvalidValue otherwise."""
    if text == OFF:
        return None
    found = _FORM.fullmatch(text)
    if found is None or int(found["port"]) > 65535:
        raise InvalidValue(what, text, _EXPECTED)
    try:
        ip = address.parse_address(found["ipv6"] or found["ipv4"])
    except InvalidValue as error:
        raise InvalidValue(what, text, _EXPECTED) from error
    if (ip.version == 6) != (found["ipv6"] is not None) or _nobody_has(ip):
        raise InvalidValue(what, text, _EXPECTED)
    return DockerProxy(ip, int(found["port"]))


def from_environment(variables: Mapping[str, str]) -> DockerProxy | None:
    """Return what the variables say: the default without any, None if it is off.

    Raises InvalidValue, naming the variable.
    """
    text = variables.get(VARIABLE, "")
    proxy = parse(text, VARIABLE) if text else DEFAULT
    names = (CERTIFICATE_VARIABLE, KEY_VARIABLE, CA_VARIABLE)
    paths = [variables.get(name, "") for name in names]
    if proxy is None or not any(paths):
        return proxy
    for name, path in zip(names, paths, strict=True):
        if not path.startswith("/"):
            raise InvalidValue(name, path, "the absolute path of a PEM file")
    return DockerProxy(proxy.address, proxy.port, TlsFiles(*paths))


def to_environment(proxy: DockerProxy | None) -> dict[str, str]:
    """Return the variables that say it."""
    if proxy is None or proxy.tls is None:
        return {VARIABLE: OFF if proxy is None else str(proxy)}
    return {
        VARIABLE: str(proxy),
        CERTIFICATE_VARIABLE: proxy.tls.certificate,
        KEY_VARIABLE: proxy.tls.key,
        CA_VARIABLE: proxy.tls.ca,
    }


def _nobody_has(ip: IPAddress) -> bool:
    # One of a link needs the name of its interface too.
    return bool(ip.is_multicast() or ip.is_link_local() or int(ip) == 0xFFFF_FFFF)
