"""A node whose etcd wants certificates and a password: they reach every service, as files only."""

import base64
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support import bundle, command, etcd_v2_users, leftovers
from tests.support.certificates import Certificates
from tests.support.host import Host
from tests.support.lab import Lab

PASSWORD = etcd_v2_users.PASSWORD
ETCD = "127.0.0.1:2379"
COPIES = "/var/lib/calico/etcd-access"


@dataclass(frozen=True)
class Secured:
    """A host, and what its shells say about etcd."""

    host: Host
    variables: dict[str, str]

    def calicoctl(self, line: str, *, check: bool = True, **changes: str) -> command.Result:
        return self.host.calicoctl(*line.split(), env=self.variables | changes, check=check)


@pytest.fixture(scope="module")
def secured(lab1: Lab) -> Secured:
    """One host with an etcd over TLS that wants clients' certificates, and a user."""
    (host,) = lab1.hosts
    pki = host.directory / "pki"
    pki.mkdir()
    files = Certificates(pki)
    for name in ("client", "server"):
        (pki / f"{name}-key.pem").chmod(0o600)
    password = pki / "password"
    password.write_text(f"{PASSWORD}\n")
    password.chmod(0o600)
    host.spawn(
        [
            *("etcd", "--enable-v2", f"--data-dir={host.directory}/etcd", "--client-cert-auth"),
            *(f"--listen-client-urls=https://{ETCD}", f"--advertise-client-urls=https://{ETCD}"),
            f"--cert-file={files.certificate('server')}",
            f"--key-file={files.key('server')}",
            f"--trusted-ca-file={files.certificate('ca')}",
        ],
        "etcd.log",
    )
    tls = ["--cacert", files.certificate("ca"), "--cert", files.certificate("client")]
    etcd_v2_users.require_password(host, f"https://{ETCD}", *tls, "--key", files.key("client"))
    return Secured(
        host,
        {
            "ETCD_AUTHORITY": f"127.0.0.1:1,{ETCD}",
            "ETCD_SCHEME": "https",
            "ETCD_CA_CERT_FILE": files.certificate("ca"),
            "ETCD_CERT_FILE": files.certificate("client"),
            "ETCD_KEY_FILE": files.key("client"),
            "ETCD_USERNAME": etcd_v2_users.USER,
            "ETCD_PASSWORD_FILE": str(password),
        },
    )


def test_a_node_works_with_a_secured_etcd_and_shows_nobody_its_secrets(secured: Secured) -> None:
    host = secured.host
    started = secured.calicoctl(f"node --ip={host.ip}")
    assert "calico-node is running" in started.out
    assert "warning" not in started.err.replace("warning: this kernel", "")
    before = identity(host)
    assert "nothing changed" in secured.calicoctl(f"node --ip={host.ip}").out
    assert identity(host) == before

    host.docker("run", "-d", "--name", "web", "--net=none", "busybox", "sleep", "1d")
    assert secured.calicoctl("container add web 192.168.1.5").out == "IP 192.168.1.5 added to web\n"
    host.run("ping -c 1 -W 10 192.168.1.5")
    well = secured.calicoctl("status")
    assert f"etcd at 127.0.0.1:1,{ETCD} answers" in well.out

    key = host.run(f"cat {secured.variables['ETCD_KEY_FILE']}", quiet=True).out
    secrets = (PASSWORD, key.splitlines()[1])
    inspected = host.docker("inspect", "calico-node").out
    environments = host.run("cat /proc/[0-9]*/environ | tr '\\0' '\\n'", quiet=True).out
    assert "ETCD_PASSWORD_FILE=/var/lib/calico/etcd-access/" in environments
    for secret in secrets:
        assert secret not in inspected
        assert secret not in environments
    modes = host.run(f"find {COPIES} -type f -printf '%m %f\\n' | sort").out.splitlines()
    assert modes == ["600 ca.pem", "600 cert.pem", "600 key.pem", "600 password"]
    (copies,) = host.run(f"ls -d {COPIES}/*").out.split()
    written = host.docker("exec", "calico-node", "touch", f"{copies}/x", check=False)
    assert "Read-only file system" in written.err


