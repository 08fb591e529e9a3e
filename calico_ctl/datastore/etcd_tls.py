"""TLS to etcd: what we trust and show, and in words what became of it. Imports `ssl`, 4 ms."""

import ssl
from pathlib import Path
from typing import NoReturn

from calico_ctl.errors import InvalidValue
from calico_ctl.model import etcd_access
from calico_ctl.model.etcd_access import EtcdTls

_PLAIN_HTTP = {
    "WRONG_VERSION_NUMBER",
    "HTTP_REQUEST",
    "UNKNOWN_PROTOCOL",
    "PACKET_LENGTH_TOO_LONG",
    "RECORD_LAYER_FAILURE",
}
# Of X509_V_ERR_*, which the ssl module has no names for.
_ANOTHER_NAME = {62, 64}
_UNTRUSTED = {2, 18, 19, 20, 21}
_VERIFICATION = {
    9: "the certificate is not valid yet: is this machine's clock right?",
    10: "the certificate has expired",
}
_OURS_REFUSED = ("ALERT_BAD_CERTIFICATE", "ALERT_UNKNOWN_CA", "ALERT_CERTIFICATE_UNKNOWN")


def context(files: EtcdTls) -> ssl.SSLContext:
    """Return what a connection needs; raise InvalidValue naming the variable of a bad file."""
    if files.ca:
        _require_readable(etcd_access.CA, files.ca)
    try:
        made = ssl.create_default_context(cafile=files.ca or None)
    except ssl.SSLError as error:
        expected = f"certificates in PEM ({_openssl(error)})"
        raise InvalidValue(etcd_access.CA, files.ca, expected) from error
    if files.certificate:
        _show(made, files)
    return made


def _show(made: ssl.SSLContext, files: EtcdTls) -> None:
    _require_readable(etcd_access.CERTIFICATE, files.certificate)
    _require_readable(etcd_access.KEY, files.key)

    def refuse_passphrase() -> NoReturn:
        # Without this OpenSSL would ask at the terminal, here and in a service that has none.
        raise InvalidValue(etcd_access.KEY, files.key, "a key without a passphrase")

    try:
        made.load_cert_chain(files.certificate, files.key, refuse_passphrase)
    except ssl.SSLError as error:
        expected = f"the PEM key of the certificate in {files.certificate} ({_openssl(error)})"
        raise InvalidValue(etcd_access.KEY, files.key, expected) from error


def _require_readable(variable: str, path: str) -> None:
    try:
        Path(path).read_bytes()
    except OSError as error:
        raise InvalidValue(variable, path, f"a file that can be read ({error.strerror})") from error


def reason(error: OSError) -> str:
    """Say in words why a connection did not come about, or ended."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"TLS: {_distrust(error)}"
    said = (error.reason if isinstance(error, ssl.SSLError) else "") or ""
    if said in _PLAIN_HTTP:
        return "TLS: what answers there is not https; is it plain http?"
    if "CERTIFICATE_REQUIRED" in said:
        return "TLS: it wants a certificate of ours: set ETCD_CERT_FILE and ETCD_KEY_FILE"
    if any(each in said for each in _OURS_REFUSED):
        return "TLS: it wants another certificate of ours: see ETCD_CERT_FILE and ETCD_KEY_FILE"
    if isinstance(error, ssl.SSLEOFError | ssl.SSLZeroReturnError | ConnectionError):
        return "TLS: it hung up"
    return f"TLS: {said.replace('_', ' ').lower() or 'failed'}"


def _distrust(error: ssl.SSLCertVerificationError) -> str:
    if error.verify_code in _ANOTHER_NAME:
        return f"its certificate is another one's: {error.verify_message.rstrip('.').lower()}"
    if error.verify_code in _UNTRUSTED:
        return "its certificate is not signed by whom ETCD_CA_CERT_FILE, or the system, trusts"
    return _VERIFICATION.get(error.verify_code, error.verify_message)


def _openssl(error: ssl.SSLError) -> str:
    return (error.reason or "OpenSSL cannot read it").replace("_", " ").lower()
