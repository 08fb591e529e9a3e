"""calicoctl endpoint, as processes against a real etcd, on endpoints of other hosts."""

import json

import pytest

ID = "1d9e9624cdb711e499bf08002737b14f"
WORKLOAD = "ab12" * 16
KEY = f"/calico/host/host7/workload/docker/{WORKLOAD}/endpoint/{ID}"
GUIDE = {
    "state": "active",
    "name": "cali1d9e9624cdb",
    "mac": "11:22:33:44:55:66",
    "profile_id": None,
    "ipv4_nets": ["10.65.0.10/32", "10.65.0.9/32"],
    "ipv6_nets": ["fd80::7/128"],
    "ipv4_gateway": "10.99.0.7",
    "ipv6_gateway": None,
}


@pytest.fixture
def endpoint(etcd):
    """An endpoint as an orchestrator writes it."""
    etcd.request("PUT", f"/v2/keys{KEY}", json.dumps(GUIDE))


@pytest.mark.usefixtures("endpoint")
def test_endpoints_are_shown(shell, etcd):
    assert "| host7    | docker" in shell.done("endpoint show")
    filters = f"--host=host7 --orchestrator=docker --workload={WORKLOAD} --endpoint={ID}"
    table = shell.done(f"endpoint show {filters} --detailed")
    assert table.index("10.65.0.9") < table.index("10.65.0.10") < table.index("fd80::7")
    (item,) = json.loads(shell.done("endpoint show --detailed --output=json"))["items"]
    assert item["addresses"] == ["10.65.0.9", "10.65.0.10", "fd80::7"]
    assert item["ipv4_gateway"] == "10.99.0.7"
    assert shell.done("endpoint show --host=host8 --output=name") == ""


@pytest.mark.usefixtures("endpoint")
def test_profiles_of_an_endpoint_are_changed_by_any_of_its_names(shell, etcd):
    shell.done("profile add web")
    shell.done("profile add db")
    no_docker = {"DOCKER_HOST": "unix:///run/no-such.sock"}
    shell.done(f"endpoint {ID} profile append web db")
    assert json.loads(etcd.keys()[KEY])["profile_ids"] == ["web", "db"]
    shell.done("endpoint 10.65.0.9 profile remove web")
    assert json.loads(etcd.keys()[KEY]) == GUIDE | {"profile_id": "db"}
    assert "| db" in shell.done("endpoint 1d9e profile show", **no_docker)
    where = f"--host=host7 --orchestrator=docker --workload={WORKLOAD}"
    shell.done(f"endpoint cali1d9e9624cdb profile set {where} web")
    assert shell.done(f"endpoint {WORKLOAD} profile show {where} --output=name") == "web\n"
    err = shell.refused("endpoint shop profile show", **no_docker)
    assert "there is no endpoint shop (whether a container is called so is not known" in err
    assert "no-such.sock" in err
