"""Starting and stopping a node on a real host."""

import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from calico_ctl.docker_api.image import DEFAULT_IMAGE
from tests.support import cluster as calico
from tests.support import leftovers, probes
from tests.support.cluster import Cluster
from tests.support.etcd import Etcd
from tests.support.host import Host
from tests.support.lab import Lab
from tests.support.registry import Registry

pytestmark = pytest.mark.system


@pytest.fixture
def host(lab1: Lab) -> Iterator[Host]:
    (host,) = lab1.hosts
    yield host
    host.docker("rm", "-f", "web", check=False)
    host.calicoctl("node", "stop", "--force", check=False)
    host.run("rm -rf /var/lib/calico/etcd")
    assert leftovers.on_host(host) == []


def start(host: Host, *options: str) -> str:
    return host.calicoctl("node", f"--ip={host.ip}", "--with-etcd", *options).out


@pytest.fixture(scope="module")
def archive(lab1: Lab) -> Path:
    """A file with the node image."""
    (host,) = lab1.hosts
    file = host.directory / "calico-node.tar"
    host.calicoctl("node", "image", "save", str(file))
    return file


@pytest.fixture(scope="module")
def registry(lab1: Lab, archive: Path) -> Iterator[Registry]:
    """One that has the node image, and another image; the host trusts it."""
    (host,) = lab1.hosts
    with Registry(host) as registry:
        registry.trusted_by(host)
        registry.add(archive, "calico/node", "1")
        registry.push("busybox", "other:1")
        yield registry


@pytest.fixture
def bare(host: Host, archive: Path, registry: Registry) -> Iterator[Host]:
    """The host without the node image, for a while."""
    host.docker("rmi", DEFAULT_IMAGE)
    yield host
    if host.docker("tag", f"{registry.address}/calico/node:1", DEFAULT_IMAGE, check=False).code:
        host.calicoctl("node", "image", "load", str(archive))


def refused(host: Host, image: str, *options: str) -> str:
    """Return what is said when a node cannot be started from an image."""
    line = ("node", f"--node-image={image}", *options)
    result = host.calicoctl(*line, check=False)
    assert (result.code, result.out) == (1, "")
    assert "Traceback" not in result.err
    return result.err


def keys(host: Host) -> dict[str, str]:
    return Cluster([host]).leaves("/calico")


def container_id(host: Host) -> str:
    return host.docker("inspect", "-f", "{{.Id}} {{.State.StartedAt}}", "calico-node").out


def test_a_first_start_writes_the_cluster_and_the_host(host: Host) -> None:
    host.run("sysctl -qw net.ipv4.ip_forward=0 net.ipv6.conf.all.forwarding=0")
    said = start(host, f"--ip6={host.ip6}", "--as=1.10")
    assert said == f"calico-node is running (host1: {host.ip}, {host.ip6}, AS 65546)\n"
    stored = keys(host)
    assert stored["/calico/host/host1/bird_ip"] == str(host.ip)
    assert stored["/calico/host/host1/bird6_ip"] == str(host.ip6)
    assert stored["/calico/bgp/v1/host/host1/ip_addr_v4"] == str(host.ip)
    assert stored["/calico/bgp/v1/host/host1/as_num"] == "65546"
    assert stored["/calico/bgp/v1/global/as_num"] == "64511"
    assert json.loads(stored["/calico/bgp/v1/global/node_mesh"]) == {"enabled": True}
    assert json.loads(stored["/calico/ipam/v4/pool/192.168.0.0-16"]) == {"cidr": "192.168.0.0/16"}
    assert "/calico/ipam/v6/pool/fd80:24e2:f998:72d6::-64" in stored
    assert stored["/calico/config/InterfacePrefix"] == "cali"
    assert stored["/calico/host/host1/config/DefaultEndpointToHostAction"] == "RETURN"
    assert stored["/calico/host/host1/config/marker"] == "created"
    assert stored["/calico/Ready"] == "true"
    assert not any(key.startswith("/calico/v1") for key in stored)
    forwarding = host.run("sysctl -n net.ipv4.ip_forward net.ipv6.conf.all.forwarding").out
    assert forwarding.split() == ["1", "1"]


def test_the_container_is_not_privileged_and_comes_back(host: Host) -> None:
    start(host)
    config = json.loads(host.docker("inspect", "calico-node").out)[0]["HostConfig"]
    assert config["Privileged"] is False
    assert set(config["CapAdd"]) == {"NET_ADMIN", "NET_RAW", "SYS_ADMIN", "SYS_PTRACE"}
    assert config["RestartPolicy"]["Name"] == "always"
    services = ["bird", "docker-proxy", "felix", "lifecycle", "metrics", "routing"]
    assert host.run("ls /var/log/calico").out.split() == services


