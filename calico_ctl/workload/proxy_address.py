"""Where a node shall offer the Docker API: what was told and what was before, made one; and checks.

The API gives root on this host to whoever may use it. So an address that others reach needs
certificates, or a word that nobody types by accident.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from calico_ctl.docker_api import client, node_container
from calico_ctl.docker_api.client import Engine
from calico_ctl.errors import AlreadyExists, CalicoError, InvalidValue
from calico_ctl.host import certificates, ports
from calico_ctl.model import docker_proxy
from calico_ctl.model.container import OwnContainer
from calico_ctl.model.docker_proxy import DockerProxy, TlsFiles

_OFF_AND_MORE = (
    "the Docker API proxy is off, so certificates and --docker-proxy-insecure are no use"
)
_TRY_ANOTHER = "try another port, such as --docker-proxy={}, or --docker-proxy=off"


@dataclass(frozen=True, slots=True)
class ProxyRequest:
    """What `calicoctl node` was told about it; None: as it is. `listen` has no certificates."""

    listen: DockerProxy | None = None
    off: bool = False
    tls: TlsFiles | None = None
    insecure: bool = False


def kept(container: OwnContainer | None) -> DockerProxy | None:
    """Return what the node's container, running or not, was told; without one the default."""
    return docker_proxy.DEFAULT if container is None else of_container(container.environment)


def of_container(environment: Mapping[str, str]) -> DockerProxy | None:
    """Return what the variables of a node's container say, its files as the host names them."""
    try:
        return node_container.on_host(docker_proxy.from_environment(environment))
    except InvalidValue:
        # Somebody else's container of that name; it will be replaced.
        return docker_proxy.DEFAULT


def decide(wanted: ProxyRequest, before: DockerProxy | None) -> DockerProxy | None:
    """Return where it shall be; what was not told stays as before.

    Raises CalicoError for an address that others reach, unless there are certificates, or it was
    said anew or before that there shall be none.
    """
    listen = None if wanted.off else wanted.listen or before
    if listen is None:
        if wanted.tls is not None or wanted.insecure:
            raise CalicoError(
                _OFF_AND_MORE, hint="say where it shall be: --docker-proxy=<ADDR:PORT>"
            )
        return None
    tls_before = None if before is None or wanted.insecure else before.tls
    proxy = replace(listen, tls=wanted.tls or tls_before)
    if is_exposed(proxy) and not wanted.insecure and proxy != before:
        raise CalicoError(
            f"other machines may reach {proxy}, and whoever uses the Docker API is root here",
            hint="give --docker-proxy-cert, --docker-proxy-key and --docker-proxy-ca, so that it is"
            " open to holders of certificates only, or type --docker-proxy-insecure",
        )
    return proxy


def is_exposed(proxy: DockerProxy) -> bool:
    """Say whether others may use it without a certificate."""
    return not proxy.is_loopback and proxy.tls is None


def require_usable(proxy: DockerProxy, engine: Engine, container: OwnContainer | None) -> None:
    """Raise CalicoError, saying what to try, if a service could not listen there or not use TLS.

    The node's own container may be there already.
    """
    if proxy.tls is not None:
        certificates.check_server(proxy.tls.certificate, proxy.tls.key, proxy.tls.ca)
    if _holds_port(container, proxy.port):
        return
    try:
        ports.require_free(proxy.address, proxy.port)
    except AlreadyExists as error:
        who = (
            ": this Docker Engine manages a Swarm, and that uses the port"
            if str(proxy.port) == client.PROXY_PORT and engine.manages_swarm()
            else ""
        )
        another = replace(proxy, port=proxy.port + 1 if proxy.port < 65535 else proxy.port - 1)
        raise AlreadyExists(f"{error.message}{who}", _TRY_ANOTHER.format(another)) from error


def leads_through(address: str, proxy: DockerProxy | None) -> bool:
    """Say whether an engine's address, such as `tcp://localhost:2377`, is that of the proxy."""
    return proxy is not None and address.rstrip("/").endswith(f":{proxy.port}")


def _holds_port(container: OwnContainer | None, port: int) -> bool:
    if container is None or not container.running:
        return False
    before = kept(container)
    # On whatever address: its successor listens after it has ended.
    return before is not None and before.port == port
