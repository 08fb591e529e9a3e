"""`calicoctl bgp` and `calicoctl node bgp` as processes against a real etcd."""

import json
from pathlib import Path

from tests.support.etcd import Etcd
from tests.support.shell import Shell

BGP = "/calico/bgp/v1"


def value(etcd: Etcd, key: str) -> object:
    return json.loads(etcd.keys()[key])


def test_peers_of_all_hosts_and_of_this_one(shell: Shell, etcd: Etcd, tmp_path: Path) -> None:
    path = tmp_path / "password"
    path.write_text("open sesame\n")
    shell.done(f"bgp peer add 10.0.0.9 as 65000 --password-file={path}")
    shell.done(f"node bgp peer add fd99::9 as 1.10 --password-file={path}")
    assert value(etcd, f"{BGP}/global/peer_v4/10.0.0.9") == {
        "ip": "10.0.0.9",
        "as_num": "65000",
        "password": "open sesame",
    }
    shown = shell.done("node bgp peer show --ipv6 --output=json")
    assert "sesame" not in shown
    host = json.loads(shown)["items"][0]["hostname"]
    assert value(etcd, f"{BGP}/host/{host}/peer_v6/fd99::9") == {
        "ip": "fd99::9",
        "as_num": "65546",
        "password": "open sesame",
    }
    assert "| 10.0.0.9             | 65000  |" in shell.done("bgp peer show --ipv4")
    assert shell.done("bgp peer show --ipv6 --output=name") == ""
    assert shell.done("node bgp peer show --ipv4").startswith("No IPv4 BGP Peers defined")
    shell.done("bgp peer remove 10.0.0.9")
    shell.done("node bgp peer remove fd99::9")
    # etcd keeps the directories.
    assert shell.done("bgp peer show --output=name") == ""
    assert "is no BGP peer" in shell.refused("node bgp peer remove fd99::9")
    assert "invalid peer address" in shell.refused("bgp peer add 127.1 as 65000")


def test_the_mesh_the_as_number_and_the_reflectors(shell: Shell, etcd: Etcd) -> None:
    assert shell.done("bgp node-mesh") == "on\n"
    shell.done("bgp node-mesh off")
    shell.done("bgp node-mesh on")
    assert value(etcd, f"{BGP}/global/node_mesh") == {"enabled": True}
    shell.done("bgp default-node-as 64512")
    assert shell.done("bgp default-node-as") == "64512\n"
    shell.done("bgp route-reflector add 10.0.0.1 cluster 1.0.0.1")
    assert value(etcd, f"{BGP}/rr_v4/10.0.0.1") == {"ip": "10.0.0.1", "cluster_id": "1.0.0.1"}
    assert shell.done("bgp route-reflector show --ipv4 --output=name") == "10.0.0.1\n"
    assert shell.done("bgp route-reflector show --ipv6 --output=name") == ""
    shell.done("bgp route-reflector remove 10.0.0.1")
