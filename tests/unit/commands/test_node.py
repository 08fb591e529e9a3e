"""The node command's words; what it does is shown in tests/system/test_node.py."""

from dataclasses import replace

import pytest
from netaddr import IPAddress

from calico_ctl import settings, usage
from calico_ctl.commands import node
from calico_ctl.console import Console
from calico_ctl.docker_api.client import Engine
from calico_ctl.errors import DockerError, DockerUnavailable
from calico_ctl.main import run
from calico_ctl.model import docker_proxy, metrics_address
from calico_ctl.model.container import OwnContainer
from calico_ctl.model.docker_proxy import TlsFiles
from calico_ctl.model.metrics_address import MetricsRequest
from calico_ctl.model.node import Node
from calico_ctl.wiring import RealPlatform
from tests.support.cli import NOT_ROOT, ROOT, Cli


def outcome(capsys, *words: str, user: int = ROOT, **environment: str) -> tuple[int, str]:
    platform = RealPlatform(settings.read(environment))
    code = run(["node", *words], platform, Console(user), debug=False)
    return code, capsys.readouterr().err


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("--ip=fd99::1", "--ip"),
        ("--ip=0.0.0.0", "--ip"),
        ("--ip=127.0.0.1", "--ip"),
        ("--ip6=10.0.0.1", "--ip6"),
        ("--ip6=fe80::1", "--ip6"),
        ("--as=4294967296", "AS number"),
        ("--detach=yes", "--detach"),
        ("--log-dir=logs", "absolute path"),
        ("--docker-proxy=localhost:2377", "--docker-proxy"),
        ("--docker-proxy=2377", "--docker-proxy"),
        ("--docker-proxy=", "--docker-proxy"),
        ("--metrics=9091", "invalid --metrics '9091': expected <address>:<port>"),
        ("--metrics=", "invalid --metrics"),
        ("--node-image=", "invalid --node-image ''"),
        ("--node-image=https://a/b", "expected an image such as registry.example.org/"),
        ("image save f --node-image=", "invalid --node-image ''"),
        ("--docker-proxy-cert=/c --docker-proxy-ca=/a", "without --docker-proxy-key"),
        ("--docker-proxy-cert=/c --docker-proxy-ca=/a --docker-proxy-key=", "without"),
        ("--docker-proxy-key=/k", "without --docker-proxy-cert and --docker-proxy-ca"),
        (
            "--docker-proxy-insecure --docker-proxy-cert=/c --docker-proxy-key=/k"
            " --docker-proxy-ca=/a",
            "--docker-proxy-insecure",
        ),
    ],
)
def test_a_bad_option_is_named_before_anything_is_touched(capsys, option, message):
    code, err = outcome(capsys, *option.split())
    assert code == 1
    assert message in err.splitlines()[0]


def test_a_bad_etcd_authority_is_named(capsys):
    code, err = outcome(capsys, ETCD_AUTHORITY="nowhere")
    assert code == 1
    assert "ETCD_AUTHORITY" in err


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        ({"ETCD_AUTHORITY": "10.0.0.1:1,10.0.0.2:1"}, "is one member, but ETCD_AUTHORITY says"),
        ({"ETCD_SCHEME": "https"}, "speaks plain HTTP, but ETCD_SCHEME says"),
        ({"ETCD_USERNAME": "me", "ETCD_PASSWORD": "x"}, "for a password, but ETCD_USERNAME says"),
    ],
)
def test_an_etcd_of_its_own_has_no_more_than_it_can(capsys, variables, message):
    code, err = outcome(capsys, "--ip=10.0.0.1", "--with-etcd", **variables)
    assert code == 1
    assert message in err


@pytest.mark.parametrize("words", [["--ip=10.0.0.1"], ["stop"], ["stop", "--force"]])
def test_only_root_starts_and_stops(capsys, words):
    code, err = outcome(capsys, *words, user=NOT_ROOT)
    assert code == 2
    assert "root" in err


