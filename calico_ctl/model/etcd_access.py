"""How etcd is reached: where its members are, and what they and we show each other.

In the environment, of a shell as of the services inside calico-node, these are the ETCD_ variables.
Passwords are never shown: not in a message, not as text of these values.
"""

import re
from collections.abc import Mapping
from typing import NamedTuple

from calico_ctl.errors import InvalidValue

AUTHORITY = "ETCD_AUTHORITY"
SCHEME = "ETCD_SCHEME"
CA = "ETCD_CA_CERT_FILE"
CERTIFICATE = "ETCD_CERT_FILE"
KEY = "ETCD_KEY_FILE"
USERNAME = "ETCD_USERNAME"
PASSWORD = "ETCD_PASSWORD"  # noqa: S105 - the name of a variable
PASSWORD_FILE = "ETCD_PASSWORD_FILE"  # noqa: S105 - another
API = "ETCD_API"

VARIABLES = (AUTHORITY, SCHEME, CA, CERTIFICATE, KEY, USERNAME, PASSWORD, PASSWORD_FILE, API)
"""All that is looked at, in the order of reading."""

AUTO, V2, V3 = "auto", "2", "3"
"""What ETCD_API may say; `auto`: whichever of etcd's two stores holds the cluster."""

_AUTHORITY = re.compile(r"(?:\[(?P<ipv6>[^\[\]]*)\]|(?P<name>[^:]{1,255})):(?P<port>[0-9]{1,5})")
_LABEL = re.compile(r"(?!-)[A-Za-z0-9_-]{1,63}(?<!-)")
_EXPECTED = (
    "<host>:<port>, for example 10.0.0.1:2379, etcd.example.org:2379 or [fd80::1]:2379;"
    " several with commas between"
)


class EtcdAuthority(NamedTuple):
    """Where one member of etcd is; an IPv6 address has no brackets here.

    A tuple as are the others, because every command makes these classes, and it is done in a sixth
    of the time of a dataclass.
    """

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


class EtcdTls(NamedTuple):
    """Paths of PEM files; empty: none. Without `ca`, whom the system trusts may sign etcd."""

    ca: str = ""
    certificate: str = ""
    key: str = ""


class EtcdLogin(NamedTuple):
    """Who we are to etcd. The file with the password counts before the password."""

    username: str
    password: str = ""
    password_file: str = ""

    def __repr__(self) -> str:
        """Write it without the password."""
        return f"EtcdLogin({self.username!r}, password_file={self.password_file!r})"


class EtcdAccess(NamedTuple):
    """Members of one cluster, in the order in which they are tried; no `tls`: plain HTTP.

    `api` is which of etcd's APIs is spoken: AUTO, V2 or V3.
    """

    authorities: tuple[EtcdAuthority, ...]
    tls: EtcdTls | None = None
    login: EtcdLogin | None = None
    api: str = AUTO

    @property
    def authority(self) -> str:
        """The members as one text, as ETCD_AUTHORITY has them."""
        return ",".join(str(each) for each in self.authorities)


DEFAULT = EtcdAccess((EtcdAuthority("127.0.0.1", 4001),))

_OCTETS = frozenset(map(str, range(256)))


def from_environment(variables: Mapping[str, str]) -> EtcdAccess:
    """Return what the variables say; raise InvalidValue, naming the variable.

    An empty one is as good as none, except ETCD_AUTHORITY: whoever sets that means some etcd.
    """
    text = variables.get(AUTHORITY)
    authorities = DEFAULT.authorities if text is None else parse_authorities(text)
    return EtcdAccess(authorities, _tls(variables), _login(variables), _api(variables))


def to_environment(access: EtcdAccess) -> dict[str, str]:
    """Return the variables that say it, without the password: only its file is named."""
    values = {AUTHORITY: access.authority}
    if access.tls is not None:
        tls = access.tls
        values |= {SCHEME: "https", CA: tls.ca, CERTIFICATE: tls.certificate, KEY: tls.key}
    if access.login is not None:
        values |= {USERNAME: access.login.username, PASSWORD_FILE: access.login.password_file}
    if access.api != AUTO:
        values[API] = access.api
    return {name: value for name, value in values.items() if value}


def parse_authorities(text: str) -> tuple[EtcdAuthority, ...]:
    """Read one or several `<host>:<port>` with commas between; the same one twice counts once."""
    found = (_parse_authority(each, text) for each in text.split(","))
    return tuple(dict.fromkeys(found))


def _parse_authority(part: str, text: str) -> EtcdAuthority:
    found = _AUTHORITY.fullmatch(part)
    if found is None or not 0 < int(found["port"]) <= 65535 or not _is_host(found):
        raise InvalidValue(AUTHORITY, text, _EXPECTED)
    return EtcdAuthority(found["ipv6"] or found["name"], int(found["port"]))


def _is_host(found: re.Match[str]) -> bool:
    name = found["name"]
    if name is None:
        return _is_ipv6(found["ipv6"])
    if re.fullmatch("[0-9.]+", name):
        # Not by `address`: who asks for etcd does that first, and waits while that is imported.
        octets = name.split(".")
        return len(octets) == 4 and all(each in _OCTETS for each in octets)
    return all(_LABEL.fullmatch(label) for label in name.removesuffix(".").split("."))


def _is_ipv6(text: str) -> bool:
    # Imported here: see above.
    from calico_ctl.model import address

    try:
        return address.parse_address(text).version == 6
    except InvalidValue:
        return False


def _api(variables: Mapping[str, str]) -> str:
    text = variables.get(API) or AUTO
    if text not in {AUTO, V2, V3}:
        raise InvalidValue(API, text, f"{AUTO}, {V2} or {V3}")
    return text


def _tls(variables: Mapping[str, str]) -> EtcdTls | None:
    scheme = variables.get(SCHEME) or "http"
    if scheme not in {"http", "https"}:
        raise InvalidValue(SCHEME, scheme, "http or https")
    tls = EtcdTls(*(variables.get(name, "") for name in (CA, CERTIFICATE, KEY)))
    if scheme == "http":
        given = [name for name in (CA, CERTIFICATE, KEY) if variables.get(name)]
        if given:
            # Whoever gives certificates believes that nobody listens.
            raise InvalidValue(SCHEME, scheme, f"https, since {given[0]} is set")
        return None
    if tls.certificate and not tls.key:
        raise InvalidValue(KEY, "", f"the file with the key of {CERTIFICATE}")
    if tls.key and not tls.certificate:
        raise InvalidValue(CERTIFICATE, "", f"the file with the certificate of {KEY}")
    return tls


def _login(variables: Mapping[str, str]) -> EtcdLogin | None:
    username = variables.get(USERNAME, "")
    password, file = variables.get(PASSWORD, ""), variables.get(PASSWORD_FILE, "")
    if not username:
        given = PASSWORD_FILE if file else PASSWORD
        if password or file:
            raise InvalidValue(USERNAME, "", f"the user whose password {given} gives")
        return None
    if ":" in username or not username.isprintable():
        raise InvalidValue(USERNAME, username, "a name without colons and control characters")
    if not password and not file:
        raise InvalidValue(PASSWORD_FILE, "", f"the file with the password of {USERNAME}")
    if not file and not password.isprintable():
        # Not shown, and refused because it is to become the one line of a file.
        raise InvalidValue(PASSWORD, "...", "a password without control characters")
    return EtcdLogin(username, "" if file else password, file)
