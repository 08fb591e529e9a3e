import pytest
from hypothesis import given
from hypothesis import strategies as st
from netaddr import IPAddress

from calico_ctl.errors import InvalidValue
from calico_ctl.model import docker_proxy
from calico_ctl.model.docker_proxy import DEFAULT, DockerProxy, TlsFiles

TLS = TlsFiles("/pki/cert.pem", "/pki/key.pem", "/pki/ca.pem")
ADDRESSES = st.ip_addresses(v=4) | st.ip_addresses(v=6)


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        ("127.0.0.1:2377", "127.0.0.1", 2377),
        ("0.0.0.0:1", "0.0.0.0", 1),
        ("10.99.0.1:65535", "10.99.0.1", 65535),
        ("[::1]:2377", "::1", 2377),
        ("[::]:2377", "::", 2377),
        ("[FD80::0001]:2377", "fd80::1", 2377),
    ],
)
def test_it_is_an_address_and_a_port(text, host, port):
    proxy = docker_proxy.parse(text, "--docker-proxy")
    assert proxy is not None
    assert (proxy.host, proxy.port, proxy.tls) == (host, port, None)


def test_off_is_nowhere():
    assert docker_proxy.parse("off", "--docker-proxy") is None


@pytest.mark.parametrize(
    "text",
    [
        "",
        "OFF",
        "2377",
        ":2377",
        "127.0.0.1",
        "127.0.0.1:",
        "127.0.0.1:0",
        "127.0.0.1:02377",
        "127.0.0.1:65536",
        "127.1:2377",
        "localhost:2377",
        "::1:2377",
        "[127.0.0.1]:2377",
        "[::ffff:127.0.0.1]:2377",
        "[fe80::1%eth0]:2377",
        "[fe80::1]:2377",
        "224.0.0.1:2377",
        "255.255.255.255:2377",
        "tcp://127.0.0.1:2377",
        "127.0.0.1:2377\n",
        "127.0.0.1:٢٣٧٧",
    ],
)
def test_anything_else_is_refused_naming_what_it_was_for(text):
    with pytest.raises(InvalidValue, match=r"invalid --docker-proxy .*127\.0\.0\.1:2377"):
        docker_proxy.parse(text, "--docker-proxy")


@pytest.mark.parametrize(
    ("text", "loopback"),
    [
        ("127.0.0.1:1", True),
        ("127.8.9.10:1", True),
        ("[::1]:1", True),
        ("0.0.0.0:1", False),
        ("[::]:1", False),
        ("10.0.0.1:1", False),
    ],
)
def test_loopback_is_what_only_this_host_reaches(text, loopback):
    proxy = docker_proxy.parse(text, "it")
    assert proxy is not None
    assert proxy.is_loopback is loopback


@given(ADDRESSES, st.integers(1, 65535), st.booleans())
def test_what_the_environment_is_given_is_read_from_it(ip, port, with_tls):
    proxy = DockerProxy(IPAddress(str(ip)), port, TLS if with_tls else None)
    try:
        docker_proxy.parse(str(proxy), "it")
    except InvalidValue:
        return
    assert docker_proxy.from_environment(docker_proxy.to_environment(proxy)) == proxy


def test_the_environment_may_say_off_or_nothing():
    assert docker_proxy.to_environment(None) == {"CALICO_DOCKER_PROXY": "off"}
    assert docker_proxy.from_environment({"CALICO_DOCKER_PROXY": "off"}) is None
    assert docker_proxy.from_environment({}) == DEFAULT
    assert docker_proxy.from_environment({"CALICO_DOCKER_PROXY": ""}) == DEFAULT
    assert str(DEFAULT) == "127.0.0.1:2377"


@pytest.mark.parametrize("missing", ["CERT", "KEY", "CA"])
@pytest.mark.parametrize("path", ["", "relative.pem"])
def test_a_file_that_is_missing_or_has_no_absolute_path_is_named(missing, path):
    variables = docker_proxy.to_environment(DockerProxy(IPAddress("10.0.0.1"), 2377, TLS))
    variables[f"CALICO_DOCKER_PROXY_{missing}"] = path
    with pytest.raises(InvalidValue, match=f"CALICO_DOCKER_PROXY_{missing} "):
        docker_proxy.from_environment(variables)


def test_an_address_of_ipv6_is_shown_in_brackets():
    assert str(DockerProxy(IPAddress("fd80::1"), 2377)) == "[fd80::1]:2377"
