"""Where the Docker API proxy listens and whom it serves, and what to say if that does not work."""

import errno
import ssl
from dataclasses import dataclass

from calico_ctl.errors import AlreadyExists, CalicoError


@dataclass(frozen=True, slots=True)
class ProxySettings:
    """Where to listen and where the engine is; paths of PEM files, all three or none.

    With certificates only clients that show one signed by `ca` are served. `allowed_hosts` are
    names and addresses by which clients may call this proxy, beside the loopback's and its own. A
    request's head has to come within `head_seconds` of its first byte.
    """

    host: str
    port: int
    certificate: str | None = None
    key: str | None = None
    ca: str | None = None
    engine_socket: str = "/var/run/docker.sock"
    allowed_hosts: tuple[str, ...] = ()
    connection_limit: int = 4096
    head_seconds: float = 30.0


def tls_context(settings: ProxySettings) -> ssl.SSLContext | None:
    """Return what TLS asks of clients; None without certificates.

    Raises CalicoError if the files cannot be used.
    """
    files = (settings.certificate, settings.key, settings.ca)
    if not all(files):
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.verify_mode = ssl.CERT_REQUIRED
    context.options |= ssl.OP_NO_RENEGOTIATION
    try:
        context.load_cert_chain(str(settings.certificate), settings.key)
        context.load_verify_locations(settings.ca)
    except OSError as error:  # ssl.SSLError is one too
        names = ", ".join(str(each) for each in files)
        raise CalicoError(
            f"cannot use the certificates of the Docker API proxy ({names}): {error}",
            hint="all three are PEM files that this user may read; the key belongs to the first",
        ) from error
    return context


def cannot_listen(settings: ProxySettings, error: OSError) -> CalicoError:
    """Return what to raise where nobody can listen."""
    where = f"{settings.host} port {settings.port}"
    if error.errno == errno.EADDRINUSE:
        return AlreadyExists(
            f"cannot offer the Docker API on {where}: something else listens there",
            hint="Docker Swarm's manager also uses 2377; --docker-proxy=<ADDR:PORT> moves ours",
        )
    return CalicoError(f"cannot offer the Docker API on {where}: {error.strerror or error}")


def unreachable_engine(settings: ProxySettings, error: OSError) -> str:
    """Return what to tell a client whose request cannot be passed on."""
    where = f"cannot reach the Docker Engine at unix://{settings.engine_socket}"
    if isinstance(error, TimeoutError):
        return f"{where}: it does not answer in time; if it hangs, restart it"
    if error.errno in {errno.ENOENT, errno.ECONNREFUSED}:
        return f"{where}: it is not running; start Docker there"
    return f"{where}: {error.strerror or error}"
