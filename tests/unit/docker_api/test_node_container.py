from dataclasses import replace
from typing import Any

import pytest
from netaddr import IPAddress

from calico_ctl.docker_api import node_container
from calico_ctl.docker_api.node_container import NodeContainer
from calico_ctl.model import docker_proxy
from calico_ctl.model.docker_proxy import DockerProxy, TlsFiles
from calico_ctl.model.etcd_access import EtcdAccess, EtcdAuthority, EtcdLogin, EtcdTls

ETCD = EtcdAccess((EtcdAuthority("127.0.0.1", 2379),))
NODE = NodeContainer("calico/node:1", "h1", IPAddress("10.0.0.1"), None, ETCD)


def host_config(node: NodeContainer = NODE) -> Any:
    return node.request().body["HostConfig"]


def test_it_has_the_capabilities_that_it_needs_and_is_not_privileged():
    config = host_config()
    assert config["CapAdd"] == ["NET_ADMIN", "NET_RAW", "SYS_ADMIN", "SYS_PTRACE"]
    assert "Privileged" not in config
    assert (config["ReadonlyPaths"], config["MaskedPaths"]) == ([], [])


def test_it_lives_in_the_hosts_network_and_sees_its_processes():
    config = host_config()
    assert (config["NetworkMode"], config["PidMode"], config["UTSMode"]) == ("host",) * 3


def test_T36_it_comes_back_by_itself_and_current_engines_want_that_in_lower_case():
    assert host_config()["RestartPolicy"] == {"Name": "always"}


def test_logs_go_where_the_operator_wants_them():
    assert (
        "/srv/logs:/var/log/calico"
        in host_config(replace(NODE, log_directory="/srv/logs"))["Binds"]
    )


def test_the_services_are_told_who_they_are():
    node = replace(NODE, ip6=IPAddress("fd99::1"), networking=False)
    assert node.request().body["Env"] == [
        "HOSTNAME=h1",
        "IP=10.0.0.1",
        "IP6=fd99::1",
        "ETCD_AUTHORITY=127.0.0.1:2379",
        "CALICO_NETWORKING=false",
        "DOCKER_HOST=unix:///host-var-run/docker.sock",
        "CALICO_DOCKER_PROXY=off",
        "CALICO_METRICS=off",
    ]


def test_the_files_of_the_docker_proxy_are_there_to_read_and_nothing_of_them_in_the_environment(
    tmp_path,
):
    key, certificate = tmp_path / "key.pem", tmp_path / "cert.pem"
    key.write_text("secret")
    proxy = DockerProxy(
        IPAddress("10.0.0.1"), 2377, TlsFiles(str(certificate), str(key), str(certificate))
    )
    node = replace(NODE, docker_proxy=proxy)
    mounts = [each for each in host_config(node)["Mounts"] if each["Source"] != "/var/run"]
    assert [(each["Source"], each["Target"], each["ReadOnly"]) for each in mounts] == [
        (str(path), f"/host-files{path}", True) for path in (certificate, key)
    ]
    environment = node.environment()
    assert environment["CALICO_DOCKER_PROXY"] == "10.0.0.1:2377"
    assert environment["CALICO_DOCKER_PROXY_KEY"] == f"/host-files{key}"
    assert "secret" not in str(node.request())
    assert node_container.on_host(docker_proxy.from_environment(environment)) == proxy


def test_what_etcd_wants_to_see_is_in_files_that_only_their_directory_is_said_of():
    files = "/var/lib/calico/etcd-access/1"
    tls = EtcdTls(f"{files}/ca.pem", f"{files}/cert.pem", f"{files}/key.pem")
    login = EtcdLogin("calico", password="secret", password_file=f"{files}/password")
    two = (EtcdAuthority("10.0.0.1", 2379), EtcdAuthority("fd80::1", 2379))
    node = replace(NODE, etcd=EtcdAccess(two, tls, login), etcd_files=files)
    assert host_config(node)["Mounts"][1:] == [
        {"Type": "bind", "Source": files, "Target": files, "ReadOnly": True}
    ]
    variables = {k: v for k, v in node.environment().items() if k.startswith("ETCD_")}
    assert variables == {
        "ETCD_AUTHORITY": "10.0.0.1:2379,[fd80::1]:2379",
        "ETCD_SCHEME": "https",
        "ETCD_CA_CERT_FILE": f"{files}/ca.pem",
        "ETCD_CERT_FILE": f"{files}/cert.pem",
        "ETCD_KEY_FILE": f"{files}/key.pem",
        "ETCD_USERNAME": "calico",
        "ETCD_PASSWORD_FILE": f"{files}/password",
    }
    assert "secret" not in str(node.request())
    assert "secret" not in str(node)


def test_without_certificates_nothing_is_mounted_for_the_docker_proxy():
    node = replace(NODE, docker_proxy=docker_proxy.DEFAULT)
    assert host_config(node)["Mounts"] == host_config()["Mounts"]
    assert node.environment()["CALICO_DOCKER_PROXY"] == "127.0.0.1:2377"


@pytest.mark.parametrize(
    "change",
    [
        {"ip": IPAddress("10.0.0.2")},
        {"networking": False},
        {"image": "other"},
        {"docker_proxy": docker_proxy.DEFAULT},
        {"etcd": EtcdAccess((EtcdAuthority("127.0.0.1", 2380),))},
        {"etcd_files": "/var/lib/calico/etcd-access/2"},
    ],
)
def test_a_change_of_anything_changes_the_digest(change):
    assert replace(NODE, **change).request().digest != NODE.request().digest


def test_a_one_off_has_the_same_powers_under_another_name_and_does_not_come_back():
    once = node_container.one_off(NODE.request(), ["daemon", "cleanup"])
    config: Any = once.body["HostConfig"]
    assert once.name == "calico-node-once"
    assert once.body["Cmd"] == ["daemon", "cleanup"]
    assert config == host_config() | {"RestartPolicy": {"Name": "no"}}