def test_a_bundle_of_such_a_host_has_no_password_and_no_line_of_a_key(secured: Secured) -> None:
    host = secured.host
    secured.calicoctl(f"node --ip={host.ip}")
    key = host.run(f"cat {secured.variables['ETCD_KEY_FILE']}", quiet=True).out
    login = base64.b64encode(f"{etcd_v2_users.USER}:{PASSWORD}".encode()).decode()
    secrets = (PASSWORD, login, *(line for line in key.splitlines() if "-----" not in line))
    # Whatever prints them, they are in a log then; a shell that collects may know neither.
    environments: tuple[dict[str, str], ...] = (secured.variables, {})
    log = "mkdir -p /var/log/calico/planted; cat >/var/log/calico/planted/current"
    host.run(
        log, stdin=f"said {PASSWORD}\nAuthorization: Basic {login}\n{key}the end\n", quiet=True
    )
    words = ("diags", "--no-serve", "--output-dir=/var/lib/calico")
    with ThreadPoolExecutor() as pool:
        several = list(pool.map(lambda each: host.calicoctl(*words, env=each), environments))
    for found in several:
        path = found.out.splitlines()[-1].split()[1]
        texts = bundle.contents(Path(f"/proc/{host.pid}/root{path}"))
        assert texts["logs/planted/current"].startswith("said <redacted>\nAuthorization: ")
        assert texts["logs/planted/current"].endswith("the end\n")
        assert '"hostname": "host1"' in texts["agent/state"]
        texts |= {"stdout": found.out, "stderr": found.err}
        assert {name for name, text in texts.items() for each in secrets if each in text} == set()


def test_a_shell_takes_the_settings_on_and_calicoctl_works_with_them(secured: Secured) -> None:
    """The shell has none of its own; the files are the node's."""
    secured.calicoctl(f"node --ip={secured.host.ip}")
    line = 'eval "$(calicoctl env)" && calicoctl profile show && echo "at $ETCD_AUTHORITY"'
    done = secured.host.run(line)
    assert f"at 127.0.0.1:1,{ETCD}" in done.out
    assert PASSWORD not in secured.host.calicoctl("env").out


def test_another_password_is_another_container_and_the_old_copies_are_gone(
    secured: Secured,
) -> None:
    host = secured.host
    secured.calicoctl(f"node --ip={host.ip}")
    before, copies = identity(host), host.run(f"ls {COPIES}").out
    # No file has the password now, but a variable: the services get a file all the same.
    same = secured.calicoctl("node", ETCD_PASSWORD_FILE="", ETCD_PASSWORD=PASSWORD)
    assert "nothing changed" in same.out
    refused = secured.calicoctl("node", check=False, ETCD_PASSWORD_FILE="", ETCD_PASSWORD="wrong")
    assert refused.code == 1
    assert "insufficient credentials" in refused.err
    assert (identity(host), host.run(f"ls {COPIES}").out) == (before, copies)
    changed = secured.calicoctl("node", ETCD_AUTHORITY=ETCD, ETCD_CA_CERT_FILE=second_ca(secured))
    assert "new settings" in changed.out
    assert identity(host) != before
    (fresh,) = host.run(f"ls {COPIES}").out.split()
    assert fresh not in copies.split()


def test_stop_takes_the_copies_away(secured: Secured) -> None:
    host = secured.host
    secured.calicoctl(f"node --ip={host.ip}")
    host.docker("rm", "-f", "web", check=False)
    secured.calicoctl("node stop --force")
    assert host.run(f"ls {COPIES}", check=False).code != 0
    assert leftovers.on_host(host) == []


def test_the_etcd_of_this_host_alone_is_not_to_be_had_that_way(secured: Secured) -> None:
    refused = secured.calicoctl("node --with-etcd", check=False, ETCD_AUTHORITY=ETCD)
    assert refused.code == 1
    assert "speaks plain HTTP, but ETCD_SCHEME" in refused.err


def identity(host: Host) -> str:
    return host.docker("inspect", "-f", "{{.Id}} {{.State.StartedAt}}", "calico-node").out


def second_ca(secured: Secured) -> str:
    """A file with the same authority and one more, as while authorities are changed."""
    pki = secured.host.directory / "pki"
    both = pki / "both.pem"
    both.write_text((pki / "ca.pem").read_text() + (pki / "stranger.pem").read_text())
    return str(both)
