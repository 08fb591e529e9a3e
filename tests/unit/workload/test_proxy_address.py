"""Where the Docker API shall be offered, and what is refused before anything is touched."""

import socket
from collections.abc import Iterator
from dataclasses import replace

import pytest
from netaddr import IPAddress

from calico_ctl.docker_api.client import Engine
from calico_ctl.docker_api.node_container import NodeContainer
from calico_ctl.errors import AlreadyExists, CalicoError, InvalidValue
from calico_ctl.model import docker_proxy, etcd_access
from calico_ctl.model.container import OwnContainer
from calico_ctl.model.docker_proxy import DEFAULT, DockerProxy, TlsFiles
from calico_ctl.workload import proxy_address
from calico_ctl.workload.proxy_address import ProxyRequest

TLS = TlsFiles("/pki/cert.pem", "/pki/key.pem", "/pki/ca.pem")
OUTSIDE = DockerProxy(IPAddress("10.99.0.1"), 2377)
NOTHING = ProxyRequest()


class Swarm(Engine):
    """An engine that says whether it manages a Swarm, and nothing else."""

    def __init__(self, *, manager: bool) -> None:
        super().__init__({"DOCKER_HOST": "unix:///nowhere"})
        self.__dict__["_api"] = self
        self._state = {"LocalNodeState": "active", "ControlAvailable": manager}

    def info(self) -> dict[str, object]:
        return {"Swarm": self._state}


ENGINE = Swarm(manager=False)


def container(proxy: DockerProxy | None, *, running: bool = True) -> OwnContainer:
    node = NodeContainer(
        "image", "h1", IPAddress("10.0.0.1"), None, etcd_access.DEFAULT, docker_proxy=proxy
    )
    return OwnContainer(running, "", node.environment())


@pytest.fixture
def taken() -> Iterator[DockerProxy]:
    """A port on which somebody listens."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield DockerProxy(IPAddress("127.0.0.1"), server.getsockname()[1])


def test_nothing_said_and_no_container_means_loopback():
    assert proxy_address.kept(None) == DEFAULT
    assert proxy_address.decide(NOTHING, DEFAULT) == DEFAULT


@pytest.mark.parametrize("before", [None, DEFAULT, OUTSIDE, replace(OUTSIDE, tls=TLS)])
def test_what_is_not_said_again_stays(before):
    assert proxy_address.kept(container(before)) == before
    assert proxy_address.kept(container(before, running=False)) == before
    assert proxy_address.decide(NOTHING, before) == before


def test_a_container_of_before_or_of_somebody_else_says_nothing():
    assert proxy_address.of_container({}) == DEFAULT
    assert proxy_address.of_container({docker_proxy.VARIABLE: "nonsense"}) == DEFAULT


def test_certificates_stay_when_only_the_address_changes():
    before = replace(OUTSIDE, tls=TLS)
    moved = ProxyRequest(listen=replace(OUTSIDE, port=2378))
    assert proxy_address.decide(moved, before) == replace(before, port=2378)


def test_new_certificates_go_with_the_address_of_before():
    new = TlsFiles("/new/cert.pem", "/new/key.pem", "/new/ca.pem")
    assert proxy_address.decide(ProxyRequest(tls=new), DEFAULT) == replace(DEFAULT, tls=new)


def test_off_forgets_address_and_certificates():
    assert proxy_address.decide(ProxyRequest(off=True), replace(OUTSIDE, tls=TLS)) is None
    assert proxy_address.decide(ProxyRequest(listen=DEFAULT), None) == DEFAULT


@pytest.mark.parametrize("more", [{"tls": TLS}, {"insecure": True}])
@pytest.mark.parametrize(
    ("off", "before"), [(True, DEFAULT), (False, None)], ids=["said off", "was off"]
)
def test_what_is_off_takes_no_certificates(more, off, before):
    with pytest.raises(CalicoError, match="is off"):
        proxy_address.decide(ProxyRequest(off=off, **more), before)


@pytest.mark.parametrize("host", ["10.99.0.1", "0.0.0.0", "::", "fd99::1"])
def test_an_address_that_others_reach_needs_certificates_or_the_word(host):
    listen = DockerProxy(IPAddress(host), 2377)
    with pytest.raises(CalicoError, match="root") as caught:
        proxy_address.decide(ProxyRequest(listen), DEFAULT)
    assert "--docker-proxy-insecure" in caught.value.hint
    assert proxy_address.decide(ProxyRequest(listen, insecure=True), DEFAULT) == listen
    assert proxy_address.decide(ProxyRequest(listen, tls=TLS), DEFAULT) == replace(listen, tls=TLS)


def test_the_word_counts_for_the_address_it_was_said_of():
    assert proxy_address.decide(ProxyRequest(OUTSIDE), OUTSIDE) == OUTSIDE
    with pytest.raises(CalicoError, match="root"):
        proxy_address.decide(ProxyRequest(replace(OUTSIDE, port=2378)), OUTSIDE)


def test_the_word_takes_certificates_away():
    before = replace(OUTSIDE, tls=TLS)
    assert proxy_address.decide(ProxyRequest(insecure=True), before) == OUTSIDE


def test_a_port_that_is_taken_is_refused_with_another_to_try(taken):
    with pytest.raises(AlreadyExists, match=f"127.0.0.1:{taken.port} already$") as caught:
        proxy_address.require_usable(taken, ENGINE, None)
    assert f"--docker-proxy=127.0.0.1:{taken.port + 1}" in caught.value.hint


def test_a_swarm_is_named_if_it_is_its_port_that_is_taken(taken, monkeypatch):
    with pytest.raises(AlreadyExists, match=r"already$"):
        proxy_address.require_usable(taken, Swarm(manager=True), None)
    monkeypatch.setattr("calico_ctl.docker_api.client.PROXY_PORT", str(taken.port))
    with pytest.raises(AlreadyExists, match="manages a Swarm"):
        proxy_address.require_usable(taken, Swarm(manager=True), None)
    with pytest.raises(AlreadyExists, match=r"already$"):
        proxy_address.require_usable(taken, Swarm(manager=False), None)


def test_a_port_that_the_node_itself_holds_is_not_taken(taken):
    proxy_address.require_usable(taken, ENGINE, container(taken))
    elsewhere = replace(taken, address=IPAddress("127.0.0.2"))
    proxy_address.require_usable(taken, ENGINE, container(elsewhere))


@pytest.mark.parametrize(
    "own", [None, container(None), container(DEFAULT)], ids=["none", "off", "other port"]
)
def test_a_node_that_listens_elsewhere_does_not_hold_it(taken, own):
    with pytest.raises(AlreadyExists):
        proxy_address.require_usable(taken, ENGINE, own)


def test_a_node_that_does_not_run_does_not_hold_it(taken):
    with pytest.raises(AlreadyExists):
        proxy_address.require_usable(taken, ENGINE, container(taken, running=False))


def test_certificates_are_looked_at_even_if_the_node_runs():
    proxy = replace(DEFAULT, tls=TLS)
    with pytest.raises(InvalidValue, match=r"/pki/cert\.pem"):
        proxy_address.require_usable(proxy, ENGINE, container(proxy))


@pytest.mark.parametrize(
    ("address", "leads"),
    [
        ("tcp://localhost:2377", True),
        ("tcp://127.0.0.1:2377/", True),
        ("tcp://localhost:12377", False),
        ("unix:///var/run/docker.sock", False),
    ],
)
def test_the_port_tells_that_an_engines_address_is_the_proxys(address, leads):
    assert proxy_address.leads_through(address, DEFAULT) is leads
    assert not proxy_address.leads_through(address, None)
