import json
from pathlib import Path

import pytest
from netaddr import IPAddress

from calico_ctl.datastore import nodes
from calico_ctl.model import keys
from calico_ctl.model.node import Node
from tests.support.cli import Cli, cells

V4 = IPAddress("10.0.0.9")
PEER = ["bgp", "peer"]
NODE_PEER = ["node", "bgp", "peer"]
EVERYWHERE, HERE = "global", "host/host1"


@pytest.fixture
def cli() -> Cli:
    made = Cli()
    nodes.register(made.store, Node("host1", IPAddress("10.0.0.1")))
    return made


@pytest.mark.parametrize(("command", "where"), [(PEER, EVERYWHERE), (NODE_PEER, HERE)])
def test_peers_are_written_as_other_tools_read_them(cli, command, where):
    assert cli.done(*command, "add", "10.0.0.9", "as", "1.10") == ""
    cli.done(*command, "add", "fd99::9", "as", "4294967295")
    contents = cli.contents()
    assert json.loads(contents[f"/calico/bgp/v1/{where}/peer_v4/10.0.0.9"]) == {
        "ip": "10.0.0.9",
        "as_num": "65546",
    }
    assert json.loads(contents[f"/calico/bgp/v1/{where}/peer_v6/fd99::9"])["as_num"] == "4294967295"


@pytest.mark.parametrize(
    ("command", "heading"),
    [(PEER, "Global IPv{} BGP Peer"), (NODE_PEER, "Node specific IPv{} BGP Peer")],
)
def test_peers_are_shown_by_family_in_the_order_of_their_numbers(cli, command, heading):
    for ip in ("10.0.0.10", "10.0.0.9", "fd99::9"):
        cli.done(*command, "add", ip, "as", "65000")
    assert cells(cli.done(*command, "show")) == [
        [heading.format(4), "AS Num"],
        ["10.0.0.9", "65000"],
        ["10.0.0.10", "65000"],
        [heading.format(6), "AS Num"],
        ["fd99::9", "65000"],
    ]
    assert cells(cli.done(*command, "show", "--ipv6"))[1:] == [["fd99::9", "65000"]]


def test_without_peers_that_is_said(cli):
    assert cli.done(*PEER, "show") == (
        "No global IPv4 BGP Peers defined.\n\nNo global IPv6 BGP Peers defined.\n\n"
    )
    assert cli.done(*NODE_PEER, "show", "--ipv4") == "No IPv4 BGP Peers defined for this node.\n\n"


def test_peers_are_shown_as_data_without_their_passwords(cli, tmp_path):
    path = tmp_path / "password"
    path.write_text("sesam open\n")
    cli.done(*PEER, "add", "10.0.0.9", "as", "65000", f"--password-file={path}")
    cli.done(*NODE_PEER, "add", "10.0.0.9", "as", "65001")
    written = json.loads(cli.contents()[keys.bgp_peer(V4)])
    assert written == {"ip": "10.0.0.9", "as_num": "65000", "password": "sesam open"}
    shown = cli.done(*PEER, "show", "--output=json")
    assert json.loads(shown) == {
        "schema": 1,
        "kind": "bgp_peer",
        "items": [{"hostname": None, "ip": "10.0.0.9", "as_num": 65000, "has_password": True}],
    }
    for form in ("table", "yaml", "name"):
        assert "sesam" not in cli.done(*PEER, "show", f"--output={form}")
    assert cli.done(*NODE_PEER, "show", "--output=name") == "10.0.0.9\n"
    assert json.loads(cli.done(*NODE_PEER, "show", "--output=json"))["items"] == [
        {"hostname": "host1", "ip": "10.0.0.9", "as_num": 65001, "has_password": False}
    ]


def test_adding_a_peer_again_replaces_it(cli, tmp_path):
    path = tmp_path / "password"
    path.write_text("sesam")
    cli.done(*PEER, "add", "10.0.0.9", "as", "65000", f"--password-file={path}")
    cli.done(*PEER, "add", "10.0.0.9", "as", "65001")
    assert cli.contents()[keys.bgp_peer(V4)] == '{"ip": "10.0.0.9", "as_num": "65001"}'


@pytest.mark.parametrize("content", [b"", b"two\nlines", b'a "quote"', b"\xff\xfe", b"x" * 81])
def test_a_password_that_bird_cannot_have_is_refused_and_not_shown(cli, tmp_path, content):
    path: Path = tmp_path / "password"
    path.write_bytes(content)
    words = [*PEER, "add", "10.0.0.9", "as", "65000", f"--password-file={path}"]
    err = cli.refused(*words)
    assert "invalid password" in err
    assert all(part not in err for part in ("two", "quote", "xxx"))
    path.unlink()
    assert "does not exist" in cli.refused(*words)
    path.mkdir()
    assert "cannot read" in cli.refused(*words)


@pytest.mark.parametrize("command", [PEER, NODE_PEER])
@pytest.mark.parametrize(
    ("ip", "as_number", "message"),
    [
        ("1", "65000", "invalid peer address '1'"),
        ("010.0.0.1", "65000", "invalid peer address"),
        ("0.0.0.0", "65000", "invalid peer address"),
        ("127.0.0.1", "65000", "invalid peer address"),
        ("224.0.0.5", "65000", "invalid peer address"),
        ("fe80::1", "65000", "invalid peer address"),
        ("10.0.0.1", "65000", "this is this host's own"),
        ("10.0.0.9", "0", "invalid AS number '0'"),
        ("10.0.0.9", "65536.0", "invalid AS number"),
        ("10.0.0.9", "4294967296", "invalid AS number"),
        ("10.0.0.9", "text", "invalid AS number 'text'"),
    ],
)
def test_what_can_be_no_peer_is_refused(cli, command, ip, as_number, message):
    assert message in cli.refused(*command, "add", ip, "as", as_number)


def test_the_own_address_of_a_reflector_may_be_a_peer_of_all_others(cli):
    cli.done("bgp", "route-reflector", "add", "10.0.0.1", "cluster", "1.0.0.1")
    cli.done(*PEER, "add", "10.0.0.1", "as", "64511")
    assert "this host's own" in cli.refused(*NODE_PEER, "add", "10.0.0.1", "as", "64511")


def test_an_ipv6_peer_of_a_host_without_ipv6_is_warned_of(cli):
    finished = cli.run(*NODE_PEER, "add", "fd99::9", "as", "65000")
    assert finished.exit == 0
    assert "host1 has no IPv6 address for BGP" in finished.err


@pytest.mark.parametrize("command", [PEER, NODE_PEER])
def test_a_peer_is_removed_once(cli, command):
    cli.done(*command, "add", "10.0.0.9", "as", "65000")
    assert cli.done(*command, "remove", "10.0.0.9") == "BGP peer 10.0.0.9 removed\n"
    err = cli.refused(*command, "remove", "10.0.0.9")
    assert "10.0.0.9 is no BGP peer of" in err
    assert f"`calicoctl {' '.join(command)} show` lists them" in err
    assert "invalid peer address" in cli.refused(*command, "remove", "10")


def test_a_peer_that_cannot_be_read_is_reported_and_can_be_removed(cli):
    cli.store.put(keys.bgp_peer(V4), '{"password": "sesam"')
    finished = cli.run(*PEER, "show")
    assert finished.exit == 0
    assert f"warning: {keys.bgp_peer(V4)} is left out" in finished.err
    assert "sesam" not in finished.err + finished.out
    cli.done(*PEER, "remove", "10.0.0.9")
    assert cli.run(*PEER, "show").err == ""
