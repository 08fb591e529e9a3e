"""Whether files of TLS are what they are given for, found out before anything relies on them."""

import ssl
from pathlib import Path
from typing import NoReturn

from calico_ctl.errors import InvalidValue

_WHAT = ("certificate file", "key file", "CA file")


def check_server(certificate: str, key: str, ca: str) -> None:
    """Check PEM files of a server that asks its clients for certificates that `ca` signed.

    Raises InvalidValue naming the file: it cannot be read, holds nothing of its kind, or the key is
    another certificate's or needs a passphrase.
    """
    for what, path in zip(_WHAT, (certificate, key, ca), strict=True):
        _require_readable(what, path)
    _require_certificates(_WHAT[0], certificate)
    _require_certificates(_WHAT[2], ca)

    def refuse_passphrase() -> NoReturn:
        # Without this OpenSSL would ask at the terminal, here and in a service that has none.
        raise InvalidValue(_WHAT[1], key, "a key without a passphrase")

    try:
        _context().load_cert_chain(certificate, key, refuse_passphrase)
    except ssl.SSLError as error:
        expected = f"the PEM key of the certificate in {certificate} ({_reason(error)})"
        raise InvalidValue(_WHAT[1], key, expected) from error


def _require_readable(what: str, path: str) -> None:
    try:
        Path(path).read_bytes()
    except OSError as error:
        raise InvalidValue(what, path, f"a file that can be read ({error.strerror})") from error


def _require_certificates(what: str, path: str) -> None:
    try:
        _context().load_verify_locations(path)
    except ssl.SSLError as error:
        raise InvalidValue(what, path, f"certificates in PEM ({_reason(error)})") from error


def _context() -> ssl.SSLContext:
    return ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)


def _reason(error: ssl.SSLError) -> str:
    return (error.reason or "OpenSSL cannot read it").replace("_", " ").lower()
