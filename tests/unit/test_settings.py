import pytest

from calico_ctl import settings
from calico_ctl.errors import InvalidValue
from calico_ctl.model.etcd_access import DEFAULT, EtcdAuthority, EtcdLogin


def test_an_empty_environment_means_a_local_etcd_and_a_routing_node() -> None:
    read = settings.read({})
    assert read.etcd() == DEFAULT
    assert read.networking
    assert not read.debug
    assert read.docker == {}


def test_a_wrong_variable_is_named_once_etcd_is_needed_and_not_before() -> None:
    read = settings.read({"ETCD_AUTHORITY": "", "ETCD_SCHEME": "ftp"})
    assert read.networking
    with pytest.raises(InvalidValue, match="invalid ETCD_AUTHORITY"):
        read.etcd()


def test_a_password_in_the_environment_is_not_shown_by_accident() -> None:
    variables = {"ETCD_USERNAME": "me", "ETCD_PASSWORD": "secret"}
    read = settings.read(variables)
    assert read.etcd().login == EtcdLogin("me", "secret")
    assert "secret" not in f"{read} {read.etcd()}"


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


def test_metrics_are_offered_where_the_variable_says() -> None:
    read = settings.read({})
    assert str(read.metrics()) == "127.0.0.1:9091"
    assert read.metrics_directory == "/run/calico/metrics"
    assert settings.read({"CALICO_METRICS": "off"}).metrics() is None
    read = settings.read({"CALICO_METRICS": "x", "CALICO_METRICS_DIRECTORY": "/tmp/m"})
    assert read.metrics_directory == "/tmp/m"
    with pytest.raises(InvalidValue, match="CALICO_METRICS 'x'"):
        read.metrics()


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
    assert settings.read().etcd().authorities == (EtcdAuthority("etcd.example.org", 2379),)
