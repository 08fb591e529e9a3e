"""Hand the settings for etcd over to the services inside calico-node.

Certificates, key and password go as copies of files in a directory that the container sees too,
under the same path. So no secret is in an environment, where `docker inspect` and everybody's
/proc shows it; what the user's files become later changes nothing until `calicoctl node` is run;
and a directory of another name makes the container another one.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from calico_ctl.datastore import etcd_login
from calico_ctl.errors import InvalidValue
from calico_ctl.host import copies
from calico_ctl.model import etcd_access
from calico_ctl.model.etcd_access import EtcdAccess, EtcdTls

DIRECTORY = "/var/lib/calico/etcd-access"

_CA, _CERTIFICATE, _KEY, _PASSWORD = "ca.pem", "cert.pem", "key.pem", "password"


@dataclass(frozen=True, slots=True)
class HandedOver:
    """What the services are told, and the directory with the files; None: there are none."""

    access: EtcdAccess
    directory: str | None


def hand_over(access: EtcdAccess) -> HandedOver:
    """Copy the files that the settings name; return the settings that name the copies.

    Raises InvalidValue naming the variable of a file that cannot be read.
    """
    contents = _contents(access)
    if not contents:
        return HandedOver(access, None)
    directory = copies.keep(DIRECTORY, contents)

    def copied(name: str) -> str:
        return f"{directory}/{name}" if name in contents else ""

    tls, login = access.tls, access.login
    if tls is not None:
        tls = EtcdTls(copied(_CA), copied(_CERTIFICATE), copied(_KEY))
    if login is not None:
        login = login._replace(password="", password_file=copied(_PASSWORD))
    return HandedOver(access._replace(tls=tls, login=login), directory)


def tidy(handed: HandedOver) -> None:
    """Remove copies that no service uses any more. Raises CalicoError."""
    copies.drop_others(DIRECTORY, handed.directory)


def withdraw() -> None:
    """Remove all copies. Raises CalicoError."""
    copies.drop_others(DIRECTORY, None)


def _contents(access: EtcdAccess) -> Mapping[str, bytes]:
    tls = access.tls or EtcdTls()
    files = (
        (_CA, etcd_access.CA, tls.ca),
        (_CERTIFICATE, etcd_access.CERTIFICATE, tls.certificate),
        (_KEY, etcd_access.KEY, tls.key),
    )
    contents = {name: _read(variable, path) for name, variable, path in files if path}
    if access.login is not None:
        contents[_PASSWORD] = f"{etcd_login.password(access.login)}\n".encode()
    return contents


def _read(variable: str, path: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise InvalidValue(variable, path, f"a file that can be read ({error.strerror})") from error