def test_the_same_arguments_change_nothing_and_others_are_kept(host: Host) -> None:
    start(host, f"--ip6={host.ip6}", "--as=65001")
    before = container_id(host)
    said = host.calicoctl("node").out
    assert "nothing changed" in said
    assert str(host.ip6) in said
    assert "AS 65001" in said
    assert container_id(host) == before
    assert "new settings" in start(host, "--ip6=fd99::77")
    assert keys(host)["/calico/host/host1/bird6_ip"] == "fd99::77"


def test_metrics_are_where_they_are_wanted_until_they_are_off(host: Host) -> None:
    start(host, "--metrics=127.0.0.1:9092")
    probe = ["curl", "-s", "http://127.0.0.1:9092/healthz"]
    calico.eventually(
        "all services measure", lambda: host.run(probe, check=False).out == "ok\n", timeout=60
    )
    assert "nothing changed" in host.calicoctl("node").out
    start(host, "--metrics=off")
    assert "metrics service: off" in host.calicoctl("status", check=False).out
    assert host.run(probe, check=False).code != 0


def test_an_image_that_cannot_be_had_leaves_the_host_as_it_was(
    host: Host, registry: Registry
) -> None:
    forwarding = ("net.ipv4.ip_forward", "net.ipv6.conf.all.forwarding")
    host.run(f"sysctl -qw {'=0 '.join(forwarding)}=0")
    options = (f"--ip={host.ip}", "--with-etcd", "--log-dir=/run/logs-of-calico")
    with Registry(host, 5002) as untrusted:
        said = refused(host, f"{untrusted.address}/calico/node:1", *options)
        assert "HTTP response to HTTPS client" in said
        assert "hint: a registry without TLS has to be in `insecure-registries`" in said
    missing = f"{registry.address}/calico/node:2"
    said = refused(host, missing, *options)
    assert f"pulling {missing}\nerror: cannot pull {missing}: manifest for {missing} not" in said
    assert "hint: was it pushed to the registry under this name and tag?" in said
    said = refused(host, f"{registry.address}/other:1", *options)
    assert "is not an image of calico-node" in said
    registry.stop()
    try:
        said = refused(host, f"{registry.address}/calico/node:3", *options)
    finally:
        registry.start()
    assert f"dial tcp {registry.address}: connect: connection refused" in said
    assert "calicoctl node image load <FILE>" in said
    assert leftovers.on_host(host) == []
    assert host.run(f"sysctl -n {' '.join(forwarding)}").out.split() == ["0", "0"]
    assert host.run("ls /run/logs-of-calico", check=False).code != 0
    host.run("sysctl -qw net.ipv4.ip_forward=1")


def test_a_host_without_the_image_pulls_it_and_stays_with_it(
    bare: Host, registry: Registry
) -> None:
    image = f"{registry.address}/calico/node:1"
    started = bare.calicoctl("node", f"--ip={bare.ip}", "--with-etcd", f"--node-image={image}")
    assert started.out == f"calico-node is running (host1: {bare.ip})\n"
    assert f"pulling {image}\n" in started.err
    assert started.err.count(": Pull complete\n") > 3
    assert bare.docker("ps", "--format", "{{.Image}}").out.split() == [image] * 2
    bare.docker("run", "-d", "--name", "web", "--net=none", "busybox", "sleep", "1d")
    bare.calicoctl("container", "add", "web", "192.168.1.5")
    probes.answers(bare, probes.HOST_ITSELF, "192.168.1.5")
    before = container_id(bare)

    assert "nothing changed" in bare.calicoctl("node").out
    assert "cannot pull" in refused(bare, f"{registry.address}/calico/node:2")
    assert "is not an image of calico-node" in refused(bare, f"{registry.address}/other:1")
    registry.stop()
    try:
        assert "connection refused" in refused(bare, f"{registry.address}/calico/node:2")
        assert "nothing changed" in bare.calicoctl("node", f"--node-image={image}").out
    finally:
        registry.start()

    assert container_id(bare) == before
    bare.calicoctl("status", "--wait=60")
    probes.answers(bare, probes.HOST_ITSELF, "192.168.1.5")


def test_a_private_registry_is_told_the_password_that_docker_knows(
    host: Host, tmp_path: Path
) -> None:
    settings = {"DOCKER_CONFIG": str(tmp_path)}
    with Registry(host, 5001, private=True) as registry:
        registry.trusted_by(host)
        image = f"{registry.address}/calico/node:4"
        said = refused(host, image, f"--ip={host.ip}", "--with-etcd")
        assert "no basic auth credentials" in said
        assert "hint: if the registry wants a password: `docker login <registry>`" in said
        registry.let_in(host, settings)
        small = registry.push("busybox", "other:1", settings)
        line = ("node", "image", "save", str(tmp_path / "small.tar"), f"--node-image={small}")
        saved = host.calicoctl(*line, env=settings)
        assert f"{small} is in " in saved.out
        assert f"pulling {small}" in saved.err


