"""The settings of etcd as a person gives them to a shell, and takes them from `calicoctl env`."""

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.support.shell import Shell

NO_DOCKER = {"DOCKER_HOST": "unix:///nowhere/docker.sock"}
ODD = 'it\'s $(me) \\ "you" `x`'


def evaluated(program: str, text: str, line: str) -> str:
    """Return what a shell prints after it took on a text."""
    argv = [program, "-c", line, program, text]
    done = subprocess.run(argv, capture_output=True, text=True, check=True, timeout=60)
    return done.stdout


@pytest.mark.parametrize("line", ["", "--shell=sh"])
def test_a_shell_takes_on_what_is_printed_letter_by_letter(shell: Shell, line: str) -> None:
    settings = NO_DOCKER | {"ETCD_USERNAME": ODD, "ETCD_PASSWORD_FILE": "some file"}
    printed = shell.done(f"env {line}", **settings)
    values = 'printf "%s|" "$ETCD_USERNAME" "$ETCD_PASSWORD_FILE" "$ETCD_AUTHORITY"'
    shells = [each for each in ("sh", "bash", "dash", "ksh", "zsh") if shutil.which(each)]
    for program in shells:
        found = evaluated(program, printed, f'eval "$1"; {values}')
        assert found == f"{ODD}|{Path.cwd()}/some file|{shell.authority}|"
    assert shell.authority in evaluated("sh", printed, f"eval $1; {values}"), "without quotes too"


def test_fish_gets_words_of_its_own(shell: Shell) -> None:
    printed = shell.done("env --shell=fish", **NO_DOCKER)
    assert printed == f"set -gx ETCD_AUTHORITY '{shell.authority}';\n"


def test_without_docker_that_is_said_and_the_shells_own_settings_are_printed(shell: Shell) -> None:
    finished = shell.run("env", **NO_DOCKER)
    assert finished.exit == 0
    assert "/nowhere/docker.sock" in finished.err
    assert finished.out == f"export ETCD_AUTHORITY='{shell.authority}'\n"


def test_a_password_for_an_etcd_that_asks_for_none_does_no_harm(
    shell: Shell, tmp_path: Path
) -> None:
    file = tmp_path / "password"
    file.write_text("secret\n")
    file.chmod(0o644)
    settings = {"ETCD_USERNAME": "me", "ETCD_PASSWORD_FILE": str(file)}
    finished = shell.run("pool show", **settings)
    assert finished.exit == 0
    assert finished.err.count(f"others may read the password for etcd in {file}") == 1
    assert "secret" not in finished.err
    file.chmod(0o600)
    assert shell.run("pool show", **settings).err == ""


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"ETCD_AUTHORITY": "a:1,"}, "ETCD_AUTHORITY 'a:1,'"),
        ({"ETCD_SCHEME": "ftp"}, "ETCD_SCHEME 'ftp'"),
        ({"ETCD_CA_CERT_FILE": "/ca"}, "ETCD_SCHEME 'http'"),
        ({"ETCD_SCHEME": "https", "ETCD_CERT_FILE": "/c"}, "ETCD_KEY_FILE ''"),
        ({"ETCD_SCHEME": "https", "ETCD_CA_CERT_FILE": "/absent"}, "ETCD_CA_CERT_FILE '/absent'"),
        ({"ETCD_USERNAME": "me"}, "ETCD_PASSWORD_FILE ''"),
        ({"ETCD_USERNAME": "me", "ETCD_PASSWORD_FILE": "/absent"}, "ETCD_PASSWORD_FILE '/absent'"),
    ],
)
def test_a_wrong_setting_is_named_by_whoever_needs_it_only(
    shell: Shell, settings: dict[str, str], named: str
) -> None:
    assert f"error: invalid {named}: expected" in shell.refused("pool show", **settings)


def test_other_commands_work_whatever_the_settings_are(shell: Shell) -> None:
    wrong = {"ETCD_AUTHORITY": "", "ETCD_SCHEME": "ftp", "ETCD_PASSWORD": "x"}
    assert shell.done("version", **wrong)


def test_the_next_member_is_asked_when_the_first_is_not_there(shell: Shell) -> None:
    shell.done("profile add web", ETCD_AUTHORITY=f"127.0.0.1:1,{shell.authority}")
    assert shell.done("profile show --output=name") == "web\n"
