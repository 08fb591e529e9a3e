"""Where a node offers the Docker API, on a real host with the real docker command."""

import sys
from collections.abc import Iterator

import pytest

from tests.support import cluster as calico
from tests.support import command, leftovers
from tests.support.cluster import Cluster
from tests.support.command import Result
from tests.support.host import Host
from tests.support.lab import Lab

pytestmark = pytest.mark.system

PROXY = "127.0.0.1:2377"
# Below /etc, which each lab host has of its own.
PKI = "/etc/calico-pki"


@pytest.fixture
def host(lab1: Lab) -> Iterator[Host]:
    (host,) = lab1.hosts
    yield host
    host.run("docker swarm leave --force", check=False, quiet=True)
    host.calicoctl("node", "stop", "--force", check=False)
    host.run(f"rm -rf /var/lib/calico/etcd {PKI}")
    assert leftovers.on_host(host) == []
    assert listening(host) == []


def make_certificates(host: Host) -> None:
    """Make a CA that signs a server and a client, and a stranger that nobody signed."""
    host.run(f"mkdir -p {PKI}")
    host.run(
        f"""
        cd {PKI}
        exec 2>&1
        new="-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes"
        openssl req -x509 $new -keyout ca-key.pem -out ca.pem -subj /CN=ca -days 2
        openssl req -x509 $new -keyout stranger-key.pem -out stranger.pem -subj /CN=s -days 2
        echo subjectAltName=IP:{host.ip} >names
        for name in server client; do
            openssl req $new -keyout $name-key.pem -out $name.csr -subj /CN=$name
            openssl x509 -req -in $name.csr -CA ca.pem -CAkey ca-key.pem -CAcreateserial \\
                -extfile names -days 2 -out $name.pem
        done
        """,
        quiet=True,
    )


def start(host: Host, *options: str, check: bool = True) -> Result:
    line = ["node", f"--ip={host.ip}", "--with-etcd", *options]
    return host.calicoctl(*line, env=calico.api_of_a_new_etcd(calico.chosen_api()), check=check)


def docker_at(host: Host, address: str, *words: str, check: bool = True) -> Result:
    """Run the docker command with the proxy as its engine."""
    environment = {"DOCKER_HOST": address}
    return host.run(["docker", *(words or ("version",))], env=environment, check=check)


def listening(host: Host) -> list[str]:
    """Return where somebody listens on one of the ports of these tests."""
    found = [line.split()[3] for line in host.run("ss -Hltn", quiet=True).out.splitlines()]
    return sorted(each for each in found if each.rpartition(":")[2] in {"2377", "2378"})


def status(host: Host) -> str:
    """Return what status shows; right after a start BIRD may not be up yet."""
    return host.calicoctl("status", check=False).out


def gets_in(host: Host, name: str) -> bool:
    """Say whether the holder of a certificate may use the proxy."""
    return "calico-node" in host.run(f"{docker_as(name, host)} ps", check=False).out


def docker_as(name: str, host: Host) -> str:
    """Write the docker command of the holder of a certificate; it ends in any case."""
    return (
        f"timeout -s KILL 60 docker --tlsverify --tlscacert={PKI}/ca.pem"
        f" --tlscert={PKI}/{name}.pem --tlskey={PKI}/{name}-key.pem -H {host.ip}:2377"
    )


def container_id(host: Host) -> str:
    return host.docker("inspect", "-f", "{{.Id}} {{.State.StartedAt}}", "calico-node").out


def test_it_is_on_loopback_and_said_where(host: Host) -> None:
    started = start(host)
    assert "point Docker clients at the proxy: export DOCKER_HOST=localhost:2377" in started.err
    assert listening(host) == [PROXY]
    assert "calico-node" in docker_at(host, "localhost:2377", "ps").out
    assert f"Docker API proxy at {PROXY}: up since 20" in status(host)
    before = container_id(host)
    assert "nothing changed" in host.calicoctl("node").out
    assert container_id(host) == before


def test_it_moves_stays_where_it_was_told_and_goes(host: Host) -> None:
    start(host, "--docker-proxy=127.0.0.1:2378")
    assert listening(host) == ["127.0.0.1:2378"]
    assert "new settings" in host.calicoctl("node", f"--ip6={host.ip6}").out
    assert listening(host) == ["127.0.0.1:2378"]
    # asked through the very proxy that has to go
    moved = host.calicoctl("node", f"--docker-proxy={PROXY}", env={"DOCKER_HOST": "localhost:2378"})
    assert "new settings" in moved.out
    assert listening(host) == [PROXY]
    off = host.calicoctl("node", "--docker-proxy=off")
    assert "DOCKER_HOST" not in off.err
    assert "docker-proxy" not in host.docker("exec", "calico-node", "ls", "/run/calico/service").out
    assert listening(host) == []
    assert "Docker API proxy: off" in status(host)
    assert "nothing changed" in host.calicoctl("node").out


