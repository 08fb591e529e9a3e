import pytest
from hypothesis import given
from hypothesis import strategies as st

from calico_ctl import settings
from calico_ctl.errors import InvalidValue
from calico_ctl.settings import EtcdAuthority


def test_an_empty_environment_means_a_local_etcd_and_a_routing_node() -> None:
    read = settings.read({})
    assert read.etcd() == EtcdAuthority("127.0.0.1", 4001)
    assert read.networking
    assert not read.debug
    assert read.docker == {}


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        ("10.45.97.100:2379", "10.45.97.100", 2379),
        ("etcd:4001", "etcd", 4001),
        ("Etcd-1.example.org:65535", "Etcd-1.example.org", 65535),
        ("etcd.example.org.:1", "etcd.example.org.", 1),
        ("my_etcd:4001", "my_etcd", 4001),
        ("[fd80::1]:2379", "fd80::1", 2379),
        ("[::]:2379", "::", 2379),
    ],
)
def test_etcd_is_named_by_address_or_name_and_port(text, host, port) -> None:
    assert settings.read({"ETCD_AUTHORITY": text}).etcd() == EtcdAuthority(host, port)


@pytest.mark.parametrize(
    "text",
    [
        "",
        ":",
        "etcd",
        "etcd:",
        ":4001",
        "etcd:0",
        "etcd:65536",
        "etcd:x",
        "etcd:-1",
        "127.1:4001",
        "256.0.0.1:4001",
        "010.0.0.1:4001",
        "fd80::1:2379",
        "[fd80::1]",
        "[fd80:::1]:2379",
        "[10.0.0.1]:2379",
        "[]:2379",
        "http://etcd:4001",
        "-etcd:4001",
        "etcd-:4001",
        "a..b:4001",
        f"{'a' * 64}:4001",
        "etcd:4001\n",
        " etcd:4001",
        "ünï:4001",
    ],
)
def test_anything_else_is_refused_naming_the_variable_once_etcd_is_needed(text) -> None:
    read = settings.read({"ETCD_AUTHORITY": text})
    with pytest.raises(InvalidValue, match="invalid ETCD_AUTHORITY"):
        read.etcd()


@given(st.text(alphabet="[]:.0123456789abcfz-_/\n ", max_size=20))
def test_whatever_the_variable_holds_is_an_authority_or_an_invalid_value(text) -> None:
    try:
        authority = settings.parse_authority(text)
    except InvalidValue:
        return
    shown = f"[{authority.host}]" if ":" in authority.host else authority.host
    assert settings.parse_authority(f"{shown}:{authority.port}") == authority


def test_networking_is_true_or_false_and_nothing_else() -> None:
    assert settings.read({"CALICO_NETWORKING": ""}).networking
    assert not settings.read({"CALICO_NETWORKING": "false"}).networking
    with pytest.raises(InvalidValue, match="CALICO_NETWORKING 'no': expected true or false"):
        _ = settings.read({"CALICO_NETWORKING": "no"}).networking


@pytest.mark.parametrize(("text", "debug"), [("", False), ("0", False), ("1", True), ("y", True)])
def test_debugging_is_asked_for(text, debug) -> None:
    assert settings.read({"CALICO_DEBUG": text}).debug is debug


def test_the_docker_client_gets_its_own_variables_only() -> None:
    environment = {"DOCKER_HOST": "tcp://h:1", "DOCKER_TLS_VERIFY": "1", "HOME": "/root"}
    del environment["HOME"]
    assert settings.read(environment | {"HOME": "/root"}).docker == environment


def test_the_docker_api_is_offered_where_the_variables_say() -> None:
    proxy = settings.read({}).docker_proxy()
    assert proxy is not None
    assert (proxy.host, proxy.port, proxy.tls) == ("127.0.0.1", 2377, None)
    assert settings.read({"CALICO_DOCKER_PROXY": "off"}).docker_proxy() is None
    files = {"CERT": "/c", "KEY": "/k", "CA": "/a"}
    variables = {f"CALICO_DOCKER_PROXY_{name}": path for name, path in files.items()}
    proxy = settings.read(variables | {"CALICO_DOCKER_PROXY": "10.0.0.1:2378"}).docker_proxy()
    assert proxy is not None
    assert (proxy.host, proxy.port) == ("10.0.0.1", 2378)
    assert proxy.tls is not None
    assert (proxy.tls.certificate, proxy.tls.key, proxy.tls.ca) == ("/c", "/k", "/a")


def test_a_bad_address_for_the_docker_api_is_named_once_it_is_needed() -> None:
    read = settings.read({"CALICO_DOCKER_PROXY": "everywhere"})
    with pytest.raises(InvalidValue, match="invalid CALICO_DOCKER_PROXY 'everywhere'"):
        read.docker_proxy()


def test_the_environment_of_the_process_is_the_default(monkeypatch) -> None:
    monkeypatch.setenv("ETCD_AUTHORITY", "etcd.example.org:2379")
    assert settings.read().etcd() == EtcdAuthority("etcd.example.org", 2379)