class Dead(Engine):
    """An engine that tells how it was asked, by ending the command."""

    def own_container(self, name: str) -> OwnContainer | None:
        if self.address.endswith(":2399"):
            return OwnContainer(True, "", {"CALICO_DOCKER_PROXY": "127.0.0.1:2399"})
        if self.address.endswith(":2398"):
            raise DockerUnavailable("nobody is there")
        raise DockerError(f"asked {self.address}")


def asked(capsys, monkeypatch, docker_host: str) -> str:
    """Return what the command says when it meets an engine that refuses."""
    monkeypatch.setattr("calico_ctl.commands.node.Engine", Dead)
    platform = RealPlatform(settings.read({}))
    platform.__dict__["docker"] = Dead({"DOCKER_HOST": docker_host})
    run(["node", "--ip=10.0.0.1"], platform, Console(ROOT), debug=False)
    return str(capsys.readouterr().err)


def test_the_engine_is_never_asked_through_the_proxy_that_is_to_be_replaced(capsys, monkeypatch):
    assert "asked unix:///var/run/docker.sock" in asked(capsys, monkeypatch, "localhost:2399")
    assert "asked unix:///run/other.sock" in asked(capsys, monkeypatch, "unix:///run/other.sock")


def test_an_engine_that_may_be_a_proxy_that_does_not_run_is_named_as_one(capsys, monkeypatch):
    said = asked(capsys, monkeypatch, "localhost:2398")
    assert "hint: if that is the proxy in calico-node: unset DOCKER_HOST" in said


@pytest.mark.parametrize(
    ("proxy", "words"),
    [
        ("127.0.0.1:2377", "DOCKER_HOST=localhost:2377"),
        ("127.0.0.2:2378", "DOCKER_HOST=127.0.0.2:2378"),
        ("[::1]:2377", "DOCKER_HOST=[::1]:2377"),
        ("0.0.0.0:2377", "DOCKER_HOST=10.99.0.1:2377"),
        ("[::]:2377", "DOCKER_HOST=[fd99::1]:2377"),
    ],
)
def test_clients_are_pointed_at_the_proxy(proxy, words):
    listen = docker_proxy.parse(proxy, "it")
    assert listen is not None
    here = Node("h1", IPAddress("10.99.0.1"), IPAddress("fd99::1"))
    assert node.pointer(listen, here).endswith(f"export {words}")
    with_tls = node.pointer(replace(listen, tls=TlsFiles("/c", "/k", "/a")), here)
    assert f"export {words} DOCKER_TLS_VERIFY=1 DOCKER_CERT_PATH=" in with_tls


@pytest.mark.parametrize(
    ("words", "metrics"),
    [
        ([], MetricsRequest()),
        (["--metrics=0.0.0.0:9100"], MetricsRequest(metrics_address.parse("0.0.0.0:9100", "it"))),
        (["--metrics=off"], MetricsRequest(off=True)),
    ],
)
def test_metrics_are_offered_where_it_is_said(words, metrics):
    platform = RealPlatform(settings.read({}))
    assert node._request(usage.parse(node.__doc__, ["node", *words]), platform).metrics == metrics


def test_another_image_is_taken_if_one_is_named():
    platform = RealPlatform(settings.read({}))
    for argv, image in ((["node"], None), (["node", "--node-image=mine:2"], "mine:2")):
        assert node._request(usage.parse(node.__doc__, argv), platform).image == image


@pytest.mark.parametrize(
    ("addresses", "words"),
    [
        ((), "1 endpoint, 0 addresses"),
        (("192.168.0.1",), "1 endpoint, 1 address"),
        (("192.168.0.1", "fd80::1"), "1 endpoint, 2 addresses"),
    ],
)
def test_a_host_is_removed_by_whoever_may_write_to_etcd(addresses, words):
    cli = Cli(user=NOT_ROOT)
    cli.endpoint("e1", *addresses, host="host2")
    assert cli.done("node", "remove", "host2") == f"removed host host2 ({words})\n"
    assert "host host2 does not exist" in cli.refused("node", "remove", "host2")
