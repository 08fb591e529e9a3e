"""How-to pages that are about etcd alone do what they say, word for word."""

import shlex
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from calico_ctl.datastore import endpoints
from calico_ctl.model.endpoint import Endpoint, EndpointKey, State
from tests.support import document
from tests.support.command import Result
from tests.support.etcd_server import EtcdServer
from tests.support.host import Host
from tests.support.paths import CHECKOUT
from tests.support.shell import Shell

HOW_TO = CHECKOUT / "docs/how-to"


class Terminal(Host):
    """A terminal on this machine, in a folder of the test's."""

    def __init__(self, directory: Path, authority: str) -> None:
        super().__init__(1, directory, "")
        program = directory / "calicoctl"
        words = [sys.executable, str(CHECKOUT / "calicoctl.py")]
        program.write_text(f'#!/bin/sh\nexec {shlex.join(words)} "$@"\n')
        program.chmod(0o755)
        path = f"{directory}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
        self.environment = {"PATH": path, "ETCD_AUTHORITY": authority}

    def run(self, what: object, **_options: object) -> Result:
        argv = ["sh", "-c", str(what)]
        done = subprocess.run(
            argv, env=self.environment, capture_output=True, text=True, timeout=240, check=False
        )
        return Result(str(what), done.returncode, done.stdout, done.stderr)


@pytest.mark.parametrize("page", ["keep-policy-in-git.md", "peer-with-a-router.md"])
def test_what_a_how_to_page_says_works(shell, tmp_path, monkeypatch, page) -> None:
    monkeypatch.setattr(document, "STATE", str(tmp_path / "variables"))
    monkeypatch.setattr(document, "HOME", str(tmp_path / "home"))
    shell.done("pool add 192.168.0.0/16")
    shell.done("profile add web")
    assert document.play(HOW_TO / page, {"host1": Terminal(tmp_path, shell.authority)}) > 5


CONTAINER = "c" * 64


def test_what_the_page_about_v3_says_of_etcdctl_works(tmp_path, monkeypatch) -> None:
    """In an etcd that has a container of this host, and gets users in the end."""
    monkeypatch.setattr(document, "STATE", str(tmp_path / "variables"))
    monkeypatch.setattr(document, "HOME", str(tmp_path / "home"))
    settings = {"container": CONTAINER, "PASSWORD": "of-calico", "ROOT_PASSWORD": "of-root"}
    lines = [f"export {name}={value}\n" for name, value in settings.items()]
    (tmp_path / "variables").write_text("".join(lines))
    _, _, etcdctl = (HOW_TO / "use-etcd-v3.md").read_text().partition("\n## Write with etcdctl\n")
    page = tmp_path / "page.md"
    page.write_text(etcdctl)
    server = EtcdServer(tmp_path, v2=False)
    server.start()
    try:
        store = server.store_v3()
        store.put("/calico/Ready", "true")
        key = EndpointKey(socket.gethostname(), "docker", CONTAINER, "0a" * 16)
        endpoints.create(store, Endpoint(key, State.ACTIVE, "cali0a", "02:00:00:00:00:01"))
        store.close()
        document.play(page, {"host1": Terminal(tmp_path, str(server.authority))})
        shell = Shell(str(server.authority))
        assert "it wants to know who asks" in shell.refused("profile show")
        password = tmp_path / "password"
        password.write_text("of-calico\n")
        password.chmod(0o600)
        login = {"ETCD_USERNAME": "calico", "ETCD_PASSWORD_FILE": str(password)}
        shell.done("profile add web", **login)
        assert shell.done("profile show --output=name", **login) == "web\n"
    finally:
        server.stop()


TRY_SECURE_ETCD = """
set -e
ip link set lo up
ip addr add 10.99.0.1/32 dev lo
{certificates}
mkdir -p pki
cp *.pem pki
{etcd} &
etcd="curl -sS --cacert ca.pem --cert host1.pem --key host1-key.pem https://10.99.0.1:2379"
tries=0
until $etcd/health; do
    tries=$((tries + 1))
    [ $tries -lt 300 ]
    sleep 0.2
done
export ROOT_PASSWORD=of-root PASSWORD=of-calico
{user}
(umask 077; echo "$PASSWORD" >etcd-password)
{settings}
calicoctl profile add web
calicoctl profile show --output=name
unset ETCD_USERNAME ETCD_PASSWORD_FILE
calicoctl profile add nobody && exit 1
echo "and $?"
"""


def test_what_the_page_about_a_secure_etcd_says_works(tmp_path) -> None:
    """On an address that only this test has; of the four steps, the last without a node."""
    text = (HOW_TO / "secure-etcd.md").read_text().replace("/etc/calico", str(tmp_path))
    blocks = [each.text for each in document.blocks(text) if each.language == "sh"]
    certificates, etcd, user, settings = blocks[:4]
    exports = [line for line in settings.splitlines() if line.startswith("export ")]
    script = TRY_SECURE_ETCD.format(
        certificates=certificates, etcd=etcd, user=user, settings="\n".join(exports)
    )
    terminal = Terminal(tmp_path, "")
    (tmp_path / "script").write_text(script)
    alone = "unshare --net --pid --fork --kill-child --mount-proc"
    said = terminal.run(f"cd {tmp_path} && {alone} sh script")
    assert said.code == 0, said
    assert said.out.splitlines()[-2:] == ["web", "and 1"], said
    assert "insufficient credentials" in said.err
