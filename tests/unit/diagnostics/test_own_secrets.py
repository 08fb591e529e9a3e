"""Which secrets are known before anything is collected."""

import base64
import json

from calico_ctl.diagnostics import own_secrets

SECRET = "hunter2-s3cr3t"


def test_passwords_of_the_environment_and_of_the_files_it_names(tmp_path):
    file = tmp_path / "password"
    file.write_text(f"{SECRET}-in-file\n")
    found = own_secrets.known(
        {
            "ETCD_PASSWORD": SECRET,
            "ETCD_PASSWORD_FILE": str(file),
            "ETCD_USERNAME": "calico-user",
            "ETCD_CA_CERT_FILE": str(file),
        }
    )
    assert {SECRET, f"{SECRET}-in-file"} <= found
    assert "calico-user" not in found


def test_the_login_of_a_user_of_etcd_as_http_writes_it(tmp_path, monkeypatch):
    monkeypatch.setattr(own_secrets, "HANDED_OVER", tmp_path)
    found = own_secrets.known({"ETCD_PASSWORD": SECRET, "ETCD_USERNAME": "calico-user"})
    assert base64.b64encode(f"calico-user:{SECRET}".encode()).decode() in found


def test_a_file_that_is_not_there_is_no_matter(tmp_path):
    assert own_secrets.known({"ETCD_PASSWORD_FILE": str(tmp_path / "none")}) is not None


def test_the_password_that_the_services_were_given(tmp_path, monkeypatch):
    monkeypatch.setattr(own_secrets, "HANDED_OVER", tmp_path)
    (tmp_path / "a1b2").mkdir()
    (tmp_path / "a1b2/password").write_text(f"{SECRET}\n")
    assert SECRET in own_secrets.known({})


def test_logins_that_docker_keeps(tmp_path):
    login = base64.b64encode(f"joe:{SECRET}".encode()).decode()
    config = {"auths": {"registry.example.org": {"auth": login}, "other": {}}}
    (tmp_path / "config.json").write_text(json.dumps(config))
    assert {login, SECRET} <= own_secrets.known({"DOCKER_CONFIG": str(tmp_path)})


def test_a_broken_file_of_docker_is_no_matter(tmp_path):
    (tmp_path / "config.json").write_text("{nonsense")
    assert SECRET not in own_secrets.known({"DOCKER_CONFIG": str(tmp_path)})
