import os

import pytest

from calico_ctl.datastore import etcd_login
from calico_ctl.errors import InvalidValue
from calico_ctl.model.etcd_access import EtcdLogin


def in_file(tmp_path, content: bytes, mode: int = 0o600) -> EtcdLogin:
    path = tmp_path / "password"
    path.write_bytes(content)
    path.chmod(mode)
    return EtcdLogin("me", "another", str(path))


def test_without_a_login_there_is_no_password():
    assert etcd_login.password(None) == ""


def test_a_password_of_the_environment_is_taken_as_it_is():
    assert etcd_login.password(EtcdLogin("me", " sécret ")) == " sécret "


@pytest.mark.parametrize("content", ["s é:c", "s é:c\n", "s é:c\r\n", "s é:c\nmore"])
def test_of_a_file_the_first_line_counts(tmp_path, caplog, content):
    assert etcd_login.password(in_file(tmp_path, content.encode())) == "s é:c"
    assert caplog.text == ""


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o644])
def test_a_file_that_others_may_read_is_warned_of(tmp_path, caplog, mode):
    assert etcd_login.password(in_file(tmp_path, b"x", mode)) == "x"
    assert "others may read the password for etcd in" in caplog.text


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", "a password in its line"),
        (b"\nx", "a password in its line"),
        (b"x" * 5000, "a password in its line"),
        (b"\xff\xfe", "UTF-8"),
    ],
)
def test_a_file_without_a_password_is_refused(tmp_path, content, expected):
    with pytest.raises(InvalidValue, match=f"invalid ETCD_PASSWORD_FILE .*{expected}"):
        etcd_login.password(in_file(tmp_path, content))


def test_a_file_that_cannot_be_read_is_named(tmp_path):
    for path in (str(tmp_path / "absent"), os.fspath(tmp_path)):
        with pytest.raises(InvalidValue, match=r"invalid ETCD_PASSWORD_FILE .*can be read"):
            etcd_login.password(EtcdLogin("me", "", path))
