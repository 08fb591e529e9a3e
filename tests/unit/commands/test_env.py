"""What a shell takes on; that a real one does is in tests/integration/commands/test_env.py."""

import pytest

from calico_ctl import settings
from calico_ctl.console import Console
from calico_ctl.docker_api.node_container import NAME
from calico_ctl.errors import DockerUnavailable
from calico_ctl.main import run
from calico_ctl.model.container import OwnContainer
from calico_ctl.wiring import RealPlatform
from tests.support.cli import NOT_ROOT
from tests.support.machine import FakeDocker

FILES = "/var/lib/calico/etcd-access/1"
SECURE = {
    "HOSTNAME": "host1",
    "ETCD_AUTHORITY": "10.0.0.1:2379,10.0.0.2:2379",
    "ETCD_SCHEME": "https",
    "ETCD_CA_CERT_FILE": f"{FILES}/ca.pem",
    "ETCD_USERNAME": "it's me",
    "ETCD_PASSWORD_FILE": f"{FILES}/password",
    "CALICO_DOCKER_PROXY": "off",
}


def env(
    capsys,
    container: dict[str, str] | None = None,
    *words: str,
    shell: dict[str, str] | None = None,
    running: bool = True,
) -> tuple[int, list[str], str]:
    """Run it in a shell with these variables, beside a node with those."""
    platform = RealPlatform(settings.read(shell or {}))
    docker = FakeDocker()
    if container is not None:
        docker.own[NAME] = OwnContainer(running, "Up", container)
    platform.__dict__["docker"] = docker
    code = run(["env", *words], platform, Console(NOT_ROOT), debug=False)
    said = capsys.readouterr()
    return code, said.out.splitlines(), said.err


def test_the_settings_are_those_of_the_node(capsys):
    code, lines, err = env(capsys, SECURE)
    assert (code, err) == (0, "")
    assert lines == [
        "export ETCD_AUTHORITY='10.0.0.1:2379,10.0.0.2:2379'",
        "export ETCD_SCHEME='https'",
        f"export ETCD_CA_CERT_FILE='{FILES}/ca.pem'",
        "export ETCD_USERNAME='it'\\''s me'",
        f"export ETCD_PASSWORD_FILE='{FILES}/password'",
    ]


def test_what_the_shell_has_and_the_node_has_not_is_taken_back_first(capsys):
    shell = {"ETCD_SCHEME": "https", "ETCD_PASSWORD": "x", "DOCKER_TLS_VERIFY": "1"}
    node = {"ETCD_AUTHORITY": "10.0.0.1:2379", "CALICO_DOCKER_PROXY": "127.0.0.1:2378"}
    assert env(capsys, node, shell=shell)[1] == [
        "unset ETCD_SCHEME;",
        "unset ETCD_PASSWORD;",
        "unset DOCKER_TLS_VERIFY;",
        "export ETCD_AUTHORITY='10.0.0.1:2379'",
        "export DOCKER_HOST='tcp://127.0.0.1:2378'",
    ]


def test_fish_has_words_of_its_own(capsys):
    node = {"ETCD_AUTHORITY": "10.0.0.1:2379", "CALICO_DOCKER_PROXY": "off"}
    shell = {"ETCD_SCHEME": "https"}
    assert env(capsys, node, "--shell=fish", shell=shell)[1] == [
        "set -e ETCD_SCHEME;",
        "set -gx ETCD_AUTHORITY '10.0.0.1:2379';",
    ]
    node |= {"ETCD_USERNAME": "a'\\", "ETCD_PASSWORD_FILE": "/f"}
    assert "set -gx ETCD_USERNAME 'a\\'\\\\';" in env(capsys, node, "--shell=fish")[1]


def test_a_shell_that_nobody_knows_is_refused(capsys):
    code, lines, err = env(capsys, None, "--shell=csh")
    assert (code, lines) == (1, [])
    assert "invalid --shell 'csh': expected sh or fish" in err


def test_without_a_node_the_settings_are_the_shells_and_no_password_is_shown(
    capsys, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    shell = {
        "ETCD_AUTHORITY": "etcd:1",
        "ETCD_SCHEME": "https",
        "ETCD_CA_CERT_FILE": "ca.pem",
        "ETCD_USERNAME": "me",
        "ETCD_PASSWORD": "secret",
    }
    code, lines, err = env(capsys, shell=shell)
    assert code == 0
    assert lines == [
        "export ETCD_AUTHORITY='etcd:1'",
        "export ETCD_SCHEME='https'",
        f"export ETCD_CA_CERT_FILE='{tmp_path}/ca.pem'",
        "export ETCD_USERNAME='me'",
    ]
    assert "there is no calico-node here" in err
    assert "secret" not in err


def test_without_docker_it_says_so_and_does_the_same(capsys):
    platform = RealPlatform(settings.read({}))
    platform.__dict__["docker"] = FakeDocker(fail=DockerUnavailable("no Docker here"))
    assert run(["env"], platform, Console(NOT_ROOT), debug=False) == 0
    said = capsys.readouterr()
    assert said.out == "export ETCD_AUTHORITY='127.0.0.1:4001'\n"
    assert "no Docker here" in said.err


def test_a_wrong_setting_of_the_shell_is_named_and_nothing_printed(capsys):
    code, lines, err = env(capsys, shell={"ETCD_SCHEME": "ftp"})
    assert (code, lines) == (1, [])
    assert "invalid ETCD_SCHEME 'ftp'" in err


@pytest.mark.parametrize(
    ("proxy", "host"),
    [
        ("127.0.0.1:2377", "tcp://127.0.0.1:2377"),
        ("0.0.0.0:2377", "tcp://127.0.0.1:2377"),
        ("[::]:2377", "tcp://[::1]:2377"),
        ("[fd80::1]:2378", "tcp://[fd80::1]:2378"),
    ],
)
def test_docker_clients_are_sent_to_the_proxy(capsys, proxy, host):
    node = {"ETCD_AUTHORITY": "e:1", "CALICO_DOCKER_PROXY": proxy}
    assert f"export DOCKER_HOST='{host}'" in env(capsys, node)[1]
    assert not any("DOCKER" in line for line in env(capsys, node, running=False)[1])


def test_the_certificates_of_docker_clients_are_left_to_the_user_in_a_last_line(capsys):
    names = ("CERT", "KEY", "CA")
    files = {f"CALICO_DOCKER_PROXY_{name}": f"/host-files/{name}" for name in names}
    node = {"ETCD_AUTHORITY": "e:1", "CALICO_DOCKER_PROXY": "10.0.0.1:2377"} | files
    lines = env(capsys, node)[1]
    assert "export DOCKER_TLS_VERIFY='1'" in lines
    assert lines[-1].startswith("# DOCKER_CERT_PATH: ")
    assert not any("DOCKER_CERT_PATH" in line for line in lines[:-1])