def test_a_port_that_is_taken_starts_nothing(host: Host) -> None:
    server = [sys.executable, "-m", "http.server", "--bind", "127.0.0.1", "2377"]
    somebody = host.spawn(server, "server.log")
    calico.eventually("somebody listens", lambda: listening(host) == [PROXY])
    refused = start(host, check=False)
    assert refused.code == 1
    assert f"something else listens on {PROXY} already" in refused.err
    assert "--docker-proxy=127.0.0.1:2378" in refused.err
    assert host.docker("ps", "-aq").out == ""
    command.stop(somebody)
    start(host)


def test_a_port_that_somebody_takes_while_the_node_is_down_is_told_of_until_it_is_free(
    host: Host,
) -> None:
    start(host)
    host.docker("stop", "calico-node")
    server = [sys.executable, "-m", "http.server", "--bind", "127.0.0.1", "2377"]
    somebody = host.spawn(server, "server.log")
    calico.eventually("somebody listens", lambda: listening(host) == [PROXY])
    host.docker("start", "calico-node")
    error = "error: the Docker API proxy: "
    calico.eventually(
        "status says so",
        lambda: error in (host.calicoctl("status", check=False)).err,
        timeout=30,
    )
    command.stop(somebody)
    calico.eventually("the proxy has it", lambda: f"at {PROXY}: up since" in status(host))
    calico.eventually(
        "Docker answers through it",
        lambda: docker_at(host, "localhost:2377", "ps", check=False).code == 0,
    )
    calico.eventually(
        "nothing is wrong any more",
        lambda: error not in host.calicoctl("status", check=False).err,
    )


def test_a_swarm_that_has_the_port_is_named(host: Host) -> None:
    host.docker("swarm", "init", "--advertise-addr", host.ip)
    refused = start(host, check=False)
    assert refused.code == 1
    assert "manages a Swarm" in refused.err
    start(host, "--docker-proxy=127.0.0.1:2378")
    assert "calico-node" in docker_at(host, "localhost:2378", "ps").out


def test_elsewhere_than_on_loopback_it_takes_the_word(host: Host) -> None:
    refused = start(host, f"--docker-proxy={host.ip}:2377", check=False)
    assert refused.code == 1
    assert "--docker-proxy-cert" in refused.err
    assert host.docker("ps", "-aq").out == ""
    started = start(host, "--docker-proxy=0.0.0.0:2377", "--docker-proxy-insecure")
    assert "warning: whoever reaches 0.0.0.0:2377 is root on this host" in started.err
    assert f"export DOCKER_HOST={host.ip}:2377" in started.err
    assert "calico-node" in docker_at(host, f"{host.ip}:2377", "ps").out
    assert "whoever reaches it is root here" in status(host)


def test_with_certificates_only_their_holders_get_in(host: Host) -> None:
    make_certificates(host)
    where = f"{host.ip}:2377"
    files = {"cert": "server.pem", "key": "server-key.pem", "ca": "ca.pem"}
    options = [f"--docker-proxy-{name}={PKI}/{file}" for name, file in files.items()]
    mixed = [f"--docker-proxy-key={PKI}/client-key.pem", *options[:1], *options[2:]]
    refused = start(host, f"--docker-proxy={where}", *mixed, check=False)
    assert refused.code == 1
    assert "client-key.pem" in refused.err
    started = start(host, f"--docker-proxy={where}", *options)
    assert "DOCKER_TLS_VERIFY=1" in started.err
    assert gets_in(host, "client")
    assert not gets_in(host, "stranger")
    # what ends when its input ends still gives its answer
    echoed = host.run(f"echo hello | {docker_as('client', host)} run -i --rm busybox cat")
    assert echoed.out == "hello\n"
    assert docker_at(host, where, "ps", check=False).code != 0
    assert f"a certificate that {PKI}/ca.pem vouches for" in status(host)
    inside = host.docker("inspect", "calico-node").out
    assert "PRIVATE KEY" not in inside
    before = container_id(host)
    assert "nothing changed" in host.calicoctl("node").out
    assert container_id(host) == before


def test_renewed_certificates_are_used_after_a_restart(host: Host) -> None:
    make_certificates(host)
    files = {"cert": "server.pem", "key": "server-key.pem", "ca": "clients.pem"}
    options = [f"--docker-proxy-{name}={PKI}/{file}" for name, file in files.items()]
    host.run(f"cp {PKI}/ca.pem {PKI}/clients.pem")
    start(host, f"--docker-proxy={host.ip}:2377", *options)
    assert gets_in(host, "client")
    # as a tool that renews does it: another file under the same name
    host.run(f"cd {PKI}; cp stranger.pem new.pem; mv new.pem clients.pem")
    host.docker("restart", "calico-node")
    calico.eventually("the new CA counts", lambda: gets_in(host, "stranger"))
    assert not gets_in(host, "client")


def test_it_comes_back_with_the_node_after_a_power_cut(host: Host) -> None:
    start(host)
    host.power_cycle()
    calico.eventually("the proxy listens again", lambda: listening(host) == [PROXY], timeout=60)
    calico.eventually(
        "Docker answers through it",
        lambda: docker_at(host, "localhost:2377", "ps", check=False).code == 0,
        timeout=60,
    )
    assert Cluster([host]).leaves("/calico/Ready") == {"/calico/Ready": "true"}
