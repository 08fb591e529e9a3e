import json

import pytest

from calico_ctl.model import keys
from tests.support.cli import Cli, cells


@pytest.fixture
def cli() -> Cli:
    return Cli()


def test_the_mesh_is_shown_and_switched(cli):
    assert cli.done("bgp", "node-mesh") == "on\n"
    assert cli.done("bgp", "node-mesh", "off") == ""
    assert cli.contents()[keys.NODE_MESH] == '{"enabled": false}'
    assert cli.done("bgp", "node-mesh") == "off\n"
    assert cli.done("bgp", "node-mesh", "on") == ""
    assert cli.done("bgp", "node-mesh") == "on\n"
    cli.refused("bgp", "node-mesh", "yes")
    cli.store.put(keys.NODE_MESH, "junk")
    assert keys.NODE_MESH in cli.refused("bgp", "node-mesh")
    cli.done("bgp", "node-mesh", "on")


def test_the_default_as_number_is_shown_and_set(cli):
    assert cli.done("bgp", "default-node-as") == "64511\n"
    assert cli.done("bgp", "default-node-as", "1.10") == ""
    assert cli.contents()[keys.DEFAULT_AS] == "65546"
    assert cli.done("bgp", "default-node-as") == "65546\n"
    for text in ("0", "65536.0", "text", ""):
        assert "invalid AS number" in cli.refused("bgp", "default-node-as", text)


def test_route_reflectors_are_added_shown_and_removed(cli):
    for ip in ("10.0.0.10", "10.0.0.9", "fd99::9"):
        assert cli.done("bgp", "route-reflector", "add", ip, "cluster", "1.0.0.1") == ""
    assert cells(cli.done("bgp", "route-reflector", "show")) == [
        ["Route reflector", "Cluster ID"],
        ["10.0.0.9", "1.0.0.1"],
        ["10.0.0.10", "1.0.0.1"],
        ["fd99::9", "1.0.0.1"],
    ]
    assert json.loads(cli.done("bgp", "route-reflector", "show", "--ipv6", "--output=json")) == {
        "schema": 1,
        "kind": "route_reflector",
        "items": [{"ip": "fd99::9", "cluster_id": "1.0.0.1"}],
    }
    assert cli.contents()["/calico/bgp/v1/rr_v4/10.0.0.9"] == (
        '{"ip": "10.0.0.9", "cluster_id": "1.0.0.1"}'
    )
    cli.done("bgp", "route-reflector", "remove", "fd99::9")
    err = cli.refused("bgp", "route-reflector", "remove", "fd99::9")
    assert "fd99::9 is no route reflector" in err
    for ip, cluster in (("127.0.0.1", "1.0.0.1"), ("10.0.0.9", "1")):
        assert "invalid" in cli.refused("bgp", "route-reflector", "add", ip, "cluster", cluster)
