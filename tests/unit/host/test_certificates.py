"""Real certificates, made by OpenSSL's own program."""

import subprocess
from pathlib import Path

import pytest

from calico_ctl.errors import InvalidValue
from calico_ctl.host import certificates


def openssl(*words: str) -> None:
    subprocess.run(["openssl", *words], check=True, stderr=subprocess.PIPE)


@pytest.fixture(scope="module")
def pki(tmp_path_factory) -> Path:
    """Two self-signed certificates with their keys, and one of the keys with a passphrase."""
    directory = Path(tmp_path_factory.mktemp("pki"))
    curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    for name in ("server", "other"):
        files = ["-keyout", f"{directory}/{name}-key.pem", "-out", f"{directory}/{name}.pem"]
        openssl("req", "-x509", *curve, *files, "-subj", f"/CN={name}", "-days", "2")
    locked = ["-out", f"{directory}/locked-key.pem", "-aes256", "-passout", "pass:secret"]
    openssl("ec", "-in", f"{directory}/server-key.pem", *locked)
    (directory / "empty.pem").write_text("")
    (directory / "broken.pem").write_text("-----BEGIN CERTIFICATE-----\nx\n")
    return directory


def check(pki: Path, certificate: str, key: str, ca: str) -> None:
    certificates.check_server(str(pki / certificate), str(pki / key), str(pki / ca))


def test_a_certificate_with_its_key_and_any_ca_will_do(pki):
    check(pki, "server.pem", "server-key.pem", "other.pem")


@pytest.mark.parametrize(
    ("files", "message"),
    [
        (("nosuch.pem", "server-key.pem", "other.pem"), "certificate file '.*nosuch.pem'.*No such"),
        (("server.pem", "nosuch.pem", "other.pem"), "key file '.*nosuch.pem'.*No such"),
        (("server.pem", "server-key.pem", "nosuch.pem"), "CA file '.*nosuch.pem'.*No such"),
        (("server.pem", "server-key.pem", "."), "CA file .*directory"),
        (("empty.pem", "server-key.pem", "other.pem"), "certificate file .*empty.pem"),
        (("server-key.pem", "server-key.pem", "other.pem"), "certificate file .*server-key.pem"),
        (("server.pem", "server-key.pem", "broken.pem"), "CA file .*broken.pem"),
        (("server.pem", "server-key.pem", "server-key.pem"), "CA file .*server-key.pem"),
        (("server.pem", "other-key.pem", "other.pem"), "key file .*values mismatch"),
        (("server.pem", "server.pem", "other.pem"), "key file .*server.pem.*the PEM key of"),
        (("server.pem", "locked-key.pem", "other.pem"), "key file .*without a passphrase"),
    ],
)
def test_the_file_that_will_not_do_is_named_with_the_reason(pki, files, message):
    with pytest.raises(InvalidValue, match=message):
        check(pki, *files)