def test_an_address_that_is_not_given_is_found_and_said(host: Host) -> None:
    started = host.calicoctl("node", "--with-etcd")
    assert f"using {host.ip}, the address of eth0" in started.err
    assert keys(host)["/calico/host/host1/bird_ip"] == str(host.ip)


def test_an_address_that_is_not_this_hosts_is_warned_of(host: Host) -> None:
    start(host)
    started = host.calicoctl("node", "--ip=10.99.0.77")
    assert "10.99.0.77 is not an address of this machine" in started.err


@pytest.mark.parametrize(
    "option",
    [
        "--ip=10.99.0",
        "--ip=fd99::1",
        "--ip=224.0.0.1",
        "--ip=",
        "--ip6=10.99.0.1",
        "--as=0",
        "--as=x",
        "--detach=maybe",
        "--log-dir=relative",
        "--docker-proxy=localhost:2377",
    ],
)
def test_bad_options_start_nothing(host: Host, option: str) -> None:
    refused = host.calicoctl("node", option, check=False)
    assert refused.code == 1
    assert "invalid" in refused.err
    assert "Traceback" not in refused.err
    assert leftovers.on_host(host) == []


def test_stop_refuses_while_containers_are_networked_and_forced_leaves_nothing(host: Host) -> None:
    host.docker("run", "-d", "--name", "web", "busybox", "sleep", "1d")
    with Etcd(host) as etcd:
        settings = {"ETCD_AUTHORITY": etcd.authority}
        host.calicoctl("node", f"--ip={host.ip}", env=settings)
        host.calicoctl("container", "add", "web", "192.168.1.5", env=settings)
        refused = host.calicoctl("node", "stop", env=settings, check=False)
        assert refused.code == 1
        assert "--force" in refused.err
        assert host.run("ip route get 192.168.1.5").out.startswith("192.168.1.5 dev cali")
        host.calicoctl("node", "stop", "--force", env=settings)
        left = etcd.keys("/calico")
    assert leftovers.on_host(host) == []
    assert not [key for key in left if "host1" in key]
    assert not any("/assignment/" in key for key in left)


def test_a_forced_stop_cleans_this_host_even_without_etcd(host: Host) -> None:
    start(host)
    host.docker("run", "-d", "--name", "web", "busybox", "sleep", "1d")
    host.calicoctl("container", "add", "web", "192.168.1.5")
    host.docker("rm", "-f", "calico-etcd")
    stopped = host.calicoctl("node", "stop", "--force", check=False)
    assert stopped.code == 1
    assert "127.0.0.1:4001" in stopped.err
    assert leftovers.on_host(host) == []


def test_stopping_what_does_not_run_is_no_error(host: Host) -> None:
    start(host)
    host.calicoctl("node", "stop")
    assert leftovers.on_host(host) == []


def test_the_agent_refuses_an_empty_store_and_keeps_the_rules(host: Host) -> None:
    start(host)
    cluster = Cluster([host])
    host.docker("run", "-d", "--name", "web", "busybox", "sleep", "1d")
    host.calicoctl("container", "add", "web", "192.168.1.5")
    log = host.directory / "private/var/log/calico/felix/current"
    said = log.read_text()
    cluster.curl("-X DELETE 'KEYS/calico?recursive=true'")
    words = "/calico/Ready is not true in etcd: rules and routes stay as they are"
    calico.eventually("the agent says so", lambda: words in log.read_text().removeprefix(said))
    assert host.run("ip route get 192.168.1.5").out.startswith("192.168.1.5 dev cali")
    host.docker("rm", "-f", "web")


@pytest.mark.parametrize(
    "line",
    [
        "node",
        "node stop",
        "container add idle 192.168.1.5",
        "container remove idle",
        "container idle profile append web",
        "container idle endpoint show",
        "profile show",
        "profile add web",
        "profile remove web",
        "profile web tag add x",
        "profile web rule show",
        "profile web rule add inbound allow",
        "pool show",
        "pool add 10.0.0.0/24",
        "pool remove 10.0.0.0/24",
        "endpoint show",
        "endpoint 00 profile set web",
    ],
)
@pytest.mark.parametrize("authority", ["127.0.0.1:1", "10.99.0.250:4001"])
def test_without_etcd_every_command_ends_soon_and_says_where_it_looked(
    lab1: Lab, line: str, authority: str
) -> None:
    (host,) = lab1.hosts
    if not host.docker("ps", "-q", "--filter", "name=^idle$").out:
        host.docker("run", "-d", "--name", "idle", "busybox", "sleep", "1d")
    began = time.monotonic()
    refused = host.calicoctl(*line.split(), env={"ETCD_AUTHORITY": authority}, check=False)
    assert time.monotonic() - began < 10
    assert refused.code == 1
    assert authority in refused.err
    assert "ETCD_AUTHORITY" in refused.err
    assert "Traceback" not in refused.err
    assert leftovers.links(host) == []
