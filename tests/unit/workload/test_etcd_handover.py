from pathlib import Path

import pytest

from calico_ctl.errors import InvalidValue
from calico_ctl.model import etcd_access
from calico_ctl.model.etcd_access import EtcdAccess, EtcdAuthority, EtcdLogin, EtcdTls
from calico_ctl.workload import etcd_handover

MEMBERS = (EtcdAuthority("a", 1), EtcdAuthority("b", 2))


@pytest.fixture(autouse=True)
def root(tmp_path, monkeypatch) -> Path:
    """Copies go to a directory of the test's."""
    root: Path = tmp_path / "copies"
    monkeypatch.setattr(etcd_handover, "DIRECTORY", str(root))
    return root


@pytest.fixture
def access(tmp_path) -> EtcdAccess:
    paths = []
    for name in ("ca", "cert", "key", "secret"):
        path = tmp_path / name
        path.write_text(f"{name}\n")
        path.chmod(0o600)
        paths.append(str(path))
    return EtcdAccess(MEMBERS, EtcdTls(*paths[:3]), EtcdLogin("me", "", paths[3]))


def test_the_services_are_told_of_copies(root, access):
    handed = etcd_handover.hand_over(access)
    assert handed.directory is not None
    assert Path(handed.directory).parent == root
    tls, login = handed.access.tls, handed.access.login
    assert tls is not None
    assert login is not None
    paths = (tls.ca, tls.certificate, tls.key, login.password_file)
    assert [Path(each).read_text() for each in paths] == ["ca\n", "cert\n", "key\n", "secret\n"]
    assert {str(Path(each).parent) for each in paths} == {handed.directory}
    assert handed.access.authorities == MEMBERS


def test_a_password_of_the_environment_becomes_a_file_too(access):
    handed = etcd_handover.hand_over(EtcdAccess(MEMBERS, None, EtcdLogin("me", "secret")))
    login = handed.access.login
    assert login is not None
    assert login.password == ""
    assert Path(login.password_file).read_text() == "secret\n"
    assert Path(login.password_file).stat().st_mode & 0o777 == 0o600
    assert "secret" not in str(etcd_access.to_environment(handed.access))


def test_the_authority_alone_is_one_file(access):
    handed = etcd_handover.hand_over(EtcdAccess(MEMBERS, EtcdTls(access.tls.ca)))
    assert handed.access.tls == EtcdTls(f"{handed.directory}/ca.pem")


def test_plain_settings_and_the_systems_own_authorities_need_no_files(root):
    for access in (etcd_access.DEFAULT, EtcdAccess(MEMBERS, EtcdTls())):
        assert etcd_handover.hand_over(access) == etcd_handover.HandedOver(access, None)
    assert not root.exists()


def test_the_same_settings_are_the_same_copies_also_if_they_name_the_copies(access):
    first = etcd_handover.hand_over(access)
    assert etcd_handover.hand_over(access) == first
    assert etcd_handover.hand_over(first.access) == first


def test_a_renewed_certificate_is_another_directory_and_the_old_one_goes_last(root, access):
    first = etcd_handover.hand_over(access)
    Path(access.tls.certificate).write_text("renewed")
    second = etcd_handover.hand_over(access)
    assert first.directory != second.directory
    assert Path(str(first.directory)).exists()
    etcd_handover.tidy(second)
    assert [str(each) for each in root.iterdir()] == [second.directory]
    etcd_handover.withdraw()
    assert not root.exists()


def test_settings_without_files_leave_none(root, access):
    etcd_handover.hand_over(access)
    etcd_handover.tidy(etcd_handover.hand_over(etcd_access.DEFAULT))
    assert not root.exists()


@pytest.mark.parametrize(
    ("tls", "login", "named"),
    [
        (EtcdTls("/absent"), None, "ETCD_CA_CERT_FILE"),
        (EtcdTls("", "/absent", "/absent"), None, "ETCD_CERT_FILE"),
        (None, EtcdLogin("me", "", "/absent"), "ETCD_PASSWORD_FILE"),
    ],
)
def test_a_file_that_is_not_there_is_named_and_nothing_kept(root, tls, login, named):
    with pytest.raises(InvalidValue, match=f"invalid {named} '/absent': .*No such file"):
        etcd_handover.hand_over(EtcdAccess(MEMBERS, tls, login))
    assert not root.exists()
