"""What the proxy says if it cannot listen, be trusted, or reach the engine."""

import errno
import ssl

import pytest

from calico_ctl.daemons import proxy_settings
from calico_ctl.daemons.proxy_settings import ProxySettings
from calico_ctl.errors import AlreadyExists, CalicoError
from tests.support.certificates import Certificates

SETTINGS = ProxySettings("127.0.0.1", 2377, engine_socket="/run/d.sock")


@pytest.fixture(scope="module")
def certificates(tmp_path_factory):
    return Certificates(tmp_path_factory.mktemp("tls"))


def test_without_certificates_there_is_no_tls():
    assert proxy_settings.tls_context(SETTINGS) is None


def test_with_certificates_clients_have_to_show_one_and_speak_a_safe_version(certificates):
    pem = certificates.certificate
    chosen = ProxySettings("h", 1, pem("server"), certificates.key("server"), pem("ca"))
    context = proxy_settings.tls_context(chosen)
    assert context is not None
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.minimum_version is ssl.TLSVersion.TLSv1_2


@pytest.mark.parametrize("broken", ["certificate", "key", "ca"])
def test_files_that_cannot_be_used_are_named(certificates, tmp_path, broken):
    pem = certificates.certificate
    files = {"certificate": pem("server"), "key": certificates.key("server"), "ca": pem("ca")}
    files[broken] = str(tmp_path / "missing.pem")
    with pytest.raises(CalicoError, match=r"missing\.pem"):
        proxy_settings.tls_context(ProxySettings("h", 1, **files))


def test_a_taken_port_is_named_and_swarm_with_it():
    error = proxy_settings.cannot_listen(SETTINGS, OSError(errno.EADDRINUSE, "in use"))
    assert isinstance(error, AlreadyExists)
    assert "127.0.0.1 port 2377" in error.message
    assert "Swarm" in error.hint


def test_another_reason_is_told_in_the_systems_words():
    error = proxy_settings.cannot_listen(SETTINGS, OSError(errno.EACCES, "Permission denied"))
    assert not isinstance(error, AlreadyExists)
    assert error.message.endswith("127.0.0.1 port 2377: Permission denied")


@pytest.mark.parametrize(
    ("error", "why"),
    [
        (FileNotFoundError(errno.ENOENT, "x"), "it is not running"),
        (ConnectionRefusedError(errno.ECONNREFUSED, "x"), "it is not running"),
        (TimeoutError(), "does not answer in time"),
        (PermissionError(errno.EACCES, "Permission denied"), "Permission denied"),
    ],
)
def test_an_engine_that_cannot_be_reached_is_named_with_the_reason(error, why):
    told = proxy_settings.unreachable_engine(SETTINGS, error)
    assert "unix:///run/d.sock" in told
    assert why in told
